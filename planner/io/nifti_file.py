"""The NIfTI-1 and NIfTI-2 file: header, geometry and voxels, read without trusting any of them.

The header is read here and not by a library because what matters most is what libraries pass over in silence: a zero
voxel size, qform and sform that disagree, a header that claims terabytes, scale factors that are NaN. RAS exists in
this file only. Format: R. W. Cox et al., nifti1.h (2007) and nifti2.h (2011), nifti.nimh.nih.gov.
"""

import gzip
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np

from phantoms.grid import Grid
from planner.io.atomic import whole_file
from planner.io.orient import check_size
from planner.treatment.errors import InputError

_FIELDS = (  # name; type and offset in NIfTI-1; type and offset in NIfTI-2
    ("sizeof_hdr", "i4", 0, "i4", 0),
    ("magic", "S4", 344, "S8", 4),
    ("datatype", "i2", 70, "i2", 12),
    ("bitpix", "i2", 72, "i2", 14),
    ("dim", "8i2", 40, "8i8", 16),
    ("intent_code", "i2", 68, "i4", 504),
    ("pixdim", "8f4", 76, "8f8", 104),
    ("vox_offset", "f4", 108, "i8", 168),
    ("scl_slope", "f4", 112, "f8", 176),
    ("scl_inter", "f4", 116, "f8", 184),
    ("xyzt_units", "u1", 123, "i4", 500),
    ("qform_code", "i2", 252, "i4", 344),
    ("sform_code", "i2", 254, "i4", 348),
    ("quatern", "3f4", 256, "3f8", 352),
    ("qoffset", "3f4", 268, "3f8", 376),
    ("srow", "(3,4)f4", 280, "(3,4)f8", 400),
    ("descrip", "S80", 148, "S80", 240),
)


def _record(kind: int, size: int) -> np.dtype:
    """Return the header as a record: `kind` 1 or 2, `size` bytes."""
    names = [field[0] for field in _FIELDS]
    formats = [field[2 * kind - 1] for field in _FIELDS]
    offsets = [field[2 * kind] for field in _FIELDS]
    layout: Any = {"names": names, "formats": formats, "offsets": offsets, "itemsize": size}
    return np.dtype(layout)


_NIFTI1, _NIFTI2 = _record(1, 348), _record(2, 540)
_INTEGERS = (np.uint8, np.int16)
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_CODES = {np.dtype(_TYPES[code]): code for code in (2, 4, 16)}
_DISPLACEMENT = 1006
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# qform and sform may differ by rounding; beyond this the file states two places for one voxel.
_SAME_PLACE_MM = 0.5
_READ_ERRORS = (OSError, EOFError, zlib.error)


class Lattice3D(NamedTuple):
    """Voxels as they lie in a file, with the matrix from index to LPS mm."""

    array: np.ndarray
    affine: np.ndarray


def read(path: Path) -> Lattice3D:
    """Return the scaled voxels, shape (n0, n1, n2), float32, of a NIfTI file and its LPS affine.

    Raises
    ------
    InputError
        Naming the file and the header field, if it is missing, not NIfTI, truncated, too large, not 3-D, or if its
        geometry or scaling is not usable.
    """
    try:
        with _opened(path) as stream:
            header, order = _header(stream, path)
            shape = _shape(header, path)
            affine = _affine(header, shape, path)
            return Lattice3D(_voxels(stream, (header, order, shape), path), affine)
    except FileNotFoundError:
        raise InputError(path, "", "no such file") from None
    except IsADirectoryError:
        raise InputError(path, "", "is a folder; a NIfTI file is needed") from None
    except _READ_ERRORS as error:
        raise InputError(path, "", f"cannot be read: {error}") from None


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def _header(stream: IO[bytes], path: Path) -> tuple[Any, str]:
    """Return the header record and the byte order of the file."""
    raw = stream.read(4)
    for kind in (_NIFTI1, _NIFTI2):
        for order in "<>":
            if raw == np.array(kind.itemsize, f"{order}i4").tobytes():
                raw += stream.read(kind.itemsize - 4)
                if len(raw) < kind.itemsize:
                    raise InputError(path, "header", f"is truncated after {len(raw)} bytes of {kind.itemsize}")
                header = np.frombuffer(raw, kind.newbyteorder("<" if order == "<" else ">"))[0]
                _check_magic(bytes(header["magic"]), path)
                return header, order
    raise InputError(path, "sizeof_hdr", "is not a NIfTI file (neither a NIfTI-1 nor a NIfTI-2 header)")


def _check_magic(magic: bytes, path: Path) -> None:
    if magic[:3] in (b"n+1", b"n+2"):
        return
    if magic[:2] == b"ni":
        raise InputError(path, "magic", "is one half of a .hdr/.img pair; convert it to a single .nii or .nii.gz")
    raise InputError(path, "magic", f"is not a NIfTI file: magic is {magic!r}, expected 'n+1' or 'n+2'")


def _shape(header: Any, path: Path) -> tuple[int, int, int]:
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7:
        raise InputError(path, "dim[0]", f"must be 1 to 7, got {dim[0]}")
    sizes = dim[1 : dim[0] + 1]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    check_size(tuple(sizes), path, "dim")
    return sizes[0], sizes[1], sizes[2]


def _affine(header: Any, shape: tuple[int, int, int], path: Path) -> np.ndarray:
    """Return the LPS affine: sform where it is set, else qform; refused where the two disagree or neither is set."""
    size = np.asarray(header["pixdim"][1:4], float)
    if not np.isfinite(size).all() or size.min() <= 0:
        raise InputError(path, "pixdim", f"voxel sizes must be positive and finite, got {size.tolist()}")
    forms = {}
    if header["sform_code"] > 0:
        forms["sform"] = np.vstack([np.asarray(header["srow"], float), [0, 0, 0, 1]])
    if header["qform_code"] > 0:
        forms["qform"] = _quaternion_affine(header, size)
    if not forms:
        raise InputError(path, "qform_code, sform_code", "both are 0: the file does not say where its voxels are")
    for name, form in forms.items():
        if not np.isfinite(form).all():
            raise InputError(path, name, "holds a NaN or an infinity")
    if len(forms) == 2:
        apart = _largest_shift(forms["sform"], forms["qform"], shape)
        if apart > _SAME_PLACE_MM:
            raise InputError(path, "sform, qform", f"place the same voxel up to {apart:.1f} mm apart; correct the file")
    affine = forms.get("sform", forms.get("qform"))
    assert affine is not None
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(lengths, size, rtol=1e-3):
        raise InputError(
            path, "pixdim, srow", f"voxel sizes disagree: pixdim {size.tolist()}, sform {lengths.tolist()}"
        )
    unit = int(header["xyzt_units"]) & 7
    if unit not in _MM_PER_UNIT:
        raise InputError(path, "xyzt_units", f"unknown unit of length {unit}")
    scale = np.diag([_MM_PER_UNIT[unit]] * 3 + [1.0])
    return _LPS_FROM_RAS @ scale @ affine


def _largest_shift(one: np.ndarray, other: np.ndarray, shape: tuple[int, int, int]) -> float:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    difference = (one - other)[:3, :3] @ corners + (one - other)[:3, 3:4]
    return float(np.linalg.norm(difference, axis=0).max())


def _quaternion_affine(header: Any, size: np.ndarray) -> np.ndarray:
    """Return the affine of the qform (nifti1.h, METHOD 2)."""
    b, c, d = (float(q) for q in header["quatern"])
    squared = b * b + c * c + d * d
    if squared > 1:
        b, c, d = (q / squared**0.5 for q in (b, c, d))
    a = max(0.0, 1 - min(squared, 1.0)) ** 0.5
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handedness = -1.0 if header["pixdim"][0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * size * [1, 1, handedness]
    affine[:3, 3] = header["qoffset"]
    return affine


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """Return b, c, d of the unit quaternion of a rotation: the inverse of the above.

    Each quotient for one component needs another to be large; the matrix of the products of all four has the quaternion
    as its eigenvector of the largest eigenvalue (Bar-Itzhack 2000, J Guid Control Dyn 23:1085).
    """
    r = rotation
    products = np.array(
        [
            [r[0, 0] + r[1, 1] + r[2, 2], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [0.0, r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]],
            [0.0, 0.0, r[1, 1] - r[0, 0] - r[2, 2], r[1, 2] + r[2, 1]],
            [0.0, 0.0, 0.0, r[2, 2] - r[0, 0] - r[1, 1]],
        ]
    )
    found = np.linalg.eigh(products, UPLO="U")[1][:, -1]
    first = found[np.abs(found) > 1e-6][0]
    return np.sign(first) * found[1:] + 0.0  # a is not negative, and no zero is


def _voxels(stream: IO[bytes], layout: tuple[Any, str, tuple[int, int, int]], path: Path) -> np.ndarray:
    """Return the scaled voxels; no more of the stream is read than the header needs, whatever it would expand to."""
    header, order, shape = layout
    code = int(header["datatype"])
    if code not in _TYPES:
        raise InputError(path, "datatype", f"code {code} is not supported; use an integer or real scalar type")
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        raise InputError(path, "scl_slope, scl_inter", f"must be finite, got {slope} and {intercept}")
    kind = np.dtype(_TYPES[code]).newbyteorder("<" if order == "<" else ">")
    gap = float(header["vox_offset"]) - header.dtype.itemsize
    if not 0 <= gap <= 1 << 24:
        raise InputError(path, "vox_offset", f"{header['vox_offset']} is not a place for voxels")
    stream.read(int(gap))
    wanted = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    raw = stream.read(wanted)
    if len(raw) < wanted:
        raise InputError(path, "voxels", f"is truncated: {len(raw)} bytes of voxels where dim needs {wanted}")
    stream.read(1)  # reaching the end makes gzip verify its checksum
    values = np.frombuffer(raw, kind).reshape(shape, order="F")
    if slope in (0.0, 1.0) and (intercept == 0.0 or slope == 0.0):
        return values.astype(np.float32)
    return (values * slope + intercept).astype(np.float32)


def write(path: Path, grid: Grid, data: np.ndarray, slope: float = 1.0, turn: np.ndarray | None = None) -> None:
    """Write an image on an LPS grid, whole or not at all; ``.nii`` or ``.nii.gz``.

    Integers keep their type; everything else is float32. qform and sform are both set (code 1), in RAS as the format
    wants it.

    Parameters
    ----------
    path : Path
    grid : Grid
    data : ndarray, shape ``grid.shape``
    slope : float
        What one unit of `data` is worth (``scl_slope``).
    turn : ndarray, shape (4, 4), optional
        A rotation and shift that takes LPS points of the patient to those of `grid`; none where they are the same.

    Raises
    ------
    InputError
        If the name has another ending or the folder cannot be written.
    """
    affine = grid.affine if turn is None else np.linalg.inv(turn) @ grid.affine
    values = data if data.dtype in _INTEGERS else data.astype(np.float32, copy=False)
    _write(path, _LPS_FROM_RAS @ affine, values, slope)


def write_displacement(path: Path, grid: Grid, shift: np.ndarray) -> None:
    """Write displacements, shape (3, *grid.shape), LPS mm, as a NIfTI vector image, whole or not at all.

    Intent DISPVECT: the format wants vectors in RAS as it wants places, and readers of such fields turn both.

    Raises
    ------
    InputError
        As `write`.
    """
    ras = shift * np.array([-1.0, -1.0, 1.0], np.float32)[:, None, None, None]
    vectors = np.moveaxis(ras, 0, -1)[:, :, :, None, :].astype(np.float32, copy=False)
    _write(path, _LPS_FROM_RAS @ grid.affine, vectors, 1.0)


def _write(path: Path, affine: np.ndarray, values: np.ndarray, slope: float) -> None:
    """Write voxels with their RAS affine, which is a rotation, a scaling and a shift."""
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(path, "", "images are written as NIfTI: the name must end in .nii.gz or .nii")
    header = np.zeros((), _NIFTI1.newbyteorder("<"))
    header["sizeof_hdr"], header["magic"], header["vox_offset"] = 348, b"n+1", 352
    header["dim"] = [values.ndim, *values.shape, *(1,) * (7 - values.ndim)]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    header["pixdim"] = [1, *spacing, 0, 0, 0, 0]
    header["intent_code"] = _DISPLACEMENT if values.ndim == 5 else 0
    header["datatype"] = _CODES[values.dtype]
    header["bitpix"] = values.dtype.itemsize * 8
    header["scl_slope"], header["xyzt_units"], header["descrip"] = slope, 2, b"lacuna"
    header["qform_code"] = header["sform_code"] = 1
    header["srow"] = affine[:3]
    header["quatern"], header["qoffset"] = _quaternion(affine[:3, :3] / spacing), affine[:3, 3]
    start = header.tobytes() + b"\0\0\0\0"
    voxels = np.ascontiguousarray(values.T, values.dtype.newbyteorder("<")).data.cast("B")  # the first index is fastest
    with whole_file(path) as temporary, temporary.open("wb") as file:
        if path.name.endswith(".gz"):
            # A gzip header without time and name, so that equal images are equal files. Only runs of one value are
            # looked for: masks have nothing else, and noise repeats nothing.
            packing = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
            for part in (start, voxels):
                file.write(packing.compress(part))
            file.write(packing.flush())
        else:
            file.write(start)
            file.write(voxels)
