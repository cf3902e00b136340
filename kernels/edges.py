"""Sharp edges and corners of an occupancy, which the smoothing under which patches are fitted would round off.

Only where patches are strongly curved. There, planes come from height functions: the occupancies of a column of voxels
across the surface add up to the surface's height over the column's base, exactly (Cummins, Francois and Kothe, Comput
Struct 83:425, 2005). Columns that do not run from full to empty, as over an edge, say so and are left out. A voxel
through which two or three such planes pass, and whose occupied fraction is that of the region below all of them, holds
an edge or a corner: its patch becomes a wedge. Patches near it take their own plane.
"""

import math

import numpy as np

from kernels._jit import njit
from kernels.plane import LINES, bulge, distance_of_fraction, fraction_below, quadratic
from kernels.surface import EMPTY, KIND, NORMALS, OFFSET, shape_operator

# Columns of a plane: valid, d, n (3), K (6).
PLANE = 11
# Curvature (Frobenius norm, per voxel edge) from which a patch is looked at, and how far around it, voxels.
CURVED = 0.2
NEAR = 2
# Planes whose normals have a larger dot product than this are the same one.
ALIKE = 0.4
# Samples that tell the fraction below several planes; and how well it must agree.
SAMPLES = 500
AGREES = 0.05
# A plane counts if it tells the fractions, this well, of at least this share of the voxels around that it cuts.
TELLS = 0.03
TRUSTED = 0.4


@njit
def _height(f, at, axis, side):
    """Return the height of the surface over a voxel's centre in a column, in voxels, or NaN if it has none."""
    cell = at.copy()
    total, last = 0.0, 2.0
    for step in range(-2, 3):
        cell[axis] = at[axis] + side * step
        v = f[cell[0], cell[1], cell[2]]
        if v > last + EMPTY or (step == -2 and v < 1.0 - EMPTY) or (step == 2 and v > EMPTY):
            return np.nan
        last = v
        total += v
    return total - 2.5


@njit
def _fit(f, at, axis, side, h, hess, out):
    """Write to `out` (PLANE,) the plane of the columns along an axis around a voxel; `out[0]` is 0 if there is none."""
    out[:] = 0.0
    own = _height(f, at, axis, side)
    if math.isnan(own) or abs(own) > 0.5 + EMPTY:
        return
    slope, curve = np.zeros(3), np.zeros(3)
    cell = at.copy()
    for other in range(3):
        if other == axis:
            continue
        cell[other] = at[other] + 1
        up = _height(f, cell, axis, side)
        cell[other] = at[other] - 1
        down = _height(f, cell, axis, side)
        cell[other] = at[other]
        if math.isnan(up) and math.isnan(down):
            return
        if math.isnan(up):
            slope[other] = own - down
        elif math.isnan(down):
            slope[other] = up - own
        else:
            slope[other], curve[other] = 0.5 * (up - down), up - 2.0 * own + down
            if abs(curve[other]) > 0.5:
                return
        slope[other] *= h[axis] / h[other]
        curve[other] *= h[axis] / (h[other] * h[other])
    slope[axis] = -side
    hess[:] = 0.0
    hess[:3] = -curve
    size = math.sqrt(slope[0] ** 2 + slope[1] ** 2 + slope[2] ** 2)
    out[2], out[3], out[4] = shape_operator(-slope[0], -slope[1], -slope[2], hess, out[5:11])
    # A height is a mean over the base of its column: take the curvature's share off again.
    mean = (curve[0] * h[0] ** 2 + curve[1] * h[1] ** 2 + curve[2] * h[2] ** 2) / 24.0
    out[0], out[1] = 1.0, -(own * h[axis] - mean) / size


@njit
def _carried(plane, x, y, z):
    """Return d and the normal of a plane, with its curvature, about a point (mm) other than its own centre."""
    K = plane[5:11]
    d = plane[1] + plane[2] * x + plane[3] * y + plane[4] * z + quadratic(K, x, y, z)
    nx = plane[2] + K[0] * x + K[3] * y + K[4] * z
    ny = plane[3] + K[3] * x + K[1] * y + K[5] * z
    nz = plane[4] + K[4] * x + K[5] * y + K[2] * z
    size = math.sqrt(nx * nx + ny * ny + nz * nz)
    return d / size, nx / size, ny / size, nz / size


@njit
def _is_trusted(f, at, h, plane):
    """Whether a plane tells the occupied fractions of the voxels around."""
    cut = agree = 0
    for n in range(27):
        a, b, c = n // 9 - 1, n // 3 % 3 - 1, n % 3 - 1
        x, y, z = a * h[0], b * h[1], c * h[2]
        d, nx, ny, nz = _carried(plane, x, y, z)
        told = fraction_below(d, nx, ny, nz, h[0], h[1], h[2])
        if 0.02 < told < 0.98:
            cut += 1
            agree += abs(told - f[at[0] + a, at[1] + b, at[2] + c]) < TELLS
    return agree >= TRUSTED * cut


@njit
def mark(own, cells, patches, h, rows, zone):
    """Write to `zone` (n,) whether a strongly curved patch lies near each cut voxel."""
    limit = (CURVED / min(h[0], h[1], h[2])) ** 2
    for n in range(rows[0], rows[1]):
        i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
        zone[n] = False
        for a in range(max(i - NEAR, 0), min(i + NEAR + 1, own.shape[0])):
            for b in range(max(j - NEAR, 0), min(j + NEAR + 1, own.shape[1])):
                for c in range(max(k - NEAR, 0), min(k + NEAR + 1, own.shape[2])):
                    m = own[a, b, c]
                    if m >= 0:
                        K = patches[m, 4:10]
                        bend = K[0] ** 2 + K[1] ** 2 + K[2] ** 2 + 2.0 * (K[3] ** 2 + K[4] ** 2 + K[5] ** 2)
                        zone[n] |= bend > limit


@njit
def fit_planes(f, h, cells, patches, zone, rows, planes):
    """Write the planes (n, 3, PLANE) from columns along each axis, for the marked cut voxels."""
    hess, at = np.empty(6), np.empty(3, np.int64)
    for n in range(rows[0], rows[1]):
        planes[n] = 0.0
        if not zone[n]:
            continue
        at[:] = cells[n]
        for axis in range(3):
            if abs(patches[n, axis + 1]) > 0.1:
                p = planes[n, axis]
                _fit(f, at, axis, 1 if patches[n, axis + 1] > 0.0 else -1, h, hess, p)
                if p[0] > 0.0 and not _is_trusted(f, at, h, p):
                    p[0] = 0.0


@njit
def _gather(own, cells, planes, h, n, found):
    """Write to `found` (3, 10) up to three distinct planes (d, n, K) through a voxel; return how many."""
    count = 0
    i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
    for ring in range(3):
        for a in range(i - ring, i + ring + 1):
            for b in range(j - ring, j + ring + 1):
                for c in range(k - ring, k + ring + 1):
                    m = own[a, b, c]
                    if m < 0 or (ring > 0 and m == n):
                        continue
                    for axis in range(3):
                        p = planes[m, axis]
                        if p[0] == 0.0 or count == 3:
                            continue
                        d, nx, ny, nz = _carried(p, (i - a) * h[0], (j - b) * h[1], (k - c) * h[2])
                        extent = 0.5 * (abs(nx) * h[0] + abs(ny) * h[1] + abs(nz) * h[2])
                        new = abs(d) <= 1.02 * extent
                        for q in range(count):
                            dot = nx * found[q, 1] + ny * found[q, 2] + nz * found[q, 3]
                            new = new and dot < ALIKE
                        if new:
                            found[count, 0], found[count, 1], found[count, 2], found[count, 3] = d, nx, ny, nz
                            found[count, 4:] = p[5:]
                            count += 1
    return count


@njit
def _meet(planes, count, h, x):
    """Write to `x` the point nearest to the voxel's centre on all planes; return whether it lies in the voxel."""
    gram, right = np.zeros((count, count)), np.zeros(count)
    for p in range(count):
        right[p] = -planes[p, 0]
        for q in range(count):
            gram[p, q] = (planes[p, 1:4] * planes[q, 1:4]).sum()
    det = gram[0, 0] * gram[1, 1] - gram[0, 1] ** 2
    weight = np.zeros(count)
    if count == 2:
        weight[0] = (right[0] * gram[1, 1] - right[1] * gram[0, 1]) / det
        weight[1] = (right[1] * gram[0, 0] - right[0] * gram[0, 1]) / det
    else:
        weight[:] = np.linalg.solve(gram + 1e-9 * np.eye(3), right)
    inside = True
    for axis in range(3):
        x[axis] = 0.0
        for p in range(count):
            x[axis] += weight[p] * planes[p, axis + 1]
        inside = inside and abs(x[axis]) <= 0.51 * h[axis]
    return inside


@njit
def _fraction(planes, count, h):
    """Return the fraction of the voxel below all planes."""
    hit = 0
    for n in range(SAMPLES):
        # Additive recurrence with powers of the root of x^4 = x + 1: no two points share a coordinate.
        x = ((0.5 + 0.8191725133961645 * n) % 1.0 - 0.5) * h[0]
        y = ((0.5 + 0.6710436067037893 * n) % 1.0 - 0.5) * h[1]
        z = ((0.5 + 0.5497004779019703 * n) % 1.0 - 0.5) * h[2]
        below = True
        for p in range(count):
            below = below and planes[p, 0] + planes[p, 1] * x + planes[p, 2] * y + planes[p, 3] * z < 0.0
        hit += below
    return hit / SAMPLES


@njit
def find_edges(f, own, h, cells, planes, zone, rows, patches):
    """Turn the patches of marked voxels that hold a convex edge or corner into wedges of two or three planes."""
    found, pair, x = np.empty((3, 10)), np.empty((3, 10)), np.empty(3)
    for n in range(rows[0], rows[1]):
        if not zone[n]:
            continue
        count = _gather(own, cells, planes, h, n, found)
        if count < 2:
            continue
        # All planes first, then each pair: the pair that leaves out plane `drop`.
        for drop in range(count, -1 if count == 3 else count - 1, -1):
            used = 0
            for p in range(count):
                if p != drop:
                    pair[used] = found[p]
                    used += 1
            if not _meet(pair, used, h, x):
                continue
            if abs(_fraction(pair, used, h) - f[cells[n, 0], cells[n, 1], cells[n, 2]]) > AGREES:
                continue
            normal = np.zeros(3)
            for p in range(used):
                normal += pair[p, 1:4]
            normal /= math.sqrt((normal * normal).sum())
            patches[n, 1:4] = normal
            patches[n, 4:10] = 0.0
            patches[n, 0] = distance_of_fraction(
                f[cells[n, 0], cells[n, 1], cells[n, 2]], normal[0], normal[1], normal[2], h[0], h[1], h[2]
            )
            patches[n, OFFSET : OFFSET + 3] = x
            patches[n, KIND] = used - 1.0
            patches[n, NORMALS:] = 0.0
            for p in range(used):
                patches[n, NORMALS + 3 * p : NORMALS + 3 * p + 3] = pair[p, 1:4]
            if used == 2:
                t = np.cross(pair[0, 1:4], pair[1, 1:4])
                t /= math.sqrt((t * t).sum())
                patches[n, NORMALS + 6] = 2.0 * quadratic(pair[0, 4:], t[0], t[1], t[2])
                patches[n, NORMALS + 7] = 2.0 * quadratic(pair[1, 4:], t[0], t[1], t[2])
            break


@njit
def flatten(f, own, h, cells, planes, zone, rows, patches):
    """Give the smooth patches near an edge the plane of their own columns."""
    reach = NEAR + 1
    points = np.empty((LINES, 3))
    for n in range(rows[0], rows[1]):
        if not zone[n] or patches[n, KIND] != 0.0:
            continue
        i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
        near = False
        for a in range(max(i - reach, 0), min(i + reach + 1, own.shape[0])):
            for b in range(max(j - reach, 0), min(j + reach + 1, own.shape[1])):
                for c in range(max(k - reach, 0), min(k + reach + 1, own.shape[2])):
                    m = own[a, b, c]
                    near |= m >= 0 and patches[m, KIND] > 0.0
        if not near:
            continue
        best = 0
        for axis in range(1, 3):
            if planes[n, axis, 0] * abs(planes[n, axis, 2 + axis]) > planes[n, best, 0] * abs(
                planes[n, best, 2 + best]
            ):
                best = axis
        p = planes[n, best]
        if p[0] == 0.0:
            continue
        flat = distance_of_fraction(f[i, j, k], p[2], p[3], p[4], h[0], h[1], h[2])
        d = flat - bulge(flat, p[2], p[3], p[4], p[5:11], h, points)
        patches[n, 0] = d
        patches[n, 1:4] = p[2:5]
        patches[n, 4:10] = p[5:11]
        patches[n, OFFSET : OFFSET + 3] = -d * p[2:5]
