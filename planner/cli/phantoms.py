"""``lacuna phantom``: a cohort of synthetic patients as NIfTI files."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic import Field, create_model

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from planner import __version__, library
from planner.io.atomic import refuse_existing, whole_folder
from planner.io.nifti import write_structure, write_volume
from planner.treatment.constant import Frozen
from planner.treatment.errors import InputError


def _model() -> type[Frozen]:
    """Return the model of the file: the fields of `CohortSpec`, each checked, and the days."""
    known: dict[str, Any] = {field.name: (field.type, field.default) for field in fields(CohortSpec)}
    known["kind"] = (Literal["synthetic"], "synthetic")
    known["days"] = (tuple[float, ...], Field(min_length=1))
    cohort: Any = create_model("Cohort", __base__=Frozen, **known)
    return create_model("PhantomSpec", __base__=Frozen, cohort=(cohort, ...))


def write_cohort(spec_file: Path, out: Path) -> None:
    """Write volumes and structures of every patient and day of a TOML file, whole or not at all.

    Raises
    ------
    InputError
        Naming the file and the key, or `out` if it exists.
    """
    given: Any = library.parse(_model(), library.read_toml(spec_file), spec_file)
    table = given.cohort
    try:
        spec = CohortSpec(**{field.name: getattr(table, field.name) for field in fields(CohortSpec)})
    except ValueError as error:
        raise InputError(spec_file, "cohort", str(error)) from None
    for n, day in enumerate(table.days):
        if not -60 <= day <= 730:
            raise InputError(spec_file, f"cohort.days.{n}", f"must lie between -60 and 730, got {day:g}")
    refuse_existing(out)
    with whole_folder(out) as folder:
        patients = [_write_patient(SyntheticAnatomy(spec, k), table.days, folder) for k in range(spec.patients)]
        record = {"software": f"lacuna {__version__}", "cohort": table.model_dump(mode="json"), "patients": patients}
        (folder / "phantom.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{out}: {spec.patients} patients, days {', '.join(f'{d:g}' for d in table.days)}")


def _write_patient(anatomy: SyntheticAnatomy, days: tuple[float, ...], folder: Path) -> dict[str, Any]:
    epochs = []
    for day in days:
        typer.echo(f"{anatomy.id}: day {day:g}", err=True)
        epoch = anatomy.epoch(day)
        name = f"{anatomy.id}/day{day:+08.2f}"
        (folder / name / "structures").mkdir(parents=True)
        for key, volume in epoch.volumes.items():
            write_volume(folder / name / f"{key}.nii.gz", volume)
        for key, structure in epoch.structures.items():
            write_structure(folder / name / "structures" / f"{key}.nii.gz", structure, epoch.grid)
        volumes = {key: round(structure.volume_cc, 4) for key, structure in epoch.structures.items()}
        epochs.append({"day": day, "folder": name, "volume_cc": volumes})
    return {"id": anatomy.id, "facts": anatomy.facts, "epochs": epochs}
