"""``lacuna phantom``: a cohort of synthetic patients as NIfTI files."""

import json
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic import Field, create_model

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.lesion import VOLUME_MEDIAN_CC
from planner import __version__, library
from planner.io.atomic import refuse_existing, whole_folder
from planner.io.nifti import write_structure, write_volume
from planner.io.nifti_file import write_displacement
from planner.treatment.constant import Frozen
from planner.treatment.errors import InputError


def _model() -> type[Frozen]:
    """Return the model of the file: the fields of `CohortSpec`, each checked, and the days."""
    known: dict[str, Any] = {field.name: (field.type, field.default) for field in fields(CohortSpec)}
    known["kind"] = (Literal["synthetic"], "synthetic")
    known["days"] = (tuple[float, ...], Field(min_length=1))
    cohort: Any = create_model("Cohort", __base__=Frozen, **known)
    return create_model("PhantomSpec", __base__=Frozen, cohort=(cohort, ...))


def write_cohort(spec_file: Path, out: Path, deformation: bool = False) -> None:
    """Write volumes and structures of every patient and day of a TOML file, whole or not at all.

    Parameters
    ----------
    spec_file, out : Path
    deformation : bool
        Whether the true motion of tissue from each day to the next is written too.

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
        patients = [
            _write_patient(SyntheticAnatomy(spec, k), table.days, folder, deformation) for k in range(spec.patients)
        ]
        (folder / "cohort.md").write_text(_table(patients), encoding="utf-8")
        record = {"software": f"lacuna {__version__}", "cohort": table.model_dump(mode="json"), "patients": patients}
        (folder / "phantom.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{out}: {spec.patients} patients, days {', '.join(f'{d:g}' for d in table.days)}")


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
    return text + "says otherwise. How cavities change beside each published series: `lacuna cavity`.\n"


def _write_patient(
    anatomy: SyntheticAnatomy, days: tuple[float, ...], folder: Path, deformation: bool
) -> dict[str, Any]:
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
        if epoch.place_error_mm is not None:
            write_displacement(folder / name / "place_error.nii.gz", epoch.grid, epoch.place_error_mm)
        volumes = {key: round(structure.volume_cc, 4) for key, structure in epoch.structures.items()}
        epochs.append({"day": day, "folder": name, "volume_cc": volumes})
    record = {"id": anatomy.id, "facts": anatomy.facts, "epochs": epochs}
    return {**record, "deformations": _write_flow(anatomy, days, folder)} if deformation else record


def _write_flow(anatomy: SyntheticAnatomy, days: tuple[float, ...], folder: Path) -> list[dict[str, Any]]:
    """Write where the tissue of each day lies on the next, on the voxels in which it can move."""
    written = []
    window = anatomy.flow.window(anatomy.grid)
    for start, end in pairwise(days):
        name = f"{anatomy.id}/deformation_day{start:+08.2f}_to_day{end:+08.2f}.nii.gz"
        write_displacement(folder / name, window, anatomy.flow.displacement(start, end, window))
        written.append({"from_day": start, "to_day": end, "file": name})
    return written
