"""Which opening of a static field lowers an objective fastest: how segments are added to those that a field has.

Column generation for apertures (Romeijn et al. 2005, SIAM J Optim 15:838; cited from memory): per monitor unit through
an opening the objective falls by the sum of what it gains in the bixels of the opening, and each leaf pair's best run
of bixels is found exactly. Jaws that cut leaf pairs are tried at every row of bixels: across the leaves nothing else
can shape a target of few leaf widths.
"""

from dataclasses import replace

import numpy as np

from planner.optimise.apertures import ApertureSet
from planner.optimise.leaf_limits import JAW_GAP_MM, has_y_jaws, limits_of
from planner.optimise.sequencing import Opening, aperture_of, best_runs, heights_mm
from planner.treatment.beam import BixelGrid
from planner.treatment.machine import Machine

# What every bixel is taken to gain more than it does, as parts of the largest gain, so that openings reach the least
# area that a machine permits.
_BONUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)


def fastest_opening(gain: np.ndarray, grid: BixelGrid, machine: Machine) -> ApertureSet | None:
    """Return the aperture that gains most for each monitor unit, as one without any; None where nothing is gained.

    Parameters
    ----------
    gain : ndarray (columns, rows)
        By how much the objective falls for each monitor unit through a bixel.
    grid : BixelGrid
        Of these bixels, all of them open.
    machine : Machine
    """
    heights, pairs = heights_mm(grid, machine)
    spans = _spans(gain.shape[1], grid.size_mm[1], machine)
    row = np.arange(gain.shape[1])
    between = (row >= spans[:, :1]) & (row < spans[:, 1:])
    shown = between[:, None, :] * heights / grid.size_mm[1]
    height = shown.sum(axis=2)
    per_column = np.einsum("cr,spr->csp", gain, shown)
    least = limits_of(machine).minimum_segment_area_mm2.value / (grid.size_mm[0] * grid.size_mm[1])
    most, best = 0.0, None
    for bonus in np.array(_BONUSES) * np.abs(gain).max(initial=0.0):
        first, last = _openings(per_column + bonus * height)
        large = ((last - first) * height).sum(axis=1) >= least
        total = np.where(large, _sums(per_column, first, last), 0.0)
        n = int(total.argmax())
        if total[n] > most:
            most, best = float(total[n]), (Opening(first[n], last[n], 0.0, float(total[n])), spans[n])
    if best is None:
        return None
    opening, (low, high) = best
    x, y = grid.edges_mm
    made = aperture_of(opening, pairs, x, machine)
    jaw = [[max(made.jaw_mm[0, 0], y[low]), min(made.jaw_mm[0, 1], y[high])]]
    return replace(made, jaw_mm=np.array(jaw))


def _spans(rows: int, row_mm: float, machine: Machine) -> np.ndarray:
    """Return the rows between which jaws are tried, first and one past last, shape (n, 2): all rows without jaws."""
    if not has_y_jaws(machine):
        return np.array([[0, rows]])
    few = min(rows, max(1, round(JAW_GAP_MM / row_mm)))
    return np.array([(a, b) for a in range(rows) for b in range(a + few, rows + 1)])


def _openings(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best runs along the first axis of `values` (columns, spans, pairs), shape (spans, pairs) each."""
    first, last, _ = best_runs(values.reshape(len(values), -1))
    return first.reshape(values.shape[1:]), last.reshape(values.shape[1:])


def _sums(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the sums of `values` (columns, spans, pairs) over runs of all pairs, shape (spans,)."""
    below = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    runs = np.take_along_axis(below, last[None], 0) - np.take_along_axis(below, first[None], 0)
    return np.asarray(runs[0].sum(axis=1))
