"""Volumes: one quantity on a grid."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from kernels.interp import resample, sample_points
from kernels.threads import chunks, run_chunks
from phantoms.grid import Grid


class Quantity(StrEnum):
    """What the numbers of a volume are; the unit is part of it."""

    DENSITY = "density [g/cm3]"
    DOSE = "dose [Gy]"
    MR_SIGNAL = "MR signal [a.u.]"
    OCCUPANCY = "occupancy [1]"
    DISTANCE = "signed distance [mm]"
    CONTRAST = "contrast of an edge [1]"
    DEVIATION = "standard deviation [mm]"
    FIELD_ERROR = "error of the main field [ppm]"


@dataclass(frozen=True, eq=False)
class Volume:
    """A quantity sampled at the voxel centres of a grid.

    Attributes
    ----------
    grid : Grid
    data : ndarray, shape ``grid.shape``, float32, C order
    quantity : Quantity

    Raises
    ------
    ValueError
        If the data do not have the shape of the grid or hold a NaN or an infinity.
    """

    grid: Grid
    data: np.ndarray
    quantity: Quantity

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", np.ascontiguousarray(self.data, dtype=np.float32))
        if self.data.shape != self.grid.shape:
            raise ValueError(f"{self.quantity}: data of shape {self.data.shape} on a grid of shape {self.grid.shape}")
        if not np.isfinite(self.data).all():
            raise ValueError(f"{self.quantity}: {int((~np.isfinite(self.data)).sum())} voxels are NaN or infinite")

    def at(self, points_mm: np.ndarray, outside: float = 0.0) -> np.ndarray:
        """Return the trilinear values, shape (n,), float64, at `points_mm`, shape (n, 3), LPS mm."""
        points = np.ascontiguousarray(points_mm, dtype=np.float64)
        out = np.empty(len(points))
        run_chunks(
            lambda lo, hi: sample_points(self.grid.lattice, self.data, points[lo:hi], outside, out[lo:hi]),
            chunks(len(points), 65536),
        )
        return out

    def on(self, grid: Grid, outside: float = 0.0) -> "Volume":
        """Return this volume on another grid: copied where voxels coincide, else interpolated trilinearly."""
        if grid == self.grid:
            return self
        out = np.empty(grid.shape, np.float32)
        run_chunks(
            lambda lo, hi: resample(self.grid.lattice, self.data, grid.lattice, outside, (lo, hi), out),
            chunks(grid.shape[0], 8),
        )
        return Volume(grid, out, self.quantity)
