"""Structures: named regions with fractional occupancy, never bare masks."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from kernels.interp import resample
from phantoms.grid import Grid


class Role(StrEnum):
    """What a structure is for."""

    EXTERNAL = "external"
    TARGET = "target"
    TRUTH = "truth"
    ORGAN = "organ"
    SUPPORT = "support"


@dataclass(frozen=True, eq=False)
class Structure:
    """A region as the occupied fraction of each voxel, on a grid cropped to what the region needs.

    Attributes
    ----------
    name : str
        Lower case with underscores, laterality last: ``optic_nerve_left``.
    role : Role
    grid : Grid
        Usually a window of the patient's grid; outside it the occupancy is zero.
    occupancy : ndarray, shape ``grid.shape``, float32, C order
        Fraction of each voxel inside the structure, 0 to 1.

    Raises
    ------
    ValueError
        If shapes disagree or an occupancy is NaN or outside 0 to 1.
    """

    name: str
    role: Role
    grid: Grid
    occupancy: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "occupancy", np.ascontiguousarray(self.occupancy, dtype=np.float32))
        if self.occupancy.shape != self.grid.shape:
            raise ValueError(f"structure {self.name}: occupancy {self.occupancy.shape} on a grid {self.grid.shape}")
        if self.occupancy.size and not (self.occupancy.min() >= 0 and self.occupancy.max() <= 1):
            raise ValueError(f"structure {self.name}: occupancies must lie between 0 and 1")

    @property
    def volume_cc(self) -> float:
        """Volume from the occupied fractions, cm3."""
        return float(self.occupancy.sum(dtype=np.float64)) * self.grid.voxel_cc

    @property
    def is_empty(self) -> bool:
        """Whether no voxel is occupied at all."""
        return not self.occupancy.any()

    @property
    def centroid_mm(self) -> np.ndarray:
        """Centre of mass of the occupied fractions, shape (3,), LPS mm."""
        total = self.occupancy.sum(dtype=np.float64)
        along = [self.occupancy.sum(axis=tuple({0, 1, 2} - {a}), dtype=np.float64) for a in range(3)]
        return np.array([float(m @ x) / total for m, x in zip(along, self.grid.axes_mm(), strict=True)])

    def on(self, grid: Grid) -> np.ndarray:
        """Return the occupancy on another grid, shape ``grid.shape``, float32: pasted where voxels coincide."""
        offset = self.grid.offset_in(grid)
        out = np.zeros(grid.shape, np.float32)
        if offset is None:
            resample(self.grid.lattice, self.occupancy, grid.lattice, 0.0, (0, grid.shape[0]), out)
            return out
        into, take = [], []
        for start, n, size in zip(offset, self.grid.shape, grid.shape, strict=True):
            low, high = max(start, 0), min(start + n, size)
            if low >= high:
                return out
            into.append(slice(low, high))
            take.append(slice(low - start, high - start))
        out[tuple(into)] = self.occupancy[tuple(take)]
        return out

    def cropped(self, margin_voxels: int = 0) -> "Structure":
        """Return the same structure on the smallest window that holds it, plus a margin of voxels."""
        occupied = self.occupancy > 0
        if not occupied.any():
            return self
        along = [np.flatnonzero(occupied.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        low = [int(filled[0]) - margin_voxels for filled in along]
        high = [int(filled[-1]) + 1 + margin_voxels for filled in along]
        window = self.grid.window(low, high)
        return Structure(self.name, self.role, window, self.on(window))
