"""The dose-correction loop: the accurate engine's dose becomes what is optimised."""

import numpy as np
import pytest

from planner.optimise.correction import Corrected


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
