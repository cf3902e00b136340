"""Voxels that collect dose from beams, in blocks so that those far from a field are passed over."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import binary_dilation

from kernels.pencil import DepthTable, gather
from kernels.raytrace import Fan
from kernels.threads import chunks, run_chunks
from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.engines.pencil_view import BeamView

# Numerical: voxels along a block, how far from a field the narrow components still tell (`planner.engines.pencil`), and
# points in a task.
_BLOCK = 4
_NEAR_MM = 12.0
_POINTS = 16384


@dataclass(frozen=True, eq=False)
class Voxels:
    """Some voxels of a grid and the dose collected so far.

    Attributes
    ----------
    grid : Grid
    index : ndarray (n,)
        Flat indices, block by block.
    points : ndarray (n, 3)
        Their centres, LPS mm.
    starts : ndarray (blocks + 1,)
        Rows at which the blocks begin, and the end.
    centres : ndarray (blocks, 3)
        Centres of the blocks, LPS mm.
    radius_mm : float
        Half diagonal of a block.
    dose : ndarray (n,)
        Gy.
    """

    grid: Grid
    index: np.ndarray
    points: np.ndarray
    starts: np.ndarray
    centres: np.ndarray
    radius_mm: float
    dose: np.ndarray

    @classmethod
    def above(cls, density: Volume, threshold: float) -> "Voxels":
        """Return the voxels whose density is at least `threshold`."""
        return cls._of(density.grid, density.data >= threshold)

    @classmethod
    def _of(cls, grid: Grid, wanted: np.ndarray) -> "Voxels":
        voxel = np.nonzero(wanted)
        blocks = -(-np.asarray(grid.shape) // _BLOCK)
        number = ((voxel[0] // _BLOCK) * blocks[1] + voxel[1] // _BLOCK) * blocks[2] + voxel[2] // _BLOCK
        order = np.argsort(number, kind="stable")
        number, voxel = number[order], tuple(axis[order] for axis in voxel)
        starts = np.append(np.flatnonzero(np.diff(number, prepend=-1)), len(number))
        corner = np.stack(np.unravel_index(number[starts[:-1]], tuple(blocks)), axis=1) * _BLOCK
        points = np.empty((len(number), 3))
        for axis in range(3):
            points[:, axis] = grid.origin_mm[axis] + grid.spacing_mm[axis] * voxel[axis]
        return cls(
            grid,
            np.ravel_multi_index(voxel, grid.shape),
            points,
            starts,
            grid.point_of(corner + 0.5 * (_BLOCK - 1)),
            0.5 * _BLOCK * float(np.linalg.norm(grid.spacing_mm)),
            np.zeros(len(number)),
        )

    def coarser(self, spacing_mm: Sequence[float]) -> "Voxels":
        """Return the voxels of a coarser grid that surround these, so that these can be interpolated from them."""
        low, high = self.box
        step = np.asarray(spacing_mm)
        grid = Grid.covering((low - step).tolist(), (high + step).tolist(), spacing_mm)
        occupied = np.zeros(grid.shape, bool)
        occupied[tuple(np.rint(grid.index_of(self.points)).astype(int).T)] = True
        return self._of(grid, binary_dilation(occupied, np.ones((3, 3, 3), bool)))

    @cached_property
    def box(self) -> np.ndarray:
        """Lowest and highest centre, shape (2, 3), LPS mm."""
        if not len(self.points):
            return np.zeros((2, 3))
        return np.stack([self.points.min(axis=0), self.points.max(axis=0)])

    def near(self, view: BeamView) -> np.ndarray:
        """Return the rows of the voxels in blocks that come within 12 mm of the field of a beam."""
        u, v, scale = _seen(view.fan, self.centres)
        reach = self.radius_mm * scale + _NEAR_MM
        (u0, u1), (v0, v1) = view.plane.field
        close = (u > u0 - reach) & (u < u1 + reach) & (v > v0 - reach) & (v < v1 + reach)
        starts, lengths = self.starts[:-1][close], np.diff(self.starts)[close]
        # The ranges of the close blocks, one after the other.
        return np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())

    def add(self, rows: np.ndarray, view: BeamView, blurred: np.ndarray, table: tuple[np.ndarray, DepthTable]) -> None:
        """Add the dose of a beam to the voxels `rows`: its blurred fluence seen through an amplitude table."""

        def one(low: int, high: int) -> None:
            part = rows[low:high]
            dose = np.zeros(len(part))
            gather(blurred, view.footprints(self.points[part], table), dose)
            self.dose[part] += dose

        run_chunks(one, chunks(len(rows), _POINTS))

    def volume(self) -> Volume:
        """Return the dose on the whole grid."""
        data = np.zeros(self.grid.shape, np.float32)
        data.ravel()[self.index] = self.dose
        return Volume(self.grid, data, Quantity.DOSE)


def _seen(fan: Fan, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return isocentre-plane coordinates u, v and the enlargement (SAD over distance) of points."""
    local = (points - np.asarray(fan.source)) @ np.asarray(fan.axes).reshape(3, 3).T
    scale = fan.sad / np.maximum(local[:, 2], 0.1 * fan.sad)
    return local[:, 0] * scale, local[:, 1] * scale, scale
