"""The sub-voxel surface of an occupancy: one slightly curved patch for each voxel that the surface cuts.

Normal and curvature are those of the level sets of the Gaussian-smoothed occupancy; for a sphere these are exact
whatever the width. The offset is then set so that the patch cuts off exactly the occupied fraction of its own voxel
(piecewise-linear interface calculation with a curvature term). A binary mask has no fractions to match: there the
offset comes from the smoothed occupancy itself, which near a surface is a normal distribution function of distance.
"""

import math

import numpy as np

from kernels._jit import njit, njit_bare, njit_welded
from kernels.plane import LINES, bulge, distance_of_fraction

# Columns of a patch: d, n (3), K (6): the model of ``kernels.plane`` about the voxel's centre; then the point where the
# patch begins (for a wedge, on its edge, perhaps outside the voxel), relative to the centre (3), the kind (0 smooth,
# 1 edge, 2 corner, -1 and -2 those of what lies around the body: creases), and the normals of the three planes that
# meet at the point where a corner begins (9); for an edge two normals (6) and the curvatures of their surfaces along it
# (2); last a point of the surface in the voxel, relative to the centre (3).
PATCH = 26
OFFSET, KIND, NORMALS, SITE = 10, 13, 14, 23
# Occupancies closer than this to 0 or 1 count as empty or full: one step of an eight-bit mask.
EMPTY = 4e-3


def stencil(sigma_voxels: float) -> np.ndarray:
    """Return sampled Gaussian weights of derivative 0, 1, 2, shape (3, 2 radius + 1), exact on quadratics."""
    radius = max(1, math.ceil(3.0 * sigma_voxels))
    i = np.arange(-radius, radius + 1, dtype=float)
    bell = np.exp(-0.5 * (i / sigma_voxels) ** 2)
    smooth = bell / bell.sum()
    slope = i * bell / (i * i * bell).sum()
    curve = ((i / sigma_voxels) ** 2 - 1.0) * bell
    curve -= smooth * curve.sum()
    curve *= 2.0 / (curve * i * i).sum()
    return np.stack([smooth, slope, curve])


@njit
def is_cut(f, i, j, k):
    """Whether the surface passes through voxel (i, j, k), or along a face of it as its full side."""
    v = f[i, j, k]
    if v <= EMPTY:
        return False
    if v < 1.0 - EMPTY:
        return True
    low = min(f[i - 1, j, k], f[i + 1, j, k], f[i, j - 1, k], f[i, j + 1, k], f[i, j, k - 1], f[i, j, k + 1])
    return low <= EMPTY


@njit
def is_edge(f, i, j, k):
    """Whether a binary mask changes between voxel (i, j, k) and one of its six neighbours."""
    v = f[i, j, k] > 0.5
    for di, dj, dk in ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)):
        if (f[i + di, j + dj, k + dk] > 0.5) != v:
            return True
    return False


@njit
def count_cut(f, binary, pad, planes):
    """Return the number of voxels of the x planes ``planes[0]:planes[1]`` that carry a patch."""
    count = 0
    for i in range(max(planes[0], pad[0]), min(planes[1], f.shape[0] - pad[0])):
        for j in range(pad[1], f.shape[1] - pad[1]):
            for k in range(pad[2], f.shape[2] - pad[2]):
                if is_edge(f, i, j, k) if binary else is_cut(f, i, j, k):
                    count += 1
    return count


@njit
def list_cut(f, binary, pad, planes, out):
    """Write to `out` (n, 3) the voxels of the x planes ``planes[0]:planes[1]`` that carry a patch."""
    count = 0
    for i in range(max(planes[0], pad[0]), min(planes[1], f.shape[0] - pad[0])):
        for j in range(pad[1], f.shape[1] - pad[1]):
            for k in range(pad[2], f.shape[2] - pad[2]):
                if is_edge(f, i, j, k) if binary else is_cut(f, i, j, k):
                    out[count, 0], out[count, 1], out[count, 2] = i, j, k
                    count += 1


@njit
def spread(own, cells, flags, reach, out):
    """Set `out` (n,) for every cut voxel within `reach` voxels along each axis of one whose flag (n,) is set."""
    for n in range(cells.shape[0]):
        if flags[n]:
            i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
            for a in range(max(i - reach, 0), min(i + reach + 1, own.shape[0])):
                for b in range(max(j - reach, 0), min(j + reach + 1, own.shape[1])):
                    for c in range(max(k - reach, 0), min(k + reach + 1, own.shape[2])):
                        if own[a, b, c] >= 0:
                            out[own[a, b, c]] = True


@njit_welded
def _derivatives(f, i, j, k, stencils, out):
    """Write to `out` the smoothed value, gradient (3) and Hessian (xx, yy, zz, xy, xz, yz), per voxel."""
    for n in range(10):
        out[n] = 0.0
    wx, wy, wz = stencils
    rx, ry, rz = wx.shape[1] // 2, wy.shape[1] // 2, wz.shape[1] // 2
    for a in range(-rx, rx + 1):
        y0 = y1 = y2 = yz1 = z1 = z2 = 0.0
        for b in range(-ry, ry + 1):
            s0 = s1 = s2 = 0.0
            for c in range(-rz, rz + 1):
                v = f[i + a, j + b, k + c]
                s0 += wz[0, c + rz] * v
                s1 += wz[1, c + rz] * v
                s2 += wz[2, c + rz] * v
            y0 += wy[0, b + ry] * s0
            y1 += wy[1, b + ry] * s0
            y2 += wy[2, b + ry] * s0
            z1 += wy[0, b + ry] * s1
            yz1 += wy[1, b + ry] * s1
            z2 += wy[0, b + ry] * s2
        w0, w1, w2 = wx[0, a + rx], wx[1, a + rx], wx[2, a + rx]
        out[0] += w0 * y0
        out[1] += w1 * y0
        out[2] += w0 * y1
        out[3] += w0 * z1
        out[4] += w2 * y0
        out[5] += w0 * y2
        out[6] += w0 * z2
        out[7] += w1 * y1
        out[8] += w1 * z1
        out[9] += w0 * yz1


@njit_bare
def shape_operator(gx, gy, gz, hess, K):
    """Write to `K` the shape operator ``P H P / |g|`` of the level sets of a field; return its unit gradient.

    Positive where the region of smaller values is convex. The gradient must not vanish.
    """
    size = math.sqrt(gx * gx + gy * gy + gz * gz)
    nx, ny, nz = gx / size, gy / size, gz / size
    # H n, then P H P = H - n (H n)^T - (H n) n^T + (n.H.n) n n^T
    ux = hess[0] * nx + hess[3] * ny + hess[4] * nz
    uy = hess[3] * nx + hess[1] * ny + hess[5] * nz
    uz = hess[4] * nx + hess[5] * ny + hess[2] * nz
    q = ux * nx + uy * ny + uz * nz
    K[0] = (hess[0] - 2.0 * nx * ux + q * nx * nx) / size
    K[1] = (hess[1] - 2.0 * ny * uy + q * ny * ny) / size
    K[2] = (hess[2] - 2.0 * nz * uz + q * nz * nz) / size
    K[3] = (hess[3] - nx * uy - ux * ny + q * nx * ny) / size
    K[4] = (hess[4] - nx * uz - ux * nz + q * nx * nz) / size
    K[5] = (hess[5] - ny * uz - uy * nz + q * ny * nz) / size
    return nx, ny, nz


@njit_bare
def parallel(K, d):
    """Turn, in place, the shape operator at distance `d` into that of the surface itself, ``K (1 - d K)^-1``.

    Return the determinant of ``1 - d K``, of an area here to one there; where it is below 0.3, `K` stays as it is.
    """
    trace = K[0] + K[1] + K[2]
    square = K[0] ** 2 + K[1] ** 2 + K[2] ** 2 + 2.0 * (K[3] ** 2 + K[4] ** 2 + K[5] ** 2)
    gauss = 0.5 * (trace * trace - square)
    det = 1.0 - d * trace + d * d * gauss
    if det < 0.3:
        return det
    # In the tangent plane K (1 - dK)^-1 = (K - d det(K) P) / det(1 - dK); the P part is small and kept as K^2 form.
    k0, k1, k2, k3, k4, k5 = K[0], K[1], K[2], K[3], K[4], K[5]
    s0 = k0 * k0 + k3 * k3 + k4 * k4
    s1 = k3 * k3 + k1 * k1 + k5 * k5
    s2 = k4 * k4 + k5 * k5 + k2 * k2
    s3 = k0 * k3 + k3 * k1 + k4 * k5
    s4 = k0 * k4 + k3 * k5 + k4 * k2
    s5 = k3 * k4 + k1 * k5 + k5 * k2
    # Cayley-Hamilton in the tangent plane: det(K) P = trace K - K^2.
    K[0] = (k0 - d * (trace * k0 - s0)) / det
    K[1] = (k1 - d * (trace * k1 - s1)) / det
    K[2] = (k2 - d * (trace * k2 - s2)) / det
    K[3] = (k3 - d * (trace * k3 - s3)) / det
    K[4] = (k4 - d * (trace * k4 - s4)) / det
    K[5] = (k5 - d * (trace * k5 - s5)) / det
    return det


@njit_bare
def quantile_normal(p):
    """Return the quantile of the standard normal distribution by Newton on ``erf``, for 1e-6 < p < 1 - 1e-6."""
    x = 0.0
    for _ in range(30):
        cdf = 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
        pdf = math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        step = (cdf - p) / pdf
        x -= min(max(step, -0.5), 0.5)
        if abs(step) < 1e-9:
            break
    return x


@njit
def fit_patches(f, binary, h, stencils, sigma, cells, rows, out):
    """Write the patches of the cut voxels ``cells[rows[0]:rows[1]]`` to the same rows of `out` (n, PATCH).

    Parameters
    ----------
    f : ndarray, float32
        Occupancy, padded by at least the radius of the stencils.
    binary : bool
        Whether the offset comes from the smoothed occupancy.
    h : tuple of 3 float
        Voxel edges, mm.
    stencils : tuple of 3 ndarray
        Along each axis.
    sigma : ndarray (3,)
        Their widths, mm.
    """
    _fit_patches(f, binary, h, stencils, sigma, cells, rows, (np.empty(10), np.empty((LINES, 3))), out)


@njit_bare
def _fit_patches(f, binary, h, stencils, sigma, cells, rows, lent, out):
    """Do the work of ``fit_patches`` in arrays that it is lent."""
    field, points = lent
    for n in range(rows[0], rows[1]):
        i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
        _derivatives(f, i, j, k, stencils, field)
        gx, gy, gz = -field[1] / h[0], -field[2] / h[1], -field[3] / h[2]
        K = out[n, 4:10]
        if gx * gx + gy * gy + gz * gz < 1e-12:
            # No side is out: an isolated speck or a slit. A ball of the voxel's occupied volume stands for it.
            for r in range(PATCH):
                out[n, r] = 0.0
            out[n, 0] = -((f[i, j, k] * h[0] * h[1] * h[2] * 0.75 / math.pi) ** (1.0 / 3.0))
            continue
        field[4] /= -h[0] * h[0]
        field[5] /= -h[1] * h[1]
        field[6] /= -h[2] * h[2]
        field[7] /= -h[0] * h[1]
        field[8] /= -h[0] * h[2]
        field[9] /= -h[1] * h[2]
        nx, ny, nz = shape_operator(gx, gy, gz, field[4:10], K)
        if binary:
            width = math.sqrt((sigma[0] * nx) ** 2 + (sigma[1] * ny) ** 2 + (sigma[2] * nz) ** 2)
            g = min(max(field[0], 1e-3), 1.0 - 1e-3)
            spread = 0.5 * (K[0] * sigma[0] ** 2 + K[1] * sigma[1] ** 2 + K[2] * sigma[2] ** 2)
            d = -width * quantile_normal(g) - spread
            # The mask knows on which side the centre is. Where the smoothed one errs by far (a sheet thinner than the
            # smoothing), the surface is the face of the voxel.
            half = 0.5 * max(abs(nx) * h[0], abs(ny) * h[1], abs(nz) * h[2])
            side = -1.0 if f[i, j, k] > 0.5 else 1.0
            if d * side < -0.5 * half:
                d = side * half
                for r in range(6):
                    K[r] = 0.0
        else:
            flat = distance_of_fraction(f[i, j, k], nx, ny, nz, h[0], h[1], h[2])
            d = flat - bulge(flat, nx, ny, nz, K, h, points)
        parallel(K, d)
        out[n, 0], out[n, 1], out[n, 2], out[n, 3] = d, nx, ny, nz
        for r in range(KIND, SITE):
            out[n, r] = 0.0
        for r in range(3):
            out[n, OFFSET + r] = out[n, SITE + r] = -d * out[n, r + 1]
