"""``plan.json``: a delivery with what it was made from, as people and programs can read it.

Positions are in mm in the isocentre plane, leaves along X from the pair at -Y to the one at +Y; angles IEC 61217;
monitor units are those of the whole course.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from planner.treatment.constant import Frozen
from planner.treatment.delivery import ControlPoint, Delivery, TreatmentBeam
from planner.treatment.errors import InputError
from planner.treatment.prescription import Prescription

FORMAT = "lacuna plan 1"
NAME = "plan.json"
_LEGEND = (
    "angles IEC 61217, deg; left_mm, right_mm: leaf tips along X in the isocentre plane, from the pair at -Y to the "
    "one at +Y; jaw_y_mm: jaws along Y; mu: monitor units of the whole course, delivered while the gantry turns "
    "through span_deg centred on gantry_deg (0: at rest); isocentre_mm: LPS"
)
# Finer than any machine reads back.
_MM, _DEG, _MU = 4, 4, 6
Triple = tuple[float, float, float]


class _Point(Frozen):
    gantry_deg: float
    couch_deg: float
    collimator_deg: float
    mu: float
    span_deg: float
    jaw_y_mm: tuple[float, float]
    left_mm: tuple[float, ...] = Field(min_length=1)
    right_mm: tuple[float, ...] = Field(min_length=1)


class _Beam(Frozen):
    label: str
    kind: Literal["arc", "static"]
    isocentre_mm: Triple
    mu: float
    control_points: tuple[_Point, ...] = Field(min_length=1)


class _Prescribed(Frozen):
    dose_gy: float = Field(gt=0)
    fractions: int = Field(ge=1)


class InputFile(Frozen):
    """A file that a plan was made from.

    Attributes
    ----------
    path : str
        As it was given, made absolute.
    sha256 : str
    """

    path: str
    sha256: str


class Provenance(Frozen):
    """How a plan was computed.

    Attributes
    ----------
    software, engine : str
        With their versions.
    engine_name : str
        As the command line knows it.
    seed : int
    uncertainty : float
        Relative statistical uncertainty of the dose (1 sigma); 0 if deterministic.
    wall_s : float
    field_ignored : bool
        Whether the magnetic field of the machine was left out.
    grid_mm : tuple of 3 float
        Spacing of the dose grid.
    inputs : dict of str to InputFile
        ``density``, ``target``, ``external`` and ``brain`` where given, and organs by name.
    derived : dict of str to str
        Structures that were not given, and what they were found from.
    """

    software: str
    engine: str
    engine_name: str
    seed: int
    uncertainty: float
    wall_s: float
    field_ignored: bool
    grid_mm: Triple
    inputs: dict[str, InputFile]
    derived: dict[str, str]


class _File(Frozen):
    format: Literal["lacuna plan 1"]
    legend: str = _LEGEND
    machine: str
    technique: str
    template: str
    margin_mm: float
    prescription: _Prescribed
    isocentre_mm: Triple
    beams: tuple[_Beam, ...] = Field(min_length=1)
    facts: dict[str, float | str | None]
    provenance: Provenance


class PlanFile(Frozen):
    """What ``plan.json`` holds beside the delivery.

    Attributes
    ----------
    template : str
    margin_mm : float
    dose_gy : float
    fractions : int
    facts : dict
        Of the optimiser; null where not finite.
    provenance : Provenance
    """

    template: str
    margin_mm: float
    dose_gy: float
    fractions: int
    facts: dict[str, float | str | None]
    provenance: Provenance

    @property
    def prescription(self) -> Prescription:
        """The prescription."""
        return Prescription(self.dose_gy, self.fractions, "fixed", f"{self.dose_gy:g} Gy in {self.fractions}")


def write_plan_file(path: Path, delivery: Delivery, about: PlanFile) -> None:
    """Write a delivery and what it was made from."""
    content = _File(
        format=FORMAT,
        machine=delivery.machine,
        technique=delivery.technique,
        template=about.template,
        margin_mm=about.margin_mm,
        prescription=_Prescribed(dose_gy=about.dose_gy, fractions=about.fractions),
        isocentre_mm=delivery.beams[0].isocentre_mm,
        beams=tuple(_beam(beam) for beam in delivery.beams),
        facts=dict(about.facts),
        provenance=about.provenance,
    )
    path.write_text(_text(content.model_dump(mode="json")) + "\n", encoding="utf-8")


def read_plan_file(path: Path) -> tuple[Delivery, PlanFile]:
    """Return the delivery of a ``plan.json`` and what it was made from.

    Raises
    ------
    InputError
        Naming the file and the key that is missing or wrong.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "", "no such file: is this the folder of a plan?") from None
    except (OSError, ValueError) as error:
        raise InputError(path, "", f"cannot be read: {error}") from None
    try:
        held = _File.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(path, where, first["msg"][0].lower() + first["msg"][1:]) from None
    delivery = Delivery(
        machine=held.machine,
        technique=held.technique,
        beams=tuple(_treatment(beam) for beam in held.beams),
        fractions=held.prescription.fractions,
    )
    about = PlanFile(
        template=held.template,
        margin_mm=held.margin_mm,
        dose_gy=held.prescription.dose_gy,
        fractions=held.prescription.fractions,
        facts=held.facts,
        provenance=held.provenance,
    )
    return delivery, about


def plain_facts(facts: Mapping[str, float | str]) -> dict[str, float | str | None]:
    """Return facts as JSON can hold them: what is not finite becomes null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in facts.items()}


def _beam(beam: TreatmentBeam) -> _Beam:
    return _Beam(
        label=beam.label,
        kind=beam.kind,
        isocentre_mm=beam.isocentre_mm,
        mu=round(sum(point.mu for point in beam.control_points), _MU),
        control_points=tuple(_point(point) for point in beam.control_points),
    )


def _point(point: ControlPoint) -> _Point:
    return _Point(
        gantry_deg=round(float(point.gantry_deg), _DEG),
        couch_deg=round(float(point.couch_deg), _DEG),
        collimator_deg=round(float(point.collimator_deg), _DEG),
        mu=round(float(point.mu), _MU),
        span_deg=round(float(point.span_deg), _DEG),
        jaw_y_mm=(round(float(point.jaw_y_mm[0]), _MM), round(float(point.jaw_y_mm[1]), _MM)),
        left_mm=tuple(round(float(x), _MM) for x in point.left_mm),
        right_mm=tuple(round(float(x), _MM) for x in point.right_mm),
    )


def _treatment(beam: _Beam) -> TreatmentBeam:
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
    return TreatmentBeam(beam.label, beam.kind, beam.isocentre_mm, points)


def _text(value: Any, indent: int = 0) -> str:
    """Return JSON with nested objects indented and lists of plain numbers on one line."""
    pad, inner = " " * indent, " " * (indent + 1)
    if isinstance(value, dict) and value:
        rows = [f"{inner}{json.dumps(key)}: {_text(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{pad}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return "[\n" + ",\n".join(inner + _text(item, indent + 1) for item in value) + f"\n{pad}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
