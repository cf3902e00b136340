"""From fluence to apertures: the opening that comes nearest to what was optimised freely.

One opening is one contiguous run of bixels in each row and one level. For a given level the best run of a row is the
one with the largest sum of ``2 f - level`` (least squares: opening a bixel of fluence f at a level m changes the
squared error by ``m^2 - 2 f m``), which is found exactly; levels are tried.
"""

from dataclasses import dataclass

import numpy as np

from planner.optimise.apertures import ApertureSet
from planner.optimise.leaf_limits import limits_of
from planner.treatment.beam import BixelGrid
from planner.treatment.machine import Machine

# Levels that are tried, as parts of the highest fluence.
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
        By how much it lowers what is minimised: the squared error, or an objective for each unit of the level.
    """

    first: np.ndarray
    last: np.ndarray
    level: float
    gain: float


def best_opening(fluence: np.ndarray) -> Opening:
    """Return the opening that is nearest to a fluence (columns along X, rows).

    The fluence may be negative in places. Nothing is open if nothing is gained.
    """
    top = float(fluence.max(initial=0.0))
    rows = fluence.shape[1]
    best = Opening(np.zeros(rows, int), np.zeros(rows, int), 0.0, 0.0)
    if top <= 0.0:
        return best
    for trial in _LEVELS * top:
        first, last, _ = best_runs(2.0 * fluence - trial)
        at = np.arange(len(fluence))[:, None]
        inside = (at >= first) & (at < last)
        total, count = float(fluence[inside].sum()), int(inside.sum())
        if total > 0.0 and total**2 / count > best.gain:
            best = Opening(first, last, total / count, total**2 / count)
    return best


def best_runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def by_leaf_pair(fluence: np.ndarray, grid: BixelGrid, machine: Machine) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean fluence before each leaf pair that meets a grid, (columns, pairs that do), and their numbers.

    Parameters
    ----------
    fluence : ndarray (columns, rows)
    grid : BixelGrid
    machine : Machine
    """
    height, pairs = heights_mm(grid, machine)
    return fluence @ (height / height.sum(axis=1, keepdims=True)).T, pairs


def heights_mm(grid: BixelGrid, machine: Machine) -> tuple[np.ndarray, np.ndarray]:
    """Return the height of each row of a grid before each leaf pair that meets it, (pairs, rows), and their numbers."""
    borders, y = machine.leaf_borders_mm, grid.edges_mm[1]
    height = np.minimum(borders[1:, None], y[1:]) - np.maximum(borders[:-1, None], y[:-1])
    height = np.where(height > 1e-6, height, 0.0)
    pairs = np.flatnonzero(height.any(axis=1))
    return height[pairs], pairs


def aperture_of(opening: Opening, pairs: np.ndarray, x_mm: np.ndarray, machine: Machine) -> ApertureSet:
    """Return an opening of leaf pairs as leaf tips and jaws, its level as monitor units.

    Pairs without an opening are closed to the least gap in the middle of the aperture; jaws stand at the outermost
    open pairs.

    Parameters
    ----------
    opening : Opening
        Its rows are leaf pairs.
    pairs : ndarray of int (rows,)
        Numbers of those pairs, one after another.
    x_mm : ndarray (columns + 1,)
        Borders of the columns.
    machine : Machine
    """
    borders, gap = machine.leaf_borders_mm, limits_of(machine).minimum_gap_mm.value
    opened = opening.last > opening.first
    low, high, used = x_mm[opening.first[opened]], x_mm[opening.last[opened]], pairs[opened]
    centre = np.full(len(borders) - 1, np.average(0.5 * (low + high), weights=high - low))
    width = np.full(len(borders) - 1, gap)
    centre[used], width[used] = 0.5 * (low + high), np.maximum(high - low, gap)
    jaw = np.array([[borders[used[0]], borders[used[-1] + 1]]])
    return ApertureSet((centre - 0.5 * width)[None], (centre + 0.5 * width)[None], jaw, np.array([opening.level]))
