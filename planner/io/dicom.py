"""A DICOM MR series as one volume: one series, one frame of reference, every slice there, in its place.

Slices are placed by Image Position and Image Orientation (Patient) alone, never by file name, instance number or slice
thickness. No identity is kept: what is recorded are numbers of the acquisition and hashes.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from planner.io.dicom_file import MAX_PIXELS, code, is_dicom, number, read_header, read_pixels, tag
from planner.io.orient import Upright, check_size, upright
from planner.treatment.errors import InputError

MAX_FILES = 20_000
# A slice may be off its place in the stack by this part of the spacing (rounding of positions in headers).
_UNEVEN = 0.02
_ACQUISITION = ("MagneticFieldStrength", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "SliceThickness")
_DATES = ("AcquisitionDate", "SeriesDate", "StudyDate")
_CODES = ("ScanningSequence", "MRAcquisitionType", "PatientPosition", "PatientIdentityRemoved")


@dataclass(frozen=True)
class Slice:
    """One image of a series and what its header says of its geometry.

    Attributes
    ----------
    path : Path
    header : pydicom.Dataset
        Without pixels.
    position_mm : ndarray (3,)
        Image Position (Patient).
    rows_columns : tuple of 2 int
    spacing_mm : ndarray (2,)
        Between rows, between columns.
    cosines : ndarray (2, 3)
        Direction of a row (along which the column index grows), direction of a column.
    """

    path: Path
    header: Any
    position_mm: np.ndarray
    rows_columns: tuple[int, int]
    spacing_mm: np.ndarray
    cosines: np.ndarray


@dataclass(frozen=True, eq=False)
class Series:
    """An MR series as read, brought to LPS.

    Attributes
    ----------
    upright : Upright
    facts : mapping
        Acquisition numbers, spacing, number of slices, hash of the frame of reference: nothing that identifies.
    files : tuple of Path
        The slices in order along the normal.
    affine : ndarray, shape (4, 4)
        From the index (column, row, slice) of the series as it was stored to LPS mm.
    shape : tuple of 3 int
        Columns, rows, slices.
    frame_of_reference : str
        UID, for comparison only: it is written nowhere.
    uid : str
        Of the series; for comparison only, too.
    alone : bool
        Whether the folder holds no other series.
    """

    upright: Upright
    facts: dict[str, Any]
    files: tuple[Path, ...]
    affine: np.ndarray
    shape: tuple[int, int, int]
    frame_of_reference: str
    uid: str
    alone: bool


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files in a folder and its sub-folders, sorted.

    Raises
    ------
    InputError
        If there are more than `MAX_FILES` files.
    """
    found = []
    for n, path in enumerate(folder.rglob("*")):
        if n >= MAX_FILES:
            raise InputError(folder, "", f"holds more than {MAX_FILES} files; give the folder of one series")
        if path.is_file() and is_dicom(path):
            found.append(path)
    return sorted(found)


def read_series(folder: Path, series: str | None = None) -> Series:
    """Return the MR series in a folder.

    Parameters
    ----------
    folder : Path
    series : str, optional
        SeriesInstanceUID, needed where the folder holds several.

    Raises
    ------
    InputError
        Naming the file and the tag: several series, another modality, several frames of reference, a missing or
        doubled slice, slices that disagree, numbers that are not finite, damaged files.
    """
    groups = _groups(dicom_files(folder))
    chosen, alone = _choose(folder, groups, series), len(groups) == 1
    slices = [_slice(path, header) for path, header in chosen]
    _check_same(slices)
    ordered, step = _ordered(slices, folder)
    first = ordered[0]
    rows, columns = first.rows_columns
    check_size((columns, rows, len(ordered)), folder, "series")
    array = np.empty((columns, rows, len(ordered)), np.float32)
    for k, one in enumerate(ordered):
        array[:, :, k] = _values(one).T
    affine = np.eye(4)
    affine[:3, 0] = first.cosines[0] * first.spacing_mm[1]
    affine[:3, 1] = first.cosines[1] * first.spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position_mm
    if not array.any():
        raise InputError(folder, tag("PixelData"), "every pixel of the series is zero")
    return Series(
        upright(array, affine, folder),
        _facts(ordered, step),
        tuple(s.path for s in ordered),
        affine,
        array.shape,
        code(first.header, "FrameOfReferenceUID"),
        code(first.header, "SeriesInstanceUID"),
        alone,
    )


def series_by_date(folder: Path) -> list[tuple[float, str]]:
    """Return days since the first and UID of the MR series in a folder, if it holds one of each of several dates.

    Dates are of acquisition, else of series or study; they are compared and not kept.

    Returns
    -------
    list of (float, str)
        In order of time; empty if a date is missing or has two series.
    """
    dated: dict[datetime, str] = {}
    for uid, images in _groups(dicom_files(folder)).items():
        if code(images[0][1], "Modality") != "MR":
            continue
        told = (code(images[0][1], keyword) for keyword in _DATES)
        try:
            day = datetime.strptime(next((date for date in told if date), ""), "%Y%m%d")
        except ValueError:
            return []
        if day in dated:
            return []
        dated[day] = uid
    return [((day - min(dated)).days, uid) for day, uid in sorted(dated.items())]


def _groups(files: list[Path]) -> dict[str, list[tuple[Path, Any]]]:
    """Return path and header of every image, by series."""
    groups: dict[str, list[tuple[Path, Any]]] = {}
    for path in files:
        header = read_header(path)
        if header is not None and _is_image(path, header):
            groups.setdefault(code(header, "SeriesInstanceUID"), []).append((path, header))
    return groups


def _choose(folder: Path, groups: Mapping[str, list[tuple[Path, Any]]], wanted: str | None) -> list[tuple[Path, Any]]:
    """Return path and header of every image of the one series, or of the one that was asked for."""
    if not groups:
        raise InputError(folder, "", "holds no DICOM image")
    listed = "; ".join(
        f"{uid or '(none)'} ({code(g[0][1], 'Modality') or 'no modality'}, {len(g)} images)"
        for uid, g in sorted(groups.items())
    )
    if wanted is not None:
        if wanted not in groups:
            raise InputError(folder, tag("SeriesInstanceUID"), f"no series {wanted}. It holds: {listed}")
        return groups[wanted]
    if len(groups) > 1:
        raise InputError(
            folder, tag("SeriesInstanceUID"), f"holds {len(groups)} series; choose one with --series: {listed}"
        )
    return next(iter(groups.values()))


def _is_image(path: Path, header: Any) -> bool:
    """Whether a file holds an image; structure sets and reports lie beside many series and are passed over."""
    if "Rows" in header:
        return True
    if code(header, "Modality") in ("", "MR") or not code(header, "SOPClassUID"):
        raise InputError(path, tag("Rows"), "is missing: the file is damaged or truncated")
    return False


def _slice(path: Path, header: Any) -> Slice:
    modality = code(header, "Modality")
    if modality != "MR":
        raise InputError(path, tag("Modality"), f"is '{modality}': an MR series is needed")
    for keyword, told in (
        ("NumberOfFrames", "multi-frame images are not read: convert to one file a slice"),
        ("SamplesPerPixel", "a grey image is needed"),
    ):
        if keyword in header and number(header, keyword, path)[0] != 1:
            raise InputError(path, tag(keyword), told)
    if code(header, "PhotometricInterpretation") not in ("MONOCHROME2", ""):
        raise InputError(path, tag("PhotometricInterpretation"), "a grey image (MONOCHROME2) is needed")
    rows, columns = (int(number(header, key, path)[0]) for key in ("Rows", "Columns"))
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        raise InputError(path, f"{tag('Rows')}, {tag('Columns')}", f"{rows} x {columns} is not a size of an MR slice")
    spacing = number(header, "PixelSpacing", path, 2)
    if spacing.min() <= 0:
        raise InputError(path, tag("PixelSpacing"), f"must be positive, got {spacing.tolist()}")
    cosines = number(header, "ImageOrientationPatient", path, 6).reshape(2, 3)
    if not np.allclose(cosines @ cosines.T, np.eye(2), atol=1e-3):
        raise InputError(path, tag("ImageOrientationPatient"), "is not a pair of perpendicular unit vectors")
    position = number(header, "ImagePositionPatient", path, 3)
    return Slice(path, header, position, (rows, columns), spacing, cosines)


def _check_same(slices: list[Slice]) -> None:
    """Refuse a series whose slices disagree in frame of reference, size, spacing or orientation."""
    first = slices[0]
    for other in slices[1:]:
        for keyword, same in (
            (
                "FrameOfReferenceUID",
                code(first.header, "FrameOfReferenceUID") == code(other.header, "FrameOfReferenceUID"),
            ),
            ("Rows", first.rows_columns[0] == other.rows_columns[0]),
            ("Columns", first.rows_columns[1] == other.rows_columns[1]),
            ("PixelSpacing", np.allclose(first.spacing_mm, other.spacing_mm, rtol=1e-4)),
            ("ImageOrientationPatient", np.allclose(first.cosines, other.cosines, atol=1e-4)),
        ):
            if not same:
                raise InputError(
                    other.path, tag(keyword), f"differs from that of {first.path.name}: one volume needs one"
                )


def _ordered(slices: list[Slice], folder: Path) -> tuple[list[Slice], np.ndarray]:
    """Return the slices along the normal and the vector from one to the next; refuse gaps and doubles."""
    where = tag("ImagePositionPatient")
    if len(slices) < 2:
        raise InputError(folder, where, "holds a single slice; a volume is needed")
    normal = np.cross(*slices[0].cosines)
    ordered = sorted(slices, key=lambda s: float(s.position_mm @ normal))
    along = np.array([s.position_mm @ normal for s in ordered])
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    for n, gap in enumerate(gaps):
        pair = f"{ordered[n].path.name} and {ordered[n + 1].path.name}"
        if gap < 0.01 or usual < 0.01:
            raise InputError(folder, where, f"{pair} lie in the same place ({along[n]:.2f} mm along the normal)")
        if abs(gap - usual) > _UNEVEN * usual:
            missing = f": {round(gap / usual) - 1} slice(s) missing" if gap > 1.5 * usual else ""
            raise InputError(
                folder,
                where,
                f"the gap between {pair} (at {along[n]:.2f} and {along[n + 1]:.2f} mm along the normal) is "
                f"{gap:.3f} mm, elsewhere {usual:.3f} mm{missing}",
            )
    positions = np.array([s.position_mm for s in ordered])
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    off = np.linalg.norm(positions - positions[0] - np.arange(len(ordered))[:, None] * step, axis=1)
    if off.max() > max(_UNEVEN * usual, 0.01):
        worst = ordered[int(off.argmax())].path
        raise InputError(worst, where, f"lies {off.max():.2f} mm beside the line of the other slices")
    return ordered, step


def _values(one: Slice) -> np.ndarray:
    """Return the rescaled values of a slice, shape (rows, columns), float32."""
    slope, intercept = (
        float(number(one.header, key, one.path)[0]) if key in one.header else default
        for key, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if slope == 0:
        raise InputError(one.path, tag("RescaleSlope"), "must not be zero")
    values = (read_pixels(one.path, one.rows_columns) * slope + intercept).astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(one.path, tag("PixelData"), "holds values that are NaN or infinite")
    return values


def _facts(ordered: list[Slice], step: np.ndarray) -> dict[str, Any]:
    """Return what of the headers may be kept: numbers of the acquisition, coded values, hashes."""
    first = ordered[0]
    facts: dict[str, Any] = {
        "modality": "MR",
        "slices": len(ordered),
        "rows_columns": list(first.rows_columns),
        "pixel_spacing_mm": first.spacing_mm.tolist(),
        "slice_spacing_mm": float(np.linalg.norm(step)),
        "frame_of_reference_sha256": hashlib.sha256(code(first.header, "FrameOfReferenceUID").encode()).hexdigest()[
            :16
        ],
    }
    for keyword in _ACQUISITION:
        # Records only: a series with an unreadable echo time is still in its place.
        with suppress(InputError):
            facts[keyword] = float(number(first.header, keyword, first.path)[0])
    for keyword in _CODES:
        value = code(first.header, keyword)
        if value:
            facts[keyword] = value
    return facts
