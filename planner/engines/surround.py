"""Air around a density volume, for electrons that leave it and come back in a magnetic field."""

import numpy as np

from kernels.electron import bending_radius
from kernels.particle import ELECTRON
from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.library.tables import medium

FARTHEST_MM = 100.0
"""Air ends here, though in a weaker field than an MR-linac's electrons come back from farther."""
_FASTEST_MEV = 7.0
"""Kinetic energy of the fastest electrons of a 7 MV beam."""


def reach_mm(field_t: float) -> float:
    """Return how far an electron gets across a field (tesla) before it returns: the diameter of the widest circle."""
    return min(FARTHEST_MM, 2.0 * bending_radius(_FASTEST_MEV, ELECTRON, field_t))


def in_air(density: Volume, far_mm: float = FARTHEST_MM) -> Volume:
    """Return a density inside a layer of air of `far_mm`; inside the volume, too, nothing is thinner than air."""
    voxels = [int(n) for n in np.ceil(far_mm / np.asarray(density.grid.spacing_mm))]
    grid = density.grid.window(
        [-n for n in voxels], [n + size for n, size in zip(voxels, density.grid.shape, strict=True)]
    )
    air = medium("air_dry").density
    data = np.full(grid.shape, air, np.float32)
    data[window(density.grid, grid)] = np.maximum(density.data, air)
    return Volume(grid, data, Quantity.DENSITY)


def window(inner: Grid, whole: Grid) -> tuple[slice, ...]:
    """Return where a grid lies in another one that it is a window of."""
    offset = inner.offset_in(whole)
    if offset is None:
        raise ValueError("the inner grid is no window of the whole")
    return tuple(slice(low, low + size) for low, size in zip(offset, inner.shape, strict=True))


def cut(volume: Volume, grid: Grid) -> Volume:
    """Return the part of a volume on `grid`, a window of its own."""
    return Volume(grid, volume.data[window(grid, volume.grid)], volume.quantity)
