"""From where a machine treats: arcs sampled at control points, and rings of static fields."""

from typing import NamedTuple

import numpy as np

from planner.treatment.errors import PlanningError
from planner.treatment.machine import Machine
from planner.treatment.technique import ArcSpec, FieldRing, TechniqueSpec


class Direction(NamedTuple):
    """Angles of one beam, IEC 61217 degrees, and the label of its arc (empty for a static field)."""

    gantry_deg: float
    couch_deg: float
    collimator_deg: float
    arc: str


def directions(spec: TechniqueSpec, machine: Machine) -> tuple[Direction, ...]:
    """Return the beam directions of a technique on a machine.

    Raises
    ------
    PlanningError
        If the machine cannot turn its couch or collimator as asked, a direction lies in a sector that it must avoid, or
        gantry and table would collide.
    """
    if spec.ring is not None:
        found = _ring(spec.ring.value, machine)
    elif spec.fields is not None:
        fixed = machine.collimator_deg.value
        found = [Direction(field.gantry_deg % 360, field.couch_deg, fixed, "") for field in spec.fields.value]
    elif spec.arcs is not None:
        found = [direction for arc in spec.arcs.value for direction in _arc(arc, machine)]
    for direction in found:
        _check(direction, spec, machine)
    return tuple(found)


def is_avoided(gantry_deg: float, machine: Machine) -> bool:
    """Return whether a gantry angle lies inside a sector that the machine must avoid (its bounds are permitted)."""
    return any(0 < (gantry_deg - low) % 360 < (high - low) % 360 for low, high in machine.gantry_avoided_deg.value)


def collides(gantry_deg: float, couch_deg: float, machine: Machine) -> bool:
    """Return whether gantry and table stand in a zone that they cannot be in together (its bounds are permitted)."""
    if machine.delivery is None:
        return False
    couch = (couch_deg + 180) % 360 - 180
    return any(
        low <= couch <= high and 0 < (gantry_deg - start) % 360 < (stop - start) % 360
        for low, high, start, stop in machine.delivery.collision_deg.value
    )


def _arc(arc: ArcSpec, machine: Machine) -> list[Direction]:
    span = arc.gantry_stop_deg - arc.gantry_start_deg
    count = max(1, int(np.ceil(abs(span) / arc.spacing_deg - 1e-9)))
    angles = arc.gantry_start_deg + (np.arange(count) + 0.5) * span / count
    low, high = sorted((arc.gantry_start_deg, arc.gantry_stop_deg))
    for avoided in machine.gantry_avoided_deg.value:
        middle = avoided[0] + ((avoided[1] - avoided[0]) % 360) / 2
        if is_avoided(low, machine) or is_avoided(high, machine) or (middle - low) % 360 < high - low:
            raise PlanningError(
                f"arc '{arc.label}' from {arc.gantry_start_deg:g} to {arc.gantry_stop_deg:g} degrees passes the sector "
                f"{avoided[0]:g} to {avoided[1]:g} that {machine.title} must avoid"
            )
    collimator = machine.collimator_deg.value if arc.collimator_deg is None else arc.collimator_deg
    return [Direction(float(angle % 360), arc.couch_deg, collimator, arc.label) for angle in angles]


def _ring(ring: FieldRing, machine: Machine) -> list[Direction]:
    step = 360.0 / ring.count
    turns = sorted(np.arange(0.0, step, 1.0), key=lambda turn: min(turn, step - turn))
    for turn in turns:
        angles = (ring.first_deg + turn + step * np.arange(ring.count)) % 360
        if not any(is_avoided(angle, machine) for angle in angles):
            return [Direction(float(angle), 0.0, machine.collimator_deg.value, "") for angle in angles]
    raise PlanningError(
        f"{ring.count} equally spaced fields cannot avoid the gantry sectors {machine.gantry_avoided_deg.value} "
        f"of {machine.title}; use fewer fields"
    )


def _check(direction: Direction, spec: TechniqueSpec, machine: Machine) -> None:
    low, high = machine.couch_range_deg.value
    if not low <= (direction.couch_deg + 180) % 360 - 180 <= high:
        raise PlanningError(
            f"technique '{spec.name}' turns the couch to {direction.couch_deg:g} degrees, but {machine.title} permits "
            f"{low:g} to {high:g}"
        )
    fixed = machine.collimator_deg.value
    if (direction.collimator_deg - fixed) % 360 and not machine.collimator_rotates.value:
        raise PlanningError(
            f"technique '{spec.name}' turns the collimator to {direction.collimator_deg:g} degrees, but that of "
            f"{machine.title} stands at {fixed:g}"
        )
    if is_avoided(direction.gantry_deg, machine):
        raise PlanningError(
            f"technique '{spec.name}' has a field at gantry {direction.gantry_deg:g} degrees, which {machine.title} "
            f"must avoid"
        )
    if collides(direction.gantry_deg, direction.couch_deg, machine):
        raise PlanningError(
            f"technique '{spec.name}' brings the gantry to {direction.gantry_deg:g} degrees with the couch at "
            f"{direction.couch_deg:g}, where it would collide with the table of {machine.title}"
        )
