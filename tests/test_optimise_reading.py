"""Reading a dose between voxels, against a dose that is known everywhere."""

import numpy as np

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.optimise.reading import dose_at

GRID = Grid.covering((-20, -20, -20), (20, 20, 20), 2.0)


def gaussian(points, sigma=5.0):
    return 20.0 * np.exp(-0.5 * (points**2).sum(axis=-1) / sigma**2)


def test_a_peaked_dose_keeps_its_height():
    dose = Volume(GRID, gaussian(np.stack(np.meshgrid(*GRID.axes_mm(), indexing="ij"), axis=-1)), Quantity.DOSE)
    points = np.random.default_rng(1).uniform(-12, 12, (2000, 3))
    error = np.abs(dose_at(dose, points) - gaussian(points)).max()
    assert error < 0.02
    assert np.abs(dose.at(points) - gaussian(points)).max() > 20 * error


def test_voxels_are_kept_and_nothing_lies_outside():
    data = np.random.default_rng(2).uniform(0, 1, GRID.shape).astype(np.float32)
    dose = Volume(GRID, data, Quantity.DOSE)
    inside = GRID.point_of(np.argwhere(np.ones(GRID.shape, bool)))
    assert np.allclose(dose_at(dose, inside).reshape(GRID.shape), data, atol=1e-5)
    assert np.array_equal(dose_at(dose, np.array([[50.0, 0.0, 0.0]])), [0.0])
