"""Volumes as small pictures: a WebP mosaic of axial slices, with the place of the first voxel and the step in mm.

The page decodes a mosaic into a volume and cuts all three planes from it, so that a volume travels once. Images are
compressed with loss. Doses and occupancies are exact: a dose is a whole number of steps in two bytes (red and green),
and a checksum travels with it, because some browsers alter pixels to hinder tracking.
"""

import base64
import io
import zlib
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from phantoms.grid import Grid

ZERO_CHANGE = 32768
_WIDEST_PIXELS = 4096  # of a mosaic: far below the limits of WebP (16383) and of canvases


@dataclass(frozen=True)
class Packed:
    """A volume as the page reads it.

    Attributes
    ----------
    grid : Grid
    step : float
        Value of one count.
    columns : int
        Slices side by side in the mosaic.
    checksum : int or None
        Adler-32 of the counts (two bytes a voxel, low byte first) where they are exact.
    webp : str
        The mosaic, base64.
    """

    grid: Grid
    step: float
    columns: int
    checksum: int | None
    webp: str

    def described(self) -> dict[str, object]:
        """Return everything but the mosaic, for the page's script."""
        return {
            "shape": self.grid.shape,
            "spacing": [round(s, 6) for s in self.grid.spacing_mm],
            "origin": [round(o, 6) for o in self.grid.origin_mm],
            "step": self.step,
            "columns": self.columns,
            "checksum": self.checksum,
        }


def pack_exact(grid: Grid, values: np.ndarray, step: float) -> Packed:
    """Return `values`, shape ``grid.shape``, as whole numbers of `step` (at most 65535 of them), without loss."""
    counts = np.clip(np.rint(np.asarray(values, np.float64) / step), 0, 65535).astype(np.uint16)
    tiles, columns = _mosaic(counts)
    pixels = np.zeros((*tiles.shape, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = tiles >> 8, tiles & 255
    ordered = np.ascontiguousarray(counts.transpose(2, 1, 0)).astype("<u2")
    webp = _webp(Image.fromarray(pixels), lossless=True, quality=80, method=2)
    return Packed(grid, step, columns, zlib.adler32(ordered.tobytes()), webp)


def pack_change(grid: Grid, values: np.ndarray, base: np.ndarray, step: float) -> Packed:
    """Return `values` without loss, as what they differ by from `base`, both as whole numbers of `step`.

    A planned and a delivered dose are nearly the same: this takes a tenth of the room. `ZERO_CHANGE` counts are no
    difference.
    """
    counts = np.rint(np.asarray(values, np.float64) / step) - np.rint(np.asarray(base, np.float64) / step)
    return replace(pack_exact(grid, counts + ZERO_CHANGE, 1.0), step=step)


def pack_picture(grid: Grid, values: np.ndarray, quality: int) -> Packed:
    """Return an image, shape ``grid.shape``, uint8, compressed with loss."""
    tiles, columns = _mosaic(np.asarray(values, np.uint8))
    return Packed(grid, 1.0, columns, None, _webp(Image.fromarray(tiles), quality=quality, method=4))


def crop(grid: Grid, inside: np.ndarray) -> tuple[Grid, tuple[slice, ...]]:
    """Return the smallest window with all of `inside`, and one voxel around it where there is one; and its slices."""
    low, high = [], []
    for axis in range(3):
        occupied = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        low.append(max(int(occupied[0]) - 1, 0) if len(occupied) else 0)
        high.append(min(int(occupied[-1]) + 2, grid.shape[axis]) if len(occupied) else 1)
    return grid.window(low, high), tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def cropped(grid: Grid, values: np.ndarray) -> tuple[Grid, np.ndarray]:
    """Return the part of a volume that holds every value above zero, on its grid."""
    part, window = crop(grid, np.asarray(values) > 0)
    return part, values[window]


def _mosaic(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the axial slices side by side, rows along y, and how many lie in a row."""
    nx, ny, nz = values.shape
    columns = max(1, min(nz, round((nz * ny / nx) ** 0.5), _WIDEST_PIXELS // nx))
    rows = -(-nz // columns)
    padded = np.zeros((nx, ny, rows * columns), values.dtype)
    padded[:, :, :nz] = values
    tiles = padded.transpose(2, 1, 0).reshape(rows, columns, ny, nx)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3)).reshape(rows * ny, columns * nx), columns


def _webp(image: Image.Image, **options: object) -> str:
    stream = io.BytesIO()
    image.save(stream, "WEBP", **options)
    return base64.b64encode(stream.getvalue()).decode("ascii")
