"""The folder of a synthetic cohort, patient by patient: volumes and structures of every day."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from phantoms.cohort import SyntheticAnatomy
from phantoms.patient import Epoch
from phantoms.structure import Structure
from phantoms.volume import Quantity
from planner.io.atomic import TEMPORARY, whole_folder
from planner.io.nifti import write_structure, write_volume
from planner.io.nifti_file import write_displacement
from planner.treatment.errors import InputError

RECORD = "patient.json"
_UNFINISHED = "unfinished.json"
# Days since surgery for which the true volume of the cavity is told, imaged or not: published series end there.
COURSE_DAYS = list(range(71))
# Scanners tell whole numbers; density is told as finely as Hounsfield units.
_STEP = {Quantity.MR_SIGNAL: 1.0, Quantity.DENSITY: 0.001}


@contextmanager
def cohort_folder(out: Path, record: Mapping[str, Any]) -> Iterator[Path]:
    """Give the folder ``OUT.part`` to write patients into; on success it becomes `out`, otherwise it stays.

    Parameters
    ----------
    out : Path
    record : mapping
        What the cohort is made from: a folder that was left unfinished is taken up if it was begun from the same.

    Raises
    ------
    InputError
        If there is an unfinished folder of another cohort, or the folder cannot be written.
    """
    folder = out.with_name(f"{out.name}.part")
    begun, text = folder / _UNFINISHED, json.dumps(record, indent=1) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            begun.write_text(text, encoding="utf-8")
        elif not begun.is_file() or begun.read_text(encoding="utf-8") != text:
            raise InputError(folder, "", "is what another cohort left unfinished: remove it, or give another folder")
    except OSError as error:
        raise InputError(folder, "", f"cannot be written: {error.strerror}") from None
    for broken in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(broken)
    yield folder
    begun.unlink()
    if out.exists():
        out.rmdir()
    folder.rename(out)


def write_patient(anatomy: SyntheticAnatomy, days: Sequence[float], deformation: bool, out: Path) -> None:
    """Write a patient as the folder `out`, whole or not at all.

    Parameters
    ----------
    anatomy : SyntheticAnatomy
    days : sequence of float
        Days since surgery.
    deformation : bool
        Whether the true motion of tissue from each day to the next is written too.
    out : Path
        Paths in its record, ``patient.json``, start from the folder that holds it.

    Raises
    ------
    InputError
        If `out` exists already or cannot be written.
    """
    epochs: list[dict[str, Any]] = []
    with whole_folder(out) as folder:
        last: dict[str, tuple[Structure, Path]] = {}
        for day in days:
            epoch = anatomy.epoch(day)
            name = f"day{day:+08.2f}"
            _write_volumes(epoch, folder / name)
            last = _write_structures(epoch, folder / name / "structures", last)
            volumes = {key: round(structure.volume_cc, 4) for key, structure in epoch.structures.items()}
            epochs.append({"day": day, "folder": f"{out.name}/{name}", "volume_cc": volumes})
        course = {"day": COURSE_DAYS, "cavity_cc": [round(anatomy.course.volume_cc(day), 4) for day in COURSE_DAYS]}
        record: dict[str, Any] = {"id": anatomy.id, "facts": anatomy.facts, "course": course, "epochs": epochs}
        if deformation:
            record["deformations"] = _write_flow(anatomy, days, folder, out.name)
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _write_volumes(epoch: Epoch, folder: Path) -> None:
    folder.mkdir()
    for key, volume in epoch.volumes.items():
        write_volume(folder / f"{key}.nii.gz", volume, _STEP[volume.quantity])
    if epoch.place_error_mm is not None:
        write_displacement(folder / "place_error.nii.gz", epoch.grid, epoch.place_error_mm)


def _write_structures(
    epoch: Epoch, folder: Path, last: dict[str, tuple[Structure, Path]]
) -> dict[str, tuple[Structure, Path]]:
    """Write the structures of a day and return them with their files; what is as it was on the last day is copied."""
    folder.mkdir()
    written = {}
    for key, structure in epoch.structures.items():
        path = folder / f"{key}.nii.gz"
        if key in last and _alike(structure, last[key][0]):
            shutil.copyfile(last[key][1], path)
        else:
            write_structure(path, structure, epoch.grid, compact=True)
        written[key] = (structure, path)
    return written


def _alike(one: Structure, other: Structure) -> bool:
    return one is other or (one.grid == other.grid and np.array_equal(one.occupancy, other.occupancy))


def _write_flow(
    anatomy: SyntheticAnatomy, days: Sequence[float], folder: Path, name: str
) -> list[dict[str, float | str]]:
    """Write where the tissue of each day lies on the next, on the voxels in which it can move."""
    written: list[dict[str, float | str]] = []
    window = anatomy.flow.window(anatomy.grid)
    for start, end in pairwise(days):
        file = f"deformation_day{start:+08.2f}_to_day{end:+08.2f}.nii.gz"
        write_displacement(folder / file, window, anatomy.flow.displacement(start, end, window))
        written.append({"from_day": start, "to_day": end, "file": f"{name}/{file}"})
    return written
