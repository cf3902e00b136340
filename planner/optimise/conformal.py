"""Apertures that follow the outline of a target in each direction."""

from collections.abc import Sequence

import numpy as np

from phantoms.structure import Structure
from planner.optimise.apertures import ApertureSet
from planner.optimise.sampling import SPLIT, filled
from planner.techniques.aperture import project
from planner.treatment.beam import Beam
from planner.treatment.machine import Machine

# Height of the rows that an outline is told in.
_ROW_MM = 0.25


def conformal_apertures(target: Structure, beams: Sequence[Beam], machine: Machine, margin_mm: float) -> ApertureSet:
    """Return one aperture a beam, monitor units 1, whose field edge follows the projected target.

    The tips of a pair stand at the mean of the outline over the pair, so that they cut off as much as they add; jaws at
    the ends of the outline.

    Parameters
    ----------
    target : Structure
    beams : sequence of Beam
    machine : Machine
    margin_mm : float
        From the outline to the field edge, in the isocentre plane, not negative.
    """
    whole = target.cropped(1)
    points, _ = filled(whole.grid, whole.occupancy, SPLIT)
    reach = margin_mm + 0.5 * float(np.mean(whole.grid.spacing_mm)) / SPLIT
    borders, sad, behind = machine.leaf_borders_mm, machine.sad_mm.value, machine.field_behind_tips_mm
    count = len(borders) - 1
    left, right, jaw = np.zeros((len(beams), count)), np.zeros((len(beams), count)), np.zeros((len(beams), 2))
    for n, beam in enumerate(beams):
        frame = beam.frame(sad)
        y, low, high = outline(project(points, frame, sad), reach)
        pair = np.searchsorted(borders, y, side="right") - 1
        rows = np.bincount(pair, minlength=count)
        shown = rows > 0
        middle = 0.5 * float((low + high).mean())
        for tips, of_row, inward in ((left, low, behind), (right, high, -behind)):
            mean = np.bincount(pair, of_row, count) / np.maximum(rows, 1)
            tips[n] = np.where(shown, mean + inward, middle)
        jaw[n] = y[0] - 0.5 * _ROW_MM, y[-1] + 0.5 * _ROW_MM
    return ApertureSet(left, right, jaw, np.ones(len(beams)))


def outline(points_mm: np.ndarray, reach_mm: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the outline of discs of radius `reach_mm` about points (n, 2): Y of rows, lowest and highest X in each.

    Rows without a point between two that have some are interpolated.
    """
    around = int(np.ceil(reach_mm / _ROW_MM))
    row = np.floor(points_mm[:, 1] / _ROW_MM).astype(int)
    first, count = row.min() - around, np.ptp(row) + 1 + 2 * around
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, row - first, points_mm[:, 0])
    np.maximum.at(high, row - first, points_mm[:, 0])
    wide_low, wide_high = low.copy(), high.copy()
    for shift in range(-around, around + 1):
        by = np.sqrt(max(reach_mm**2 - (shift * _ROW_MM) ** 2, 0.0))
        if abs(shift) * _ROW_MM > reach_mm:
            continue
        here, there = _overlap(count, shift)
        wide_low[here] = np.minimum(wide_low[here], low[there] - by)
        wide_high[here] = np.maximum(wide_high[here], high[there] + by)
    known = np.flatnonzero(np.isfinite(wide_low))
    rows = np.arange(known[0], known[-1] + 1)
    y = (first + rows + 0.5) * _ROW_MM
    return y, np.interp(rows, known, wide_low[known]), np.interp(rows, known, wide_high[known])


def _overlap(count: int, shift: int) -> tuple[slice, slice]:
    """Return the rows that have a row `shift` below them, and those rows."""
    return slice(max(shift, 0), count + min(shift, 0)), slice(max(-shift, 0), count - max(shift, 0))
