"""The dose-correction loop: the accurate engine's dose becomes what is optimised."""

import numpy as np
import pytest

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.monte_carlo import MonteCarlo
from planner.optimise.correction import Corrected, drifted
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.machine import Machine


class _Dense:
    """A small stored influence."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix, self.shape = matrix, matrix.shape
        self.beam_slices = (slice(0, matrix.shape[1]),)

    def forward(self, weights: np.ndarray) -> np.ndarray:
        return self.matrix @ weights

    def adjoint(self, gradient: np.ndarray) -> np.ndarray:
        return self.matrix.T @ gradient


def test_the_offset_is_added_once_and_the_gradient_is_untouched():
    rng = np.random.default_rng(3)
    plain = _Dense(rng.random((7, 4)))
    offset = rng.normal(size=7)
    corrected = Corrected(plain, offset)
    weights, gradient = rng.random(4), rng.normal(size=7)
    np.testing.assert_allclose(corrected.forward(weights), plain.forward(weights) + offset)
    np.testing.assert_array_equal(corrected.adjoint(gradient), plain.adjoint(gradient))
    assert corrected.shape == (7, 4)
    assert corrected.beam_slices == (slice(0, 4),)


def test_rounds_of_correction_converge_to_the_optimum_of_the_accurate_engine():
    # Least squares of an accurate matrix, solved with a fast one that is a few per cent off.
    rng = np.random.default_rng(4)
    accurate = rng.random((30, 6)) + np.eye(30, 6)
    fast = accurate * (1.0 + 0.03 * rng.normal(size=accurate.shape))
    wanted = accurate @ np.arange(1.0, 7.0)
    weights = np.linalg.lstsq(fast, wanted, rcond=None)[0]
    misses = [np.abs(accurate @ weights - wanted).max()]
    for _ in range(3):
        corrected = Corrected(_Dense(fast), accurate @ weights - fast @ weights)
        weights = np.linalg.lstsq(fast, wanted - corrected.offset_gy, rcond=None)[0]
        np.testing.assert_allclose(corrected.forward(weights), fast @ weights + corrected.offset_gy)
        misses.append(np.abs(accurate @ weights - wanted).max())
    assert misses[-1] < 0.02 * misses[0]
    assert misses[0] == pytest.approx(max(misses))


def beam_from(gantry_deg: float, isocentre_mm: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> Beam:
    return Beam(gantry_deg, 0.0, 90.0, isocentre_mm, BixelGrid((-7.5, -7.5), (5.0, 5.0), np.ones((3, 3), bool)))


def test_the_dose_of_a_beam_drifts_the_way_its_electrons_are_pushed():
    # Force on an electron: -e v x B. From the front (towards +y) in a field towards +z that is -x; from the left of
    # the patient (towards -x) it is -y.
    unity = library.load("machines", "elekta-unity", Machine)
    drift = 1.5 * unity.field_drift_mm_t.value
    front, left = drifted([beam_from(0.0), beam_from(90.0)], unity)
    np.testing.assert_allclose(front.isocentre_mm, (1.0 - drift, 2.0, 3.0), atol=1e-9)
    np.testing.assert_allclose(left.isocentre_mm, (1.0, 2.0 - drift, 3.0), atol=1e-9)


def test_beams_stay_where_no_field_moves_their_dose():
    beams = (beam_from(0.0), beam_from(50.0))
    assert drifted(beams, library.load("machines", "truebeam-stx", Machine)) == beams


def test_the_drift_is_that_of_the_monte_carlo_dose_in_water():
    unity = library.load("machines", "elekta-unity", Machine)
    grid = Grid.covering((-30.0, -80.0, -20.0), (30.0, 60.0, 20.0), 2.5)
    water = Volume(grid, np.ones(grid.shape), Quantity.DENSITY)
    beam = beam_from(0.0, (0.0, 0.0, 0.0))
    dose = MonteCarlo().with_histories(60_000).run(water, [beam], [np.full(9, 100.0)], unity).volume
    x, y, z = grid.axes_mm()
    profile = dose.data[:, (y > -40) & (y < 40)][:, :, np.abs(z) < 5].sum(axis=(1, 2))
    top = int(profile.argmax())
    sides = (slice(None, top + 1), slice(None, top, -1))
    edges = [np.interp(0.5 * profile.max(), profile[side], x[side]) for side in sides]
    (moved,) = drifted([beam], unity)
    assert np.mean(edges) == pytest.approx(moved.isocentre_mm[0], abs=0.3)
