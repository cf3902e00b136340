"""Axes of the report's charts: from values to places in a picture, and round numbers for the marks along them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator


@dataclass(frozen=True)
class Scale:
    """A straight axis.

    Attributes
    ----------
    low, high : float
        Values at its ends.
    start, end : float
        Places of the ends, in the picture's units.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 2)

    def ticks(self, about: int = 4) -> list[tuple[float, str]]:
        """Return place and text of round values within the axis."""
        values = MaxNLocator(about, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        inside = [float(v) for v in values if self.low - 1e-9 <= v <= self.high + 1e-9]
        return [(self(v), f"{0.0 if abs(v) < 1e-12 else v:.10g}") for v in inside]


def around(values: Iterable[float], start: float, end: float, margin: float = 0.08) -> Scale:
    """Return an axis that holds all finite values with some air at both ends."""
    finite = [v for v in values if math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    air = margin * (high - low) if high > low else max(abs(high) * 0.05, 0.5)
    return Scale(low - air, high + air, start, end)


def path(x: Scale, y: Scale, points: Iterable[tuple[float, float]]) -> str:
    """Return the SVG path through points, broken where a value is missing, and without points that change nothing."""
    out, pen, kept = [], "M", _thinned([(x(a), y(b)) if math.isfinite(b) else None for a, b in points])
    for place in kept:
        if place is None:
            pen = "M"
            continue
        out.append(f"{pen}{place[0]:.1f} {place[1]:.1f}")
        pen = "L"
    return "".join(out)


def _thinned(places: list[tuple[float, float] | None]) -> list[tuple[float, float] | None]:
    """Leave out points on the straight line between their neighbours, to 0.04 of the picture's unit."""
    kept: list[tuple[float, float] | None] = []
    for place in places:
        while len(kept) >= 2 and place and kept[-1] and kept[-2] and _between(kept[-2], kept[-1], place):
            kept.pop()
        kept.append(place)
    return kept


def _between(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    if np.hypot(b[0] - a[0], b[1] - a[1]) > 5:  # keep enough points that an error cannot creep along a long run
        return False
    run = np.hypot(c[0] - a[0], c[1] - a[1])
    return bool(run > 0 and abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) < 0.04 * run)
