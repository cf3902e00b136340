"""Real patients as they are imported: one MR series or image a day, with structures, in one frame of reference.

A folder holds one day, or a sub-folder ``day_<number>`` for each day from surgery, or DICOM series of several dates.
The first day sets the frame: later days are registered rigidly to it, unless they share its frame of reference.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from phantoms.carrying import around, carried
from phantoms.distance import has_surface
from phantoms.grid import Grid
from phantoms.patient import Epoch, Patient
from phantoms.resampling import averaged
from phantoms.structure import Role, Structure
from phantoms.synthetic_ct import bulk_density, segmented
from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.io.dicom import dicom_files, read_series, series_by_date
from planner.io.nifti import ENDINGS, read_image, read_structure, read_volume, stem
from planner.io.orient import Upright
from planner.io.registration import Rigid, registered
from planner.io.rtstruct import read_structure_set, set_of, structure_sets
from planner.treatment.errors import InputError

FORMAT = "lacuna case 1"
# Names that an image file may have; any other NIfTI file in the folder is a mask, named after the structure.
IMAGE_NAMES = ("mr", "t1gd", "t1ce", "t1c", "t1")
DENSITY_NAME = "density"
# Days from surgery, before or after: what the names of folders hold.
MAX_DAYS = 9999
_DAY = re.compile(r"day_(-?\d{1,4}(?:\.\d{1,3})?)")
# What belongs to one day alone.
LESION = ("tumour", "cavity", "residual", "air", "gtv", "ctv", "ptv")
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
        One epoch a day: ``t1gd`` and ``density`` on the working grid of the first day, structures.
    image : Volume
        The MR of the first day at its own resolution.
    record : mapping
        What ``case.json`` holds.
    """

    patient: Patient
    image: Volume
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """How the user wants a folder read.

    Attributes
    ----------
    rois : mapping of str to str
        Structure by the name that a region has in a structure set.
    same_frame : bool
        The images of all days share one frame already: nothing is registered.
    """

    rois: Mapping[str, str] = field(default_factory=dict)
    same_frame: bool = False


@dataclass(frozen=True, eq=False)
class _Source:
    """What was found of one day: the image, masks that came with it, and where it all came from."""

    image: Upright
    given: Mapping[str, Structure]
    density: Volume | None
    facts: Mapping[str, Any]
    files: tuple[Path, ...]
    frame: str = ""

    @property
    def volume(self) -> Volume:
        """The image at its own resolution."""
        return Volume(self.image.grid, self.image.data, Quantity.MR_SIGNAL)


def import_folder(
    folder: Path,
    *,
    spacing_mm: float = 1.0,
    series: str | None = None,
    day: float = 0.0,
    reading: Reading = Reading(),
) -> Imported:
    """Return the patient in a folder of DICOM MR series and structure sets, or of NIfTI images and masks.

    Parameters
    ----------
    folder : Path
        DICOM files (in sub-folders too), or ``mr.nii.gz`` (or t1gd, t1ce, t1c, t1) with masks named after their
        structures: ``brain.nii.gz``, ``cavity.nii.gz``; ``density.nii.gz`` if there is one. Or sub-folders
        ``day_<number>`` of these. External, brain, intracranial, skull and air cavities that are not given are found
        in the image.
    spacing_mm : float
        Voxel size of the working grid.
    series : str, optional
        SeriesInstanceUID, where the folder holds several of one date.
    day : float
        Day of the image, or of the first of several dates, from surgery. Sub-folders name their own.
    reading : Reading

    Raises
    ------
    InputError
        If the folder is not usable; see `planner.io.dicom`, `planner.io.rtstruct` and `planner.io.nifti`.
    """
    if not abs(day) <= MAX_DAYS:
        raise InputError("--day", "", f"must be finite and between -{MAX_DAYS} and {MAX_DAYS}, got {day:g}")
    if not 0.3 <= spacing_mm <= 5:
        raise InputError("--spacing-mm", "", f"must lie between 0.3 and 5 mm, got {spacing_mm:g}")
    if not folder.is_dir():
        raise InputError(folder, "", "no such folder" if not folder.exists() else "is a file; a folder is needed")
    sources = _sources(folder, series, day, reading)
    (first_day, first), *others = sources
    epoch, entry = _epoch(folder, first_day, first, spacing_mm)
    epochs, later = [epoch], []
    for other_day, other in others:
        moved, told = _later(folder, other_day, (first, epoch), other, reading.same_frame)
        epochs.append(moved)
        later.append(told)
    digest = _digest([path for _, source in sources for path in source.files])
    patient_id = f"real-{digest[:8]}"
    facts: dict[str, float | str] = {"source_sha256": digest, "working_spacing_mm": spacing_mm}
    record = {
        "format": FORMAT,
        "id": patient_id,
        **entry,
        "software": f"lacuna {__version__}",
        "source": {**entry["source"], "sha256": digest},
        "working_grid": {"spacing_mm": spacing_mm, "shape": list(epoch.grid.shape)},
        **({"later": later} if later else {}),
    }
    return Imported(Patient(patient_id, tuple(epochs), facts), first.volume, record)


def day_folders(folder: Path) -> list[tuple[float, Path]]:
    """Return day and path of the sub-folders ``day_<number>``, in order of the day.

    Raises
    ------
    InputError
        If two name the same day.
    """
    named = [(match, path) for path in folder.iterdir() if path.is_dir() and (match := _DAY.fullmatch(path.name))]
    found = sorted((float(match[1]), path) for match, path in named)
    for (day, path), (other, _) in zip(found[1:], found, strict=False):
        if day == other:
            raise InputError(path, "", f"a second folder of day {day:g}")
    return found


def _sources(folder: Path, series: str | None, day: float, reading: Reading) -> list[tuple[float, _Source]]:
    """Return what lies in a folder, by day, in order."""
    days = day_folders(folder)
    if days:
        if images_in(folder):
            raise InputError(folder, "", "holds images beside its day_ folders: put each day into its own")
        return [(when, _of_day(path, series, reading)) for when, path in days]
    dated = series_by_date(folder) if series is None else []
    if len(dated) > 1:
        return [(day + since, _of_day(folder, uid, reading)) for since, uid in dated]
    return [(day, _of_day(folder, series, reading))]


def _of_day(folder: Path, series: str | None, reading: Reading) -> _Source:
    files = dicom_files(folder)
    return _from_dicom(folder, files, series, reading) if files else _from_nifti(folder)


def _epoch(folder: Path, day: float, source: _Source, spacing_mm: float) -> tuple[Epoch, dict[str, Any]]:
    """Return the first day on its working grid, and its part of the record."""
    image = source.volume
    structures, density, found = _modelled(folder, source, spacing_mm)
    volumes = {"t1gd": averaged(image, density.grid), "density": density}
    return Epoch(day, volumes, structures), {**_described(day, source), "structures": _listed(structures, found)}


def _later(
    folder: Path, day: float, base: tuple[_Source, Epoch], source: _Source, same_frame: bool
) -> tuple[Epoch, dict[str, Any]]:
    """Return a later day on the working grid of the first, and its part of the record.

    The head is rigid: outline, brain and organs are those of the first day where this day brings none of its own.
    """
    first, fixed = base
    own = Grid.covering(source.volume.grid.low_mm.tolist(), source.volume.grid.high_mm.tolist(), fixed.grid.spacing_mm)
    shared = same_frame or (source.frame != "" and source.frame == first.frame)
    image = averaged(source.volume, fixed.grid if shared else own)
    rigid = Rigid.still() if shared else registered(fixed, image, folder)
    kept = {name: s for name, s in fixed.structures.items() if name not in LESION}
    given = {name: rigid.structure(onto(s, own, name), fixed.grid) for name, s in source.given.items()}
    if lost := [name for name, structure in given.items() if not has_surface(structure)]:
        raise InputError(folder, f"day {day:g}", f"does not lie on the head of the first day: {', '.join(lost)}")
    density = fixed.volumes["density"]
    if source.density is not None:
        density = rigid.volume(averaged(source.density, own), fixed.grid, beyond=density)
    volumes = {"t1gd": image if shared else rigid.volume(image, fixed.grid, beyond=None), "density": density}
    structures = {**kept, **given}
    entry = {
        **_described(day, source),
        "registration": {"method": "none: one frame of reference"} if shared else rigid.described(),
        "structures": _listed(structures, {n: "given" if n in given else "of the first day" for n in structures}),
    }
    return Epoch(day, volumes, structures), entry


def _described(day: float, source: _Source) -> dict[str, Any]:
    """Return what the record tells of the images of a day."""
    return {
        "day": day,
        "source": {**source.facts, "files": len(source.files)},
        "image": {
            "shape": list(source.image.grid.shape),
            "spacing_mm": list(source.image.grid.spacing_mm),
            "resampled": source.image.resampled,
            "obliquity_deg": round(source.image.obliquity_deg, 4),
        },
    }


def _listed(structures: Mapping[str, Structure], found: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {
        name: {"role": str(s.role), "volume_cc": round(s.volume_cc, 3), "origin": found[name]}
        for name, s in structures.items()
    }


def _from_dicom(folder: Path, files: list[Path], uid: str | None, reading: Reading) -> _Source:
    series = read_series(folder, uid)
    facts: dict[str, Any] = {"kind": "dicom", **series.facts}
    chosen = set_of(structure_sets([path for path in files if path not in series.files]), series, folder)
    if chosen is None:
        return _Source(series.upright, {}, None, facts, series.files, series.frame_of_reference)
    found = read_structure_set(*chosen, series, reading.rois)
    given = {name: replace(structure, role=role_of(name)) for name, structure in found.structures.items()}
    facts["structure_set"] = found.facts
    return _Source(series.upright, given, None, facts, (*series.files, chosen[0]), series.frame_of_reference)


def _from_nifti(folder: Path) -> _Source:
    paths = images_in(folder)
    if not paths:
        raise InputError(folder, "", "holds neither DICOM nor NIfTI files")
    by_name: dict[str, Path] = {}
    for path in paths:
        name = stem(path).lower().replace("-", "_").replace(" ", "_")
        if not is_name(name):
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
    given = {name: read_structure(path, name=name, role=role_of(name)) for name, path in by_name.items()}
    for name, structure in given.items():
        _check_overlap(structure, image.upright.grid, by_name[name])
    facts = {"kind": "nifti", "spacing_mm": list(image.spacing_mm)}
    return _Source(image.upright, given, density, facts, tuple(paths))


def _modelled(folder: Path, source: _Source, spacing_mm: float) -> tuple[dict[str, Structure], Volume, dict[str, str]]:
    """Return structures and density on the working grid, and where each structure comes from."""
    try:
        made = _found_in(source.image, spacing_mm)
    except ValueError as error:
        raise InputError(folder, "image", str(error)) from None
    head = made["external"].grid
    margin = round(8.0 / spacing_mm)
    grid = head.window([-margin] * 3, [n + margin for n in head.shape])
    structures = {**made, **{name: onto(s, grid, name) for name, s in source.given.items()}}
    structures = {name: s for name, s in structures.items() if has_surface(s)}
    found = {name: "given" if name in source.given else "found in the image" for name in structures}
    density = bulk_density(grid, structures) if source.density is None else averaged(source.density, grid)
    if density.data.max() < 0.5:
        raise InputError(folder, "density", "does not overlap the head in the image")
    return structures, density, found


def _found_in(image: Upright, spacing_mm: float) -> dict[str, Structure]:
    """Return the structures seen in an image: in an oblique one along its own axes, where its faces end the scan."""
    seen = image.straight or image
    made = segmented(Volume(seen.grid, seen.data, Quantity.MR_SIGNAL), spacing_mm)
    if image.turn is None:
        return made
    grid = around(made["external"].grid, image.turn, spacing_mm)
    return {name: carried(structure, grid, image.turn) for name, structure in made.items()}


def onto(structure: Structure, grid: Grid, source: Path | str) -> Structure:
    """Return a structure on voxels of `grid`, its surface where it was, cropped."""
    if structure.grid.offset_in(grid) is not None:
        out = Structure(structure.name, structure.role, grid, structure.on(grid)).cropped(1)
    else:
        out = carried(structure, grid)
    if not has_surface(out):
        raise InputError(source, "voxels", "the mask does not overlap the head in the image")
    return out


def _check_overlap(structure: Structure, grid: Grid, path: Path) -> None:
    if not structure.cropped().grid.overlaps(grid):
        raise InputError(path, "voxels", "the mask does not overlap the image: another frame of reference?")


def role_of(name: str) -> Role:
    """Return the role of a structure by its name."""
    return _ROLES.get(name, Role.ORGAN)


def images_in(folder: Path) -> list[Path]:
    """Return the image files in a folder, not in its sub-folders, sorted."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().endswith(ENDINGS))


def is_name(name: str) -> bool:
    """Return whether a name is one of a structure: lower case, digits, underscores."""
    return 0 < len(name) <= 64 and name.isascii() and name.replace("_", "a").isalnum() and name == name.lower()


def _digest(files: Iterable[Path]) -> str:
    """Return one hash of the contents of files, whatever their names."""
    digest = hashlib.sha256()
    for one in sorted(hashlib.sha256(path.read_bytes()).digest() for path in files):
        digest.update(one)
    return digest.hexdigest()
