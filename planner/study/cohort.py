"""Where the patients of a study come from: drawn, or a real head with virtual lesions."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field, model_validator

from phantoms import (
    appearance,
    cohort,
    cortex,
    course,
    craniotomy,
    dynamics,
    flow,
    head,
    lesion,
    mri,
    outline,
    pose,
    resection,
    scanner,
    site,
    synthetic_ct,
    tissue,
)
from phantoms.cited import Cited
from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.head import STRUCTURES
from phantoms.implanted import ImplantedAnatomy, implant
from phantoms.measured import MeasuredAnatomy, measured
from phantoms.patient import Anatomy, Patient
from phantoms.structure import Role
from planner.io.case import is_case, read_case
from planner.study.imports import hashes_of, raw_import
from planner.treatment.constant import Frozen
from planner.treatment.errors import InputError

_OF_LESION = {**dict.fromkeys(("tumour", "cavity", "residual"), Role.TARGET), "air": Role.SUPPORT}
_OF_SURGERY = dict.fromkeys(("tract", "bone_flap"), Role.SUPPORT)


class Cohort(Protocol):
    """The patients of a study.

    Attributes
    ----------
    count : int
    """

    @property
    def count(self) -> int:
        """Number of patients."""
        ...

    def of_patient(self, number: int) -> dict[str, Any]:
        """Return what patient `number` depends on, as plain data; other patients are no part of it."""
        ...

    def hashes(self, source: Path, data: Path | None) -> Mapping[str, str]:
        """Return the hashes of the files that the patients are made from; InputError if `data` does not fit."""
        ...

    def check(self, source: Path, data: Path | None) -> None:
        """Raise InputError if a patient cannot be made from `data`."""
        ...

    def structures(self, data: Path | None) -> Mapping[str, Role]:
        """Return the structures that the patients may have on some day."""
        ...

    def anatomy(self, number: int, seed: int, data: Path | None) -> Anatomy:
        """Return patient `number`, from 0, of a study with this seed."""
        ...


class SyntheticCohort(Frozen):
    """The table ``[cohort]`` with ``kind = "synthetic"``: see `phantoms.cohort.CohortSpec` for the keys."""

    kind: Literal["synthetic"]
    patients: int = CohortSpec.patients
    spacing_mm: float = CohortSpec.spacing_mm
    field_t: float = CohortSpec.field_t
    snr: float = CohortSpec.snr
    bias: float = CohortSpec.bias
    tumour_median_cc: float = CohortSpec.tumour_median_cc
    tumour_sigma: float = CohortSpec.tumour_sigma
    tumour_min_cc: float = CohortSpec.tumour_min_cc
    tumour_max_cc: float = CohortSpec.tumour_max_cc
    residual_fraction: float = CohortSpec.residual_fraction
    cerebellar_fraction: float = CohortSpec.cerebellar_fraction
    resection: str = CohortSpec.resection
    images: tuple[str, ...] = CohortSpec.images
    t1_sequence: str = CohortSpec.t1_sequence
    slice_mm: float = CohortSpec.slice_mm
    motion_mm: float = CohortSpec.motion_mm
    gradient_mm: float = CohortSpec.gradient_mm
    susceptibility: float = CohortSpec.susceptibility
    truncation: float = CohortSpec.truncation

    @model_validator(mode="after")
    def _can_be_drawn(self) -> "SyntheticCohort":
        self._drawn_from(seed=0)
        return self

    @property
    def count(self) -> int:
        """Number of patients."""
        return self.patients

    def of_patient(self, number: int) -> dict[str, Any]:
        """Return what a patient depends on: all keys but the size of the cohort."""
        return self.model_dump(mode="json", exclude={"patients"})

    def hashes(self, source: Path, data: Path | None) -> Mapping[str, str]:
        """Refuse a folder of data: nothing here is made from it."""
        if data is not None:
            raise InputError(source, "cohort.kind", f"a synthetic cohort takes no --data, but {data} was given")
        return {}

    def check(self, source: Path, data: Path | None) -> None:
        """Do nothing: that the cohort can be drawn was checked as it was parsed."""

    def structures(self, data: Path | None) -> Mapping[str, Role]:
        """Return the structures of the synthetic head, and those of the lesion."""
        return {**STRUCTURES, **_OF_LESION, **_OF_SURGERY}

    def anatomy(self, number: int, seed: int, data: Path | None) -> SyntheticAnatomy:
        """Return patient `number`; the patient asked for last is kept, with its painted head."""
        return _synthetic(self._drawn_from(seed), number)

    def _drawn_from(self, seed: int) -> CohortSpec:
        return CohortSpec(seed=seed, **self.model_dump(exclude={"kind"}))


class VirtualLesion(Frozen):
    """One table ``[[cohort.lesions]]``: a tumour that is put into the real head, resected and treated.

    Attributes
    ----------
    centre_mm : tuple of 3 float
        LPS, as DICOM has it.
    tumour_volume_cc : float
        On the day of surgery.
    residual_fraction : float
        Probability that tumour was left behind.
    """

    centre_mm: tuple[float, float, float]
    tumour_volume_cc: float = Field(gt=0, le=60)
    residual_fraction: float = Field(default=CohortSpec.residual_fraction, ge=0, le=1)


class ImportedCohort(Frozen):
    """The table ``[cohort]`` with ``kind = "imported"``: one real head, one virtual patient for each lesion.

    Without lesions the patient is the real one: its own contours on the days that were imaged, the cavity process
    between them.

    Attributes
    ----------
    lesions : tuple of VirtualLesion
    """

    kind: Literal["imported"]
    lesions: tuple[VirtualLesion, ...] = ()

    @property
    def count(self) -> int:
        """Number of lesions, each of which is a patient; or the one real patient."""
        return max(len(self.lesions), 1)

    def of_patient(self, number: int) -> dict[str, Any]:
        """Return what a patient depends on: its own lesion, if it is a virtual one."""
        lesion = self.lesions[number].model_dump(mode="json") if self.lesions else None
        return {"kind": self.kind, "lesion": lesion}

    def hashes(self, source: Path, data: Path | None) -> Mapping[str, str]:
        """Return the hashes of the files of the patient's folder."""
        if data is None:
            raise InputError(source, "cohort.kind", "an imported cohort needs the folder of the patient: --data FOLDER")
        return hashes_of(data)

    def check(self, source: Path, data: Path | None) -> None:
        """Read the patient and place every lesion."""
        patient = _imported(_given(data))
        if not self.lesions:
            try:
                measured(patient, 0)
            except ValueError as error:
                raise InputError(source, "cohort.lesions", f"is empty, and of {data} {error}") from None
        for number, one in enumerate(self.lesions):
            try:
                _implanted(patient, one, 0, number)
            except ValueError as error:
                raise InputError(source, f"cohort.lesions.{number}.centre_mm", str(error)) from None

    def structures(self, data: Path | None) -> Mapping[str, Role]:
        """Return the structures of the real head on any day, and those of the lesion."""
        found = {n: s.role for epoch in _imported(_given(data)).epochs for n, s in epoch.structures.items()}
        return {**found, **_OF_LESION}

    def anatomy(self, number: int, seed: int, data: Path | None) -> ImplantedAnatomy | MeasuredAnatomy:
        """Return the real head with lesion `number`, or the real patient."""
        patient = _imported(_given(data))
        if not self.lesions:
            return measured(patient, seed * 1000)
        return _implanted(patient, self.lesions[number], seed, number)


@lru_cache(maxsize=1)
def _synthetic(spec: CohortSpec, number: int) -> SyntheticAnatomy:
    return SyntheticAnatomy(spec, number)


@lru_cache(maxsize=1)
def _imported(data: Path) -> Patient:
    return read_case(data) if is_case(data) else raw_import(data).patient


def _given(data: Path | None) -> Path:
    if data is None:
        raise ValueError("an imported cohort is made from a folder")
    return data


def _implanted(patient: Patient, one: VirtualLesion, seed: int, number: int) -> ImplantedAnatomy:
    return implant(
        patient.epochs[0],
        one.centre_mm,
        one.tumour_volume_cc,
        # One whole number for the pair: the course of a lesion must not depend on the lesions before it.
        seed * 1000 + number,
        id=patient.id,
        residual_fraction=one.residual_fraction,
    )


# A module after those whose constants it imports.
_CITED = (
    cohort, site, lesion, resection, dynamics, course, craniotomy, flow, cortex, pose, head, scanner, tissue, mri,
    appearance, outline, synthetic_ct,
)  # fmt: skip


def cited_constants() -> Iterator[dict[str, str]]:
    """Yield ``{name, value, source, status}`` of every constant that patients are made from, each once."""
    seen: set[int] = set()
    for room in _CITED:
        place = room.__name__.removeprefix("phantoms.")
        for name, value in vars(room).items():
            if name.isupper() and id(value) not in seen:
                seen.add(id(value))
                yield from _cited(value, f"patient.{place}.{name.lower()}")


def _cited(value: Any, name: str) -> Iterator[dict[str, str]]:
    if isinstance(value, Cited):
        yield {"name": name, "value": f"{value.value:g}", "source": value.source, "status": value.status}
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _cited(item, f"{name}.{key}")
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _cited(item, f"{name}.{number}")
