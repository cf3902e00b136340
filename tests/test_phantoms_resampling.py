"""Averaging onto another grid: against a fine numerical mean, and its identities."""

import numpy as np
import pytest

from phantoms.grid import Grid
from phantoms.resampling import averaged
from phantoms.volume import Quantity, Volume

SOURCE = Grid((6, 5, 7), (1.0, 2.0, 0.7), (-3.0, 1.0, 4.0))
VALUES = np.random.default_rng(2).normal(size=SOURCE.shape).astype(np.float32)


@pytest.mark.parametrize("spacing", [(0.5, 0.8, 0.3), (1.7, 1.1, 2.0)])
def test_each_voxel_is_the_mean_of_the_interpolant(spacing):
    volume = Volume(SOURCE, VALUES, Quantity.DOSE)
    target = Grid((3, 3, 3), spacing, (-1.3, 3.1, 5.2))
    got = averaged(volume, target).data
    n = 24
    sub = (np.arange(n) + 0.5) / n - 0.5
    for index in np.ndindex(target.shape):
        centre = target.point_of(np.array(index))
        mesh = np.stack(np.meshgrid(*[c + sub * s for c, s in zip(centre, spacing, strict=True)], indexing="ij"), -1)
        points = mesh.reshape(-1, 3)
        inside = np.all((points > SOURCE.low_mm) & (points < SOURCE.high_mm), axis=1)
        assert got[index] == pytest.approx(volume.at(points[inside]).mean(), abs=0.02)


def test_same_lattice_far_inside_is_nearly_the_same_for_linear_data_and_zero_outside():
    x, y, z = np.meshgrid(*SOURCE.axes_mm(), indexing="ij")
    volume = Volume(SOURCE, 2 * x - y + 3 * z, Quantity.DOSE)
    target = Grid.covering(SOURCE.low_mm.tolist(), SOURCE.high_mm.tolist(), (0.5, 0.5, 0.35))
    u, v, w = np.meshgrid(*target.axes_mm(), indexing="ij")
    inner = (slice(1, -1), slice(2, -2), slice(1, -1))
    assert np.allclose(averaged(volume, target).data[inner], (2 * u - v + 3 * w)[inner], atol=1e-4)
    assert not averaged(volume, Grid((2, 2, 2), (1, 1, 1), (50, 50, 50))).data.any()


def test_the_integral_is_kept_by_any_grid_that_covers_the_image():
    target = Grid.covering((-8, -8, -8), (20, 20, 20), (0.31, 0.37, 0.29))
    volume = Volume(SOURCE, np.pad(np.ones((4, 3, 5)), 1), Quantity.OCCUPANCY)
    before = volume.data.sum(dtype=float) * SOURCE.voxel_cc
    after = averaged(volume, target).data.sum(dtype=float) * target.voxel_cc
    assert after == pytest.approx(before, rel=2e-3)
