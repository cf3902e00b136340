"""Cases: a real patient, imported once from DICOM or NIfTI, as a folder of NIfTI files and one ``case.json``.

    mr.nii.gz             the image at its own resolution, in LPS order
    density.nii.gz        bulk density, g/cm3, on the working grid
    structures/*.nii.gz   occupied fractions on the working grid
    case.json             provenance: hashes, spacing, what was resampled; no identity, no dates, no file names

Structures may be corrected in any contouring program before the case is used: it is read as it lies there.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phantoms.grid import Grid
from phantoms.patient import Epoch, Patient
from phantoms.resampling import averaged
from phantoms.structure import Role, Structure
from phantoms.synthetic_ct import bulk_density, segmented
from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.io.atomic import whole_folder
from planner.io.dicom import dicom_files, read_series
from planner.io.nifti import ENDINGS, read_image, read_structure, read_volume, stem, write_structure, write_volume
from planner.io.orient import Upright
from planner.treatment.errors import InputError

FORMAT = "lacuna case 1"
# Names that an image file may have; any other NIfTI file in the folder is a mask, named after the structure.
IMAGE_NAMES = ("mr", "t1gd", "t1ce", "t1c", "t1")
DENSITY_NAME = "density"
_ROLES = {
    "external": Role.EXTERNAL,
    "tumour": Role.TRUTH,
    "cavity": Role.TRUTH,
    "residual": Role.TRUTH,
    "gtv": Role.TARGET,
    "ctv": Role.TARGET,
    "ptv": Role.TARGET,
    "skull": Role.SUPPORT,
    "intracranial": Role.SUPPORT,
    "air_cavities": Role.SUPPORT,
}


@dataclass(frozen=True, eq=False)
class Imported:
    """A real patient in memory, with what is written beside it.

    Attributes
    ----------
    patient : Patient
        One epoch: ``t1gd`` and ``density`` on the working grid, structures.
    image : Volume
        The MR at its own resolution.
    record : mapping
        What ``case.json`` holds.
    """

    patient: Patient
    image: Volume
    record: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Source:
    """What was found in a folder: the image, masks that came with it, and where it all came from."""

    image: Upright
    given: Mapping[str, Structure]
    density: Volume | None
    facts: Mapping[str, Any]
    files: tuple[Path, ...]


def import_folder(folder: Path, *, spacing_mm: float = 1.0, series: str | None = None, day: float = 0.0) -> Imported:
    """Return the patient in a folder of one DICOM MR series, or of a NIfTI image and masks.

    Parameters
    ----------
    folder : Path
        DICOM files (in sub-folders too), or ``mr.nii.gz`` (or t1gd, t1ce, t1c, t1) with masks named after their
        structures: ``brain.nii.gz``, ``brainstem.nii.gz``; ``density.nii.gz`` if there is one. External, brain,
        intracranial, skull and air cavities that are not given are found in the image.
    spacing_mm : float
        Voxel size of the working grid.
    series : str, optional
        SeriesInstanceUID, where the folder holds several.
    day : float
        Day of the image, from surgery.

    Raises
    ------
    InputError
        If the folder is not usable; see `planner.io.dicom` and `planner.io.nifti`.
    """
    if not 0.3 <= spacing_mm <= 5:
        raise InputError("--spacing-mm", "", f"must lie between 0.3 and 5 mm, got {spacing_mm:g}")
    if not folder.is_dir():
        raise InputError(folder, "", "no such folder" if not folder.exists() else "is a file; a folder is needed")
    dicom = dicom_files(folder)
    source = _from_dicom(folder, series) if dicom else _from_nifti(folder)
    image = Volume(source.image.grid, source.image.data, Quantity.MR_SIGNAL)
    structures, density, found = _modelled(folder, source, image, spacing_mm)
    digest = _digest(source.files)
    patient_id = f"real-{digest[:8]}"
    volumes = {"t1gd": averaged(image, density.grid), "density": density}
    facts: dict[str, float | str] = {"source_sha256": digest, "working_spacing_mm": spacing_mm}
    record = {
        "format": FORMAT,
        "id": patient_id,
        "day": day,
        "software": f"lacuna {__version__}",
        "source": {**source.facts, "files": len(source.files), "sha256": digest},
        "image": {
            "shape": list(image.grid.shape),
            "spacing_mm": list(image.grid.spacing_mm),
            "resampled": source.image.resampled,
            "obliquity_deg": round(source.image.obliquity_deg, 4),
        },
        "working_grid": {"spacing_mm": spacing_mm, "shape": list(density.grid.shape)},
        "structures": {
            name: {"role": str(s.role), "volume_cc": round(s.volume_cc, 3), "origin": found[name]}
            for name, s in structures.items()
        },
    }
    return Imported(Patient(patient_id, (Epoch(day, volumes, structures),), facts), image, record)


def write_case(imported: Imported, out: Path) -> None:
    """Write a case, whole or not at all.

    Raises
    ------
    InputError
        If `out` exists already or cannot be written.
    """
    epoch = imported.patient.epochs[0]
    with whole_folder(out) as folder:
        write_volume(folder / "mr.nii.gz", imported.image)
        write_volume(folder / "density.nii.gz", epoch.volumes["density"])
        (folder / "structures").mkdir()
        for name, structure in epoch.structures.items():
            write_structure(folder / "structures" / f"{name}.nii.gz", structure, epoch.grid)
        (folder / "case.json").write_text(json.dumps(imported.record, indent=1) + "\n", encoding="utf-8")


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
    density = read_volume(folder / "density.nii.gz", Quantity.DENSITY)
    image = read_image(folder / "mr.nii.gz").upright
    structures = {}
    for name, entry in record["structures"].items():
        structure = read_structure(folder / "structures" / f"{name}.nii.gz", role=Role(entry["role"]))
        structures[name] = _onto(structure, density.grid, folder / "structures" / f"{name}.nii.gz")
    for path in _images_in(folder / "structures"):
        if stem(path) not in structures:
            structures[stem(path)] = _onto(read_structure(path, role=_role(stem(path))), density.grid, path)
    if "external" not in structures or "brain" not in structures:
        raise InputError(folder / "case.json", "structures", "a case needs 'external' and 'brain'")
    volumes = {"t1gd": averaged(Volume(image.grid, image.data, Quantity.MR_SIGNAL), density.grid), "density": density}
    facts = {"source_sha256": record["source"]["sha256"], "working_spacing_mm": density.grid.spacing_mm[0]}
    return Patient(record["id"], (Epoch(record["day"], volumes, structures),), facts)


def is_case(folder: Path) -> bool:
    """Return whether a folder was written by `write_case`, rather than being one that `import_folder` can read."""
    return (folder / "case.json").is_file()


def case_files(folder: Path) -> list[Path]:
    """Return the files that a case, or a folder to import, consists of, sorted: what its hash must cover."""
    if is_case(folder):
        return [folder / "case.json", *_images_in(folder), *_images_in(folder / "structures")]
    return dicom_files(folder) or _images_in(folder)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, "", f"cannot be read: {error}") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(path, "format", f"is not '{FORMAT}'")
    entries, day, source = record.get("structures"), record.get("day"), record.get("source")
    if not isinstance(entries, dict) or not all(_is_entry(name, entry) for name, entry in entries.items()):
        raise InputError(path, "structures", "must map names (a-z, 0-9, _) to roles")
    if not isinstance(day, (int, float)) or not np.isfinite(day):
        raise InputError(path, "day", "must be a finite number")
    if not isinstance(record.get("id"), str) or not _is_name(record["id"].replace("-", "_")):
        raise InputError(path, "id", "must be a short name (a-z, 0-9, -)")
    if not isinstance(source, dict) or not isinstance(source.get("sha256"), str):
        raise InputError(path, "source.sha256", "is missing")
    return record


def _is_entry(name: str, entry: Any) -> bool:
    return _is_name(name) and isinstance(entry, dict) and entry.get("role") in set(Role)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= 64 and name.isascii() and name.replace("_", "a").isalnum() and name == name.lower()


def _from_dicom(folder: Path, series: str | None) -> _Source:
    read = read_series(folder, series)
    return _Source(read.upright, {}, None, {"kind": "dicom", **read.facts}, read.files)


def _from_nifti(folder: Path) -> _Source:
    paths = _images_in(folder)
    if not paths:
        raise InputError(folder, "", "holds neither DICOM nor NIfTI files")
    by_name: dict[str, Path] = {}
    for path in paths:
        name = stem(path).lower().replace("-", "_").replace(" ", "_")
        if not _is_name(name):
            raise InputError(path, "", "name images and masks with letters, digits and underscores")
        if name in by_name:
            raise InputError(path, "", f"names the same as {by_name[name].name}")
        by_name[name] = path
    images = [name for name in IMAGE_NAMES if name in by_name]
    if len(images) != 1:
        problem = f"holds {len(images)} images ({', '.join(images)})" if images else "holds no image"
        raise InputError(
            folder, "", f"{problem}: name one file {' or '.join(f'{n}.nii.gz' for n in IMAGE_NAMES)}; others are masks"
        )
    image = read_image(by_name.pop(images[0]))
    density_path = by_name.pop(DENSITY_NAME, None)
    density = read_volume(density_path, Quantity.DENSITY) if density_path else None
    given = {name: read_structure(path, name=name, role=_role(name)) for name, path in by_name.items()}
    for name, structure in given.items():
        _check_overlap(structure, image.upright.grid, by_name[name])
    facts = {"kind": "nifti", "spacing_mm": list(image.spacing_mm)}
    return _Source(image.upright, given, density, facts, tuple(paths))


def _modelled(
    folder: Path, source: _Source, image: Volume, spacing_mm: float
) -> tuple[dict[str, Structure], Volume, dict[str, str]]:
    """Return structures and density on the working grid, and where each structure comes from."""
    try:
        made = segmented(image, spacing_mm)
    except ValueError as error:
        raise InputError(folder, "image", str(error)) from None
    head = made["external"].grid
    margin = round(8.0 / spacing_mm)
    grid = head.window([-margin] * 3, [n + margin for n in head.shape])
    structures = {**made, **{name: _onto(s, grid, name) for name, s in source.given.items()}}
    structures = {name: s for name, s in structures.items() if not s.is_empty}
    found = {name: "given" if name in source.given else "found in the image" for name in structures}
    density = bulk_density(grid, structures) if source.density is None else averaged(source.density, grid)
    if density.data.max() < 0.5:
        raise InputError(folder, "density", "does not overlap the head in the image")
    return structures, density, found


def _onto(structure: Structure, grid: Grid, source: Path | str) -> Structure:
    """Return a structure on voxels of `grid`, its volume kept by averaging, cropped."""
    if structure.grid.offset_in(grid) is not None:
        occupancy = structure.on(grid)
    else:
        # Outside of its grid a mask is empty, and the mean must know that.
        room = int(np.ceil(max(grid.spacing_mm) / min(structure.grid.spacing_mm))) + 1
        padded = structure.cropped(room)
        volume = Volume(padded.grid, padded.occupancy, Quantity.OCCUPANCY)
        occupancy = np.clip(averaged(volume, grid).data, 0, 1)
    out = Structure(structure.name, structure.role, grid, occupancy)
    if out.is_empty:
        raise InputError(source, "voxels", "the mask does not overlap the head in the image")
    return out.cropped(1)


def _check_overlap(structure: Structure, grid: Grid, path: Path) -> None:
    box = structure.cropped().grid
    if np.any(box.low_mm >= grid.high_mm) or np.any(box.high_mm <= grid.low_mm):
        raise InputError(path, "voxels", "the mask does not overlap the image: another frame of reference?")


def _role(name: str) -> Role:
    return _ROLES.get(name, Role.ORGAN)


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().endswith(ENDINGS))


def _digest(files: Iterable[Path]) -> str:
    """Return one hash of the contents of files, whatever their names."""
    digest = hashlib.sha256()
    for one in sorted(hashlib.sha256(path.read_bytes()).digest() for path in files):
        digest.update(one)
    return digest.hexdigest()
