"""The folded surface of the cerebrum: sulci at right angles to its unfolded surface, of a drawn pattern and depth."""

import numpy as np
from scipy import ndimage

from phantoms.cited import Cited
from phantoms.grid import Grid
from phantoms.noise import Noise
from phantoms.volume import Quantity, Volume

CORTEX_MM = Cited(2.2, "Fischl 2000: thickness 1-4.5 mm, mean about 2.5 mm; recalled", "assumed")
SULCUS_MM = Cited(14.5, "sulci are 10-20 mm deep; so that cortex and white matter have their volumes", "assumed")
SULCUS_SPREAD_MM = Cited(8.0, "as their depth", "assumed")
DIMPLE_MM = Cited(2.5, "secondary folds of the gyri, shallower than sulci", "assumed")
MEDIAL = Cited(0.35, "sulci of the medial surface are shallower, by this share where it is flat", "assumed")
LIPS_MM = Cited(0.7, "half of how far gyri part at the surface of the brain", "assumed")
OPENING = Cited(1.2, "logarithm of how far sulci of one place open beyond the usual, at most", "assumed")
CLOSED_MM = Cited(0.35, "half of what is closed of a sulcus: walls touch in places, part by mm in others", "assumed")
VERTEX = Cited(1.0, "superior frontal and parietal sulci open most with age (Jin 2018); twice as far", "assumed")
BLUR_MM = Cited(1.0, "deep layers of the cortex are myelinated: width of the ramp to white matter", "assumed")
FOLD_KNOT_MM = Cited(6.0, "so that neighbouring sulci lie 9-14 mm apart", "assumed")

# The unfolded surface is followed on voxels of this size, smoothed over the second figure.
_COARSE_MM, _SMOOTH_MM = 2.0, 3.0
# Share of the depth over which the pattern is carried inwards along normals: the rest bends the sulci.
_ALONG_NORMALS = 0.52
_MIDLINE_MM = 16.0
# Where the smoothed distance to the surface grows less than this per mm, two surfaces are alike near: white matter.
_LEAST_SLOPE = 0.5


def pial_distance(
    hull: np.ndarray, protected: np.ndarray, grid: Grid, noises: tuple[Noise, Noise], width_mm: np.ndarray
) -> np.ndarray:
    """Return the signed distance, mm, to the folded surface of the cerebrum, on `grid`.

    Sulci are the zero surfaces of a band-limited noise on the unfolded surface, carried inwards along its normals.

    Parameters
    ----------
    hull, protected : ndarray, shape ``grid.shape``, float32
        Signed distances to the cerebrum without sulci and to the middle of the brain, which no sulcus reaches, mm.
    grid : Grid
    noises : tuple of 2 Noise
        The pattern of folds, and what the depth of sulci varies with.
    width_mm : ndarray, shape ``grid.shape``, float32
        Opening of a sulcus below its lips; it narrows with depth.
    """
    depth, normal = _below_surface(hull, grid)
    near = np.nonzero(
        (hull < 2.0 * _COARSE_MM) & (depth < SULCUS_MM.value + SULCUS_SPREAD_MM.value + 4.0) & (protected > 0.0)
    )
    d = depth[near]
    slope = np.sqrt(sum(part[near] ** 2 for part in normal))
    # The walls of the midline are flat: deep sulci would lie there side by side, straight as a ladder.
    flat = np.abs(normal[0][near]) * np.exp(-((grid.axes_mm()[0].astype(np.float32)[near[0]] / _MIDLINE_MM) ** 2))
    outwards = _ALONG_NORMALS * (1.0 - 0.5 * flat) * d / np.maximum(slope, 1e-3)
    x, y, z = (
        axis.astype(np.float32)[index] + outwards * part[near]
        for axis, index, part in zip(grid.axes_mm(), near, normal, strict=True)
    )
    # Both hemispheres meet in the midline: each has a pattern of its own.
    y, z = y + np.where(x > 0, 7.0, -7.0).astype(np.float32), z + np.where(x > 0, -4.0, 4.0).astype(np.float32)
    folds, coarse = noises
    vary = np.tanh(coarse.at(x, z, y))
    # Open towards the surface; in the depth walls touch more often.
    lips = LIPS_MM.value * (1.0 - 0.8 * flat) * np.exp(-d / 2.5)
    walls = width_mm[near] * (0.7 - 0.4 * np.clip(d / SULCUS_MM.value, 0.0, 1.0)) + lips - np.float32(CLOSED_MM.value)
    bottom = (SULCUS_MM.value + SULCUS_SPREAD_MM.value * vary) * (1.0 - MEDIAL.value * flat)
    sulcus = _rounded(_from_sheet(folds.at(x, y, z), near, grid), d - bottom) - walls
    dimple = _rounded(_from_sheet(folds.at(z, x, y), near, grid), d - DIMPLE_MM.value * (1.0 - 0.8 * vary))
    dimple -= 0.35 * walls
    np.minimum(sulcus, dimple, out=sulcus)
    np.maximum(sulcus, 4.0 - protected[near], out=sulcus)
    np.maximum(sulcus, 8.0 * (_LEAST_SLOPE - slope), out=sulcus)
    surface = hull.copy()
    surface[near] = np.maximum(surface[near], -sulcus)
    return surface


def _rounded(sheet_mm: np.ndarray, below_mm: np.ndarray) -> np.ndarray:
    """Return the distance to the part of a sheet above its lower edge, to which `below_mm` is positive below it."""
    return np.hypot(sheet_mm, np.maximum(below_mm, 0.0), out=sheet_mm)


def _from_sheet(values: np.ndarray, near: tuple[np.ndarray, ...], grid: Grid) -> np.ndarray:
    """Return the first-order distance, mm, to where a field, given at some voxels, is zero."""
    field = np.zeros(grid.shape, np.float32)
    field[near] = values
    steep = sum(part[near] ** 2 for part in np.gradient(field, *grid.spacing_mm))
    return np.abs(values) / np.sqrt(np.maximum(steep, 1e-6))


def _below_surface(hull: np.ndarray, grid: Grid) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Return the smoothed depth below the unfolded surface, mm, and its outward slope along each axis, on `grid`."""
    coarse = Grid.covering(grid.low_mm.tolist(), grid.high_mm.tolist(), _COARSE_MM)
    inside = Volume(grid, hull, Quantity.DISTANCE).on(coarse, outside=1.0).data < 0
    depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    depth = ndimage.gaussian_filter((depth * _COARSE_MM).astype(np.float32), _SMOOTH_MM / _COARSE_MM)
    fields = [depth, *(-part for part in np.gradient(depth, _COARSE_MM))]
    whole = [Volume(coarse, field, Quantity.DISTANCE).on(grid).data for field in fields]
    return whole[0], tuple(whole[1:])
