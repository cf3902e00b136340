"""The dose-correction loop: a fast engine inside the optimiser, an accurate one for what it gets wrong."""

from dataclasses import dataclass

import numpy as np

from planner.engines.base import Influence


@dataclass(frozen=True, eq=False)
class Corrected:
    """An influence with a fixed dose added at its points: what an accurate engine gave more for the last weights.

    The error of a pencil beam varies little with the weights, so a few rounds of optimising with the error of the round
    before converge (Siebers et al. 2001, Phys Med Biol 46:1575: correction-based Monte Carlo optimisation).

    Attributes
    ----------
    influence : Influence
    offset_gy : ndarray (points,)
    """

    influence: Influence
    offset_gy: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Number of points and of bixels."""
        return self.influence.shape

    @property
    def beam_slices(self) -> tuple[slice, ...]:
        """Where the bixels of each beam stand in a weight vector."""
        return self.influence.beam_slices

    def forward(self, weights: np.ndarray) -> np.ndarray:
        """Return the corrected dose (Gy), shape (points,)."""
        return self.influence.forward(weights) + self.offset_gy

    def adjoint(self, gradient: np.ndarray) -> np.ndarray:
        """Return the transpose of the linear part applied to `gradient`; shape (bixels,)."""
        return self.influence.adjoint(gradient)
