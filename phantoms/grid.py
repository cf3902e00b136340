"""Grids: where the voxels of a volume are, in LPS mm."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernels.types import Lattice

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """An axis-aligned voxel grid in DICOM patient coordinates (LPS, mm). Arrays on it are indexed ``[i, j, k]``.

    Index i runs to the patient's left, j to posterior, k to superior, as x, y, z do. An oblique or flipped image is
    brought to this form once, when it is read (``planner.io``), so that nothing above deals with orientation.

    Attributes
    ----------
    shape : tuple of 3 int
        Number of voxels along x, y, z.
    spacing_mm : tuple of 3 float
        Distance between neighbouring voxel centres, positive.
    origin_mm : tuple of 3 float
        Centre of voxel (0, 0, 0).

    Raises
    ------
    ValueError
        If a shape is not positive or a spacing is not positive and finite.
    """

    shape: tuple[int, int, int]
    spacing_mm: Triple
    origin_mm: Triple

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "spacing_mm", tuple(float(s) for s in self.spacing_mm))
        object.__setattr__(self, "origin_mm", tuple(float(o) for o in self.origin_mm))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"a grid needs three positive sizes, got shape {self.shape}")
        if min(self.spacing_mm) <= 0 or not np.isfinite(self.spacing_mm + self.origin_mm).all():
            raise ValueError(
                f"a grid needs positive finite spacing and finite origin, got {self.spacing_mm}, {self.origin_mm}"
            )

    @classmethod
    def covering(cls, low_mm: Sequence[float], high_mm: Sequence[float], spacing_mm: float | Sequence[float]) -> "Grid":
        """Return the grid whose voxels (faces included) cover the box from `low_mm` to `high_mm`, centred on it."""
        low, high = np.asarray(low_mm, float), np.asarray(high_mm, float)
        step = np.broadcast_to(np.asarray(spacing_mm, float), 3)
        shape = np.maximum(1, np.ceil((high - low) / step - 1e-9).astype(int))
        origin = (low + high) / 2 - (shape - 1) / 2 * step
        return cls(tuple(shape), tuple(step), tuple(origin))

    @cached_property
    def lattice(self) -> Lattice:
        """The grid as kernels see it."""
        return Lattice(self.origin_mm, self.spacing_mm, self.shape)

    @property
    def affine(self) -> np.ndarray:
        """4x4 matrix from voxel index to LPS mm."""
        matrix = np.diag([*self.spacing_mm, 1.0])
        matrix[:3, 3] = self.origin_mm
        return matrix

    @property
    def voxel_cc(self) -> float:
        """Volume of a voxel, cm3."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def low_mm(self) -> np.ndarray:
        """Lower corner (voxel faces, not centres)."""
        return np.asarray(self.origin_mm) - 0.5 * np.asarray(self.spacing_mm)

    @property
    def high_mm(self) -> np.ndarray:
        """Upper corner (voxel faces, not centres)."""
        return self.low_mm + np.asarray(self.shape) * np.asarray(self.spacing_mm)

    def overlaps(self, other: "Grid") -> bool:
        """Return whether some point lies in the voxels of both grids."""
        return bool(np.all(self.low_mm < other.high_mm) and np.all(other.low_mm < self.high_mm))

    def axes_mm(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the coordinates of the voxel centres along x, y and z."""
        x, y, z = (o + s * np.arange(n) for o, s, n in zip(self.origin_mm, self.spacing_mm, self.shape, strict=True))
        return x, y, z

    def index_of(self, points_mm: np.ndarray) -> np.ndarray:
        """Return the fractional voxel index, shape (..., 3), of points in LPS mm."""
        return (np.asarray(points_mm, float) - self.origin_mm) / self.spacing_mm

    def point_of(self, index: np.ndarray) -> np.ndarray:
        """Return the point in LPS mm, shape (..., 3), of fractional voxel indices."""
        return np.asarray(index, float) * self.spacing_mm + self.origin_mm

    def window(self, low: Sequence[int], high: Sequence[int]) -> "Grid":
        """Return the sub-grid of the voxels ``low <= index < high``; it may reach beyond this grid."""
        nx, ny, nz = (int(h) - int(lo) for lo, h in zip(low, high, strict=True))
        return Grid((nx, ny, nz), self.spacing_mm, tuple(self.point_of(np.asarray(low))))

    def part(self, window: "Grid") -> tuple[slice, slice, slice]:
        """Return the slices of an array on this grid that lie on a window of it.

        Raises
        ------
        ValueError
            If the window does not lie on voxels of this grid.
        """
        offset = window.offset_in(self)
        if offset is None or min(offset) < 0 or np.any(np.add(offset, window.shape) > self.shape):
            raise ValueError(f"no window of the grid {self.shape}: {window.shape} voxels at {window.origin_mm} mm")
        x, y, z = (slice(low, low + n) for low, n in zip(offset, window.shape, strict=True))
        return x, y, z

    def split(self, parts: Sequence[int]) -> "Grid":
        """Return the grid with each voxel split into so many parts along x, y and z."""
        step = np.asarray(self.spacing_mm) / parts
        origin = self.low_mm + 0.5 * step
        return Grid(tuple(np.asarray(self.shape) * parts), tuple(step), tuple(origin))

    def merged(self, parts: Sequence[int]) -> "Grid":
        """Return the grid of which this one is split: the inverse of `split`."""
        step = np.asarray(self.spacing_mm) * parts
        return Grid(tuple(np.asarray(self.shape) // parts), tuple(step), tuple(self.low_mm + 0.5 * step))

    def offset_in(self, other: "Grid", tolerance: float = 1e-3) -> tuple[int, int, int] | None:
        """Return the voxel offset of this grid in `other` if their voxels coincide, else None.

        Parameters
        ----------
        other : Grid
            The grid in whose indices the offset is told.
        tolerance : float
            Largest accepted mismatch, in voxels.
        """
        if not np.allclose(self.spacing_mm, other.spacing_mm, rtol=1e-5, atol=0):
            return None
        offset = other.index_of(np.asarray(self.origin_mm))
        nearest = np.rint(offset)
        if np.abs(offset - nearest).max() > tolerance:
            return None
        return int(nearest[0]), int(nearest[1]), int(nearest[2])
