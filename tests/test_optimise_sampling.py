"""Points of the optimisation: volumes kept, integrals without bias, distances, the same for a seed."""

import numpy as np
import pytest
from oracles_planning import ball, water_head

from phantoms.grid import Grid
from planner.optimise.sampling import SPLIT, Budget, filled, sample

DENSITY, STRUCTURES = water_head(3.0, 60.0)
GRID = DENSITY.grid
PTV = ball("ptv", GRID, (5, -4, 8), (12, 10, 14))
GOALS = (("brainstem",), 5.0)
ORGANS = STRUCTURES | {"brainstem": ball("brainstem", GRID, (0, 20, -20), 10)}


def drawn(**budget):
    return sample(GRID, PTV, ORGANS, GOALS, Budget(**budget))


def test_filled_volume_is_exact_and_points_tell_inside_from_outside():
    points, volume = filled(GRID, PTV.occupancy, SPLIT)
    assert volume.sum() == pytest.approx(PTV.occupancy.sum(dtype=float), rel=1e-6)
    level = (((points - (5, -4, 8)) / (12, 10, 14)) ** 2).sum(axis=1)
    # A sub-voxel is 0.75 mm wide: points may stray past the surface by about half of its diagonal.
    assert level.max() < (1 + 0.7 / 10) ** 2
    assert (level > 1).mean() < 0.05


def test_filled_half_voxel_is_its_inner_half():
    grid = Grid((3, 1, 1), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    points, volume = filled(grid, np.array([1, 0.5, 0], np.float32).reshape(3, 1, 1), 4)
    assert len(points) == 1 + 32
    assert volume.sum() == pytest.approx(1.5)
    assert points[1:, 0].max() < 2.0
    assert set(np.round(points[1:, 0], 6)) == {1.25, 1.75}


@pytest.mark.parametrize("budget", [{}, {"target": 500, "outside": 900, "organ": 50, "skin": 100}])
def test_volumes_are_kept_however_few_the_points(budget):
    samples = drawn(**budget)
    body = STRUCTURES["external"].volume_cc
    assert samples.target.volume_cc.sum() == pytest.approx(PTV.volume_cc, rel=1e-5)
    assert samples.outside.volume_cc.sum() == pytest.approx(body - PTV.volume_cc, rel=1e-4)
    assert samples.organs["brainstem"].volume_cc.sum() == pytest.approx(ORGANS["brainstem"].volume_cc, rel=1e-4)
    assert samples.brain.volume_cc.sum() == pytest.approx(STRUCTURES["brain"].volume_cc, rel=0.1)
    assert np.allclose(samples.target.share.sum(), 1)
    if budget:
        assert len(samples.target.index) <= 500
        assert len(samples.outside.index) <= 900
        assert len(samples.organs["brainstem"].index) <= 50
        assert len(samples.skin.index) <= 100


def test_integrals_outside_are_estimated_without_bias():
    """A fall-off integrated with the points agrees with the sum over all voxels."""
    samples = drawn(outside=6000, seed=3)
    centre = np.array([5, -4, 8])

    def fall(points):
        return np.exp(-np.linalg.norm(points - centre, axis=-1) / 15)

    every = GRID.point_of(np.moveaxis(np.indices(GRID.shape), 0, -1))
    rest = np.maximum(STRUCTURES["external"].on(GRID) - PTV.on(GRID), 0)
    expected = float((fall(every) * rest).sum()) * GRID.voxel_cc
    found = fall(samples.points_mm[samples.outside.index]) @ samples.outside.volume_cc
    assert found == pytest.approx(expected, rel=0.01)


def test_distances_are_those_from_the_surface():
    target = ball("ptv", GRID, (0, 0, 0), 12)
    samples = sample(GRID, target, STRUCTURES, ((), 5.0), Budget())
    assert not samples.distance_mm[samples.target.index].any()
    outside = samples.outside.index
    truth = np.linalg.norm(samples.points_mm[outside], axis=1) - 12
    near = (truth > 2) & (truth < 20)
    assert np.abs(samples.distance_mm[outside][near] - truth[near]).max() < 3.0
    assert abs(np.mean(samples.distance_mm[outside][near] - truth[near])) < 0.5


def test_skin_is_the_outer_layer():
    radius = np.linalg.norm(drawn().points_mm[drawn().skin.index], axis=1)
    assert radius.min() > 60 - 5 - 2.7
    assert radius.max() < 62


def test_same_seed_same_points():
    assert np.array_equal(drawn(target=300).points_mm, drawn(target=300).points_mm)
    assert not np.array_equal(drawn(target=300).points_mm, drawn(target=300, seed=1).points_mm)
