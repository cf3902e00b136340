"""Whether a machine can deliver what it is told to, and whether organs bear it: every limit that a plan violates.

Reads apertures, monitor units, the machine's file and metrics of the dose, and nothing of how a plan was found.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from planner.evaluate.apertures import area_mm2, open_height_mm
from planner.evaluate.delivery_time import intervals
from planner.evaluate.metrics import Metric, limit_name
from planner.treatment.delivery import ControlPoint, Delivery, TreatmentBeam
from planner.treatment.geometry import signed_deg
from planner.treatment.limits import Limits
from planner.treatment.machine import DeliveryLimits, Machine
from planner.treatment.objective import ObjectiveTemplate

# Positions travel through decimal files: a limit is violated beyond its last printed digit.
SLACK_MM, SLACK_DEG, SLACK = 1e-3, 1e-3, 1e-6


@dataclass(frozen=True)
class Violation:
    """One limit that is not kept at one place.

    Attributes
    ----------
    limit : str
        Name of the limit, as the machine's file, the limits of the organs or the template have it.
    where : str
        Beam and number of the control point, counted from 1; or a structure.
    value, allowed : float
        What is there, and the bound that it is beyond.
    unit : str
    text : str
        One sentence.
    """

    limit: str
    where: str
    value: float
    allowed: float
    unit: str
    text: str


@dataclass(frozen=True, eq=False)
class _Place:
    """A control point with all that its limits are checked against."""

    where: str
    beam: TreatmentBeam
    point: ControlPoint
    machine: Machine
    limits: DeliveryLimits
    fractions: int

    def beyond(self, limit: str, value: float, allowed: float, unit: str, what: str) -> Violation:
        """Return the violation of a limit here."""
        return Violation(
            limit, self.where, value, allowed, unit, f"{self.where}: {what} is {value:.6g} {unit}, limit {allowed:g}"
        )


def machine_violations(delivery: Delivery, machine: Machine) -> list[Violation]:
    """Return every violated limit of a machine, in the order of delivery.

    Parameters
    ----------
    delivery : Delivery
    machine : Machine

    Raises
    ------
    ValueError
        If the machine has no delivery limits, or the number of leaves is not the machine's.
    """
    if machine.delivery is None:
        raise ValueError(f"machine '{machine.name}' has no limits of delivery: nothing can be checked")
    found: list[Violation] = []
    for beam in delivery.beams:
        for number, point in enumerate(beam.control_points, start=1):
            _refuse_other_leaves(point, machine)
            where = f"beam '{beam.label}', control point {number}"
            place = _Place(where, beam, point, machine, machine.delivery, delivery.fractions)
            for check in _OF_A_POINT:
                found += check(place)
        found += _of_a_beam(beam, machine, delivery.fractions)
    return found


def clinical_violations(metrics: Iterable[Metric], limits: Limits, level: str = "mandatory") -> list[Violation]:
    """Return the limits of organs that a dose violates.

    Parameters
    ----------
    metrics : iterable of Metric
        As `planner.evaluate.metrics.case_metrics` tells them: they say how far each limit is exceeded.
    limits : Limits
    level : str
        ``mandatory``, or ``optimal`` for what is only wished for.
    """
    over = {(metric.structure, metric.name): metric for metric in metrics}
    found = []
    for limit in limits.limits:
        for name in limit.structures if limit.level == level else ():
            row = over.get((name, limit_name(limit)))
            if row is not None and row.value > 0:
                allowed = limit.at_most.value
                text = f"{name}: {limit.quantity} is {row.value + allowed:.4g} {row.unit}, {level} limit {allowed:g}"
                found.append(Violation(limit.quantity, name, row.value + allowed, allowed, row.unit, text))
    return found


def template_violations(
    metrics: Iterable[Metric], template: ObjectiveTemplate, prescription_gy: float
) -> list[Violation]:
    """Return whether largest dose and coverage of the PTV are beyond what the plan's template allows.

    Parameters
    ----------
    metrics : iterable of Metric
        With ``Dmax_gy`` and ``V100_percent`` of ``ptv``.
    template : ObjectiveTemplate
    prescription_gy : float
        Of the whole course.
    """
    allowed, least = template.maximum_dose.value * prescription_gy, template.minimum_coverage_percent.value
    found = []
    for metric in metrics:
        if (metric.structure, metric.name) == ("ptv", "Dmax_gy") and metric.value > allowed:
            percent = 100.0 * metric.value / prescription_gy
            text = f"ptv: Dmax_gy is {metric.value:.4g} Gy, {percent:.1f} % of the prescription, "
            text += f"template '{template.name}' allows {100.0 * template.maximum_dose.value:g} %"
            found.append(Violation("maximum_dose", "ptv", metric.value, allowed, "Gy", text))
        if (metric.structure, metric.name) == ("ptv", "V100_percent") and metric.value < least:
            text = f"ptv: V100_percent is {metric.value:.4g} %, template '{template.name}' asks for {least:g} %"
            found.append(Violation("minimum_coverage_percent", "ptv", metric.value, least, "%", text))
    return found


def _refuse_other_leaves(point: ControlPoint, machine: Machine) -> None:
    pairs = len(machine.leaf_width_mm.value)
    for bank in (point.left_mm, point.right_mm):
        if len(bank) != pairs:
            raise ValueError(f"a control point has {len(bank)} leaves a bank, machine '{machine.name}' {pairs}")


def _finite(place: _Place) -> Iterator[Violation]:
    point = place.point
    angles = (point.gantry_deg, point.couch_deg, point.collimator_deg, point.mu, point.span_deg, *point.jaw_y_mm)
    bad = int(np.sum(~np.isfinite([*angles, *point.left_mm, *point.right_mm])))
    if bad:
        yield place.beyond("finite_numbers", bad, 0, "numbers", "count of what is no finite number")


def _monitor_units(place: _Place) -> Iterator[Violation]:
    mu, limits = place.point.mu / place.fractions, place.limits
    if mu < 0:
        yield place.beyond("monitor_units", mu, 0.0, "MU", "monitor units of a fraction")
    if place.beam.kind == "static":
        least = limits.minimum_segment_mu.value
        if mu < least - SLACK:
            yield place.beyond("minimum_segment_mu", mu, least, "MU", "segment of a fraction")
        return
    if limits.min_mu_per_deg is None or limits.max_mu_per_deg is None:
        yield place.beyond("arcs", 1, 0, "arc", "beam on while the gantry turns, which this machine cannot do: number")
        return
    span = abs(place.point.span_deg)
    if span <= SLACK_DEG:
        yield place.beyond("span_deg", span, SLACK_DEG, "deg", "span of a control point of an arc")
        return
    low, high = limits.min_mu_per_deg.value, limits.max_mu_per_deg.value
    if mu / span < low - SLACK:
        yield place.beyond("min_mu_per_deg", mu / span, low, "MU/deg", "arc")
    if mu / span > high + SLACK:
        yield place.beyond("max_mu_per_deg", mu / span, high, "MU/deg", "arc")


def _leaf_travel(place: _Place) -> Iterator[Violation]:
    low, high = place.limits.leaf_travel_mm.value
    tips = np.concatenate([place.point.left_mm, place.point.right_mm])
    if tips.min() < low - SLACK_MM:
        yield place.beyond("leaf_travel_mm", float(tips.min()), low, "mm", "lowest leaf tip")
    if tips.max() > high + SLACK_MM:
        yield place.beyond("leaf_travel_mm", float(tips.max()), high, "mm", "highest leaf tip")


def _gap(place: _Place) -> Iterator[Violation]:
    gap = np.subtract(place.point.right_mm, place.point.left_mm)
    least, pair = place.limits.minimum_gap_mm.value, int(np.argmin(gap))
    if gap[pair] < least - SLACK_MM:
        yield place.beyond("minimum_gap_mm", float(gap[pair]), least, "mm", f"gap of leaf pair {pair + 1}")


def _interdigitation(place: _Place) -> Iterator[Violation]:
    if place.limits.interdigitation.value:
        return
    left, right = np.asarray(place.point.left_mm), np.asarray(place.point.right_mm)
    apart = np.minimum(right[1:] - left[:-1], right[:-1] - left[1:])
    least, pair = place.limits.minimum_gap_mm.value, int(np.argmin(apart))
    if apart[pair] < least - SLACK_MM:
        what = f"distance of opposite leaves of pairs {pair + 1} and {pair + 2}"
        yield place.beyond("interdigitation", float(apart[pair]), least, "mm", what)


def _area(place: _Place) -> Iterator[Violation]:
    least, area = place.limits.minimum_segment_area_mm2.value, area_mm2(place.point, place.machine)
    # What the last printed digit of the tips makes of the area.
    slack = SLACK_MM * float(open_height_mm(place.point, place.machine).sum())
    if area < least - slack:
        yield place.beyond("minimum_segment_area_mm2", area, least, "mm2", "open area")


def _field(place: _Place) -> Iterator[Violation]:
    """Yield openings that reach beyond the largest field, and jaws that cross or leave the leaves."""
    half_x, half_y = (size / 2 for size in place.machine.max_field_mm.value)
    low, high = place.point.jaw_y_mm
    if high < low:
        yield place.beyond("jaw_y_mm", high - low, 0.0, "mm", "opening of the jaws")
    if max(-low, high) > half_y + SLACK_MM:
        yield place.beyond("jaw_y_mm", max(-low, high), half_y, "mm", "reach of the jaws along Y")
    borders = place.machine.leaf_borders_mm
    seen = open_height_mm(place.point, place.machine) > 0
    open_pairs = seen & (np.asarray(place.point.right_mm) > np.asarray(place.point.left_mm))
    if not open_pairs.any():
        return
    tips = np.concatenate([place.point.left_mm[open_pairs], place.point.right_mm[open_pairs]])
    reach_x = float(np.abs(tips).max())
    if reach_x > half_x + SLACK_MM:
        yield place.beyond("max_field_mm", reach_x, half_x, "mm", "reach of the opening along X")
    bottom = max(low, float(borders[:-1][open_pairs].min()))
    top = min(high, float(borders[1:][open_pairs].max()))
    if max(-bottom, top) > half_y + SLACK_MM:
        yield place.beyond("max_field_mm", max(-bottom, top), half_y, "mm", "reach of the opening along Y")


def _couch(place: _Place) -> Iterator[Violation]:
    low, high = place.machine.couch_range_deg.value
    couch = signed_deg(place.point.couch_deg)
    for bound, beyond in ((low, couch < low - SLACK_DEG), (high, couch > high + SLACK_DEG)):
        if beyond:
            yield place.beyond("couch_range_deg", couch, bound, "deg", "couch angle")


def _collimator(place: _Place) -> Iterator[Violation]:
    fixed = place.machine.collimator_deg.value
    if not place.machine.collimator_rotates.value and abs(signed_deg(place.point.collimator_deg - fixed)) > SLACK_DEG:
        yield place.beyond("collimator_deg", place.point.collimator_deg, fixed, "deg", "angle of the fixed collimator")


def _sectors(place: _Place) -> Iterator[Violation]:
    for low, high in place.machine.gantry_avoided_deg.value:
        if _sweeps(place.point, low, high):
            what = f"gantry angle in the avoided sector {low:g} to {high:g} deg"
            yield place.beyond("gantry_avoided_deg", place.point.gantry_deg, low, "deg", what)


def _collision(place: _Place) -> Iterator[Violation]:
    couch = signed_deg(place.point.couch_deg)
    least, most = place.machine.couch_range_deg.value
    for couch_low, couch_high, low, high in place.limits.collision_deg.value:
        # Bounds are permitted, but a zone that ends where the table stops does not end there.
        above = couch > couch_low + SLACK_DEG or couch_low <= least
        below = couch < couch_high - SLACK_DEG or couch_high >= most
        if above and below and _sweeps(place.point, low, high):
            what = f"couch {couch:g} deg, where the table stands in gantry {low:g} to {high:g} deg: gantry angle"
            yield place.beyond("collision_deg", place.point.gantry_deg, low, "deg", what)


_OF_A_POINT: tuple[Callable[[_Place], Iterator[Violation]], ...] = (
    _finite,
    _monitor_units,
    _leaf_travel,
    _gap,
    _interdigitation,
    _area,
    _field,
    _couch,
    _collimator,
    _sectors,
    _collision,
)


def _sweeps(point: ControlPoint, low: float, high: float) -> bool:
    """Return whether the gantry is inside a sector anywhere while a control point is delivered; bounds are outside."""
    half = abs(point.span_deg) / 2
    middle, width = low + ((high - low) % 360) / 2, ((high - low) % 360) / 2
    return bool(abs(signed_deg(point.gantry_deg - middle)) < width + half - SLACK_DEG)


def _of_a_beam(beam: TreatmentBeam, machine: Machine, fractions: int) -> list[Violation]:
    """Return violations that only show between control points: order, speeds, rest of what must rest."""
    where = f"beam '{beam.label}'"
    found = [*_stated(beam, where), *_at_rest(beam, where)]
    if beam.kind == "arc":
        found += _order(beam, where)
        found += _speeds(beam, machine, fractions, where)
    return found


def _stated(beam: TreatmentBeam, where: str) -> Iterator[Violation]:
    """Yield monitor units of a file's beam that are not those of its control points."""
    told, given = beam.stated_mu, sum(point.mu for point in beam.control_points)
    # The digits that are printed of each control point.
    if told is not None and not abs(told - given) <= SLACK * (1 + len(beam.control_points)):
        text = f"{where}: its monitor units are told as {told:g}, its control points give {given:g}"
        yield Violation("stated_mu", where, told, given, "MU", text)


def _at_rest(beam: TreatmentBeam, where: str) -> Iterator[Violation]:
    """Yield what changes within a beam although it must not: the table always, the rest in static beams."""
    fixed = ["couch_deg", "collimator_deg"] + (["gantry_deg"] if beam.kind == "static" else [])
    first = beam.control_points[0]
    for name in fixed:
        moved = max(abs(signed_deg(getattr(p, name) - getattr(first, name))) for p in beam.control_points)
        if moved > SLACK_DEG:
            text = f"{where}: {name} moves by {moved:g} deg with the beam on"
            yield Violation("at_rest", where, moved, 0.0, "deg", text)
    spans = max(abs(p.span_deg) for p in beam.control_points)
    if beam.kind == "static" and spans > 0:
        yield Violation("at_rest", where, spans, 0.0, "deg", f"{where}: a static segment spans {spans:g} deg")


def _order(beam: TreatmentBeam, where: str) -> Iterator[Violation]:
    """Yield gantry angles that do not follow one another, each span bordering on the next, in one sense of rotation."""
    turns = [signed_deg(b.gantry_deg - a.gantry_deg) for a, b in pairwise(beam.control_points)]
    for number, ((one, other), turn) in enumerate(zip(pairwise(beam.control_points), turns, strict=True), start=1):
        expected = (abs(one.span_deg) + abs(other.span_deg)) / 2
        if abs(abs(turn) - expected) > SLACK_DEG or turn * turns[0] < 0:
            text = f"{where}: the gantry turns {turn:g} deg from control point {number}, its spans say {expected:g}"
            yield Violation("gantry_order", where, turn, expected, "deg", text)


def _speeds(beam: TreatmentBeam, machine: Machine, fractions: int, where: str) -> Iterator[Violation]:
    """Yield intervals in which gantry, beam or leaves would have to be faster than they can.

    Gantry and dose rate slow down for one another and for the leaves, but no further than the fewest and the most
    monitor units a degree allow: the slowest gantry has the full dose rate at the most of them, the lowest dose rate
    belongs to the full gantry speed at the fewest.
    """
    limits = machine.delivery
    if limits is None or limits.min_mu_per_deg is None or limits.max_mu_per_deg is None:
        return
    fastest, leaf, rate = limits.gantry_speed_deg_s.value, limits.leaf_speed_mm_s.value, limits.dose_rate_mu_min.value
    slowest = rate / 60.0 / limits.max_mu_per_deg.value
    for number, interval in enumerate(intervals(beam, fractions)):
        longest = interval.gantry_deg / slowest
        beam_s = interval.mu / (limits.min_mu_per_deg.value * fastest)  # at the lowest dose rate
        at = f"{where}, from control point {number}"
        rows = (
            (
                "gantry_speed_deg_s",
                interval.gantry_deg,
                beam_s,
                fastest,
                "deg/s",
                "the gantry, at the lowest dose rate",
            ),
            ("leaf_speed_mm_s", interval.leaf_mm, longest, leaf, "mm/s", "a leaf, at the slowest gantry"),
            ("dose_rate_mu_min", 60.0 * interval.mu, longest, rate, "MU/min", "the beam, at the slowest gantry"),
        )
        for limit, way, time, allowed, unit, what in rows:
            if way > allowed * time * (1 + SLACK) + SLACK_MM:
                needed = way / time if time > 0 else float("inf")
                text = f"{at}: {what}, needs {needed:.4g} {unit}, limit {allowed:g}"
                yield Violation(limit, where, needed, allowed, unit, text)
