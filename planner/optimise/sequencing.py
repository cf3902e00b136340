"""From fluence to apertures: the few openings that come nearest to what was optimised freely.

One opening is one contiguous run of bixels in each row and one level. For a given level the best run of a row is the
one with the largest sum of ``2 f - level`` (least squares: opening a bixel of fluence f at a level m changes the
squared error by ``m^2 - 2 f m``), which is found exactly; levels are tried. Segments of a field are taken off one after
another, the opening that explains most of the rest first: coarse openings with many monitor units, then finer ones.
"""

from dataclasses import dataclass

import numpy as np

from planner.optimise.apertures import ApertureSet, leaf_borders_mm
from planner.treatment.beam import BixelGrid
from planner.treatment.machine import Machine

# Levels that are tried, as parts of the highest fluence that is left.
_LEVELS = np.linspace(0.15, 1.0, 18)


@dataclass(frozen=True, eq=False)
class Opening:
    """One aperture on a bixel grid.

    Attributes
    ----------
    first, last : ndarray of int (rows,)
        Bixels ``first`` to ``last - 1`` along X of each row are open; none if they are equal.
    level : float
    gain : float
        By how much it lowers the squared error.
    """

    first: np.ndarray
    last: np.ndarray
    level: float
    gain: float

    def plane(self, columns: int) -> np.ndarray:
        """Return the fluence of the opening, shape (columns, rows)."""
        at = np.arange(columns)[:, None]
        return self.level * ((at >= self.first) & (at < self.last))


def best_opening(fluence: np.ndarray) -> Opening:
    """Return the opening that is nearest to a fluence (columns along X, rows), which may be negative in places."""
    top = float(fluence.max(initial=0.0))
    rows = fluence.shape[1]
    best = Opening(np.zeros(rows, int), np.zeros(rows, int), 0.0, 0.0)
    if top <= 0.0:
        return best
    for trial in _LEVELS * top:
        first, last, _ = _runs(2.0 * fluence - trial)
        at = np.arange(len(fluence))[:, None]
        inside = (at >= first) & (at < last)
        total, count = float(fluence[inside].sum()), int(inside.sum())
        if count and total > 0.0 and total**2 / count > best.gain:
            best = Opening(first, last, total / count, total**2 / count)
    return best


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the run of each column of `values` (n, columns) with the largest sum: first, one past last, and the sum.

    Empty runs (0, 0) where nothing is positive.
    """
    rows = values.shape[1]
    first, last, best = np.zeros(rows, int), np.zeros(rows, int), np.zeros(rows)
    start, running = np.zeros(rows, int), np.zeros(rows)
    for n, line in enumerate(values):
        fresh = running <= 0.0
        start, running = np.where(fresh, n, start), np.where(fresh, line, running + line)
        better = running > best
        first, last = np.where(better, start, first), np.where(better, n + 1, last)
        best = np.where(better, running, best)
    return first, last, best


def openings(fluence: np.ndarray, most: int) -> list[Opening]:
    """Return up to `most` openings whose sum is near a fluence (columns, rows), as long as each gains something."""
    rest, found = np.array(fluence, float), []
    enough = 1e-3 * float((rest**2).sum())
    for _ in range(most):
        opening = best_opening(rest)
        if opening.gain <= enough:
            break
        found.append(opening)
        rest -= opening.plane(len(rest))
    return found


def apertures_of(found: list[Opening], grid: BixelGrid, machine: Machine) -> ApertureSet:
    """Return openings as leaf tips and jaws; every pair that shows any open row opens over all of its rows' runs.

    Pairs without an opening are closed to the least gap in the middle of the aperture; jaws stand at the outermost
    open pairs.
    """
    assert machine.delivery is not None
    borders, gap = leaf_borders_mm(machine), machine.delivery.minimum_gap_mm.value
    x, y = grid.edges_mm
    shows = (np.minimum(borders[1:, None], y[1:]) - np.maximum(borders[:-1, None], y[:-1])) > 1e-6
    parts = [_tips(opening, x, shows) for opening in found]
    left, right = (np.array([part[k] for part in parts]) for k in range(2))
    jaw = np.empty((len(found), 2))
    for n, (low, high) in enumerate(zip(left, right, strict=True)):
        used = np.flatnonzero(low < high)
        jaw[n] = borders[used[0]], borders[used[-1] + 1]
        middle = float(np.average(0.5 * (low + high)[used], weights=(high - low)[used]))
        closed = high - low < gap
        centre = np.where(low < high, 0.5 * (low + high), middle)
        left[n], right[n] = np.where(closed, centre - 0.5 * gap, low), np.where(closed, centre + 0.5 * gap, high)
    return ApertureSet(left, right, jaw, np.array([opening.level for opening in found]))


def _tips(opening: Opening, x: np.ndarray, shows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tips of each pair; (0, 0) for a closed one."""
    open_rows = shows & (opening.last > opening.first)
    used = open_rows.any(axis=1)
    low = np.where(open_rows, x[opening.first], np.inf).min(axis=1)
    high = np.where(open_rows, x[opening.last], -np.inf).max(axis=1)
    return np.where(used, low, 0.0), np.where(used, high, 0.0)
