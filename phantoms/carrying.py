"""Structures brought to other voxels, shifted or turned, by their surface.

Fractions that are interpolated smear a surface over two voxels, and a margin grows from the smear: by 2 to 20 % of the
volume of balls on voxels of 1 and 1 x 1 x 2 mm. The signed distance is smooth where the surface is, so it is carried.
"""

import numpy as np

from phantoms.distance import distance_field, has_surface, occupancy_of
from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume

# Distances are carried from voxels split in two to such, but for bodies of so many voxels, whose surface curves little.
_PARTS, _LARGE = 2, 20_000
# Longer voxels are the mean of at most so many parts along each axis.
_MOST = 4
# Newton steps to the level that keeps the volume.
_ROUNDS = 2
# A surface tells the fractions if it holds their volume to this share.
_KEPT = 0.02
# How far from the surface distances must be right, longest voxel edges.
_REACH = 2.0


def around(grid: Grid, matrix: np.ndarray, spacing_mm: float | tuple[float, float, float]) -> Grid:
    """Return the grid that covers a grid's box after a motion.

    Parameters
    ----------
    grid : Grid
    matrix : ndarray, shape (4, 4)
        Takes points of the new grid to those of `grid`, LPS mm.
    spacing_mm : float or tuple of 3 float
        Of the new grid.
    """
    corners = _corners(grid, matrix)
    return Grid.covering(corners.min(axis=0).tolist(), corners.max(axis=0).tolist(), spacing_mm)


def carried(structure: Structure, grid: Grid, matrix: np.ndarray | None = None) -> Structure:
    """Return a structure on voxels of another grid, cropped: its surface stays where it is between the voxels.

    Its volume is kept, for which the surface of a stack of slabs moves by a hair. What sticks out of `grid` is cut off.

    Parameters
    ----------
    structure : Structure
    grid : Grid
    matrix : ndarray, shape (4, 4), optional
        A rotation and a shift: takes points of `grid` to those of the structure's grid, LPS mm. None: one frame.
    """
    matrix = np.eye(4) if matrix is None else matrix
    part = structure.cropped(1)
    here = grid.index_of(_corners(part.grid, matrix))
    window = grid.window(np.floor(here.min(axis=0)).tolist(), (np.ceil(here.max(axis=0)) + 1).tolist())
    if not has_surface(part):
        return Structure(structure.name, structure.role, window, np.zeros(window.shape, np.float32))
    few = np.count_nonzero(part.occupancy) < _LARGE
    field = distance_field(part, _REACH * max(part.grid.spacing_mm), (_PARTS if few else 1,) * 3)
    # A voxel is the mean of its parts, or fractions of curved surfaces pass for tips; more parts where it is longer.
    ratio = max(np.divide(window.spacing_mm, part.grid.spacing_mm))
    n = int(np.clip(np.ceil(_PARTS * (ratio - 0.05)), _PARTS, _MOST)) if few else 1
    fine = window.split((n, n, n))
    fractions = _of_volume(_sampled(field, fine, matrix, cubic=True), part.volume_cc)
    if abs(fractions.sum(dtype=float) * fine.voxel_cc / part.volume_cc - 1.0) > _KEPT:
        # Half full all over, or thinner than a voxel: no surface tells such fractions.
        fractions = _sampled(Volume(part.grid, part.occupancy, Quantity.OCCUPANCY), fine, matrix, cubic=False).data
    nx, ny, nz = window.shape
    merged = np.clip(fractions.reshape(nx, n, ny, n, nz, n).mean(axis=(1, 3, 5)), 0.0, 1.0)
    whole = Structure(structure.name, structure.role, window, merged)
    return Structure(structure.name, structure.role, grid, whole.on(grid)).cropped(1)


def _sampled(volume: Volume, grid: Grid, matrix: np.ndarray, *, cubic: bool) -> Volume:
    """Return a volume on another grid by splines; beyond its own grid, the least fraction or the largest distance.

    Distances need cubic ones: linearly, convex surfaces would shrink.
    """
    from scipy.ndimage import affine_transform, spline_filter

    beyond = float(volume.data.max()) if volume.quantity == Quantity.DISTANCE else 0.0
    index = np.linalg.inv(volume.grid.affine) @ matrix @ grid.affine
    out = affine_transform(
        spline_filter(volume.data) if cubic else volume.data,
        index[:3, :3],
        index[:3, 3],
        grid.shape,
        output=np.dtype(np.float32),
        order=3 if cubic else 1,
        cval=beyond,
        prefilter=False,
    )
    return Volume(grid, out, volume.quantity)


def _of_volume(distance: Volume, volume_cc: float) -> np.ndarray:
    """Return the fractions below that level of a distance, within half a voxel of 0, that holds a volume."""
    most = 0.5 * min(distance.grid.spacing_mm)
    level, step = 0.0, 0.1 * most
    fractions = occupancy_of(distance)
    for _ in range(_ROUNDS):
        held = fractions.sum(dtype=float) * distance.grid.voxel_cc
        slope = (occupancy_of(distance, level + step).sum(dtype=float) * distance.grid.voxel_cc - held) / step
        if slope <= 0.0:
            break
        level = float(np.clip(level + (volume_cc - held) / slope, -most, most))
        fractions = occupancy_of(distance, level)
    return fractions


def _corners(grid: Grid, matrix: np.ndarray) -> np.ndarray:
    """Return the corners of a grid's box, shape (8, 3), in the frame from which `matrix` leads to it."""
    back = np.linalg.inv(matrix)
    corners = np.array(np.meshgrid(*zip(grid.low_mm, grid.high_mm, strict=True))).reshape(3, -1)
    return (back[:3, :3] @ corners + back[:3, 3:4]).T
