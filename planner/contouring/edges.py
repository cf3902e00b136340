"""How clearly the surface of a structure shows in the images, point by point."""

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume

# Assumed, all three; `half_contrast` of an observer is told in the contrast that they define.
# The eye follows edges of about this width, mm (standard deviation of the derivative of a Gaussian).
_EYE_MM = 1.0
# The signal of the brain is the median within this distance of the structure.
_NEAR_MM = 15.0
# What is known on the surface is carried off it, and smoothed by this much, mm.
_ALONG_MM = 1.5


def edge_contrast(structure: Structure, images: Iterable[Volume], reach_mm: float) -> Volume:
    """Return how strong the edge at the nearest point of a structure's surface is in the clearest of the images.

    The contrast is the gradient of the signal, at the scale of the eye, times the width of an edge: the step of signal
    across it, as a fraction of the median signal about the structure. It is about 1 where fluid meets an enhancing
    wall, and near 0 where blood lies against brain.

    Parameters
    ----------
    structure : Structure
    images : iterable of Volume
    reach_mm : float
        How far from the structure the answer is needed.

    Raises
    ------
    ValueError
        If the structure is empty or there is no image.
    """
    clearest = None
    grid = _padded(structure, max(reach_mm, _NEAR_MM))
    for image in images:
        signal = image.on(grid).data
        level = max(float(np.median(signal[signal > 0])) if (signal > 0).any() else 0.0, 1e-6)
        width = [_EYE_MM / step for step in grid.spacing_mm]
        slopes = (
            ndimage.gaussian_filter(signal, width, order=[int(axis == n) for n in range(3)]) / grid.spacing_mm[axis]
            for axis in range(3)
        )
        # A step of height 1 has the gradient 1 / (sqrt(2 pi) s) at the scale s.
        step = np.sqrt(2.0 * np.pi) * _EYE_MM * np.sqrt(sum(slope**2 for slope in slopes)) / level
        clearest = step if clearest is None else np.maximum(clearest, step)
    if clearest is None:
        raise ValueError(f"structure {structure.name}: no image shows it")
    return Volume(grid, _carried_off(structure.on(grid), clearest, grid), Quantity.CONTRAST)


def _padded(structure: Structure, mm: float) -> Grid:
    voxels = np.ceil(mm / np.asarray(structure.grid.spacing_mm)).astype(int)
    inner = structure.cropped().grid
    return inner.window((-voxels).tolist(), (np.asarray(inner.shape) + voxels).tolist())


def _carried_off(occupancy: np.ndarray, values: np.ndarray, grid: Grid) -> np.ndarray:
    """Return at every voxel the value of the surface voxel next to it, smoothed a little."""
    inside = occupancy >= 0.5
    if not inside.any():
        inside = occupancy >= 0.5 * occupancy.max()
    surface = inside ^ ndimage.binary_erosion(inside)
    nearest = ndimage.distance_transform_edt(
        ~surface, sampling=grid.spacing_mm, return_distances=False, return_indices=True
    )
    carried = values[tuple(nearest)]
    return ndimage.gaussian_filter(carried, [_ALONG_MM / step for step in grid.spacing_mm]).astype(np.float32)
