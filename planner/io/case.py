"""Cases: a real patient, imported once from DICOM or NIfTI, as a folder of NIfTI files and one ``case.json``.

    mr.nii.gz             the image at its own resolution, in LPS order
    density.nii.gz        bulk density, g/cm3, on the working grid
    structures/*.nii.gz   occupied fractions on the working grid
    day_<number>/         each later day: the same three, all on the working grid of the first day
    case.json             provenance: hashes, spacing, what was resampled or registered; no identity, no dates, no names

Structures may be corrected in any contouring program before the case is used: it is read as it lies there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from phantoms.grid import Grid
from phantoms.patient import Epoch, Patient
from phantoms.resampling import averaged
from phantoms.structure import Role
from phantoms.volume import Quantity, Volume
from planner.io.atomic import whole_folder
from planner.io.dicom import dicom_files
from planner.io.importing import FORMAT, Imported, day_folders, images_in, import_folder, is_name, onto, role_of
from planner.io.nifti import read_image, read_structure, read_volume, stem, write_structure, write_volume
from planner.treatment.errors import InputError


def write_case(imported: Imported, out: Path) -> None:
    """Write a case, whole or not at all.

    Raises
    ------
    InputError
        If `out` exists already or cannot be written.
    """
    first, *later = imported.patient.epochs
    with whole_folder(out) as folder:
        _write_epoch(folder, first, imported.image)
        for epoch in later:
            _write_epoch(folder / day_name(epoch.day), epoch, epoch.volumes["t1gd"])
        (folder / "case.json").write_text(json.dumps(imported.record, indent=1) + "\n", encoding="utf-8")


def _write_epoch(folder: Path, epoch: Epoch, image: Volume) -> None:
    (folder / "structures").mkdir(parents=True)
    write_volume(folder / "mr.nii.gz", image)
    write_volume(folder / "density.nii.gz", epoch.volumes["density"])
    for name, structure in epoch.structures.items():
        write_structure(folder / "structures" / f"{name}.nii.gz", structure, epoch.grid)


def day_name(day: float) -> str:
    """Return the name of the folder of a day."""
    return f"day_{day:g}"


def read_case(folder: Path) -> Patient:
    """Return the patient of a case, or of a folder that `import_folder` can read.

    Raises
    ------
    InputError
        If it is neither, or a file of the case is missing or damaged.
    """
    if not is_case(folder):
        return import_folder(folder).patient
    record = _read_record(folder / "case.json")
    first = _read_epoch(folder, record, None)
    later = [_read_epoch(folder / day_name(entry["day"]), entry, first.grid) for entry in record.get("later", [])]
    facts = {"source_sha256": record["source"]["sha256"], "working_spacing_mm": first.grid.spacing_mm[0]}
    return Patient(record["id"], (first, *later), facts)


def _read_epoch(folder: Path, entry: Mapping[str, Any], grid: Grid | None) -> Epoch:
    """Return one day; on `grid`, the working grid of the first day, unless it is the first."""
    density = read_volume(folder / "density.nii.gz", Quantity.DENSITY)
    if grid is not None and density.grid.offset_in(grid) != (0, 0, 0):
        raise InputError(folder / "density.nii.gz", "voxels", "must be those of the first day")
    image = _signal(folder / "mr.nii.gz", density.grid, first=grid is None)
    structures = {}
    for name, told in entry["structures"].items():
        structure = read_structure(folder / "structures" / f"{name}.nii.gz", role=Role(told["role"]))
        structures[name] = onto(structure, density.grid, folder / "structures" / f"{name}.nii.gz")
    for path in images_in(folder / "structures"):
        if stem(path) not in structures:
            structures[stem(path)] = onto(read_structure(path, role=role_of(stem(path))), density.grid, path)
    if "external" not in structures or "brain" not in structures:
        raise InputError(folder, "structures", "a case needs 'external' and 'brain'")
    return Epoch(float(entry["day"]), {"t1gd": image, "density": density}, structures)


def _signal(path: Path, grid: Grid, *, first: bool) -> Volume:
    """Return the MR on the working grid: the first day at its own resolution is averaged, later ones lie on it."""
    image = read_image(path).upright
    if first:
        return averaged(Volume(image.grid, image.data, Quantity.MR_SIGNAL), grid)
    if image.grid.shape != grid.shape or image.grid.offset_in(grid) != (0, 0, 0):
        raise InputError(path, "voxels", "must be those of the first day")
    return Volume(grid, image.data, Quantity.MR_SIGNAL)


def is_case(folder: Path) -> bool:
    """Return whether a folder was written by `write_case`, rather than being one that `import_folder` can read."""
    return (folder / "case.json").is_file()


def case_files(folder: Path) -> list[Path]:
    """Return the files that a case, or a folder to import, consists of, sorted: what its hash must cover."""
    days = [path for _, path in day_folders(folder)] if folder.is_dir() else []
    if is_case(folder):
        parts = [folder, *days]
        return [folder / "case.json", *(f for p in parts for f in (*images_in(p), *images_in(p / "structures")))]
    return dicom_files(folder) + [f for p in (folder, *days) for f in images_in(p)]


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, "", f"cannot be read: {error}") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(path, "format", f"is not '{FORMAT}'")
    source, later = record.get("source"), record.get("later", [])
    _check_entry(path, record, "")
    if not isinstance(record.get("id"), str) or not is_name(record["id"].replace("-", "_")):
        raise InputError(path, "id", "must be a short name (a-z, 0-9, -)")
    if not isinstance(source, dict) or not isinstance(source.get("sha256"), str):
        raise InputError(path, "source.sha256", "is missing")
    if not isinstance(later, list) or not all(isinstance(entry, dict) for entry in later):
        raise InputError(path, "later", "must list the later days")
    for number, entry in enumerate(later):
        _check_entry(path, entry, f"later.{number}.")
    return record


def _check_entry(path: Path, entry: Mapping[str, Any], where: str) -> None:
    """Refuse what is told of one day if day or structures are not usable."""
    listed, day = entry.get("structures"), entry.get("day")
    if not isinstance(listed, dict) or not all(_is_structure(name, told) for name, told in listed.items()):
        raise InputError(path, f"{where}structures", "must map names (a-z, 0-9, _) to roles")
    if not isinstance(day, (int, float)) or not np.isfinite(day):
        raise InputError(path, f"{where}day", "must be a finite number")


def _is_structure(name: str, told: Any) -> bool:
    return is_name(name) and isinstance(told, dict) and told.get("role") in set(Role)
