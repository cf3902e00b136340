"""A DICOM structure set on the slices of its image: named regions as occupied fractions.

Contours are filled by the even-odd rule, so that holes and keyholes stay empty; each stands for a slab that reaches
half-way to the next plane, half a slice at the ends. Names of regions are free text and may tell of the patient: only
those that the table ``library/rois`` or the user names are read, under the name of the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phantoms.structure import Structure
from planner import library
from planner.io.contours import box_of, filled, skipped
from planner.io.dicom import Series
from planner.io.dicom_file import code, guarded, read_header, tag
from planner.io.orient import check_size, occupied, on_patient_axes
from planner.treatment.constant import Frozen
from planner.treatment.errors import InputError

MAX_BYTES = 200 << 20
MAX_ROIS, MAX_CONTOURS, MAX_POINTS = 500, 100_000, 5_000_000
# A contour is of a slice if its points stray from a plane by less than this part of the slice spacing.
_FLAT = 0.1
# Planes closer than this are one, in slices: rounding of coordinates in files.
_SAME = 0.02
_TABLE = "standard"


class RoiNames(Frozen):
    """Which names of regions mean which structure: a library file ``rois/<name>.toml``.

    Attributes
    ----------
    name, source : str
    structures : dict of str to tuple of str
        Names that a structure may have, compared without case, blanks and punctuation.
    """

    name: str
    source: str
    structures: dict[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class StructureSet:
    """What a structure set gives.

    Attributes
    ----------
    structures : mapping of str to Structure
        On axis-aligned windows; on the voxels of the image where that is axis-aligned.
    facts : mapping
        Numbers for the record: regions read and left out, part of each that lies on the image if not all of it, planes
        without a contour between others of a region.
    """

    structures: Mapping[str, Structure]
    facts: Mapping[str, Any]


def structure_sets(files: Sequence[Path]) -> list[tuple[Path, Any]]:
    """Return path and header of the structure sets among DICOM files.

    Raises
    ------
    InputError
        If one is too large or damaged.
    """
    found = []
    for path in files:
        header = read_header(path)
        if header is not None and code(header, "Modality") == "RTSTRUCT":
            if path.stat().st_size > MAX_BYTES:
                raise InputError(path, "", f"is a structure set larger than {MAX_BYTES >> 20} MB")
            found.append((path, header))
    return found


def set_of(sets: Sequence[tuple[Path, Any]], series: Series, folder: Path) -> tuple[Path, Any] | None:
    """Return the structure set that was drawn on a series, or None if there is none.

    Raises
    ------
    InputError
        If several were, or if the only one was drawn on another frame of reference.
    """
    exact = [one for one in sets if series.uid in _referenced(*one)]
    alike = [one for one in sets if _frame(one[1]) == series.frame_of_reference]
    found = exact or alike or (list(sets) if series.alone else [])
    if len(found) > 1:
        raise InputError(folder, tag("Modality"), f"holds {len(found)} structure sets of one series: keep one of them")
    return found[0] if found else None


def _frame(header: Any) -> str:
    frames = [code(item, "FrameOfReferenceUID") for item in header.get("ReferencedFrameOfReferenceSequence") or []]
    return code(header, "FrameOfReferenceUID") or next(iter(frames), "")


def _referenced(path: Path, header: Any) -> set[str]:
    """Return the UIDs of the series that a structure set says it was drawn on."""
    found = [header]
    for keyword in ("ReferencedFrameOfReferenceSequence", "RTReferencedStudySequence", "RTReferencedSeriesSequence"):
        found = [inner for item in found for inner in _sequence(path, item, keyword)]
    return {code(item, "SeriesInstanceUID") for item in found} - {""}


def read_structure_set(path: Path, header: Any, series: Series, given: Mapping[str, str]) -> StructureSet:
    """Return the regions of a structure set that are known by name.

    Parameters
    ----------
    path : Path
    header : pydicom.Dataset
    series : Series
        The image; it must have the frame of reference of the regions.
    given : mapping of str to str
        Structure by the name of a region, before the table.

    Raises
    ------
    InputError
        Naming the file and the tag: another frame of reference, contours that lie in no slice or outside of the image,
        two regions of one structure, numbers that are not finite, more of anything than a plan has.
    """
    named = _named(path, header, given)
    _check_frames(path, header, named, series)
    contours = _contours(path, header, set(named))
    structures, partial, gaps = {}, {}, {}
    for number, name in named.items():
        if contours.get(number):
            planes = _planes(path, name, contours[number], series)
            structures[name], share = _structure(path, name, planes, series)
            if share < 0.9995:
                partial[name] = round(share, 4)
            if missing := skipped(sorted(planes)):
                gaps[name] = missing
    listed = len(_sequence(path, header, "StructureSetROISequence"))
    facts = {
        "regions": listed,
        "read": len(structures),
        "left_out": listed - len(structures),
        "share_on_image": partial,
        "planes_skipped": gaps,
    }
    return StructureSet(structures, facts)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _named(path: Path, header: Any, given: Mapping[str, str]) -> dict[int, str]:
    """Return the structure of each region that is known, by the region's number."""
    table = library.load("rois", _TABLE, RoiNames)
    known = {_plain(alias): name for name, aliases in table.structures.items() for alias in (name, *aliases)}
    known |= {_plain(alias): name for alias, name in given.items()}
    found: dict[int, str] = {}
    listed = _sequence(path, header, "StructureSetROISequence")
    if len(listed) > MAX_ROIS:
        raise InputError(path, tag("StructureSetROISequence"), f"lists {len(listed)} regions; at most {MAX_ROIS}")
    seen = set()
    for item in listed:
        alias = _plain(str(guarded(lambda item=item: item.get("ROIName", ""), path, tag("ROIName"))))
        seen.add(alias)
        if alias in known:
            if known[alias] in found.values():
                problem = f"two regions are '{known[alias]}': choose one with --roi {known[alias]}=NAME"
                raise InputError(path, tag("ROIName"), problem)
            found[_number(path, item, "ROINumber")] = known[alias]
    if missing := sorted(name for alias, name in given.items() if _plain(alias) not in seen):
        raise InputError(path, tag("ROIName"), f"no region has the name that --roi gives for: {', '.join(missing)}")
    return found


def _check_frames(path: Path, header: Any, named: Mapping[int, str], series: Series) -> None:
    """Refuse regions in another frame of reference than the image's: they would lie anywhere."""
    whole = _frame(header)
    for item in _sequence(path, header, "StructureSetROISequence"):
        frame = code(item, "ReferencedFrameOfReferenceUID") or whole
        if _number(path, item, "ROINumber") in named and frame != series.frame_of_reference:
            problem = "differs from the frame of reference of the images: the structures belong to another series"
            raise InputError(path, tag("ReferencedFrameOfReferenceUID"), problem)


def _contours(path: Path, header: Any, wanted: set[int]) -> dict[int, list[np.ndarray]]:
    """Return the closed contours, each shape (n, 3), LPS mm, of the regions that are wanted."""
    found: dict[int, list[np.ndarray]] = {}
    points = count = 0
    for item in _sequence(path, header, "ROIContourSequence"):
        number = _number(path, item, "ReferencedROINumber")
        if number not in wanted:
            continue
        for contour in _sequence(path, item, "ContourSequence"):
            values = _coordinates(path, contour)
            count, points = count + 1, points + len(values)
            if count > MAX_CONTOURS or points > MAX_POINTS:
                raise InputError(path, tag("ContourData"), "holds more contours than any plan has")
            # Single points and lines enclose nothing.
            if code(contour, "ContourGeometricType") in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "") and len(values) > 2:
                found.setdefault(number, []).append(values)
    return found


def _coordinates(path: Path, contour: Any) -> np.ndarray:
    where = tag("ContourData")
    raw = guarded(lambda: list(contour.get("ContourData") or []), path, where)
    values = guarded(lambda: np.array(raw, float), path, where)
    if len(values) % 3 or not np.isfinite(values).all():
        raise InputError(path, where, "must hold x, y, z of each point, all finite")
    return values.reshape(-1, 3)


def _planes(path: Path, name: str, contours: Sequence[np.ndarray], series: Series) -> dict[float, list[np.ndarray]]:
    """Return the contours of a region in the index of the image, by the third index of their plane."""
    inverse = np.linalg.inv(series.affine)
    planes: dict[float, list[np.ndarray]] = {}
    for points in contours:
        index = points @ inverse[:3, :3].T + inverse[:3, 3]
        if np.ptp(index[:, 2]) > _FLAT:
            problem = f"a contour of '{name}' does not lie in one slice of the images"
            raise InputError(path, tag("ContourData"), problem)
        place = float(index[:, 2].mean())
        near = next((p for p in planes if abs(p - place) < _SAME), place)
        planes.setdefault(near, []).append(index[:, :2])
    return planes


def _structure(
    path: Path, name: str, planes: Mapping[float, Sequence[np.ndarray]], series: Series
) -> tuple[Structure, float]:
    """Return a structure and the part of it that lies on the image."""
    where = tag("ContourData")
    affine, shape = series.affine, series.shape
    low, high = box_of(planes)
    if (np.abs(np.concatenate([low, high])) > 10 * max(shape)).any():
        raise InputError(path, where, f"'{name}' reaches implausibly far from the images")
    check_size(tuple(int(n) for n in high - low + 1), path, where)
    body = filled(planes)
    share = body.share_within(shape)
    if share == 0.0:
        raise InputError(path, where, f"'{name}' lies outside of the images")
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ np.asarray(body.low, float)
    return replace(on_patient_axes(*occupied(body.occupancy, moved, path)), name=name), share


def _sequence(path: Path, dataset: Any, keyword: str) -> list[Any]:
    return guarded(lambda: list(dataset.get(keyword) or []), path, tag(keyword))


def _number(path: Path, item: Any, keyword: str) -> int:
    return guarded(lambda: int(item.get(keyword)), path, tag(keyword))
