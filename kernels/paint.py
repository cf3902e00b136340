"""Painting a tissue over a map: each voxel moves towards the tissue's value by its occupied fraction."""

import numpy as np

from kernels._jit import njit


@njit
def paint(occupancy: np.ndarray, value: float, offset: tuple[int, int, int], planes, out: np.ndarray) -> None:
    """Blend `value` into the map `out` (nx, ny, nz) by `occupancy` (a, b, c), laid at the voxel `offset`.

    ``planes`` is the half-open range of planes of the occupancy to paint. The occupancy must lie inside the map.
    """
    ox, oy, oz = offset
    for i in range(planes[0], planes[1]):
        for j in range(occupancy.shape[1]):
            for k in range(occupancy.shape[2]):
                part = occupancy[i, j, k]
                if part > 0.0:
                    old = out[ox + i, oy + j, oz + k]
                    out[ox + i, oy + j, oz + k] = old + part * (value - old)
