"""Bring any image lattice to the axis-aligned LPS grids that everything above works on.

Flipped and permuted axes are put in order exactly, without touching a value. A truly oblique (or sheared) image is
resampled once and the caller is told so; a mask is carried by its surface.
"""

from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np

from kernels.histogram import Dose, read_points
from kernels.interp import sample_points
from kernels.threads import chunks, run_chunks
from phantoms.carrying import around, carried
from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from planner.treatment.errors import InputError

# Rounding of direction cosines in headers moves far corners by micrometres; real obliquity moves them by much more.
ALIGNED_WITHIN_MM = 0.02
# 2 GB as float32: more than any MR of a head (a 0.4 mm isotropic whole head has 2e8 voxels).
MAX_VOXELS = 500_000_000


@dataclass(frozen=True, eq=False)
class Upright:
    """An image on an axis-aligned LPS grid, and what that took.

    Attributes
    ----------
    grid : Grid
    data : ndarray, shape ``grid.shape``, float32, C order
    resampled : bool
        Whether the image was oblique and interpolated; False if axes were only flipped or exchanged.
    obliquity_deg : float
        Largest angle between an axis of the image and the patient axis that it was brought to.
    straight : Upright, optional
        Of an oblique image: its own voxels, turned about the centre of the image until its axes are those of the
        patient. Its faces are where the scan ends, which resampling hides.
    turn : ndarray, shape (4, 4), optional
        Of an oblique image: takes LPS points of the patient to those of `straight`, mm.
    """

    grid: Grid
    data: np.ndarray
    resampled: bool
    obliquity_deg: float
    straight: "Upright | None" = None
    turn: np.ndarray | None = None


def check_size(shape: tuple[int, ...], source: Path | str, where: str) -> None:
    """Refuse a lattice that is not 3-D, empty, or larger than `MAX_VOXELS`, before anything is allocated.

    Raises
    ------
    InputError
    """
    if len(shape) != 3:
        raise InputError(source, where, f"is an image of {len(shape)} dimensions {shape}; a 3-D volume is needed")
    if min(shape) < 1:
        raise InputError(source, where, f"sizes must be positive, got {shape}")
    voxels = int(shape[0]) * int(shape[1]) * int(shape[2])
    if voxels > MAX_VOXELS:
        raise InputError(source, where, f"claims {voxels:.3g} voxels {shape}; at most {MAX_VOXELS:.3g} are read")


def upright(array: np.ndarray, affine: np.ndarray, source: Path | str, *, smooth: bool = False) -> Upright:
    """Return an image on an axis-aligned grid with x to the left, y to posterior, z to superior.

    Parameters
    ----------
    array : ndarray, shape (n0, n1, n2)
        Values in the order of the lattice's own axes.
    affine : ndarray, shape (4, 4)
        From voxel index to LPS mm.
    source : Path or str
        For messages.
    smooth : bool
        A smooth quantity that is not negative (dose): an oblique one is read to second order, not trilinearly.

    Raises
    ------
    InputError
        If the affine is not finite or singular, or an oblique image would need too many voxels.
    """
    straight, turn = _straightened(array, affine, source)
    if turn is None:
        return straight
    return replace(_resampled(straight, turn, source, smooth), straight=straight, turn=turn)


def occupied(array: np.ndarray, affine: np.ndarray, source: Path | str) -> tuple[Structure, np.ndarray | None]:
    """Return occupied fractions on any lattice as a structure on that very lattice, its axes in order.

    Parameters
    ----------
    array, affine, source
        As `upright`.

    Returns
    -------
    structure : Structure
        A target without a name. Of an oblique lattice: turned about its centre until its axes are those of the patient.
    turn : ndarray, shape (4, 4), or None
        Of an oblique lattice: takes LPS points of the patient to those of the structure.

    Raises
    ------
    InputError
        As `upright`, and if the axes of an oblique lattice are not perpendicular.
    """
    straight, turn = _straightened(array, affine, source)
    if turn is not None and not np.allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3), atol=2e-3):
        raise InputError(source, "orientation", "voxel axes are not perpendicular: a mask needs a rectangular lattice")
    return Structure("", Role.TARGET, straight.grid, np.clip(straight.data, 0.0, 1.0)), turn


def on_patient_axes(structure: Structure, turn: np.ndarray | None) -> Structure:
    """Return what `occupied` gave on axes of the patient."""
    if turn is None:
        return structure
    return carried(structure, around(structure.grid, turn, structure.grid.spacing_mm), turn)


def _straightened(array: np.ndarray, affine: np.ndarray, source: Path | str) -> tuple[Upright, np.ndarray | None]:
    """Return an image on its own voxels, axes in order, and what turns the patient to an oblique one."""
    affine = np.asarray(affine, float)
    # Direction cosines are printed with few digits: what they change in a spacing is no property of the image.
    spacing = np.round(np.linalg.norm(affine[:3, :3], axis=0), 6)
    if not np.isfinite(affine).all() or spacing.min() <= 0:
        raise InputError(source, "orientation", f"voxel axes must be finite and of positive length, got {spacing} mm")
    directions = affine[:3, :3] / spacing
    if abs(np.linalg.det(directions)) < 0.1:
        raise InputError(source, "orientation", "voxel axes are not independent: the orientation matrix is singular")
    order = _nearest_axes(directions)
    cosines = np.array([directions[order[n], n] for n in range(3)])
    obliquity = float(np.degrees(np.arccos(np.clip(np.abs(cosines).min(), 0, 1))))
    snapped = np.zeros((3, 3))
    snapped[order, range(3)] = np.sign(cosines) * spacing
    half = (np.asarray(array.shape) - 1) / 2
    corners = np.array(np.meshgrid(*[(-h, h) for h in half])).reshape(3, -1)
    moved = float(np.linalg.norm((affine[:3, :3] - snapped) @ corners, axis=0).max())
    centre = affine[:3, :3] @ half + affine[:3, 3]
    axes = np.argsort(order)
    data = np.transpose(array, axes)
    flips = tuple(slice(None, None, -1) if cosines[a] < 0 else slice(None) for a in axes)
    step = spacing[axes]
    origin = centre - (np.asarray(data.shape) - 1) / 2 * step
    grid = Grid(data.shape, tuple(step), tuple(origin))
    straight = Upright(grid, np.ascontiguousarray(data[flips], dtype=np.float32), False, obliquity)
    if moved <= ALIGNED_WITHIN_MM:
        return straight, None
    turn = np.eye(4)
    turn[:3, :3] = snapped @ np.linalg.inv(affine[:3, :3])
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    return straight, turn


def _nearest_axes(directions: np.ndarray) -> tuple[int, ...]:
    """Return the patient axis (0, 1, 2 for x, y, z) that each image axis runs along most nearly."""
    return max(permutations(range(3)), key=lambda order: sum(abs(directions[a, n]) for n, a in enumerate(order)))


def _resampled(straight: Upright, turn: np.ndarray, source: Path | str, smooth: bool) -> Upright:
    """Interpolate an oblique image on the axis-aligned grid that covers all of its voxels; 0 outside of them."""
    grid = around(straight.grid, turn, straight.grid.spacing_mm)
    check_size(grid.shape, source, "oblique image brought to patient axes")
    lattice, values = straight.grid.lattice, straight.data
    x, y, z = grid.axes_mm()
    in_plane = np.stack(np.broadcast_arrays(0.0, y[:, None], z[None, :]), axis=-1).reshape(-1, 3)
    out = np.empty(grid.shape, np.float32)

    def plane(first: int, last: int) -> None:
        for i in range(first, last):
            points = np.ascontiguousarray((in_plane + np.array([x[i], 0.0, 0.0])) @ turn[:3, :3].T + turn[:3, 3])
            row = np.empty(len(points))
            if smooth:
                read_points(Dose(lattice, values), points, 0.0, row)
            else:
                sample_points(lattice, values, points, 0.0, row)
            out[i] = row.reshape(grid.shape[1:])

    run_chunks(plane, chunks(grid.shape[0], 8))
    return Upright(grid, out, True, straight.obliquity_deg)
