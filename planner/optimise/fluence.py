"""Bixel weights that minimise an objective of their dose: L-BFGS-B with w >= 0."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds

from planner.engines.base import Influence
from planner.optimise.minimise import Progress, minimised
from planner.optimise.objectives import Objective
from planner.treatment.beam import Beam


@dataclass(frozen=True, eq=False)
class Roughness:
    """Squared differences of neighbouring bixel weights, as a fraction of the mean squared weight.

    Attributes
    ----------
    first, second : ndarray of int
        Pairs of bixels that share an edge, as numbers in the vector of all bixels.
    weight : float
    """

    first: np.ndarray
    second: np.ndarray
    weight: float

    @classmethod
    def of(cls, beams: Sequence[Beam], weight: float) -> "Roughness":
        """Return the roughness of the fluence of `beams`."""
        first, second, start = [], [], 0
        for beam in beams:
            number = np.full(beam.bixels.open.shape, -1)
            number[beam.bixels.open] = start + np.arange(beam.bixels.count)
            for a, b in ((number[:-1], number[1:]), (number[:, :-1], number[:, 1:])):
                both = (a >= 0) & (b >= 0)
                first.append(a[both])
                second.append(b[both])
            start += beam.bixels.count
        return cls(np.concatenate(first), np.concatenate(second), weight)

    def evaluate(self, weights: np.ndarray, gradient: np.ndarray, scale: float) -> float:
        """Return the value for weights relative to `scale`, and add the derivative by weight to `gradient`."""
        if self.weight == 0 or not len(self.first):
            return 0.0
        step = (weights[self.first] - weights[self.second]) / scale
        factor = 2 * self.weight / (len(step) * scale)
        gradient += factor * np.bincount(self.first, step, len(weights))
        gradient -= factor * np.bincount(self.second, step, len(weights))
        return float(self.weight * np.mean(step**2))


@dataclass(frozen=True, eq=False)
class Fluence:
    """The outcome of an optimisation.

    Attributes
    ----------
    weights : ndarray (bixels,)
    dose_gy : ndarray (points,)
    objective : float
    evaluations : int
        Pairs of a forward and an adjoint product.
    history : ndarray (evaluations,)
        Objective at every evaluation.
    """

    weights: np.ndarray
    dose_gy: np.ndarray
    objective: float
    evaluations: int
    history: np.ndarray


def start_weights(influence: Influence, target: np.ndarray, dose_gy: float) -> np.ndarray:
    """Return equal weights that give the target points (indices) the mean dose `dose_gy`."""
    weights = np.ones(influence.shape[1])
    return weights * (dose_gy / float(np.mean(influence.forward(weights)[target])))


def optimise_fluence(
    influence: Influence,
    objectives: Sequence[tuple[Objective, int]],
    start: np.ndarray,
    *,
    roughness: Roughness | None = None,
    progress: Progress = lambda evaluation, value: None,
) -> Fluence:
    """Minimise objectives one after another, each from where the last one ended.

    Parameters
    ----------
    influence : Influence
    objectives : sequence of (Objective, int)
        Objective and the most evaluations to spend on it; more than one for annealing.
    start : ndarray (bixels,)
    roughness : Roughness, optional
    progress : callable
    """
    rough = roughness if roughness is not None else Roughness(np.zeros(0, int), np.zeros(0, int), 0.0)
    mean_weight = float(start.mean())
    # The variables are of order one at the start, so that the optimiser's first step has a sensible length. Scaling
    # them by the column norms as well gained nothing (within 1 % of the objective after 50 evaluations).
    scale = 1.0 / mean_weight
    history: list[float] = []
    weights, value = np.maximum(start, 0.0), np.inf
    for objective, most in objectives:

        def evaluate(x: np.ndarray, objective: Objective = objective) -> tuple[float, np.ndarray]:
            w = x / scale
            value, by_dose = objective.evaluate(influence.forward(w))
            gradient = influence.adjoint(by_dose)
            value += rough.evaluate(w, gradient, mean_weight)
            history.append(value)
            progress(len(history), value)
            return value, gradient / scale

        x, value = minimised(evaluate, weights * scale, Bounds(0.0, np.inf), most)
        weights = np.maximum(x, 0.0) / scale
    return Fluence(weights, influence.forward(weights), value, len(history), np.array(history))
