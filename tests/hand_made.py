"""Deliveries made by hand: a legal one for each kind of beam, to be spoilt one limit at a time."""

from dataclasses import replace

import numpy as np

from planner import library
from planner.treatment.delivery import ControlPoint, Delivery, TreatmentBeam
from planner.treatment.machine import Machine

ISOCENTRE_MM = (0.0, 0.0, 0.0)


def machine_named(name: str) -> Machine:
    return library.load("machines", name, Machine)


def aperture(machine: Machine, half_mm: float = 10.0, shift_mm: float = 0.0) -> dict:
    """Return the leaves of a rectangle, closed behind the jaws with the least gap at its middle."""
    borders = machine.leaf_borders_mm
    gap = machine.delivery.minimum_gap_mm.value
    inside = (borders[1:] > -half_mm + 1e-9) & (borders[:-1] < half_mm - 1e-9)
    left = np.where(inside, shift_mm - half_mm, shift_mm - gap / 2)
    right = np.where(inside, shift_mm + half_mm, shift_mm + gap / 2)
    return {
        "left_mm": left,
        "right_mm": right,
        "jaw_y_mm": (float(borders[:-1][inside].min()), float(borders[1:][inside].max())),
    }


def arc(machine: Machine, couch: float = 0.0, start: float = 200.0, count: int = 16, **shape) -> TreatmentBeam:
    """Return an arc of steps of 10 degrees with 20 MU each."""
    points = tuple(
        ControlPoint(
            gantry_deg=(start + 10.0 * n) % 360,
            couch_deg=couch,
            collimator_deg=0.0,
            mu=20.0,
            span_deg=10.0,
            **aperture(machine, **shape),
        )
        for n in range(count)
    )
    return TreatmentBeam(f"arc couch {couch:g}", "arc", ISOCENTRE_MM, points)


def segments(machine: Machine, gantry: float, shifts=(0.0, 3.0), couch: float = 0.0, mu: float = 50.0) -> TreatmentBeam:
    points = tuple(
        ControlPoint(
            gantry_deg=gantry,
            couch_deg=couch,
            collimator_deg=machine.collimator_deg.value,
            mu=mu,
            span_deg=0.0,
            **aperture(machine, shift_mm=shift),
        )
        for shift in shifts
    )
    return TreatmentBeam(f"field {gantry:g}", "static", ISOCENTRE_MM, points)


def arcs_on(machine: Machine, fractions: int = 1) -> Delivery:
    beams = (arc(machine), arc(machine, couch=45.0))
    return Delivery(machine.name, "by hand", beams, fractions)


def fields_on(machine: Machine, angles=(30.0, 90.0, 180.0, 270.0), fractions: int = 1) -> Delivery:
    return Delivery(machine.name, "by hand", tuple(segments(machine, g) for g in angles), fractions)


def spoilt(delivery: Delivery, beam: int, point: int, **changes) -> Delivery:
    """Return a delivery with one control point changed."""
    chosen = delivery.beams[beam]
    points = list(chosen.control_points)
    points[point] = replace(points[point], **changes)
    beams = list(delivery.beams)
    beams[beam] = replace(chosen, control_points=tuple(points))
    return replace(delivery, beams=tuple(beams))


def moved_leaf(point: ControlPoint, bank: str, pair: int, to_mm: float) -> dict:
    """Return the change of a control point that moves one leaf."""
    tips = np.array(getattr(point, bank))
    tips[pair] = to_mm
    return {bank: tips}
