"""Sharp edges and corners of an occupancy, which the smoothing under which patches are fitted would round off.

Only where patches are strongly curved. There, planes come from height functions: the occupancies of a column of voxels
across the surface add up to the surface's height over the column's base, exactly (Cummins, Francois and Kothe, Comput
Struct 83:425, 2005). Columns that do not run from full to empty, as over an edge, say so and are left out. Where two or
three such planes meet, they are refined together until the region below all of them tells the occupied fractions of
the voxels around, by least squares (as Pilliod and Puckett, J Comput Phys 199:465, 2004, for one plane); if it does so
better than the smooth patch (``kernels.quadric``), the patch becomes a wedge, or that plane of it which is its own.
"""

import math
from typing import NamedTuple

import numpy as np

from kernels._jit import njit, njit_bare, njit_welded
from kernels.distance import patch_distance
from kernels.plane import LINES, bulge, distance_of_fraction, fraction_and_slope, fraction_below, quadratic
from kernels.quadric import SMOOTH, solve
from kernels.surface import EMPTY, KIND, NORMALS, OFFSET, PATCH, SITE, shape_operator

# Columns of a plane: valid, d, n (3), K (6); three planes of a voxel come from columns, one from its smooth patch.
PLANE, SOURCES = 11, 4
# Curvature (Frobenius norm, per voxel edge) from which a patch is looked at, and how far around it, voxels.
CURVED = 0.2
NEAR = 2
# Voxels to either side of the surface that a column may have.
REACH = 3
# Planes whose normals have a larger dot product are the same one, at an edge and at a crease (there, planes come only
# from patches that tell the fractions best); with a smaller, they are the two faces of a sheet.
ALIKE, CREASED, OPPOSED = 0.4, 0.85, -0.95
# Planes that have come closer than this by refinement make no corner: they are one curved surface.
BLUNT = 0.6
# A plane tells a fraction so well, and must tell so many in the block of `NEAR` voxels around.
AGREES, TRUSTED = 0.03, 5
# How far away planes are looked for, voxels, and what each voxel of way counts in fractions told.
FAR, FADE = 3, 1.0
# Sub-voxels along an axis that tell the fraction below several planes.
SPLIT = 4
# Rounds of refinement, and the share of the squared error of an occupancy in that of a plane (slope or mm).
ROUNDS, DAMPING = 4, 3e-2
# Refinement ends where planes tell the fractions so well: what is left is the error of the sub-voxels.
ENOUGH = 0.01
# A wedge counts if it tells the fractions of the voxels around this well (root mean square of those that are cut)
# and has less than this share of the error of the smooth patch, a corner of that of an edge.
TELLS, BETTER, CORNER = 0.03, 0.7, 0.5
# Patches that miss less of the fractions around than this are not tried as a wedge.
TRIED = 0.005
# How far from the voxel's centre the edge and the corner of its wedge may lie, voxels.
WITHIN, ENDS = 1.0, 2.0
# An edge farther than this from the voxel's centre (voxels) lies outside. If a wedge, which is flat, strays there from
# its faces by more than this (shortest edges), one that misses less than a share of the voxel's fraction is its own.
BESIDE, BENT, SHARE = 0.6, 0.03, 0.1


class Bench(NamedTuple):
    """Arrays lent to the kernels of one chunk, which make none themselves: counting references costs more than they do.

    Attributes
    ----------
    alike : float
        Planes whose normals have a larger dot product are the same one.
    found, some : ndarray (3, 10)
        Planes (d, n, K) around a voxel, and those of them on trial.
    trial : ndarray (PATCH,)
    gram, right, row : ndarray (12, 12), (12,), (12,)
        Normal equations of the planes, and derivatives of one fraction.
    work : ndarray (3, 6)
        See ``fraction_below_all``.
    at, apex : ndarray (3,)
    points : ndarray (LINES, 3)
        See ``kernels.plane.bulge``.
    """

    alike: float
    found: np.ndarray
    some: np.ndarray
    trial: np.ndarray
    gram: np.ndarray
    right: np.ndarray
    row: np.ndarray
    work: np.ndarray
    at: np.ndarray
    apex: np.ndarray
    points: np.ndarray


@njit
def _bench(alike):
    size = 12
    return Bench(
        alike,
        np.empty((3, 10)),
        np.empty((3, 10)),
        np.empty(PATCH),
        np.empty((size, size)),
        np.empty(size),
        np.empty(size),
        np.empty((3, 6)),
        np.empty(3),
        np.empty(3),
        np.empty((LINES, 3)),
    )


@njit_bare
def _height(f, i, j, k, axis, side):
    """Return the height of the surface over voxel (i, j, k)'s centre in a column, in voxels, or NaN if it has none."""
    di, dj, dk = side * (axis == 0), side * (axis == 1), side * (axis == 2)
    total, last = 0.0, 2.0
    full = empty = False
    for step in range(-REACH, REACH + 1):
        a, b, c = i + di * step, j + dj * step, k + dk * step
        if min(a, b, c) < 0 or a >= f.shape[0] or b >= f.shape[1] or c >= f.shape[2]:
            return np.nan
        v = f[a, b, c]
        if v >= 1.0 - EMPTY:
            # Only what is full from here on counts: another surface may lie deeper.
            full, total, last = True, step + REACH + 1.0, 1.0
            continue
        if not full:
            continue
        if v > last + EMPTY:
            return np.nan
        last = v
        total += v
        if v <= EMPTY:
            empty = True
            break
    return total - REACH - 0.5 if full and empty else np.nan


@njit_bare
def _slope(f, i, j, k, axis, other, side, own, h):
    """Return slope and curvature of the height along `other`, one-sided by an edge; NaN if there are none."""
    di, dj, dk = int(other == 0), int(other == 1), int(other == 2)
    up = _height(f, i + di, j + dj, k + dk, axis, side)
    down = _height(f, i - di, j - dj, k - dk, axis, side)
    curve = 0.0
    if not math.isnan(up) and not math.isnan(down):
        slope, curve = 0.5 * (up - down), up - 2.0 * own + down
    else:
        way = -1 if math.isnan(up) else 1
        near = down if math.isnan(up) else up
        far = _height(f, i + 2 * way * di, j + 2 * way * dj, k + 2 * way * dk, axis, side)
        slope = way * (near - own)
        if not math.isnan(far):
            slope = 0.5 * way * (4.0 * near - 3.0 * own - far)
            curve = own - 2.0 * near + far
    if abs(curve) > 0.5:
        return np.nan, 0.0
    return slope * h[axis] / h[other], curve * h[axis] / (h[other] * h[other])


@njit_bare
def _twist(f, i, j, k, axis, side, own):
    """Return the mixed second difference of the heights around a column, in voxels, from the quadrants that have it."""
    bi, bj, bk = int(axis == 2), int(axis == 0), int(axis == 1)
    ci, cj, ck = int(axis == 1), int(axis == 2), int(axis == 0)
    total, count = 0.0, 0
    for n in range(4):
        sb, sc = 2 * (n // 2) - 1, 2 * (n % 2) - 1
        one = _height(f, i + sb * bi, j + sb * bj, k + sb * bk, axis, side)
        two = _height(f, i + sc * ci, j + sc * cj, k + sc * ck, axis, side)
        both = _height(f, i + sb * bi + sc * ci, j + sb * bj + sc * cj, k + sb * bk + sc * ck, axis, side)
        found = sb * sc * (both - one - two + own)
        if not math.isnan(found):
            total += found
            count += 1
    return total / count if count else 0.0


@njit_bare
def _fit(f, cell, axis, side, h, hess, out):
    """Write to `out` (PLANE,) the plane of the columns along an axis around a voxel; `out[0]` is 0 if there is none."""
    out[0] = 0.0
    i, j, k = cell[0], cell[1], cell[2]
    own = _height(f, i, j, k, axis, side)
    if math.isnan(own) or abs(own) > 0.5 + EMPTY:
        return
    b, c = (axis + 1) % 3, (axis + 2) % 3
    slope_b, curve_b = _slope(f, i, j, k, axis, b, side, own, h)
    slope_c, curve_c = _slope(f, i, j, k, axis, c, side, own, h)
    if math.isnan(slope_b) or math.isnan(slope_c):
        return
    # (xy, xz, yz) are at 3, 4, 5: the sum of two axes plus two.
    hess[axis], hess[b], hess[c] = 0.0, -curve_b, -curve_c
    hess[3] = hess[4] = hess[5] = 0.0
    hess[b + c + 2] = -_twist(f, i, j, k, axis, side, own) * h[axis] / (h[b] * h[c])
    # Down the heights: out of the body.
    out[2 + axis], out[2 + b], out[2 + c] = side, -slope_b, -slope_c
    out[2], out[3], out[4] = shape_operator(out[2], out[3], out[4], hess, out[5:11])
    # A height is a mean over the base of its column: take the curvature's share off again.
    mean = (curve_b * h[b] ** 2 + curve_c * h[c] ** 2) / 24.0
    size = math.sqrt(1.0 + slope_b * slope_b + slope_c * slope_c)
    out[0], out[1] = 1.0, -(own * h[axis] - mean) / size


@njit_welded
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
def mark(patches, h, rows, curved):
    """Write whether patches are strongly curved (n,)."""
    limit = (CURVED / min(h[0], h[1], h[2])) ** 2
    for n in range(rows[0], rows[1]):
        K = patches[n, 4:10]
        bend = K[0] ** 2 + K[1] ** 2 + K[2] ** 2 + 2.0 * (K[3] ** 2 + K[4] ** 2 + K[5] ** 2)
        curved[n] = bend > limit


@njit_bare
def _trust(f, own, cell, h, plane):
    """Return of how many cut voxels around, that a plane touches, it tells the occupied fraction; 0 if of too few."""
    agree = 0
    i, j, k = cell[0], cell[1], cell[2]
    for a in range(max(i - NEAR, 0), min(i + NEAR + 1, f.shape[0])):
        for b in range(max(j - NEAR, 0), min(j + NEAR + 1, f.shape[1])):
            for c in range(max(k - NEAR, 0), min(k + NEAR + 1, f.shape[2])):
                if own[a, b, c] < 0:
                    continue
                d, nx, ny, nz = _carried(plane, (a - i) * h[0], (b - j) * h[1], (c - k) * h[2])
                touches = abs(d) <= 0.51 * (abs(nx) * h[0] + abs(ny) * h[1] + abs(nz) * h[2])
                told = fraction_below(d, nx, ny, nz, h[0], h[1], h[2])
                agree += touches and abs(told - f[a, b, c]) < AGREES
    return agree if agree >= TRUSTED else 0


@njit
def fit_planes(f, own, h, cells, patches, misfit, rows, planes):
    """Write the planes (n, SOURCES, PLANE) from columns along each axis, for cut voxels whose misfit is finite.

    The last one is the smooth patch, where that tells the fractions around.
    """
    _fit_planes(f, own, h, cells, patches, misfit, rows, np.empty(6), planes)


@njit_bare
def _fit_planes(f, own, h, cells, patches, misfit, rows, hess, planes):
    for n in range(rows[0], rows[1]):
        for axis in range(3):
            p = planes[n, axis]
            p[0] = 0.0
            if misfit[n] < np.inf and abs(patches[n, axis + 1]) > 0.1:
                _fit(f, cells[n], axis, 1 if patches[n, axis + 1] > 0.0 else -1, h, hess, p)
                if p[0] > 0.0:
                    p[0] = _trust(f, own, cells[n], h, p)
        p = planes[n, 3]
        p[0] = 0.0
        if misfit[n] <= SMOOTH:
            for r in range(10):
                p[1 + r] = patches[n, r]
            p[0] = _trust(f, own, cells[n], h, p)


@njit_bare
def _turn(plane, out):
    """Write to `out` (d, n, K) the curvatures of a plane, turned from its normal to the one in `out`.

    By the least rotation, ``R = c + [v] + v v / (1 + c)`` with v the cross product of the normals, c the dot product.
    """
    x, y, z, K = plane[2], plane[3], plane[4], plane[5:11]
    vx, vy, vz = y * out[3] - z * out[2], z * out[1] - x * out[3], x * out[2] - y * out[1]
    c = x * out[1] + y * out[2] + z * out[3]
    share = 1.0 / (1.0 + max(c, -0.9))
    # Two rows by two rows: the third of K follows from K n = 0 only in exact arithmetic, so all six are written.
    for p in range(3):
        ax = (c if p == 0 else (vz if p == 1 else -vy)) + share * (vx, vy, vz)[p] * vx
        ay = (c if p == 1 else (vx if p == 2 else -vz)) + share * (vx, vy, vz)[p] * vy
        az = (c if p == 2 else (vy if p == 0 else -vx)) + share * (vx, vy, vz)[p] * vz
        ux, uy, uz = (
            K[0] * ax + K[3] * ay + K[4] * az,
            K[3] * ax + K[1] * ay + K[5] * az,
            K[4] * ax + K[5] * ay + K[2] * az,
        )
        for q in range(p, 3):
            bx = (c if q == 0 else (vz if q == 1 else -vy)) + share * (vx, vy, vz)[q] * vx
            by = (c if q == 1 else (vx if q == 2 else -vz)) + share * (vx, vy, vz)[q] * vy
            bz = (c if q == 2 else (vy if q == 0 else -vx)) + share * (vx, vy, vz)[q] * vz
            out[4 + p if p == q else 6 + p + q] = ux * bx + uy * by + uz * bz


@njit_bare
def _gather(own, cells, planes, h, n, bench):
    """Write to `bench.found` up to three distinct planes (d, n, K) through or beside a voxel; return how many.

    Of planes that are nearly the same, the one counts that tells the most occupied fractions.
    """
    i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
    found, alike = bench.found, bench.alike
    for count in range(3):
        most = 0.0
        for a in range(max(i - FAR, 0), min(i + FAR + 1, own.shape[0])):
            for b in range(max(j - FAR, 0), min(j + FAR + 1, own.shape[1])):
                for c in range(max(k - FAR, 0), min(k + FAR + 1, own.shape[2])):
                    m = own[a, b, c]
                    if m < 0:
                        continue
                    ring = max(abs(a - i), abs(b - j), abs(c - k))
                    for source in range(SOURCES):
                        p = planes[m, source]
                        if p[0] - FADE * ring <= most:
                            continue
                        d, nx, ny, nz = _carried(p, (i - a) * h[0], (j - b) * h[1], (k - c) * h[2])
                        extent = 0.5 * (abs(nx) * h[0] + abs(ny) * h[1] + abs(nz) * h[2])
                        new = abs(d) <= 5.0 * extent
                        for q in range(count):
                            dot = nx * found[q, 1] + ny * found[q, 2] + nz * found[q, 3]
                            new = new and OPPOSED < dot < alike
                        if new:
                            most = p[0] - FADE * ring
                            found[count, 0], found[count, 1], found[count, 2], found[count, 3] = d, nx, ny, nz
                            _turn(p, found[count])
        if most == 0.0:
            return count
    return 3


@njit_bare
def _meet(planes, count, bench):
    """Write to `bench.apex` the point nearest to the voxel's centre on all planes."""
    gram, right = bench.gram, bench.right
    for p in range(count):
        right[p] = -planes[p, 0]
        for q in range(count):
            gram[p, q] = planes[p, 1] * planes[q, 1] + planes[p, 2] * planes[q, 2] + planes[p, 3] * planes[q, 3]
        gram[p, p] += 1e-9
    solve(gram, right, count)
    for axis in range(3):
        bench.apex[axis] = 0.0
        for p in range(count):
            bench.apex[axis] += right[p] * planes[p, axis + 1]


@njit_bare
def fraction_below_all(planes, count, at, h, work, row):
    """Return the fraction below all planes of a voxel at `at` (mm), and write to `row` its derivatives by (d, n).

    Where several planes cut it, the voxel is split into sub-voxels, in each of which every fraction falls linearly with
    the distance, whatever the others do: off by 0.015 root mean square, which least squares even out.
    `work` (3, 6) holds the planes that cut the voxel: gradient, width of a sub-voxel across it, distance, and number.
    """
    for p in range(4 * count):
        row[p] = 0.0
    some = 0
    for p in range(count):
        K = planes[p, 4:]
        d = planes[p, 0] + quadratic(K, at[0], at[1], at[2])
        d += (K[0] * h[0] ** 2 + K[1] * h[1] ** 2 + K[2] * h[2] ** 2) / 24.0
        gx = planes[p, 1] + K[0] * at[0] + K[3] * at[1] + K[4] * at[2]
        gy = planes[p, 2] + K[3] * at[0] + K[1] * at[1] + K[5] * at[2]
        gz = planes[p, 3] + K[4] * at[0] + K[5] * at[1] + K[2] * at[2]
        d += planes[p, 1] * at[0] + planes[p, 2] * at[1] + planes[p, 3] * at[2]
        width = (abs(gx) * h[0] + abs(gy) * h[1] + abs(gz) * h[2]) / SPLIT
        if d > 0.5 * SPLIT * width:
            return 0.0
        if d >= -0.5 * SPLIT * width:
            work[some, 0], work[some, 1], work[some, 2] = gx / width, gy / width, gz / width
            work[some, 3], work[some, 4], work[some, 5] = width, 0.5 - d / width, p
            some += 1
    if some == 1:
        return _below_one(work[0], at, h, row)
    return _count_below(work, some, at, h, row) if some else 1.0


@njit_welded
def _below_one(plane, at, h, row):
    """Do the work of ``fraction_below_all`` for the only plane that cuts the voxel, exactly but for its tilts.

    These are those about the plane's point nearest to the voxel's centre instead of the middle of its piece.
    """
    width, p = plane[3], 4 * int(plane[5])
    gx, gy, gz = plane[0] * width, plane[1] * width, plane[2] * width
    d = (0.5 - plane[4]) * width
    told, slope = fraction_and_slope(d, gx, gy, gz, h[0], h[1], h[2])
    share = d / (gx * gx + gy * gy + gz * gz)
    row[p] = -slope
    row[p + 1] = -slope * (at[0] + min(max(-share * gx, -0.5 * h[0]), 0.5 * h[0]))
    row[p + 2] = -slope * (at[1] + min(max(-share * gy, -0.5 * h[1]), 0.5 * h[1]))
    row[p + 3] = -slope * (at[2] + min(max(-share * gz, -0.5 * h[2]), 0.5 * h[2]))
    return told


@njit_bare
def _count_below(work, some, at, h, row):
    """Do the work of ``fraction_below_all`` for the planes that cut the voxel."""
    total = 0.0
    for n in range(SPLIT**3):
        x = ((n // (SPLIT * SPLIT) + 0.5) / SPLIT - 0.5) * h[0]
        y = ((n // SPLIT % SPLIT + 0.5) / SPLIT - 0.5) * h[1]
        z = ((n % SPLIT + 0.5) / SPLIT - 0.5) * h[2]
        both = 1.0
        for m in range(some):
            both *= min(max(work[m, 4] - work[m, 0] * x - work[m, 1] * y - work[m, 2] * z, 0.0), 1.0)
        total += both
        if both == 0.0:
            continue
        for m in range(some):
            share = work[m, 4] - work[m, 0] * x - work[m, 1] * y - work[m, 2] * z
            if share < 1.0:
                p = 4 * int(work[m, 5])
                slope = -both / (share * work[m, 3] * SPLIT**3)
                row[p] += slope
                row[p + 1] += slope * (at[0] + x)
                row[p + 2] += slope * (at[1] + y)
                row[p + 3] += slope * (at[2] + z)
    return total / SPLIT**3


@njit_bare
def _normal_equations(f, cell, h, planes, count, bench):
    """Write to `bench` the normal equations of planes that should tell the fractions of a 3x3x3 block.

    Return their misfit, root mean square over the voxels that are cut.
    """
    gram, right, row, at = bench.gram, bench.right, bench.row, bench.at
    for p in range(4 * count):
        right[p] = 0.0
        for q in range(p + 1):
            gram[p, q] = DAMPING if p == q else 0.0
    total, cut = 0.0, 0
    for n in range(27):
        a, b, c = n // 9 - 1, n // 3 % 3 - 1, n % 3 - 1
        at[0], at[1], at[2] = a * h[0], b * h[1], c * h[2]
        told = fraction_below_all(planes, count, at, h, bench.work, row)
        truth = f[cell[0] + a, cell[1] + b, cell[2] + c]
        total += (truth - told) ** 2
        cut += 0.0 < told < 1.0 or 0.0 < truth < 1.0
        if 0.0 < told < 1.0:
            for p in range(4 * count):
                right[p] += row[p] * (truth - told)
                for q in range(p + 1):
                    gram[p, q] += row[p] * row[q]
    return math.sqrt(total / max(cut, 1))


@njit_bare
def _refine(f, cell, h, planes, count, bench):
    """Refine planes (in place) so that the region below all tells the fractions of a 3x3x3 block; return the misfit."""
    misfit = np.inf
    for turn in range(ROUNDS + 1):
        misfit = _normal_equations(f, cell, h, planes, count, bench)
        if turn == ROUNDS or misfit < ENOUGH:
            break
        solve(bench.gram, bench.right, 4 * count)
        for p in range(count):
            for r in range(4):
                planes[p, r] += bench.right[4 * p + r]
            size = math.sqrt(planes[p, 1] ** 2 + planes[p, 2] ** 2 + planes[p, 3] ** 2)
            for r in range(4):
                planes[p, r] /= size
    return misfit


@njit_welded
def _is_near(x, y, z, h, reach):
    """Whether a point lies within `reach` voxels of the centre along each axis."""
    return abs(x) <= reach * h[0] and abs(y) <= reach * h[1] and abs(z) <= reach * h[2]


@njit_bare
def as_wedge(planes, count, apex, v, h, patch):
    """Write a patch that stands for the region below two or three planes that meet at `apex`.

    Return whether that surface passes through the voxel.
    """
    nx = ny = nz = 0.0
    for r in range(KIND, PATCH):
        patch[r] = 0.0
    for p in range(count):
        nx, ny, nz = nx + planes[p, 1], ny + planes[p, 2], nz + planes[p, 3]
        for r in range(3):
            patch[NORMALS + 3 * p + r] = planes[p, r + 1]
    size = math.sqrt(nx * nx + ny * ny + nz * nz)
    patch[1], patch[2], patch[3] = nx / size, ny / size, nz / size
    patch[0] = distance_of_fraction(v, patch[1], patch[2], patch[3], h[0], h[1], h[2])
    for r in range(4, 10):
        patch[r] = 0.0
    patch[OFFSET], patch[OFFSET + 1], patch[OFFSET + 2] = apex[0], apex[1], apex[2]
    patch[KIND] = count - 1.0
    if count == 2:
        n, m = planes[0, 1:4], planes[1, 1:4]
        x, y, z = n[1] * m[2] - n[2] * m[1], n[2] * m[0] - n[0] * m[2], n[0] * m[1] - n[1] * m[0]
        square = x * x + y * y + z * z
        patch[NORMALS + 6] = 2.0 * quadratic(planes[0, 4:], x, y, z) / square
        patch[NORMALS + 7] = 2.0 * quadratic(planes[1, 4:], x, y, z) / square
    x = y = z = 0.0
    if not _is_near(apex[0], apex[1], apex[2], h, 0.5):
        _, x, y, z = patch_distance(patch, -apex[0], -apex[1], -apex[2])
    patch[SITE], patch[SITE + 1], patch[SITE + 2] = apex[0] + x, apex[1] + y, apex[2] + z
    return _is_near(apex[0] + x, apex[1] + y, apex[2] + z, h, 0.55)


@njit_bare
def _as_plane(planes, count, v, limit, h, bench):
    """Write to `bench.trial` the one of the planes of a wedge that is a voxel's own, if one tells its fraction."""
    best, trial = min(limit, AGREES), bench.trial
    for p in range(count):
        plane = planes[p]
        lift = bulge(plane[0], plane[1], plane[2], plane[3], plane[4:], h, bench.points)
        miss = abs(fraction_below(plane[0] + lift, plane[1], plane[2], plane[3], h[0], h[1], h[2]) - v)
        touches = abs(plane[0] + lift) <= 0.51 * (abs(plane[1]) * h[0] + abs(plane[2]) * h[1] + abs(plane[3]) * h[2])
        if touches and miss < best:
            best = miss
            for r in range(10):
                trial[r] = plane[r]
            trial[0] = distance_of_fraction(v, plane[1], plane[2], plane[3], h[0], h[1], h[2]) - lift
            for r in range(KIND, PATCH):
                trial[r] = 0.0
            for r in range(3):
                trial[OFFSET + r] = trial[SITE + r] = -trial[0] * trial[1 + r]
    return best < min(limit, AGREES)


@njit_bare
def _is_corner(planes):
    """Return whether no two of three planes are nearly the same."""
    for p in range(3):
        q = (p + 1) % 3
        dot = planes[p, 1] * planes[q, 1] + planes[p, 2] * planes[q, 2] + planes[p, 3] * planes[q, 3]
        if dot > BLUNT:
            return False
    return True


@njit_bare
def _is_bent(planes, count, apex, h):
    """Return whether planes meet outside of the voxel, and stray there from where they would be if they were flat."""
    most = 0.0
    for p in range(count):
        most = max(most, abs(quadratic(planes[p, 4:], apex[0], apex[1], apex[2])))
    return most > BENT * min(h[0], h[1], h[2]) and not _is_near(apex[0], apex[1], apex[2], h, BESIDE)


@njit_bare
def _wedge(f, cell, h, limit, count, bench, patch):
    """Turn a patch into the wedge of two or three of the planes found that has the least misfit, if below `limit`.

    A corner has half as many unknowns again as an edge, and must do so much better.
    """
    some, apex = bench.some, bench.apex
    # The pair that leaves out plane `drop`; all three last.
    for turn in range(4 if count == 3 else 1):
        drop = turn if count == 3 else 2
        used = 0
        for p in range(count):
            if p != drop:
                for r in range(10):
                    some[used, r] = bench.found[p, r]
                used += 1
        reach = WITHIN if used == 2 else ENDS
        _meet(some, used, bench)
        if not _is_near(apex[0], apex[1], apex[2], h, 1.5 * reach):
            continue
        misfit = _refine(f, cell, h, some, used, bench) / (1.0 if used == 2 else CORNER)
        if misfit > limit or (used == 3 and not _is_corner(some)):
            continue
        _meet(some, used, bench)
        v = f[cell[0], cell[1], cell[2]]
        near = _is_near(apex[0], apex[1], apex[2], h, reach)
        # A wedge is flat across: beside an edge of curved faces the voxel's own face tells more.
        done = _is_bent(some, used, apex, h) and _as_plane(some, used, v, SHARE * v, h, bench)
        done = done or (near and as_wedge(some, used, apex, v, h, bench.trial))
        if done or _as_plane(some, used, v, AGREES, h, bench):
            limit = misfit
            for r in range(PATCH):
                patch[r] = bench.trial[r]


@njit
def find_edges(f, own, h, cells, planes, misfit, alike, rows, patches):
    """Turn patches that miss the fractions around into wedges of two or three planes, where these tell them.

    Planes whose normals have a larger dot product than `alike` are the same one.
    """
    _find_edges(f, own, h, cells, planes, misfit, rows, _bench(alike), patches)


@njit_bare
def _find_edges(f, own, h, cells, planes, misfit, rows, bench, patches):
    for n in range(rows[0], rows[1]):
        if misfit[n] > TRIED:
            count = _gather(own, cells, planes, h, n, bench)
            if count > 1:
                _wedge(f, cells[n], h, min(TELLS, BETTER * misfit[n]), count, bench, patches[n])
