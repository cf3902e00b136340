"""Level sets of a signed distance on a lattice: occupied fractions, and points that sample a surface by area."""

import numpy as np

from kernels._jit import njit
from kernels.plane import LINES, bulge, fraction_below, sample_piece
from kernels.surface import shape_operator


@njit
def _at(phi, i, j, k):
    """Return `phi` at a voxel, that of the nearest face voxel beyond the array."""
    i = min(max(i, 0), phi.shape[0] - 1)
    j = min(max(j, 0), phi.shape[1] - 1)
    k = min(max(k, 0), phi.shape[2] - 1)
    return np.float64(phi[i, j, k])


@njit
def local_shape(phi, h, i, j, k, hess, K):
    """Write the shape operator of the level set through a voxel's centre; return the unit gradient, or three zeros."""
    v = _at(phi, i, j, k)
    xm, xp = _at(phi, i - 1, j, k), _at(phi, i + 1, j, k)
    ym, yp = _at(phi, i, j - 1, k), _at(phi, i, j + 1, k)
    zm, zp = _at(phi, i, j, k - 1), _at(phi, i, j, k + 1)
    gx, gy, gz = (xp - xm) / (2 * h[0]), (yp - ym) / (2 * h[1]), (zp - zm) / (2 * h[2])
    if gx * gx + gy * gy + gz * gz < 1e-4:
        return 0.0, 0.0, 0.0
    hess[0] = (xp - 2 * v + xm) / h[0] ** 2
    hess[1] = (yp - 2 * v + ym) / h[1] ** 2
    hess[2] = (zp - 2 * v + zm) / h[2] ** 2
    hess[3] = _at(phi, i + 1, j + 1, k) - _at(phi, i + 1, j - 1, k)
    hess[3] -= _at(phi, i - 1, j + 1, k) - _at(phi, i - 1, j - 1, k)
    hess[3] /= 4 * h[0] * h[1]
    hess[4] = _at(phi, i + 1, j, k + 1) - _at(phi, i + 1, j, k - 1)
    hess[4] -= _at(phi, i - 1, j, k + 1) - _at(phi, i - 1, j, k - 1)
    hess[4] /= 4 * h[0] * h[2]
    hess[5] = _at(phi, i, j + 1, k + 1) - _at(phi, i, j + 1, k - 1)
    hess[5] -= _at(phi, i, j - 1, k + 1) - _at(phi, i, j - 1, k - 1)
    hess[5] /= 4 * h[1] * h[2]
    return shape_operator(gx, gy, gz, hess, K)


@njit
def fraction_inside(phi, h, level, planes, out):
    """Write to `out` the fraction of each voxel where ``phi < level``, for the x planes ``planes[0]:planes[1]``."""
    half = 0.5 * (h[0] ** 2 + h[1] ** 2 + h[2] ** 2) ** 0.5
    hess, K, points = np.empty(6), np.empty(6), np.empty((LINES, 3))
    for i in range(planes[0], planes[1]):
        for j in range(phi.shape[1]):
            for k in range(phi.shape[2]):
                d = phi[i, j, k] - level
                if d >= half:
                    out[i, j, k] = 0.0
                elif d <= -half:
                    out[i, j, k] = 1.0
                else:
                    nx, ny, nz = local_shape(phi, h, i, j, k, hess, K)
                    if nx == 0.0 and ny == 0.0 and nz == 0.0:
                        out[i, j, k] = 1.0 if d < 0.0 else 0.0
                        continue
                    lift = bulge(d, nx, ny, nz, K, h, points)
                    out[i, j, k] = fraction_below(d + lift, nx, ny, nz, h[0], h[1], h[2])


@njit
def count_level(phi, h, level, planes):
    """Return how many points ``sample_level`` will write for the x planes ``planes[0]:planes[1]``."""
    half = 0.5 * (h[0] ** 2 + h[1] ** 2 + h[2] ** 2) ** 0.5
    hess, K, points = np.empty(6), np.empty(6), np.empty((LINES, 3))
    total = 0
    for i in range(planes[0], planes[1]):
        for j in range(phi.shape[1]):
            for k in range(phi.shape[2]):
                d = phi[i, j, k] - level
                if abs(d) < half:
                    nx, ny, nz = local_shape(phi, h, i, j, k, hess, K)
                    if nx != 0.0 or ny != 0.0 or nz != 0.0:
                        count, _ = sample_piece(d, nx, ny, nz, K, h, points)
                        total += count
    return total


@njit
def sample_level(lattice, phi, level, planes, out, area):
    """Write points (n, 3), mm, on the surface ``phi == level`` and the area (n,), mm2, that each stands for.

    Every voxel that the surface cuts contributes where it crosses a fixed set of lines through that voxel.
    """
    h = lattice.step
    half = 0.5 * (h[0] ** 2 + h[1] ** 2 + h[2] ** 2) ** 0.5
    hess, K, points = np.empty(6), np.empty(6), np.empty((LINES, 3))
    total = 0
    for i in range(planes[0], planes[1]):
        for j in range(phi.shape[1]):
            for k in range(phi.shape[2]):
                d = phi[i, j, k] - level
                if abs(d) >= half:
                    continue
                nx, ny, nz = local_shape(phi, h, i, j, k, hess, K)
                if nx == 0.0 and ny == 0.0 and nz == 0.0:
                    continue
                count, share = sample_piece(d, nx, ny, nz, K, h, points)
                for n in range(count):
                    out[total, 0] = lattice.origin[0] + i * h[0] + points[n, 0]
                    out[total, 1] = lattice.origin[1] + j * h[1] + points[n, 1]
                    out[total, 2] = lattice.origin[2] + k * h[2] + points[n, 2]
                    area[total] = share
                    total += 1
