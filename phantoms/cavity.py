"""Cavities on grids: a star-shaped body scaled until its occupancy holds a stated volume."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from phantoms.grid import Grid
from phantoms.lesion import Form
from phantoms.structure import Role, Structure

# Sub-voxels are at most this wide, so that volumes of a cubic centimetre hold on coarse grids too.
_FINEST_MM = 1.5
_GROWTH_STEPS = 6


@dataclass(frozen=True, eq=False)
class Patch:
    """Sub-voxels around a point, aligned with the voxels of a grid (which they may leave).

    Attributes
    ----------
    window : Grid
        Voxels of the grid that the patch covers.
    fine : Grid
        Sub-voxels of those voxels.
    centre : ndarray, shape (3,)
        The point, mm.
    offset : tuple of 3 ndarray
        Components of the vectors from the point to the sub-voxels, mm, an open mesh.
    length : ndarray, shape ``fine.shape``
        Their lengths, mm, at least a thousandth.
    room : ndarray or None
        Fraction of each sub-voxel that may be occupied.
    """

    window: Grid
    fine: Grid
    centre: np.ndarray
    offset: tuple[np.ndarray, np.ndarray, np.ndarray]
    length: np.ndarray
    room: np.ndarray | None

    @classmethod
    def around(cls, grid: Grid, centre: np.ndarray, reach_mm: float, within: Structure | None) -> "Patch":
        """Return the patch of `grid` that reaches `reach_mm` from `centre` along each axis."""
        low = np.floor(grid.index_of(centre - reach_mm) + 0.5).astype(int)
        high = np.ceil(grid.index_of(centre + reach_mm) + 0.5).astype(int)
        window = grid.window(low.tolist(), high.tolist())
        factor = np.maximum(1, np.ceil(np.asarray(grid.spacing_mm) / _FINEST_MM - 1e-6)).astype(int)
        step = np.asarray(grid.spacing_mm) / factor
        nx, ny, nz = (int(n) for n in np.asarray(window.shape) * factor)
        fine = Grid((nx, ny, nz), tuple(step), tuple(window.low_mm + step / 2))
        x, y, z = ((axis - c).astype(np.float32) for axis, c in zip(fine.axes_mm(), centre, strict=True))
        offset = (x[:, None, None], y[None, :, None], z[None, None, :])
        length = np.maximum(np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2), np.float32(1e-3))
        return cls(window, fine, centre, offset, length, None if within is None else within.on(fine))

    def radius(self, form: Form) -> np.ndarray:
        """Return the radius of a unit form in the direction of each sub-voxel."""
        return form.radius(self.offset, self.length)

    def beyond(self, wall_mm: np.ndarray) -> np.ndarray:
        """Return the distance of the sub-voxels beyond a wall about the point, along their own rays.

        A ramp of occupancy across a curved wall holds more outside than it lacks inside: the wall is drawn in by what
        makes up for it on a ball, so that the volume within the wall is that of the occupancy.
        """
        width_sq = np.float32(self.fine.voxel_cc * 1000.0) ** np.float32(2 / 3)
        return self.length - wall_mm + width_sq / (np.float32(12.0) * wall_mm)

    def covered(self, distance_mm: np.ndarray) -> np.ndarray:
        """Return the occupied fraction of the sub-voxels for a signed distance, cut to the room."""
        width = np.float32(self.fine.voxel_cc * 1000.0) ** np.float32(1 / 3)
        fraction = np.clip(np.float32(0.5) - distance_mm / width, 0.0, 1.0)
        return fraction if self.room is None else np.minimum(fraction, self.room)

    def cc(self, fraction: np.ndarray) -> float:
        """Return the volume, cm3, of occupied fractions."""
        return float(fraction.sum(dtype=np.float64)) * self.fine.voxel_cc

    def touches_edge(self, fraction: np.ndarray) -> bool:
        """Whether anything is occupied on the outer faces of the patch."""
        return any(fraction.take(end, axis=axis).any() for axis in range(3) for end in (0, -1))

    def structure(self, name: str, role: Role, fraction: np.ndarray, grid: Grid) -> Structure:
        """Return occupied fractions as a structure on voxels of `grid`, cropped to where it is occupied."""
        shape = np.asarray(self.window.shape)
        factor = np.asarray(self.fine.shape) // shape
        split = [int(n) for pair in zip(shape, factor, strict=True) for n in pair]
        coarse = fraction.reshape(split).mean(axis=(1, 3, 5), dtype=np.float64).astype(np.float32)
        whole = Structure(name, role, self.window, np.clip(coarse, 0.0, 1.0))
        offset = self.window.offset_in(grid)
        low = np.maximum(offset, 0) if offset is not None else np.zeros(3, int)
        high = np.minimum(low + shape if offset is None else np.asarray(offset) + shape, grid.shape)
        if (high <= low).any():
            return Structure(name, role, grid.window((0, 0, 0), (1, 1, 1)), np.zeros((1, 1, 1), np.float32))
        inside = grid.window(low.tolist(), high.tolist())
        return Structure(name, role, inside, whole.on(inside)).cropped()


def solve(volume_of: Callable[[float], float], volume_cc: float, bracket: tuple[float, float]) -> float | None:
    """Return the argument in the bracket at which a growing function reaches `volume_cc`; None if it does not."""
    low, high = bracket
    if volume_of(high) < volume_cc or volume_of(low) > volume_cc:
        return None
    return float(brentq(lambda s: volume_of(s) - volume_cc, low, high, xtol=1e-6 * max(-low, high), rtol=1e-7))


def fitted_patch(
    grid: Grid, centre: np.ndarray, form: Form, volume_cc: float, within: Structure | None
) -> tuple[Patch, np.ndarray, float]:
    """Return a patch, the signed distance on it to the form scaled to `volume_cc`, and the scale in mm.

    Raises
    ------
    ValueError
        If the volume does not fit into `within` near the centre.
    """
    if within is not None and within.volume_cc < volume_cc:
        raise ValueError(f"a volume of {volume_cc:.2f} cc does not fit into the {within.volume_cc:.2f} cc of its room")
    ball = float(np.cbrt(volume_cc * 1000.0 * 3.0 / (4.0 * np.pi)))
    reach = 1.55 * ball + 3.0 * max(grid.spacing_mm)
    for _ in range(_GROWTH_STEPS):
        patch = Patch.around(grid, centre, reach, within)
        radius = patch.radius(form)

        def volume_of(scale: float, patch: Patch = patch, radius: np.ndarray = radius) -> float:
            return patch.cc(patch.covered(patch.beyond(np.float32(scale) * radius)))

        scale = solve(volume_of, volume_cc, (0.3 * ball, 1.6 * reach))
        if scale is not None:
            distance = patch.beyond(np.float32(scale) * radius)
            if not patch.touches_edge(patch.covered(distance)):
                return patch, distance, scale
        reach *= 1.3
    raise ValueError(f"a volume of {volume_cc:.2f} cc does not fit around {np.round(centre, 1)} mm")
