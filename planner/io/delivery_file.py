"""Deliveries as people and programs can read them: the JSON of beams and control points, shared by plans and studies.

Positions are in mm in the isocentre plane, leaves along X from the pair at -Y to the one at +Y; angles IEC 61217;
monitor units are those of the whole course.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field, ValidationError

from planner.treatment.constant import Frozen, strictly
from planner.treatment.delivery import ControlPoint, Delivery, TreatmentBeam
from planner.treatment.errors import InputError, in_words

LEGEND = (
    "angles IEC 61217, deg; left_mm, right_mm: leaf tips along X in the isocentre plane, from the pair at -Y to the "
    "one at +Y; jaw_y_mm: jaws along Y; mu: monitor units of the whole course, delivered while the gantry turns "
    "through span_deg centred on gantry_deg (0: at rest), half of them before gantry_deg and half after it; from one "
    "gantry_deg of an arc to the next gantry, leaves, jaws and the sum of monitor units move linearly, before the "
    "first and after the last one leaves rest; isocentre_mm: LPS"
)
# Finer than any machine reads back.
_MM, _DEG, _MU = 4, 4, 6
Triple = tuple[float, float, float]
Model = TypeVar("Model", bound=Frozen)


class PointData(Frozen):
    """One control point; see `planner.treatment.delivery.ControlPoint`."""

    gantry_deg: float
    couch_deg: float
    collimator_deg: float
    mu: float
    span_deg: float
    jaw_y_mm: tuple[float, float]
    left_mm: tuple[float, ...] = Field(min_length=1)
    right_mm: tuple[float, ...] = Field(min_length=1)


class BeamData(Frozen):
    """One beam; see `planner.treatment.delivery.TreatmentBeam`."""

    label: str
    kind: Literal["arc", "static"]
    isocentre_mm: Triple
    mu: float
    control_points: tuple[PointData, ...] = Field(min_length=1)


class _Treatment(Frozen):
    day: float
    adaptation: str
    beams: tuple[BeamData, ...] = Field(min_length=1)


class _Deliveries(Frozen):
    format: Literal["lacuna deliveries 1"]
    legend: str = LEGEND
    machine: str
    technique: str
    fractions: int = Field(ge=1)
    treatments: tuple[_Treatment, ...] = Field(min_length=1)


@dataclass(frozen=True, eq=False)
class Treatment:
    """What was delivered on one day.

    Attributes
    ----------
    day : float
    adaptation : str
        How the plan was made to fit the day.
    delivery : Delivery
        With the monitor units of the whole course.
    """

    day: float
    adaptation: str
    delivery: Delivery


def write_deliveries(path: Path, treatments: Sequence[Treatment]) -> None:
    """Write the treatments of one course, at least one."""
    first = treatments[0].delivery
    content = _Deliveries(
        format="lacuna deliveries 1",
        machine=first.machine,
        technique=first.technique,
        fractions=first.fractions,
        treatments=tuple(
            _Treatment(day=t.day, adaptation=t.adaptation, beams=tuple(beam_data(b) for b in t.delivery.beams))
            for t in treatments
        ),
    )
    path.write_text(json_text(content.model_dump(mode="json")) + "\n", encoding="utf-8")


def read_deliveries(path: Path) -> list[Treatment]:
    """Return the treatments of one course.

    Raises
    ------
    InputError
        Naming the file and the key that is missing or wrong.
    """
    held = read_model(path, _Deliveries, "no such file")
    return [
        Treatment(
            t.day,
            t.adaptation,
            Delivery(held.machine, held.technique, tuple(beam_from(beam) for beam in t.beams), held.fractions),
        )
        for t in held.treatments
    ]


def beam_data(beam: TreatmentBeam) -> BeamData:
    """Return a beam as it is written."""
    return BeamData(
        label=beam.label,
        kind=beam.kind,
        isocentre_mm=beam.isocentre_mm,
        mu=round(sum(point.mu for point in beam.control_points), _MU),
        control_points=tuple(_point(point) for point in beam.control_points),
    )


def _point(point: ControlPoint) -> PointData:
    return PointData(
        gantry_deg=round(float(point.gantry_deg), _DEG),
        couch_deg=round(float(point.couch_deg), _DEG),
        collimator_deg=round(float(point.collimator_deg), _DEG),
        mu=round(float(point.mu), _MU),
        span_deg=round(float(point.span_deg), _DEG),
        jaw_y_mm=(round(float(point.jaw_y_mm[0]), _MM), round(float(point.jaw_y_mm[1]), _MM)),
        left_mm=tuple(round(float(x), _MM) for x in point.left_mm),
        right_mm=tuple(round(float(x), _MM) for x in point.right_mm),
    )


def beam_from(beam: BeamData) -> TreatmentBeam:
    """Return a beam as it was read."""
    points = tuple(
        ControlPoint(
            gantry_deg=p.gantry_deg,
            couch_deg=p.couch_deg,
            collimator_deg=p.collimator_deg,
            left_mm=np.array(p.left_mm),
            right_mm=np.array(p.right_mm),
            jaw_y_mm=p.jaw_y_mm,
            mu=p.mu,
            span_deg=p.span_deg,
        )
        for p in beam.control_points
    )
    return TreatmentBeam(beam.label, beam.kind, beam.isocentre_mm, points, beam.mu)


def read_model(path: Path, model: type[Model], missing: str) -> Model:
    """Return a JSON file as a model.

    Parameters
    ----------
    path : Path
    model : type
    missing : str
        What to say where there is no such file.

    Raises
    ------
    InputError
        Naming the file and the key that is missing or wrong.
    """
    try:
        return strictly(model, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(path, "", missing) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(path, where, in_words(first)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, "", f"cannot be read: {error}") from None


def json_text(value: Any, indent: int = 0) -> str:
    """Return JSON with nested objects indented and lists of plain numbers on one line."""
    pad, inner = " " * indent, " " * (indent + 1)
    if isinstance(value, dict) and value:
        rows = [f"{inner}{json.dumps(key)}: {json_text(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{pad}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return "[\n" + ",\n".join(inner + json_text(item, indent + 1) for item in value) + f"\n{pad}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
