"""Which bixels of a beam see the target."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from phantoms.structure import Structure
from planner.treatment.beam import BixelGrid
from planner.treatment.errors import PlanningError
from planner.treatment.geometry import BeamFrame
from planner.treatment.machine import Machine

# Pixel of the raster that the target is projected onto: a fifth of the finest leaf in use.
_PIXEL_MM = 0.5


def target_points(target: Structure) -> np.ndarray:
    """Return points that fill the target, shape (n, 3), LPS mm: centre and corners of its voxels at least half full.

    A target thinner than that everywhere gives the voxels of its largest occupancy.
    """
    index = np.argwhere(target.occupancy >= min(0.5, float(target.occupancy.max())))
    corners = np.array([[i, j, k] for i in (-0.5, 0.5) for j in (-0.5, 0.5) for k in (-0.5, 0.5)])
    places = np.unique((index[:, None, :] + corners).reshape(-1, 3), axis=0)
    return target.grid.point_of(np.concatenate([index, places]))


def project(points_mm: np.ndarray, frame: BeamFrame, sad_mm: float) -> np.ndarray:
    """Return X, Y of `points_mm` seen from the source, in the isocentre plane, shape (n, 2), mm."""
    relative = (points_mm - frame.source_mm) @ frame.axes.T
    return relative[:, :2] * (sad_mm / relative[:, 2:])


def leaf_step_mm(machine: Machine) -> tuple[float, float]:
    """Return the central leaf width and the Y of one of its edges (0 with an even number of leaf pairs)."""
    widths = machine.leaf_width_mm.value
    width = widths[len(widths) // 2]
    return width, 0.0 if len(widths) % 2 == 0 else 0.5 * width


def bixels_on(projected_mm: np.ndarray, margin_mm: float, step_x_mm: float, machine: Machine) -> BixelGrid:
    """Return the bixels within a margin of a projected target.

    Parameters
    ----------
    projected_mm : ndarray (n, 2)
        The target in the isocentre plane.
    margin_mm : float
        A bixel is open if any part of it (to 0.5 mm) lies within this distance of the target.
    step_x_mm : float
        Width of a bixel along X; edges lie at whole multiples from the axis.
    machine : Machine
        Gives the leaf width, the height of a bixel along Y, and the largest field.

    Raises
    ------
    PlanningError
        If an open bixel lies outside the largest field.
    """
    width_y, edge_y = leaf_step_mm(machine)
    size, edge = np.array([step_x_mm, width_y]), np.array([0.0, edge_y])
    low = np.floor((projected_mm.min(axis=0) - margin_mm - edge) / size)
    high = np.ceil((projected_mm.max(axis=0) + margin_mm - edge) / size)
    shape = (high - low).astype(int)
    low_mm = low * size + edge

    pixels = np.maximum(1, np.rint(size / _PIXEL_MM).astype(int))
    pixel_mm = size / pixels
    raster = np.ones(shape * pixels, bool)
    hit = ((projected_mm - low_mm) / pixel_mm).astype(int)
    raster[hit[:, 0], hit[:, 1]] = False
    near: np.ndarray = distance_transform_edt(raster, sampling=pixel_mm) <= margin_mm
    is_open = np.asarray(near.reshape(shape[0], pixels[0], shape[1], pixels[1]).any(axis=(1, 3)))
    grid = BixelGrid((float(low_mm[0]), float(low_mm[1])), (float(size[0]), float(size[1])), is_open)
    _check_field(grid, machine)
    return grid


def _check_field(grid: BixelGrid, machine: Machine) -> None:
    for axis, (name, largest) in enumerate(zip("XY", machine.max_field_mm.value, strict=True)):
        used = np.flatnonzero(grid.open.any(axis=1 - axis))
        low = grid.low_mm[axis] + used[0] * grid.size_mm[axis]
        high = grid.low_mm[axis] + (used[-1] + 1) * grid.size_mm[axis]
        # Rounding to whole bixels may pass the edge of the field by less than one.
        if max(-low, high) > largest / 2 + grid.size_mm[axis]:
            raise PlanningError(
                f"the target with its margin needs a field from {low:.1f} to {high:.1f} mm along {name}, but "
                f"{machine.title} opens {-largest / 2:.1f} to {largest / 2:.1f} mm"
            )
