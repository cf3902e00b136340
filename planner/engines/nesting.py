"""Two resolutions for one dose: the voxels asked for about a target, and coarser ones in all of the patient.

A dose is computed on coarse voxels everywhere. About the target, what is released there is carried twice more, on fine
and on coarse voxels, both times as if nothing were around it: the difference of these two is what coarse voxels miss,
and it fades towards the border of the box, because what scatters across it is smooth.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import zoom

from kernels.threads import run_chunks
from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Volume

# Numerical: the widest voxels far from a target, those of the usual dose grid; how far from its box dose is on fine
# voxels: to about a quarter of the prescription; the largest share of the volume that is worth a box of its own.
_FAR_MM = 2.0
_NEAR_MM = 20.0
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
        Where `near` lies in `whole` and in an array on the fine grid of all.
    """

    parts: tuple[int, int, int]
    whole: Volume
    near: Volume
    in_whole: Slices
    in_fine: Slices


def nest_of(density: Volume, region: Structure) -> Nest | None:
    """Return a density at two resolutions, the finer about a region; None if its voxels are as wide as the far ones.

    Nor is it worth the trouble where the box about the region is a large part of the density, or outside of it.
    """
    grid = density.grid
    whole = coarsened(density)
    if whole is density or region.is_empty:
        return None
    coarse, parts = whole.grid, _parts(grid)
    held = region.cropped().grid
    low = np.maximum(np.floor(coarse.index_of(held.low_mm - _NEAR_MM) + 0.5).astype(int), 0)
    high = np.minimum(np.ceil(coarse.index_of(held.high_mm + _NEAR_MM) + 0.5).astype(int), coarse.shape)
    # The last coarse voxel may reach over the fine ones: a box ends before it.
    high = np.minimum(high, np.asarray(grid.shape) // parts)
    if np.any(high <= low) or np.prod(high - low) > _WORTH * np.prod(coarse.shape):
        return None
    window = grid.window(low * parts, high * parts)
    x, y, z = grid.part(window)
    return Nest(
        parts,
        whole,
        Volume(window, np.ascontiguousarray(density.data[x, y, z]), density.quantity),
        coarse.part(coarse.window(low, high)),
        (x, y, z),
    )


def far_grid(grid: Grid) -> Grid:
    """Return the grid of a grid's voxels, merged until they are nearly as wide as far ones; itself if they are.

    The last of them may reach over the grid by less than one of them.
    """
    parts = _parts(grid)
    if max(parts) == 1:
        return grid
    whole = [-(-n // part) * part for n, part in zip(grid.shape, parts, strict=True)]
    return grid.window((0, 0, 0), whole).merged(parts)


def coarsened(volume: Volume) -> Volume:
    """Return the means of a volume on its far grid, where its outermost values are held beyond it."""
    coarse = far_grid(volume.grid)
    if coarse is volume.grid:
        return volume
    (nx, ny, nz), (px, py, pz) = coarse.shape, _parts(volume.grid)
    lacking = np.multiply(coarse.shape, (px, py, pz)) - volume.data.shape
    padded = np.pad(volume.data, [(0, n) for n in lacking], mode="edge")
    means = padded.reshape(nx, px, ny, py, nz, pz).mean(axis=(1, 3, 5), dtype=np.float32)
    return Volume(coarse, means, volume.quantity)


def _parts(grid: Grid) -> tuple[int, int, int]:
    x, y, z = (max(int(_FAR_MM / step + 1e-6), 1) for step in grid.spacing_mm)
    return x, y, z


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
