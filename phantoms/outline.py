"""Outline and brain from a density alone: stand-ins for contours that nobody drew."""

import numpy as np
from scipy import ndimage

from phantoms.cited import Cited
from phantoms.structure import Role, Structure
from phantoms.volume import Volume

BODY_DENSITY = Cited(0.3, "between air and lung or fat, g/cm3", "assumed")
BONE_DENSITY = Cited(1.15, "between soft tissue (ICRU 46: to 1.09) and bone with its partial volumes, g/cm3", "assumed")
# Scalp is thinner than twice this; so are the nerves and vessels that join brain and neck.
SCALP_MM = Cited(4.0, "scalp without bone is 5 to 7 mm thick", "assumed")


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
    """Return ``brain``: the largest part of the outline that bone does not part from itself, without bone and scalp.

    Where no bone surrounds anything (a water phantom) it is all of the outline.

    Raises
    ------
    ValueError
        If no such part is left.
    """
    soft = (external.on(density.grid) >= 0.5) & (density.data < BONE_DENSITY.value)
    spacing = density.grid.spacing_mm
    core = ndimage.distance_transform_edt(np.pad(soft, 1), sampling=spacing)[1:-1, 1:-1, 1:-1] > SCALP_MM.value
    if not core.any():
        raise ValueError("no soft tissue thicker than a scalp lies within the outline")
    near = ndimage.distance_transform_edt(~_largest(core), sampling=spacing) <= SCALP_MM.value + max(spacing)
    return Structure("brain", Role.ORGAN, density.grid, (soft & near).astype(np.float32)).cropped(1)


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    found: np.ndarray = labels == int(sizes.argmax())
    return found
