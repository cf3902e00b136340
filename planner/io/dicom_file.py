"""One DICOM file, read without trusting it: size, transfer syntax and nesting are checked before anything expands.

No text of a DICOM file ever becomes part of a path, and no text of it leaves this package except the short codes that
`planner.io.dicom` lists by name.
"""

from pathlib import Path
from typing import Any

import numpy as np

from planner.treatment.errors import InputError

MAX_FILE_BYTES = 1 << 30
MAX_PIXELS = 8192 * 8192
# Uncompressed little and big endian, and RLE, whose expanded size Rows and Columns fix.
READABLE_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5")
_DEFLATED = "1.2.840.10008.1.2.1.99"
_DIRECTORY = "1.2.840.10008.1.3.10"


def tag(keyword: str) -> str:
    """Return a keyword with its tag, as messages show it: ``Rows (0028,0010)``."""
    from pydicom.datadict import tag_for_keyword

    number = tag_for_keyword(keyword) or 0
    return f"{keyword} ({number >> 16:04X},{number & 0xFFFF:04X})"


def is_dicom(path: Path) -> bool:
    """Return whether a file carries the DICOM magic after its preamble."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_header(path: Path) -> Any:
    """Return the dataset of a DICOM file without its pixels, or None for a DICOMDIR.

    Raises
    ------
    InputError
        If the file is too large, deflated or compressed, nested too deeply or damaged.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(path, "", f"is larger than {MAX_FILE_BYTES >> 20} MB")
    import pydicom

    meta = guarded(lambda: pydicom.filereader.read_file_meta_info(path), path)
    if str(meta.get("MediaStorageSOPClassUID", "")) == _DIRECTORY:
        return None
    syntax = str(meta.get("TransferSyntaxUID", ""))
    if syntax == _DEFLATED:
        raise InputError(path, tag("TransferSyntaxUID"), "deflated files are not read (they can expand without bound)")
    if syntax not in READABLE_SYNTAXES:
        raise InputError(
            path, tag("TransferSyntaxUID"), f"{_clean(syntax)} is compressed or unknown; decompress it (gdcmconv --raw)"
        )
    return guarded(lambda: pydicom.dcmread(path, stop_before_pixels=True), path)


def read_pixels(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Return the stored values, shape (rows, columns), of a file whose header was accepted.

    Raises
    ------
    InputError
        If the pixels are missing, truncated or of another shape.
    """
    import pydicom

    def pixels() -> np.ndarray:
        return np.asarray(pydicom.dcmread(path).pixel_array)

    array = guarded(pixels, path, tag("PixelData"))
    if array.shape != shape:
        raise InputError(path, tag("PixelData"), f"has the shape {array.shape}, expected {shape}")
    return array


def number(dataset: Any, keyword: str, path: Path, count: int = 1) -> np.ndarray:
    """Return `count` finite numbers of an element, shape (count,).

    Raises
    ------
    InputError
        If the element is missing, has another number of values, or holds something that is no finite number.
    """
    value = guarded(lambda: dataset.get(keyword), path, tag(keyword))
    try:
        listed = [value] if isinstance(value, (int, float, str)) else list(value if value is not None else [])
        values = np.array([float(v) for v in listed])
    except (ValueError, TypeError, OverflowError):
        raise InputError(path, tag(keyword), "is not a number") from None
    if len(values) != count:
        raise InputError(path, tag(keyword), f"has {len(values)} values, expected {count}")
    if not np.isfinite(values).all():
        raise InputError(path, tag(keyword), f"must be finite, got {values.tolist()}")
    return values


def code(dataset: Any, keyword: str) -> str:
    """Return a short coded value (CS, UI) reduced to letters, digits, dots, spaces, underscores; empty if absent."""
    try:
        return _clean(str(dataset.get(keyword, "") or ""))
    except Exception:
        # Elements are parsed when they are first read; a damaged one is as good as none.
        return ""


def _clean(text: str) -> str:
    return "".join(c for c in text if c.isascii() and (c.isalnum() or c in "._ "))[:64]


def guarded(action: Any, path: Path, where: str = "") -> Any:
    """Run a parser on a hostile file: whatever it throws becomes one InputError."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return action()
    except RecursionError:
        raise InputError(path, where, "is not read: sequences are nested too deeply") from None
    except MemoryError:
        raise InputError(path, where, "is not read: it claims more memory than there is") from None
    except Exception as error:
        # Damaged files make the parser raise almost any type; each means the same: this file is not usable.
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(path, where, f"is damaged or not a usable DICOM file: {reason}") from None
