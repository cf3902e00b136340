"""Painting a tissue over several maps at once: each voxel moves towards the tissue's value by its occupied fraction."""

import numpy as np

from kernels._jit import njit


@njit
def paint(occupancy: np.ndarray, values: np.ndarray, offset: tuple[int, int, int], planes, maps: np.ndarray) -> None:
    """Blend `values` (m,) into `maps` (m, nx, ny, nz) by `occupancy` (a, b, c), laid at the voxel `offset`.

    ``planes`` is the half-open range of planes of the occupancy to paint. The occupancy must lie inside the maps.
    """
    ox, oy, oz = offset
    for m in range(maps.shape[0]):
        value = values[m]
        for i in range(planes[0], planes[1]):
            for j in range(occupancy.shape[1]):
                for k in range(occupancy.shape[2]):
                    part = occupancy[i, j, k]
                    if part > 0.0:
                        old = maps[m, ox + i, oy + j, oz + k]
                        maps[m, ox + i, oy + j, oz + k] = old + part * (value - old)
