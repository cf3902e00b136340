"""Trilinear sampling of a lattice at points or on another lattice."""

import numpy as np

from kernels._jit import njit, njit_welded
from kernels.types import Lattice


@njit_welded
def trilinear(lattice, values, x, y, z, outside):
    """Return `values` at one point (mm); `outside` where the point lies beyond the outermost voxel faces.

    Between the outermost centres and faces the value of the nearest centre holds, so that a volume is defined over
    all of its voxels and not only between their centres.
    """
    fi = (x - lattice.origin[0]) / lattice.step[0]
    fj = (y - lattice.origin[1]) / lattice.step[1]
    fk = (z - lattice.origin[2]) / lattice.step[2]
    nx, ny, nz = lattice.shape
    if not (-0.5 <= fi <= nx - 0.5 and -0.5 <= fj <= ny - 0.5 and -0.5 <= fk <= nz - 0.5):
        return outside
    fi = min(max(fi, 0.0), nx - 1.0)
    fj = min(max(fj, 0.0), ny - 1.0)
    fk = min(max(fk, 0.0), nz - 1.0)
    i, j, k = int(fi), int(fj), int(fk)
    i1, j1, k1 = min(i + 1, nx - 1), min(j + 1, ny - 1), min(k + 1, nz - 1)
    a, b, c = fi - i, fj - j, fk - k
    v00 = values[i, j, k] * (1.0 - c) + values[i, j, k1] * c
    v01 = values[i, j1, k] * (1.0 - c) + values[i, j1, k1] * c
    v10 = values[i1, j, k] * (1.0 - c) + values[i1, j, k1] * c
    v11 = values[i1, j1, k] * (1.0 - c) + values[i1, j1, k1] * c
    return (v00 * (1.0 - b) + v01 * b) * (1.0 - a) + (v10 * (1.0 - b) + v11 * b) * a


@njit
def sample_points(lattice: Lattice, values: np.ndarray, points: np.ndarray, outside: float, out: np.ndarray) -> None:
    """Write to `out` (n,) the trilinear values at `points` (n, 3) in mm."""
    for n in range(points.shape[0]):
        out[n] = trilinear(lattice, values, points[n, 0], points[n, 1], points[n, 2], outside)


@njit
def resample(lattice: Lattice, values: np.ndarray, target: Lattice, outside: float, planes, out: np.ndarray) -> None:
    """Write to `out` the trilinear values at the centres of `target`, for its x planes ``planes[0]:planes[1]``."""
    for i in range(planes[0], planes[1]):
        x = target.origin[0] + i * target.step[0]
        for j in range(target.shape[1]):
            y = target.origin[1] + j * target.step[1]
            for k in range(target.shape[2]):
                z = target.origin[2] + k * target.step[2]
                out[i, j, k] = trilinear(lattice, values, x, y, z, outside)
