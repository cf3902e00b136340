"""Apertures made to fit a machine: the nearest ones, more or less, that its leaves, jaws and dose rate permit."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from planner.optimise.apertures import ApertureSet, areas_mm2, opened_mm
from planner.treatment.machine import DeliveryLimits, Machine

# Openings this much wider than the least gap count as meant.
_MEANT_MM = 0.5
# Jaws that stand farther than this outside every opening are no jaws.
_NO_JAW_MM = 100.0
SPARE_MU = 0.1
"""What a search keeps from the limits of monitor units, so that the finished plan can be scaled to the prescription."""
JAW_GAP_MM = 5.0
"""The least distance between jaws: chosen, about the width of a leaf."""
# Positions and monitor units keep this distance from a limit, so that rounding cannot pass it.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Motion:
    """How control points follow one another.

    Attributes
    ----------
    arc : ndarray of int (n,)
        Number of the arc, consecutive control points of which follow one another; -1 for static segments.
    span_deg : ndarray (n,)
        Of the gantry, 0 for static segments.
    fractions : int
        Monitor units are those of a course of so many fractions; limits hold in each.
    """

    arc: np.ndarray
    span_deg: np.ndarray
    fractions: int

    def chosen(self, which: np.ndarray) -> "Motion":
        """Return some of the control points; only static segments may be left out."""
        return Motion(self.arc[which], self.span_deg[which], self.fractions)


def has_y_jaws(machine: Machine) -> bool:
    """Return whether jaws (or a diaphragm) bound the field along Y."""
    return machine.collimation is None or machine.collimation.jaw_margin_mm.value[1] < _NO_JAW_MM


def limits_of(machine: Machine) -> DeliveryLimits:
    """Return what a machine permits.

    Raises
    ------
    ValueError
        If the machine delivers nothing but free fluence.
    """
    if machine.delivery is None:
        raise ValueError(f"machine '{machine.name}' has no limits of delivery")
    return machine.delivery


def mu_bounds(machine: Machine, motion: Motion, spare: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the fewest and the most monitor units of each control point in the whole course, shape (n,) each.

    A part `spare` is kept from both, so that the plan can still be scaled a little.
    """
    limits, turning = limits_of(machine), motion.span_deg > 0
    low = np.full(len(motion.arc), limits.minimum_segment_mu.value)
    high = np.full(len(motion.arc), np.inf)
    if limits.min_mu_per_deg is not None:
        low = np.where(turning, limits.min_mu_per_deg.value * motion.span_deg, low)
    if limits.max_mu_per_deg is not None:
        high = np.where(turning, limits.max_mu_per_deg.value * motion.span_deg, high)
    room = spare + _ROUNDING
    return low * motion.fractions * (1 + room), high * motion.fractions * (1 - room)


def scaled_mu(mu: np.ndarray, factor: float, bounds: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return monitor units, shape (n,), with `factor` times their sum, in proportion where `bounds` let them be.

    Those that meet a bound stay there and the others make up for it, so that the dose, which nearly follows the sum,
    is nearly `factor` times what it was. Where the bounds do not leave room for the sum, all stand on one of them.
    """
    low, high = bounds
    wanted = factor * float(mu.sum())
    if wanted <= low.sum():
        return low.copy()
    if wanted >= high.sum():
        return high.copy()
    if np.all((mu * factor >= low) & (mu * factor <= high)):
        return mu * factor

    def missing(common: float) -> float:
        return float(np.clip(mu * common, low, high).sum()) - wanted

    most = factor
    while missing(most) < 0:
        most *= 2
    return np.clip(mu * brentq(missing, 0.0, most), low, high)


def permitted(apertures: ApertureSet, machine: Machine, motion: Motion) -> ApertureSet:
    """Return apertures near the given ones that keep every limit of leaves, jaws and monitor units.

    Leaves that would have to outrun the gantry at full speed are held back, by the mean of the highest and the lowest
    course that never does: a move of the whole aperture stays one, and gaps stay at least as wide.
    """
    limits, borders = limits_of(machine), machine.leaf_borders_mm
    gap = limits.minimum_gap_mm.value + _ROUNDING
    jaw = _jaws(apertures.jaw_mm, borders, machine)
    low, high = limits.leaf_travel_mm.value
    low, high = max(low, -machine.max_field_mm.value[0] / 2), min(high, machine.max_field_mm.value[0] / 2)
    left, right = _apart(apertures.left_mm, apertures.right_mm, gap)
    for last in (False, False, True):
        now = ApertureSet(left, right, jaw, apertures.mu)
        left, right = _wide_enough(now, borders, limits, motion.arc if last else np.zeros(0, int))
        if not limits.interdigitation.value:
            _unlock(left, right, gap)
        left, right = _held_back(left, motion, limits), _held_back(right, motion, limits)
    left, right = np.clip(left, low, high - gap), np.clip(right, low + gap, high)
    return ApertureSet(left, right, jaw, np.clip(apertures.mu, *mu_bounds(machine, motion, SPARE_MU)))


def covered(apertures: ApertureSet, machine: Machine) -> ApertureSet:
    """Return apertures with the pairs at their ends that are hardly open covered by jaws, if the machine has any.

    For the start of a search. Pairs behind jaws are closed to the least gap.
    """
    borders, gap = machine.leaf_borders_mm, limits_of(machine).minimum_gap_mm.value + _ROUNDING
    jaw, left, right = apertures.jaw_mm.copy(), apertures.left_mm.copy(), apertures.right_mm.copy()
    meant = (opened_mm(apertures, borders) > 0) & (right - left > gap + _MEANT_MM)
    for n in np.flatnonzero(meant.any(axis=1)) if has_y_jaws(machine) else ():
        used = np.flatnonzero(meant[n])
        jaw[n] = max(jaw[n, 0], borders[used[0]]), min(jaw[n, 1], borders[used[-1] + 1])
    jaw = _jaws(jaw, borders, machine)
    _close_behind(left, right, opened_mm(ApertureSet(left, right, jaw, apertures.mu), borders) > 0, gap)
    return ApertureSet(left, right, jaw, apertures.mu)


def _jaws(jaw_mm: np.ndarray, borders: np.ndarray, machine: Machine) -> np.ndarray:
    """Return jaws at least the least distance apart within the field; all the way out where there are none."""
    if not has_y_jaws(machine):
        return np.broadcast_to(borders[[0, -1]], jaw_mm.shape).copy()
    half = machine.max_field_mm.value[1] / 2
    middle, missing = jaw_mm.mean(axis=1), np.maximum(JAW_GAP_MM - (jaw_mm[:, 1] - jaw_mm[:, 0]), 0.0)
    middle = np.clip(middle, -half + 0.5 * JAW_GAP_MM, half - 0.5 * JAW_GAP_MM)
    away = np.maximum(0.5 * (jaw_mm[:, 1] - jaw_mm[:, 0] + missing), 0.0)
    return np.clip(np.stack([middle - away, middle + away], axis=1), -half, half)


def _close_behind(left: np.ndarray, right: np.ndarray, shown: np.ndarray, gap: float) -> None:
    """Close pairs behind the jaws to the gap, in the middle of the nearest pair that shows, in place."""
    for n in range(len(left)):
        used = np.flatnonzero(shown[n])
        nearest = np.clip(np.arange(left.shape[1]), used[0], used[-1])
        middle = 0.5 * (left[n] + right[n])[nearest]
        left[n] = np.where(shown[n], left[n], middle - 0.5 * gap)
        right[n] = np.where(shown[n], right[n], middle + 0.5 * gap)


def _apart(left: np.ndarray, right: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
    missing = np.maximum(gap - (right - left), 0.0)
    return left - 0.5 * missing, right + 0.5 * missing


def _wide_enough(
    apertures: ApertureSet, borders: np.ndarray, limits: DeliveryLimits, evenly: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return tips moved apart where an aperture is smaller than permitted: those that show, evenly over the pairs.

    With `evenly`, the arc of each control point, all tips of an arc are moved apart by what its smallest aperture
    needs, which no leaf has to run for.
    """
    height = opened_mm(apertures, borders)
    missing = np.maximum(limits.minimum_segment_area_mm2.value - areas_mm2(apertures, borders), 0.0)
    by = 0.5 * (1 + _ROUNDING) * (missing / np.maximum(height.sum(axis=1), 1e-9))[:, None] * (height > 0)
    for arc in np.unique(evenly[evenly >= 0]):
        by[evenly == arc] = by[evenly == arc].max()
    return apertures.left_mm - by, apertures.right_mm + by


def _unlock(left: np.ndarray, right: np.ndarray, gap: float) -> None:
    """Open pairs until no tip is nearer than the gap to the opposite tips of its neighbours, in place.

    Opening a pair only makes room for others, so one pass is enough.
    """
    for p in range(left.shape[1] - 1):
        for a, b in ((p, p + 1), (p + 1, p)):
            over = np.maximum(left[:, a] + gap - right[:, b], 0.0)
            left[:, a] -= 0.5 * over
            right[:, b] += 0.5 * over


def _held_back(tips: np.ndarray, motion: Motion, limits: DeliveryLimits) -> np.ndarray:
    """Return tips that move no farther between control points than leaves do while the gantry turns at full speed."""
    out = tips.copy()
    per_deg = (1 - _ROUNDING) * limits.leaf_speed_mm_s.value / limits.gantry_speed_deg_s.value
    for arc in np.unique(motion.arc[motion.arc >= 0]):
        which = np.flatnonzero(motion.arc == arc)
        half = 0.5 * motion.span_deg[which]
        reach = per_deg * (half[1:] + half[:-1])
        out[which] = 0.5 * (_envelope(tips[which], reach) - _envelope(-tips[which], reach))
    return out


def _envelope(course: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Return the highest course (n, pairs) below the given one that moves no farther than `reach` (n - 1,) a step."""
    out = course.copy()
    for n in range(1, len(out)):
        out[n] = np.minimum(out[n], out[n - 1] + reach[n - 1])
    for n in range(len(out) - 2, -1, -1):
        out[n] = np.minimum(out[n], out[n + 1] + reach[n])
    return out
