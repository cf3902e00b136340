"""Differentiable objectives: functions of the dose at points, with their gradients.

Sums are numpy's, not BLAS products: those of long vectors depend on the number of BLAS threads in their last bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Term(Protocol):
    """One part of an objective."""

    @property
    def name(self) -> str:
        """What the term asks for."""
        ...

    @property
    def weight(self) -> float:
        """What the value is proportional to."""
        ...

    def evaluate(self, dose: np.ndarray, gradient: np.ndarray) -> float:
        """Return the value at `dose`, shape (points,), Gy, and add the derivative by dose to `gradient`."""
        ...


@dataclass(frozen=True, eq=False)
class Underdose:
    """``weight sum_i share_i max(0, (level_i - d_i) / scale)^2``.

    Attributes
    ----------
    name : str
    index, share : ndarray (m,)
        Points and their relative volumes.
    level : float or ndarray (m,)
        Gy.
    scale, weight : float
        `scale` in Gy, usually the prescription.
    """

    name: str
    index: np.ndarray
    share: np.ndarray
    level: float | np.ndarray
    scale: float
    weight: float

    def evaluate(self, dose: np.ndarray, gradient: np.ndarray) -> float:
        """Return the value and add the derivative to `gradient`."""
        miss = np.maximum(self.level - dose[self.index], 0) / self.scale
        pull = self.weight * self.share * miss
        gradient[self.index] -= (2 / self.scale) * pull
        return float(np.sum(pull * miss))


@dataclass(frozen=True, eq=False)
class Overdose:
    """``weight sum_i share_i max(0, (d_i - level_i) / scale)^2``; attributes as in `Underdose`.

    A hot-spot limit, a fall-off (level by distance) or, with shares that do not sum to 1, an organ's maximum.
    """

    name: str
    index: np.ndarray
    share: np.ndarray
    level: float | np.ndarray
    scale: float
    weight: float

    def evaluate(self, dose: np.ndarray, gradient: np.ndarray) -> float:
        """Return the value and add the derivative to `gradient`."""
        miss = np.maximum(dose[self.index] - self.level, 0) / self.scale
        push = self.weight * self.share * miss
        gradient[self.index] += (2 / self.scale) * push
        return float(np.sum(push * miss))


@dataclass(frozen=True, eq=False)
class VolumeAbove:
    """``weight sum_i share_i sigmoid((d_i - level) / width)``: a volume above a dose, made differentiable.

    Attributes
    ----------
    name : str
    index, share : ndarray (m,)
    level, width : float
        Gy; the sum tends to the volume above `level` as `width` tends to 0.
    weight : float
    """

    name: str
    index: np.ndarray
    share: np.ndarray
    level: float
    width: float
    weight: float

    def evaluate(self, dose: np.ndarray, gradient: np.ndarray) -> float:
        """Return the value and add the derivative to `gradient`."""
        above = 0.5 * (1 + np.tanh((dose[self.index] - self.level) / (2 * self.width)))
        gradient[self.index] += (self.weight / self.width) * self.share * above * (1 - above)
        return float(self.weight * np.sum(self.share * above))


@dataclass(frozen=True, eq=False)
class GeneralisedMean:
    """``weight (sum_i share_i d_i^power)^(1 / power) / scale``: the mean dose, or gEUD for a power above 1.

    Attributes
    ----------
    name : str
    index, share : ndarray (m,)
        Shares sum to 1.
    power, scale, weight : float
    """

    name: str
    index: np.ndarray
    share: np.ndarray
    power: float
    scale: float
    weight: float

    def evaluate(self, dose: np.ndarray, gradient: np.ndarray) -> float:
        """Return the value and add the derivative to `gradient`."""
        relative = np.maximum(dose[self.index], 0) / self.scale
        total = float(np.sum(self.share * relative**self.power))
        if total <= 0:
            return 0.0
        mean = total ** (1 / self.power)
        slope = (mean / total) * self.share * relative ** (self.power - 1)
        gradient[self.index] += (self.weight / self.scale) * slope
        return self.weight * mean


@dataclass(frozen=True, eq=False)
class OverScenarios:
    """``(mean_k v_k^power)^(1 / power)`` of the values of one term in each of several scenarios.

    Their mean for a power of 1; close to the worst of them for a large power, but differentiable.

    Attributes
    ----------
    name : str
    terms : tuple of Term
        The same term, one for each scenario.
    power : float
    """

    name: str
    terms: tuple[Term, ...]
    power: float

    @property
    def weight(self) -> float:
        """Factor of the value."""
        return self.terms[0].weight

    def evaluate(self, dose: np.ndarray, gradient: np.ndarray) -> float:
        """Return the value and add the derivative to `gradient`."""
        slopes = np.zeros((len(self.terms), len(dose)))
        values = np.array([term.evaluate(dose, slope) for term, slope in zip(self.terms, slopes, strict=True)])
        most = float(values.max())
        if most <= 0:
            return 0.0
        relative = values / most
        mean = float(np.mean(relative**self.power)) ** (1 / self.power)
        for slope, share in zip(slopes, (relative / mean) ** (self.power - 1) / len(values), strict=True):
            gradient += share * slope
        return most * mean


@dataclass(frozen=True, eq=False)
class Objective:
    """The sum of terms.

    Attributes
    ----------
    terms : sequence of Term
    """

    terms: Sequence[Term]

    def evaluate(self, dose: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value and its derivative by dose, shape (points,), at `dose`, Gy."""
        gradient = np.zeros(len(dose))
        return sum(term.evaluate(dose, gradient) for term in self.terms), gradient

    def binding(self, dose: np.ndarray) -> str:
        """Return what keeps a plan with these doses from being better: terms with their parts of the objective.

        The largest first; terms below 1 percent, and goals that are met, bind nothing and are left out.
        """
        values = self.values(dose)
        shares = {name: 100 * value / max(sum(values.values()), 1e-12) for name, value in values.items()}
        found = sorted((name for name, share in shares.items() if share >= 1), key=lambda name: -shares[name])
        return ", ".join(f"{name} {shares[name]:.0f} %" for name in found)

    def values(self, dose: np.ndarray) -> dict[str, float]:
        """Return the value of every term by name."""
        unused = np.zeros(len(dose))
        return {term.name: term.evaluate(dose, unused) for term in self.terms}
