"""How long a delivery takes on a machine, one fraction of it.

An arc runs as fast as the slowest of gantry, dose rate and leaves permits, interval by interval. Static segments follow
one another with the beam off while the leaves travel. Acceleration is left out.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from planner.treatment.delivery import ControlPoint, Delivery, TreatmentBeam
from planner.treatment.geometry import signed_deg
from planner.treatment.machine import DeliveryLimits, Machine
from planner.treatment.timing import TimingRules


@dataclass(frozen=True)
class Interval:
    """Between the middles of two neighbouring control points of an arc, or before the first and after the last one.

    Attributes
    ----------
    gantry_deg, leaf_mm, mu : float
        What gantry and the farthest travelling leaf move, and monitor units of one fraction.
    """

    gantry_deg: float
    leaf_mm: float
    mu: float

    def seconds(self, limits: DeliveryLimits) -> tuple[float, float, float]:
        """Return what gantry, leaves and beam need, each by itself."""
        return (
            self.gantry_deg / limits.gantry_speed_deg_s.value,
            self.leaf_mm / limits.leaf_speed_mm_s.value,
            60.0 * self.mu / limits.dose_rate_mu_min.value,
        )


@dataclass(frozen=True)
class DeliveryTime:
    """The time of one fraction.

    Attributes
    ----------
    beam_on_s, total_s : float
    couch_kicks : int
        Turns of the table.
    leaf_paced_percent : float
        Share of the beam-on time in which leaves set the pace.
    """

    beam_on_s: float
    total_s: float
    couch_kicks: int
    leaf_paced_percent: float


def delivery_time(delivery: Delivery, machine: Machine, rules: TimingRules) -> DeliveryTime:
    """Return the time of one fraction.

    Raises
    ------
    ValueError
        If the machine has no delivery limits.
    """
    limits = machine.delivery
    if limits is None:
        raise ValueError(f"machine '{machine.name}' has no limits of delivery: its speeds are not known")
    beam_on, paced, moving, kicks = 0.0, 0.0, 0.0, 0
    for beam in delivery.beams:
        if beam.kind == "arc":
            for interval in intervals(beam, delivery.fractions):
                needs = interval.seconds(limits)
                beam_on += max(needs)
                paced += max(needs) if needs[1] > max(needs[0], needs[2]) else 0.0
        else:
            beam_on += (
                sum(60.0 * p.mu / delivery.fractions for p in beam.control_points) / limits.dose_rate_mu_min.value
            )
            for one, other in pairwise(beam.control_points):
                moving += leaf_travel_mm(one, other) / limits.leaf_speed_mm_s.value + rules.segment_s.value
    for before, after in pairwise(delivery.beams):
        last, first = before.control_points[-1], after.control_points[0]
        turned = couch_turn_deg(last, first)
        gantry = gantry_way_deg(_end(before, -1), _end(after, 0)) / limits.gantry_speed_deg_s.value
        leaves = leaf_travel_mm(last, first) / limits.leaf_speed_mm_s.value
        moving += max(gantry, turned / rules.couch_speed_deg_s.value, leaves)
        kicks += turned > 0
    pauses = len(delivery.beams) * rules.beam_start_s.value + kicks * rules.couch_kick_s.value
    share = 100.0 * paced / beam_on if beam_on > 0 else 0.0
    return DeliveryTime(beam_on, beam_on + moving + pauses, kicks, share)


def intervals(beam: TreatmentBeam, fractions: int) -> list[Interval]:
    """Return the intervals of an arc: half of the first control point, those between neighbours, half of the last."""
    points = beam.control_points
    first, last = points[0], points[-1]
    found = [Interval(abs(first.span_deg) / 2, 0.0, first.mu / 2 / fractions)]
    for one, other in pairwise(points):
        turn = abs(signed_deg(other.gantry_deg - one.gantry_deg))
        found.append(Interval(turn, leaf_travel_mm(one, other), (one.mu + other.mu) / 2 / fractions))
    return [*found, Interval(abs(last.span_deg) / 2, 0.0, last.mu / 2 / fractions)]


def leaf_travel_mm(one: ControlPoint, other: ControlPoint) -> float:
    """Return the way of the leaf that travels farthest between two control points."""
    ways = [np.abs(np.subtract(getattr(other, bank), getattr(one, bank))) for bank in ("left_mm", "right_mm")]
    return float(max(way.max(initial=0.0) for way in ways))


def couch_turn_deg(one: ControlPoint, other: ControlPoint) -> float:
    """Return the angle that the table turns between two control points."""
    return abs(signed_deg(other.couch_deg - one.couch_deg))


def gantry_way_deg(start_deg: float, stop_deg: float) -> float:
    """Return the way of a gantry that turns from -180 through 0 to 180 degrees and not past these ends."""
    ends = [(signed_deg(a),) if abs(signed_deg(a)) < 180 else (-180.0, 180.0) for a in (start_deg, stop_deg)]
    return min(abs(stop - start) for start in ends[0] for stop in ends[1])


def _end(beam: TreatmentBeam, which: int) -> float:
    """Return the gantry angle where a beam starts (0) or ends (-1)."""
    points = beam.control_points
    if len(points) == 1:
        return points[0].gantry_deg
    one, other = (points[0], points[1]) if which == 0 else (points[-1], points[-2])
    inwards = signed_deg(other.gantry_deg - one.gantry_deg)
    return float(one.gantry_deg - np.sign(inwards) * abs(one.span_deg) / 2)
