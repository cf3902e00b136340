"""Outline and brain from a density alone: stand-ins for contours that nobody drew."""

import numpy as np
from scipy import ndimage

from phantoms.cited import Cited
from phantoms.structure import Role, Structure
from phantoms.volume import Volume

BODY_DENSITY = Cited(0.3, "between air and lung or fat, g/cm3", "assumed")
BONE_DENSITY = Cited(1.15, "between soft tissue (ICRU 46: to 1.09) and bone with its partial volumes, g/cm3", "assumed")
# Of the six directions; below, the skull is open.
WALLS = 5
BRIDGE_MM = Cited(6.0, "orbits and foramina join the skull by necks thinner than twice this", "assumed")
LEAST_CORE_CC = Cited(100.0, "what lies deep in a brain; sinuses and marrow hold less", "assumed")


def outline_of(density: Volume) -> Structure:
    """Return ``external``: the largest body denser than air, with what it encloses.

    Raises
    ------
    ValueError
        If nothing is denser than air.
    """
    body = density.data > BODY_DENSITY.value
    if not body.any():
        raise ValueError(f"nothing is denser than {BODY_DENSITY.value:g} g/cm3: there is no body in this density")
    filled = ndimage.binary_fill_holes(_largest(body))
    return Structure("external", Role.EXTERNAL, density.grid, filled.astype(np.float32)).cropped(1)


def brain_of(density: Volume, external: Structure) -> Structure:
    """Return ``brain``: soft tissue with bone in nearly every direction, or all of the body where there is no skull.

    Parameters
    ----------
    density : Volume
    external : Structure
        Outline of the body.

    Raises
    ------
    ValueError
        If there is no soft tissue within the outline.
    """
    spacing = density.grid.spacing_mm
    body = external.on(density.grid) >= 0.5
    soft = body & (density.data < BONE_DENSITY.value)
    if not soft.any():
        raise ValueError("there is no soft tissue within the outline")
    enclosed = soft & (_walls(body & ~soft) >= WALLS)
    core = _depth(enclosed, spacing) > BRIDGE_MM.value
    voxel_cc = density.grid.voxel_cc
    if core.sum() * voxel_cc < LEAST_CORE_CC.value:
        return Structure("brain", Role.ORGAN, density.grid, soft.astype(np.float32)).cropped(1)
    near = _depth(~_largest(core), spacing) <= BRIDGE_MM.value + max(spacing)
    return Structure("brain", Role.ORGAN, density.grid, (enclosed & near).astype(np.float32)).cropped(1)


def _walls(bone: np.ndarray) -> np.ndarray:
    """Return in how many of the six directions along the axes there is bone, for every voxel."""
    found = np.zeros(bone.shape, np.int8)
    for axis in range(3):
        found += np.logical_or.accumulate(bone, axis=axis)
        found += np.flip(np.logical_or.accumulate(np.flip(bone, axis), axis=axis), axis)
    return found


def _depth(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Return the distance of voxels of a mask to the nearest one outside of it, mm; beyond the array is outside."""
    inner = (slice(1, -1),) * 3
    found: np.ndarray = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[inner]
    return found


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    found: np.ndarray = labels == int(sizes.argmax())
    return found
