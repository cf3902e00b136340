"""``lacuna phantom``: a cohort of synthetic patients as NIfTI files."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic import Field, create_model

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.lesion import VOLUME_MEDIAN_CC
from planner import __version__, library
from planner.cli.study import SOME_CASES_FAILED
from planner.io.atomic import refuse_existing
from planner.io.cohort_folder import RECORD, cohort_folder, write_patient
from planner.report.cohort_page import write_cohort_page
from planner.study.cohort import cited_constants
from planner.study.execute import Outcome, cores, run_tasks
from planner.treatment.constant import Frozen
from planner.treatment.errors import InputError


@dataclass(frozen=True)
class _Patient:
    """One patient to be written, by a child process."""

    spec: CohortSpec
    number: int
    days: tuple[float, ...]
    deformation: bool

    @property
    def id(self) -> str:
        return SyntheticAnatomy.name_of(self.spec, self.number)


def _model() -> type[Frozen]:
    """Return the model of the file: the fields of `CohortSpec`, each checked, and the days."""
    known: dict[str, Any] = {field.name: (field.type, field.default) for field in fields(CohortSpec)}
    known["kind"] = (Literal["synthetic"], "synthetic")
    known["days"] = (tuple[float, ...], Field(min_length=1))
    cohort: Any = create_model("Cohort", __base__=Frozen, **known)
    return create_model("PhantomSpec", __base__=Frozen, cohort=(cohort, ...))


def write_cohort(spec_file: Path, out: Path, deformation: bool = False, workers: int = 0) -> None:
    """Write volumes and structures of every patient and day of a TOML file, whole or not at all.

    Patients are written by child processes into ``OUT.part``, which becomes `out` when all are there: after an
    interrupt the same call goes on from the patients that are finished.

    Parameters
    ----------
    spec_file, out : Path
    deformation : bool
        Whether the true motion of tissue from each day to the next is written too.
    workers : int
        Child processes; 0: one a processor.

    Raises
    ------
    InputError
        Naming the file and the key, or `out` if it exists.
    """
    spec, table = _checked(spec_file)
    refuse_existing(out)
    record = {
        "software": f"lacuna {__version__}",
        "cohort": table.model_dump(mode="json"),
        "deformation": deformation,
    }
    wanted = [_Patient(spec, number, table.days, deformation) for number in range(spec.patients)]
    with cohort_folder(out, record) as folder:
        left = [patient for patient in wanted if not (folder / patient.id).exists()]
        outcomes = _run(left, len(wanted), folder, workers or cores())
        for outcome in outcomes:
            if outcome.error:
                typer.echo(f"{outcome.case.id}: {outcome.error}", err=True)
        if any(outcome.error for outcome in outcomes):
            raise typer.Exit(SOME_CASES_FAILED)
        patients = [json.loads((folder / patient.id / RECORD).read_text(encoding="utf-8")) for patient in wanted]
        (folder / "cohort.md").write_text(_table(patients), encoding="utf-8")
        write_cohort_page(folder, record["cohort"], patients, list(cited_constants()))
        (folder / "phantom.json").write_text(json.dumps({**record, "patients": patients}, indent=1) + "\n", "utf-8")
    typer.echo(f"{out}: {spec.patients} patients, days {', '.join(f'{d:g}' for d in table.days)}")


def _checked(spec_file: Path) -> tuple[CohortSpec, Any]:
    given: Any = library.parse(_model(), library.read_toml(spec_file), spec_file)
    table = given.cohort
    try:
        spec = CohortSpec(**{field.name: getattr(table, field.name) for field in fields(CohortSpec)})
    except ValueError as error:
        raise InputError(spec_file, "cohort", str(error)) from None
    for n, day in enumerate(table.days):
        if not -60 <= day <= 730:
            raise InputError(spec_file, f"cohort.days.{n}", f"must lie between -60 and 730, got {day:g}")
    return spec, table


def _run(left: Sequence[_Patient], total: int, folder: Path, workers: int) -> list[Outcome[_Patient]]:
    done = total - len(left)
    if done:
        typer.echo(f"{done} of {total} patients done already", err=True)

    def told(outcome: Outcome[_Patient]) -> None:
        nonlocal done
        done += 1
        typer.echo(f"[{done}/{total}] {outcome.case.id}: {outcome.error or f'{outcome.wall_s:.1f} s'}", err=True)

    try:
        return run_tasks(left, folder, workers, told, _write) if left else []
    except KeyboardInterrupt:
        typer.echo(f"interrupted: what is finished stays in {folder}; the same command goes on from there", err=True)
        raise


def _write(patient: _Patient, folder: str) -> float:
    start = time.perf_counter()
    anatomy = SyntheticAnatomy(patient.spec, patient.number)
    write_patient(anatomy, patient.days, patient.deformation, Path(folder) / patient.id)
    return time.perf_counter() - start


def _table(patients: list[dict[str, Any]]) -> str:
    """Return what was drawn as a Markdown table: a row a patient, and the literature below."""
    days = [epoch["day"] for epoch in patients[0]["epochs"]]
    head = [
        "patient",
        "site",
        "histology",
        *(f"tumour or cavity, day {day:g}, cc" for day in days),
        "residual, day 0, cc",
    ]
    rows = [head, ["---"] * len(head)]
    for patient in patients:
        facts, found = patient["facts"], [epoch["volume_cc"] for epoch in patient["epochs"]]
        sizes = [f"{volumes.get('cavity', volumes.get('tumour')):.1f}" for volumes in found]
        rows.append([patient["id"], facts["site"], facts["histology"], *sizes, f"{facts['residual_initial_cc']:.2f}"])
    text = "# Cohort\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)
    text += (
        f"\nTumours: drawn about {VOLUME_MEDIAN_CC.value:g} cc ({VOLUME_MEDIAN_CC.source}) unless the specification "
    )
    text += "says otherwise. Distributions, pictures and published series: `cohort.html`; "
    return text + "how cavities change beside each series: `lacuna cavity`.\n"
