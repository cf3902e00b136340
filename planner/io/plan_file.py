"""``plan.json``: a delivery (`planner.io.delivery_file`) with what it was made from."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from planner.io.delivery_file import LEGEND, BeamData, Triple, beam_data, beam_from, json_text, read_model
from planner.treatment.constant import Frozen
from planner.treatment.delivery import Delivery
from planner.treatment.prescription import Prescription

FORMAT = "lacuna plan 1"
NAME = "plan.json"


class _Prescribed(Frozen):
    dose_gy: float = Field(gt=0)
    fractions: int = Field(ge=1)


class InputFile(Frozen):
    """A file that a plan was made from.

    Attributes
    ----------
    path : str
        As it was given: a plan may be handed on, and says nothing of the machine it was made on.
    sha256 : str
        Of its content, which tells the file wherever it lies.
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
        ``density``, ``target``, ``external`` and ``brain`` where given, organs by name, and ``machines``,
        ``techniques`` and ``objectives`` where they are files of the user.
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
    legend: str = f"{LEGEND}; leaf_borders_mm: of the pairs along Y in the isocentre plane; sad_mm: source to isocentre"
    machine: str
    technique: str
    template: str
    margin_mm: float = Field(ge=0, le=30)
    prescription: _Prescribed
    sad_mm: float = Field(gt=0)
    leaf_borders_mm: tuple[float, ...] = Field(min_length=2)
    isocentre_mm: Triple
    beams: tuple[BeamData, ...] = Field(min_length=1)
    facts: dict[str, float | str | None]
    provenance: Provenance

    @model_validator(mode="after")
    def _one_isocentre(self) -> "_File":
        first = self.beams[0].isocentre_mm
        if self.isocentre_mm != first:
            raise ValueError(f"'isocentre_mm' is {self.isocentre_mm}, but that of the first beam is {first}")
        return self


class PlanFile(Frozen):
    """What ``plan.json`` holds beside the delivery.

    Attributes
    ----------
    template : str
    margin_mm : float
    dose_gy : float
    fractions : int
    sad_mm : float
        From the source to the isocentre.
    leaf_borders_mm : tuple of float
        Borders of the leaf pairs along Y in the isocentre plane, from -Y to +Y: where the leaves of the beams lie.
    facts : dict
        Of the optimiser; null where not finite.
    provenance : Provenance
    """

    template: str
    margin_mm: float
    dose_gy: float
    fractions: int
    sad_mm: float
    leaf_borders_mm: tuple[float, ...]
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
        sad_mm=about.sad_mm,
        leaf_borders_mm=about.leaf_borders_mm,
        isocentre_mm=delivery.beams[0].isocentre_mm,
        beams=tuple(beam_data(beam) for beam in delivery.beams),
        facts=dict(about.facts),
        provenance=about.provenance,
    )
    path.write_text(json_text(content.model_dump(mode="json")) + "\n", encoding="utf-8")


def read_plan_file(path: Path) -> tuple[Delivery, PlanFile]:
    """Return the delivery of a ``plan.json`` and what it was made from.

    Raises
    ------
    InputError
        Naming the file and the key that is missing or wrong.
    """
    held = read_model(path, _File, "no such file: is this the folder of a plan?")
    delivery = Delivery(
        machine=held.machine,
        technique=held.technique,
        beams=tuple(beam_from(beam) for beam in held.beams),
        fractions=held.prescription.fractions,
    )
    about = PlanFile(
        template=held.template,
        margin_mm=held.margin_mm,
        dose_gy=held.prescription.dose_gy,
        fractions=held.prescription.fractions,
        sad_mm=held.sad_mm,
        leaf_borders_mm=held.leaf_borders_mm,
        facts=held.facts,
        provenance=held.provenance,
    )
    return delivery, about


def plain_facts(facts: Mapping[str, float | str]) -> dict[str, float | str | None]:
    """Return facts as JSON can hold them: what is not finite becomes null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in facts.items()}
