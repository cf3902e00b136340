"""Barriers: what a margin does not cross."""

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from phantoms.grid import Grid
from phantoms.structure import Structure

# A sheet of 1.6 mm (the falx) fills at least this share of a voxel of 2 mm somewhere on its way through.
_FILLED = 0.35
# Steps along the way, in voxels: shorter than the thinnest sheet.
_STEP = 0.4


def held_back(grown: Structure, source: Structure, barriers: Iterable[Structure]) -> Structure:
    """Return a margin without what lies in a barrier or behind it.

    A voxel is behind a barrier if the straight way to it from the nearest voxel of the source crosses one: tumour does
    not go round the free edge of the falx within a margin of millimetres. Where no barrier is met the margin stays as
    it is, to the last bit; what the source itself occupies stays too, even within a barrier.

    Parameters
    ----------
    grown : Structure
        The source with its margin.
    source : Structure
    barriers : iterable of Structure
    """
    grid = grown.grid
    filled = np.maximum.reduce([np.zeros(grid.shape, np.float32), *(barrier.on(grid) for barrier in barriers)])
    own = source.on(grid)
    inner = own >= 0.5
    if not inner.any():
        inner = own >= 0.5 * own.max()
    wall = np.where(inner, 0.0, filled)
    if not ((grown.occupancy > own) & (wall > 0)).any():
        return grown
    behind = _behind(wall, inner, (grown.occupancy > own) & ~inner, grid)
    left = np.where(behind, 0.0, np.minimum(grown.occupancy, 1.0 - wall))
    return Structure(grown.name, grown.role, grid, np.maximum(left, own)).cropped(1)


def _behind(wall: np.ndarray, inner: np.ndarray, asked: np.ndarray, grid: Grid) -> np.ndarray:
    """Return which of the voxels asked for are cut off from the nearest inner voxel by the wall."""
    nearest = ndimage.distance_transform_edt(
        ~inner, sampling=grid.spacing_mm, return_distances=False, return_indices=True
    )
    goals = np.argwhere(asked)
    starts = nearest[:, asked].T
    steps = max(2, int(np.ceil(np.linalg.norm(goals - starts, axis=1).max(initial=0.0) / _STEP)))
    crossed = np.zeros(len(goals), bool)
    for share in np.linspace(0.0, 1.0, steps + 1)[1:]:
        places = starts + share * (goals - starts)
        crossed |= ndimage.map_coordinates(wall, places.T, order=1, mode="nearest") >= _FILLED
    behind = np.zeros(wall.shape, bool)
    behind[tuple(goals.T)] = crossed
    return behind
