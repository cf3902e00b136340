"""Figures of depth doses and profiles in water, as they are read from measured ones."""

from collections.abc import Callable

import numpy as np

Scan = Callable[[np.ndarray, np.ndarray], float]

_BUILD_UP_MM = (8.0, 30.0)
_DEGREE = 4


def maximum(depths_mm: np.ndarray, dose: np.ndarray) -> tuple[float, float]:
    """Return depth (mm) and height of the maximum of a depth dose: of a polynomial through 8 to 30 mm.

    A megavoltage maximum is flat: reading the highest of noisy or coarse points would be off by millimetres.
    """
    near = (depths_mm >= _BUILD_UP_MM[0]) & (depths_mm <= _BUILD_UP_MM[1])
    curve = np.polynomial.Polynomial.fit(depths_mm[near], dose[near], _DEGREE)
    at = np.linspace(depths_mm[near][0], depths_mm[near][-1], 2501)
    heights = curve(at)
    highest = int(heights.argmax())
    return float(at[highest]), float(heights[highest])


def depth_of_maximum(depths_mm: np.ndarray, dose: np.ndarray) -> float:
    """Return the depth of the maximum, mm."""
    return maximum(depths_mm, dose)[0]


def ten_over_maximum(depths_mm: np.ndarray, dose: np.ndarray) -> float:
    """Return the dose 100 mm deep over the maximum."""
    return _at(depths_mm, dose, 100.0) / maximum(depths_mm, dose)[1]


def twenty_over_ten(depths_mm: np.ndarray, dose: np.ndarray) -> float:
    """Return the dose 200 mm deep over that 100 mm deep, at one distance of the surface."""
    return _at(depths_mm, dose, 200.0) / _at(depths_mm, dose, 100.0)


def penumbra(at_mm: np.ndarray, dose: np.ndarray) -> float:
    """Return the width, mm, between 80 % and 20 % of the dose on the axis; the mean of both sides if both are there.

    Parameters
    ----------
    at_mm, dose : ndarray (n,)
        A profile from the axis (0) outwards, or across it.
    """
    return float(np.mean([edge[1] - edge[0] for edge in _edges(at_mm, dose, (0.8, 0.2))]))


def shift(at_mm: np.ndarray, dose: np.ndarray) -> float:
    """Return how far, mm, the middle between the halves of the dose on the axis lies from it, to either side."""
    (low,), (high,) = _edges(at_mm, dose, (0.5,))
    return 0.5 * abs(high - low)


def noise_of(figure: Scan, at_mm: np.ndarray, dose: np.ndarray, sigma: np.ndarray) -> float:
    """Return the standard deviation of a figure of a scan whose points have independent ones, by 200 resamplings."""
    rng = np.random.default_rng(0)
    return float(np.std([figure(at_mm, rng.normal(dose, sigma)) for _ in range(200)], ddof=1))


def _at(depths_mm: np.ndarray, dose: np.ndarray, depth: float) -> float:
    """Return the dose at a depth, by a straight line in the logarithm through what lies within 12 mm."""
    near = np.abs(depths_mm - depth) <= 12.0
    if near.sum() < 2:
        return float(np.interp(depth, depths_mm, dose))
    return float(np.exp(np.polynomial.Polynomial.fit(depths_mm[near], np.log(dose[near]), 1)(depth)))


def _edges(at_mm: np.ndarray, dose: np.ndarray, levels: tuple[float, ...]) -> list[list[float]]:
    """Return how far from the axis each side of a profile falls to levels of the dose on it; the side below 0 first."""
    on_axis = np.interp(0.0, at_mm, dose)
    sides = [side * at_mm >= 0 for side in (-1.0, 1.0)]
    found = []
    for side, inside in zip((-1.0, 1.0), sides, strict=True):
        if inside.sum() > 1:
            order = np.argsort(side * at_mm[inside])
            away, relative = side * at_mm[inside][order], dose[inside][order] / on_axis
            found.append([_falls_to(level, away, relative) for level in levels])
    return found


def _falls_to(level: float, away: np.ndarray, relative: np.ndarray) -> float:
    """Return where a curve falls to a level for the last time."""
    last = int(np.flatnonzero(relative >= level)[-1])
    high, low = relative[last], relative[last + 1]
    return float(away[last] + (away[last + 1] - away[last]) * (high - level) / (high - low))
