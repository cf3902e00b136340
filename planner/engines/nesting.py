"""Two resolutions for one dose: the voxels asked for about a target, and coarser ones in all of the patient.

A dose is computed on coarse voxels everywhere. About the target, what is released there is carried twice more, on fine
and on coarse voxels, both times as if nothing were around it: the difference of these two is what coarse voxels miss.
Beside the border of the box it is not used, where what electrons carry across is not smooth on coarse voxels.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import zoom

from kernels.threads import run_chunks
from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Volume

# Numerical: the widest voxels far from a target, those of the usual dose grid; how far from its box fine voxels reach:
# to about a quarter of the prescription; at how many coarse voxels beside their border they are not used (the dose of a
# single beam is 13 % of its own off in the first, 3 % in the second, 1 % beyond); the largest share of the volume that
# is worth a box of its own.
_FAR_MM = 2.0
_NEAR_MM = 20.0
_BORDER = 2
_WORTH = 0.3

Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Nest:
    """A density on coarse voxels, and a part of it on fine ones.

    Attributes
    ----------
    parts : tuple of 3 int
        Fine voxels in a coarse one along x, y, z.
    whole : Volume
        Coarse voxels, which reach over the fine ones of all by less than one of them.
    near : Volume
        Fine voxels about the target; their outer faces are faces of coarse voxels.
    in_whole, in_fine : tuple of 3 slice
        Where `near` lies in `whole` and on the fine grid of all, over which it may reach by less than a coarse voxel.
    used : tuple of 3 slice
        The part of `near` whose dose is used: without what lies beside its border within `whole`.
    """

    parts: tuple[int, int, int]
    whole: Volume
    near: Volume
    in_whole: Slices
    in_fine: Slices
    used: Slices


def nest_of(density: Volume, region: Structure) -> Nest | None:
    """Return a density at two resolutions, the finer about a region; None if its voxels are as wide as the far ones.

    Nor is it worth the trouble where the box about the region is a large part of the density, or outside of it.
    """
    grid, parts = density.grid, parts_of(density.grid)
    whole = coarsened(density)
    if whole is density or region.is_empty:
        return None
    coarse, held = whole.grid, region.cropped().grid
    low = np.maximum(np.floor(coarse.index_of(held.low_mm - _NEAR_MM) + 0.5).astype(int), 0)
    high = np.minimum(np.ceil(coarse.index_of(held.high_mm + _NEAR_MM) + 0.5).astype(int), coarse.shape)
    if np.any(high <= low) or np.prod(high - low) > _WORTH * np.prod(coarse.shape):
        return None
    fine = _padded(density, parts)
    window = fine.grid.window(low * parts, high * parts)
    x, y, z = fine.grid.part(window)
    return Nest(
        parts,
        whole,
        Volume(window, np.ascontiguousarray(fine.data[x, y, z]), density.quantity),
        coarse.part(coarse.window(low, high)),
        (x, y, z),
        _used(grid, (x, y, z), parts),
    )


def _used(grid: Grid, box: Slices, parts: tuple[int, int, int]) -> Slices:
    """Return the part of a box within the grid, without `_BORDER` coarse voxels on each side where the grid goes on."""
    used = []
    for along, part, size in zip(box, parts, grid.shape, strict=True):
        low = _BORDER * part if along.start > 0 else 0
        high = along.stop - _BORDER * part if along.stop < size else size
        used.append(slice(low, high - along.start))
    x, y, z = used
    return x, y, z


def far_grid(grid: Grid, width_mm: float = _FAR_MM) -> Grid:
    """Return the grid of a grid's voxels, merged until they are nearly `width_mm` wide; itself if they are.

    The last of them may reach over the grid by less than one of them.
    """
    parts = parts_of(grid, width_mm)
    if max(parts) == 1:
        return grid
    return _whole(grid, parts).merged(parts)


def coarsened(volume: Volume, width_mm: float = _FAR_MM) -> Volume:
    """Return the means of a volume on its far grid, with nothing beyond it."""
    coarse = far_grid(volume.grid, width_mm)
    if coarse is volume.grid:
        return volume
    parts = parts_of(volume.grid, width_mm)
    (nx, ny, nz), (px, py, pz) = coarse.shape, parts
    means = _padded(volume, parts).data.reshape(nx, px, ny, py, nz, pz).mean(axis=(1, 3, 5), dtype=np.float32)
    return Volume(coarse, means, volume.quantity)


def parts_of(grid: Grid, width_mm: float = _FAR_MM) -> tuple[int, int, int]:
    """Return how many voxels of a grid along x, y and z are merged in one of its far grid."""
    x, y, z = (max(int(width_mm / step + 1e-6), 1) for step in grid.spacing_mm)
    return x, y, z


def _padded(volume: Volume, parts: tuple[int, int, int]) -> Volume:
    """Return a volume as far as its far grid reaches, with nothing beyond it: engines take that for vacuum."""
    whole = _whole(volume.grid, parts)
    beyond = np.subtract(whole.shape, volume.grid.shape)
    return Volume(whole, np.pad(volume.data, [(0, n) for n in beyond]), volume.quantity)


def _whole(grid: Grid, parts: tuple[int, int, int]) -> Grid:
    return grid.window((0, 0, 0), [-(-n // part) * part for n, part in zip(grid.shape, parts, strict=True)])


def refined(energy: np.ndarray, mass: np.ndarray, parts: tuple[int, int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Return the dose on fine voxels, shape `shape`, of what coarse ones hold.

    Interpolated linearly by mass, so that what little stops in air does not dilute the dose at a surface.

    Parameters
    ----------
    energy, mass : ndarray (x, y, z)
        Deposited energy (MeV) and mass of coarse voxels, in the unit that makes their quotient a dose.
    parts : tuple of 3 int
        Fine voxels in a coarse one.
    shape : tuple of 3 int
        Fine voxels wanted, from the lowest corner.
    """
    upper = tuple(slice(0, n) for n in shape)
    finer = run_chunks(
        lambda part: zoom(part, parts, order=1, mode="nearest", grid_mode=True)[upper], [(energy,), (mass,)]
    )
    return np.asarray(finer[0] / finer[1], dtype=np.float32)
