"""Independent checks of a delivery: against a machine, from the words of the limits, and as its arcs turn."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np

TINY = 1e-9


def violations(delivery, machine) -> list[str]:
    """Every limit that a delivery breaks, in words."""
    found = []
    for beam in delivery.beams:
        for number, point in enumerate(beam.control_points):
            place = f"{beam.label} {number}"
            found += [f"{place}: {text}" for text in [*_aperture(point, machine), *_angles(point, machine)]]
            found += [f"{place}: {text}" for text in _monitor_units(point, beam.kind, delivery.fractions, machine)]
        for number, (one, two) in enumerate(zip(beam.control_points, beam.control_points[1:], strict=False)):
            move = _in_an_arc if beam.kind == "arc" else _in_a_field
            found += [f"{beam.label} {number}-{number + 1}: {t}" for t in move(one, two, delivery.fractions, machine)]
    return found


def _aperture(point, machine):
    limits, widths = machine.delivery, machine.leaf_width_mm.value
    low, high = limits.leaf_travel_mm.value
    gap = limits.minimum_gap_mm.value
    if not len(point.left_mm) == len(point.right_mm) == len(widths):
        yield "wrong number of leaf pairs"
    for p, (left, right) in enumerate(zip(point.left_mm, point.right_mm, strict=True)):
        if not (low - TINY <= left and right <= high + TINY):
            yield f"pair {p} beyond the travel: {left} {right}"
        if right - left < gap - TINY:
            yield f"pair {p} narrower than the gap: {right - left}"
    if not limits.interdigitation.value:
        for p in range(len(widths) - 1):
            if point.left_mm[p] + gap > point.right_mm[p + 1] + TINY:
                yield f"left {p} meets right {p + 1}"
            if point.left_mm[p + 1] + gap > point.right_mm[p] + TINY:
                yield f"left {p + 1} meets right {p}"
    yield from _field(point, machine, widths)


def _field(point, machine, widths):
    down, up = point.jaw_y_mm
    edge, area = -math.fsum(widths) / 2, 0.0
    for width, left, right in zip(widths, point.left_mm, point.right_mm, strict=True):
        height = max(0.0, min(edge + width, up) - max(edge, down))
        area += height * max(0.0, right - left)
        if height > 0 and max(-left, right) > machine.max_field_mm.value[0] / 2 + TINY:
            yield "wider than the largest field"
        edge += width
    if max(-down, up) > max(machine.max_field_mm.value[1], math.fsum(widths)) / 2 + 1e-6 or down >= up:
        yield f"jaws at {down} {up}"
    if area < machine.delivery.minimum_segment_area_mm2.value - 1e-6:
        yield f"area of {area} mm2"


def _angles(point, machine):
    gantry, couch = point.gantry_deg % 360, (point.couch_deg + 180) % 360 - 180
    low, high = machine.couch_range_deg.value
    if not low <= couch <= high:
        yield f"couch at {couch}"
    if not machine.collimator_rotates.value and point.collimator_deg != machine.collimator_deg.value:
        yield f"collimator at {point.collimator_deg}"
    half = point.span_deg / 2
    for at in (gantry - half, gantry, gantry + half):
        for start, stop in machine.gantry_avoided_deg.value:
            if TINY < (at - start) % 360 < (stop - start) % 360 - TINY:
                yield f"gantry at {at}"
        for c0, c1, start, stop in machine.delivery.collision_deg.value:
            if c0 <= couch <= c1 and TINY < (at - start) % 360 < (stop - start) % 360 - TINY:
                yield f"gantry at {at} hits the table at {couch}"


def _monitor_units(point, kind, fractions, machine):
    limits, each = machine.delivery, point.mu / fractions
    if kind == "static":
        if point.span_deg != 0:
            yield "a static segment turns"
        if each < limits.minimum_segment_mu.value:
            yield f"{each} MU"
    else:
        if point.span_deg <= 0:
            yield "an arc stands still"
        if limits.max_mu_per_deg is None:
            yield "the machine turns no arcs"
        elif not limits.min_mu_per_deg.value <= each / point.span_deg <= limits.max_mu_per_deg.value:
            yield f"{each / point.span_deg} MU/deg"


def _in_an_arc(one, two, fractions, machine):
    limits = machine.delivery
    turn = abs((two.gantry_deg - one.gantry_deg + 180) % 360 - 180)
    if abs(turn - (one.span_deg + two.span_deg) / 2) > 1e-6:
        yield f"the arc leaves a gap: {turn} degrees between control points"
    if one.couch_deg != two.couch_deg or one.collimator_deg != two.collimator_deg:
        yield "couch or collimator move within an arc"
    beam_on = 60 * (one.mu + two.mu) / 2 / fractions / limits.dose_rate_mu_min.value
    seconds = max(turn / limits.gantry_speed_deg_s.value, beam_on)
    for a, b in ((one.left_mm, two.left_mm), (one.right_mm, two.right_mm)):
        fastest = max(abs(x - y) for x, y in zip(a, b, strict=True)) / seconds
        if fastest > limits.leaf_speed_mm_s.value:
            yield f"a leaf moves at {fastest} mm/s"


def _in_a_field(one, two, fractions, machine):
    if (one.gantry_deg, one.couch_deg, one.collimator_deg) != (two.gantry_deg, two.couch_deg, two.collimator_deg):
        yield "a static field moves"


def as_it_turns(delivery, step_deg):
    """The delivery with each arc walked in equal steps of the gantry, wherever its control points stand.

    The sum of monitor units against the gantry is a broken line through the control points, from nothing at the start
    of the arc to all at its end: what a step delivers is the difference. Leaves and jaws are where they are half way.
    """
    return replace(delivery, beams=tuple(b if b.kind == "static" else _walked(b, step_deg) for b in delivery.beams))


def _walked(beam, step_deg):
    points = beam.control_points
    sense = 1 if (points[1].gantry_deg - points[0].gantry_deg) % 360 < 180 else -1
    gone = [sense * (p.gantry_deg - points[0].gantry_deg) % 360 for p in points]
    start, end = -points[0].span_deg / 2, gone[-1] + points[-1].span_deg / 2
    sums, total = [0.0], 0.0
    for p in points:
        sums.append(total + p.mu / 2)
        total += p.mu
    knots, sums = [start, *gone, end], [*sums, total]
    count = math.ceil((end - start) / step_deg)
    borders = [start + (end - start) * n / count for n in range(count + 1)]
    made = []
    for low, high in pairwise(borders):
        half_way = (low + high) / 2
        left, right, jaws = (
            [float(np.interp(half_way, gone, place)) for place in zip(*(getattr(p, name) for p in points), strict=True)]
            for name in ("left_mm", "right_mm", "jaw_y_mm")
        )
        made.append(
            replace(
                points[0],
                gantry_deg=(points[0].gantry_deg + sense * half_way) % 360,
                left_mm=np.array(left),
                right_mm=np.array(right),
                jaw_y_mm=tuple(jaws),
                mu=float(np.interp(high, knots, sums) - np.interp(low, knots, sums)),
                span_deg=high - low,
            )
        )
    return replace(beam, control_points=tuple(made))
