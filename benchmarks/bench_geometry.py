"""Geometry and evaluation against peers on the same work in the same run; the figure is the ratio within a group."""

import logging
import warnings

import numpy as np
import pytest
import SimpleITK
from scipy import ndimage

from phantoms.distance import distance_field, occupancy_of
from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.evaluate.dvh import dvh
from planner.evaluate.gamma import Criteria, gamma
from planner.optimise.margins import expand


def ball(radius, size, step=1.0):
    """Return a ball in a cube of edge `size`, mm, whose fractions fall linearly across its surface."""
    grid = Grid.covering((-size / 2,) * 3, (size / 2,) * 3, step)
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij")
    occupancy = np.clip(0.5 - (np.sqrt(x**2 + y**2 + z**2) - radius) / step, 0, 1)
    return Structure("ball", Role.TARGET, grid, occupancy)


def dose(grid, shift=0.0, noise=0.0):
    """Return 20 Gy within 15 mm that falls over 2.5 mm, moved along x by `shift` mm, with relative noise."""
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij")
    r = np.sqrt((x - shift) ** 2 + y**2 + z**2)
    values = 20 / (1 + np.exp((r - 15) / 2.5)) * (1 + noise * np.random.default_rng(1).normal(size=r.shape))
    return Volume(grid, values, Quantity.DOSE)


BIG = ball(30.0, 154.0)
MASK = BIG.on(BIG.grid) >= 0.5


@pytest.mark.benchmark(group="distance, 160^3")
def test_distance_lacuna(benchmark):
    """Signed distance to the sub-voxel surface."""
    whole = benchmark(lambda: distance_field(BIG, 47.0))
    assert min(whole.grid.shape) >= 150


@pytest.mark.benchmark(group="distance, 160^3")
def test_distance_scipy(benchmark):
    """Signed distance between voxel centres."""
    benchmark(lambda: ndimage.distance_transform_edt(~MASK) - ndimage.distance_transform_edt(MASK))


@pytest.mark.benchmark(group="distance, 160^3")
def test_distance_simpleitk(benchmark):
    """The same by Maurer's method."""
    image = SimpleITK.GetImageFromArray(MASK.astype(np.uint8))
    benchmark(lambda: SimpleITK.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True))


@pytest.mark.benchmark(group="margin 2 mm, 14 cc")
def test_margin_lacuna(benchmark):
    """A margin from the sub-voxel surface, as occupancy."""
    body = ball(15.0, 40.0)
    benchmark(lambda: expand(body, 2.0))


@pytest.mark.benchmark(group="margin 2 mm, 14 cc")
def test_margin_scipy(benchmark):
    """A margin between voxel centres, as a mask."""
    mask = ball(15.0, 40.0).occupancy >= 0.5
    benchmark(lambda: ndimage.distance_transform_edt(~np.pad(mask, 4)) <= 2.0)


@pytest.mark.benchmark(group="occupancy of a level, 14 cc")
def test_occupancy_lacuna(benchmark):
    """Occupied fractions from distances that are there already."""
    field = distance_field(ball(15.0, 40.0), 5.0)
    benchmark(lambda: occupancy_of(field, 2.0))


GRID = Grid((50, 50, 50), (1.25, 1.25, 1.25), (-30.6, -30.6, -30.6))


@pytest.mark.benchmark(group="gamma 1 %/1 mm")
@pytest.mark.parametrize(("shift", "noise"), [(0.4, 0.005), (1.5, 0.02)])
def test_gamma_lacuna(benchmark, shift, noise):
    """A dose that nearly agrees, and one that does not."""
    reference, evaluated = dose(GRID), dose(GRID, shift, noise)
    benchmark(lambda: gamma(reference, evaluated, Criteria(1, 1)))


@pytest.mark.benchmark(group="gamma 1 %/1 mm", min_rounds=1)
@pytest.mark.parametrize(("shift", "noise"), [(0.4, 0.005), (1.5, 0.02)])
def test_gamma_pymedphys(benchmark, shift, noise):
    """The same pairs with ten steps of interpolation to the distance to agreement."""
    import pymedphys

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    reference, evaluated = dose(GRID), dose(GRID, shift, noise)
    axes, one, other = GRID.axes_mm(), reference.data.astype(float), evaluated.data.astype(float)
    options = {"lower_percent_dose_cutoff": 10, "interp_fraction": 10, "max_gamma": 2}
    benchmark.pedantic(lambda: pymedphys.gamma(axes, one, axes, other, 1, 1, **options), rounds=1)


BODIES = [ball(r, 2 * r + 4) for r in np.linspace(4, 15, 10)]


@pytest.mark.benchmark(group="DVH, 10 structures")
def test_dvh_lacuna(benchmark):
    """Curves of ten balls in one dose."""
    field = dose(GRID)
    benchmark(lambda: [dvh(field, body) for body in BODIES])


@pytest.mark.benchmark(group="DVH, 10 structures")
def test_dvh_numpy(benchmark):
    """The plain way: four-fold sub-voxels of every occupied voxel, interpolated and sorted."""
    field = dose(GRID)
    offsets = np.stack(np.meshgrid(*[(np.arange(4) + 0.5) / 4 - 0.5] * 3, indexing="ij"), -1).reshape(-1, 3)

    def one(body):
        cells = np.argwhere(body.occupancy > 0)
        points = body.grid.point_of((cells[:, None] + offsets).reshape(-1, 3))
        index = field.grid.index_of(points).T
        values = ndimage.map_coordinates(field.data, index, order=1)
        weights = np.repeat(body.occupancy[tuple(cells.T)], len(offsets))
        order = np.argsort(values)[::-1]
        return values[order], np.cumsum(weights[order])

    benchmark(lambda: [one(body) for body in BODIES])
