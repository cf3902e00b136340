"""Sharp edges and corners of an occupancy, which the smoothing under which patches are fitted would round off.

Only where patches are strongly curved. There, planes come from height functions: the occupancies of a column of voxels
across the surface add up to the surface's height over the column's base, exactly (Cummins, Francois and Kothe, Comput
Struct 83:425, 2005). Columns that do not run from full to empty, as over an edge, say so and are left out. Where two or
three such planes meet, they are refined together until the region below all of them tells the occupied fractions of
the voxels around, by least squares (as Pilliod and Puckett, J Comput Phys 199:465, 2004, for one plane); if it does,
the patch becomes a wedge. Patches near it take their own plane.
"""

import math

import numpy as np

from kernels._jit import njit
from kernels.distance import patch_distance
from kernels.plane import LINES, bulge, distance_of_fraction, fraction_below, quadratic
from kernels.surface import EMPTY, KIND, NORMALS, OFFSET, SITE, shape_operator

# Columns of a plane: valid, d, n (3), K (6).
PLANE = 11
# Curvature (Frobenius norm, per voxel edge) from which a patch is looked at, and how far around it, voxels.
CURVED = 0.2
NEAR = 2
# Voxels to either side of the surface that a column may have.
REACH = 3
# Planes whose normals have a larger dot product are the same one; with a smaller, the two faces of a sheet.
ALIKE, OPPOSED = 0.4, -0.95
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
# and has less than this share of the error of the smooth patch.
TELLS, BETTER = 0.03, 0.5
# How far from the voxel's centre the edge and the corner of its wedge may lie, voxels.
WITHIN, ENDS = 1.0, 2.0


@njit
def _height(f, at, axis, side):
    """Return the height of the surface over a voxel's centre in a column, in voxels, or NaN if it has none."""
    cell = at.copy()
    total, last = 0.0, 2.0
    full = empty = False
    for step in range(-REACH, REACH + 1):
        cell[axis] = at[axis] + side * step
        if cell[axis] < 0 or cell[axis] >= f.shape[axis]:
            return np.nan
        v = f[cell[0], cell[1], cell[2]]
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


@njit
def _slope(f, at, axis, other, side, own, h, slope, curve):
    """Write slope and curvature of the height along `other`, one-sided by an edge; return whether there are any."""
    cell = at.copy()
    cell[other] = at[other] + 1
    up = _height(f, cell, axis, side)
    cell[other] = at[other] - 1
    down = _height(f, cell, axis, side)
    curve[other] = 0.0
    if not math.isnan(up) and not math.isnan(down):
        slope[other], curve[other] = 0.5 * (up - down), up - 2.0 * own + down
    else:
        way = -1 if math.isnan(up) else 1
        near = down if math.isnan(up) else up
        cell[other] = at[other] + 2 * way
        far = _height(f, cell, axis, side)
        if math.isnan(near):
            return False
        slope[other] = way * (near - own)
        if not math.isnan(far):
            slope[other] = 0.5 * way * (4.0 * near - 3.0 * own - far)
            curve[other] = own - 2.0 * near + far
    if abs(curve[other]) > 0.5:
        return False
    slope[other] *= h[axis] / h[other]
    curve[other] *= h[axis] / (h[other] * h[other])
    return True


@njit
def _twist(f, at, axis, side, own):
    """Return the mixed second difference of the heights around a column, in voxels, from the quadrants that have it."""
    b, c = (axis + 1) % 3, (axis + 2) % 3
    cell = at.copy()
    total, count = 0.0, 0
    for n in range(4):
        sb, sc = 2 * (n // 2) - 1, 2 * (n % 2) - 1
        cell[b], cell[c] = at[b] + sb, at[c]
        one = _height(f, cell, axis, side)
        cell[c] = at[c] + sc
        both = _height(f, cell, axis, side)
        cell[b] = at[b]
        two = _height(f, cell, axis, side)
        found = sb * sc * (both - one - two + own)
        if not math.isnan(found):
            total += found
            count += 1
    return total / count if count else 0.0


@njit
def _fit(f, at, axis, side, h, hess, out):
    """Write to `out` (PLANE,) the plane of the columns along an axis around a voxel; `out[0]` is 0 if there is none."""
    out[:] = 0.0
    own = _height(f, at, axis, side)
    if math.isnan(own) or abs(own) > 0.5 + EMPTY:
        return
    slope, curve = np.zeros(3), np.zeros(3)
    b, c = (axis + 1) % 3, (axis + 2) % 3
    if not _slope(f, at, axis, b, side, own, h, slope, curve):
        return
    if not _slope(f, at, axis, c, side, own, h, slope, curve):
        return
    slope[axis] = -side
    hess[:] = 0.0
    hess[:3] = -curve
    # (xy, xz, yz) are at 3, 4, 5: the sum of two axes plus two.
    hess[b + c + 2] = -_twist(f, at, axis, side, own) * h[axis] / (h[b] * h[c])
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
def _inliers(f, own, at, h, plane):
    """Return of how many cut voxels around, that a plane touches, it tells the occupied fraction."""
    agree = 0
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for axis in range(3):
        low[axis], high[axis] = max(at[axis] - NEAR, 0), min(at[axis] + NEAR + 1, f.shape[axis])
    for a in range(low[0], high[0]):
        for b in range(low[1], high[1]):
            for c in range(low[2], high[2]):
                if own[a, b, c] < 0:
                    continue
                d, nx, ny, nz = _carried(plane, (a - at[0]) * h[0], (b - at[1]) * h[1], (c - at[2]) * h[2])
                touches = abs(d) <= 0.51 * (abs(nx) * h[0] + abs(ny) * h[1] + abs(nz) * h[2])
                told = fraction_below(d, nx, ny, nz, h[0], h[1], h[2])
                agree += touches and abs(told - f[a, b, c]) < AGREES
    return agree


@njit
def fit_planes(f, own, h, cells, patches, zone, rows, planes):
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
                if p[0] > 0.0:
                    p[0] = _inliers(f, own, at, h, p)
                    if p[0] < TRUSTED:
                        p[0] = 0.0


@njit
def _gather(own, cells, planes, h, n, found):
    """Write to `found` (3, 10) up to three distinct planes (d, n, K) through or beside a voxel; return how many.

    Of planes that are nearly the same, the one counts that tells the most occupied fractions.
    """
    i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
    for count in range(3):
        most = 0.0
        for a in range(max(i - FAR, 0), min(i + FAR + 1, own.shape[0])):
            for b in range(max(j - FAR, 0), min(j + FAR + 1, own.shape[1])):
                for c in range(max(k - FAR, 0), min(k + FAR + 1, own.shape[2])):
                    m = own[a, b, c]
                    if m < 0:
                        continue
                    ring = max(abs(a - i), abs(b - j), abs(c - k))
                    for axis in range(3):
                        p = planes[m, axis]
                        if p[0] - FADE * ring <= most:
                            continue
                        d, nx, ny, nz = _carried(p, (i - a) * h[0], (j - b) * h[1], (k - c) * h[2])
                        extent = 0.5 * (abs(nx) * h[0] + abs(ny) * h[1] + abs(nz) * h[2])
                        new = abs(d) <= 5.0 * extent
                        for q in range(count):
                            dot = nx * found[q, 1] + ny * found[q, 2] + nz * found[q, 3]
                            new = new and OPPOSED < dot < ALIKE
                        if new:
                            most = p[0] - FADE * ring
                            found[count, 0], found[count, 1], found[count, 2], found[count, 3] = d, nx, ny, nz
                            found[count, 4:] = p[5:]
        if most == 0.0:
            return count
    return 3


@njit
def _meet(planes, count, x):
    """Write to `x` the point nearest to the voxel's centre on all planes."""
    gram, right = np.zeros((count, count)), np.zeros(count)
    for p in range(count):
        right[p] = -planes[p, 0]
        for q in range(count):
            gram[p, q] = (planes[p, 1:4] * planes[q, 1:4]).sum()
        gram[p, p] += 1e-9
    weight = np.linalg.solve(gram, right)
    for axis in range(3):
        x[axis] = 0.0
        for p in range(count):
            x[axis] += weight[p] * planes[p, axis + 1]


@njit
def fraction_below_all(planes, count, at, h, g, width, row):
    """Return the fraction below all planes of a voxel at `at` (mm), and write to `row` its derivatives by (d, n).

    The voxel is split into sub-voxels, in each of which every fraction falls linearly with the distance.
    """
    row[:] = 0.0
    d, c = np.empty(3), np.empty(3)
    inside = True
    for p in range(count):
        K = planes[p, 4:]
        d[p] = planes[p, 0] + quadratic(K, at[0], at[1], at[2])
        d[p] += (K[0] * h[0] ** 2 + K[1] * h[1] ** 2 + K[2] * h[2] ** 2) / 24.0
        g[p, 0] = planes[p, 1] + K[0] * at[0] + K[3] * at[1] + K[4] * at[2]
        g[p, 1] = planes[p, 2] + K[3] * at[0] + K[1] * at[1] + K[5] * at[2]
        g[p, 2] = planes[p, 3] + K[4] * at[0] + K[5] * at[1] + K[2] * at[2]
        d[p] += planes[p, 1] * at[0] + planes[p, 2] * at[1] + planes[p, 3] * at[2]
        width[p] = (abs(g[p, 0]) * h[0] + abs(g[p, 1]) * h[1] + abs(g[p, 2]) * h[2]) / SPLIT
        if d[p] > 0.5 * SPLIT * width[p]:
            return 0.0
        inside = inside and d[p] < -0.5 * SPLIT * width[p]
    if inside:
        return 1.0
    total = 0.0
    for n in range(SPLIT**3):
        x = ((n // (SPLIT * SPLIT) + 0.5) / SPLIT - 0.5) * h[0]
        y = ((n // SPLIT % SPLIT + 0.5) / SPLIT - 0.5) * h[1]
        z = ((n % SPLIT + 0.5) / SPLIT - 0.5) * h[2]
        both = 1.0
        for p in range(count):
            c[p] = min(max(0.5 - (d[p] + g[p, 0] * x + g[p, 1] * y + g[p, 2] * z) / width[p], 0.0), 1.0)
            both *= c[p]
        total += both
        if both == 0.0:
            continue
        for p in range(count):
            if c[p] < 1.0:
                slope = -both / (c[p] * width[p] * SPLIT**3)
                row[4 * p] += slope
                row[4 * p + 1] += slope * (at[0] + x)
                row[4 * p + 2] += slope * (at[1] + y)
                row[4 * p + 3] += slope * (at[2] + z)
    return total / SPLIT**3


@njit
def _refine(f, cell, h, planes, count, rounds):
    """Refine planes (in place) so that the region below all tells the fractions of a 3x3x3 block; return the misfit."""
    size = 4 * count
    gram, right, row = np.empty((size, size)), np.empty(size), np.empty(size)
    g, width, at = np.empty((3, 3)), np.empty(3), np.empty(3)
    misfit = np.inf
    for turn in range(rounds + 1):
        gram[:], right[:] = 0.0, 0.0
        total, cut = 0.0, 0
        for n in range(27):
            a, b, c = n // 9 - 1, n // 3 % 3 - 1, n % 3 - 1
            at[0], at[1], at[2] = a * h[0], b * h[1], c * h[2]
            told = fraction_below_all(planes, count, at, h, g, width, row)
            truth = f[cell[0] + a, cell[1] + b, cell[2] + c]
            cut += 0.0 < told < 1.0 or 0.0 < truth < 1.0
            total += (truth - told) ** 2
            for p in range(size):
                right[p] += row[p] * (truth - told)
                for q in range(size):
                    gram[p, q] += row[p] * row[q]
        misfit = math.sqrt(total / max(cut, 1))
        if turn == rounds or misfit < ENOUGH:
            break
        for p in range(size):
            gram[p, p] += DAMPING
        step = np.linalg.solve(gram, right)
        for p in range(count):
            planes[p, :4] += step[4 * p : 4 * p + 4]
            planes[p, :4] /= math.sqrt(planes[p, 1] ** 2 + planes[p, 2] ** 2 + planes[p, 3] ** 2)
    return misfit


@njit
def _is_near(x, h, reach):
    """Whether a point lies within `reach` voxels of the centre along each axis."""
    return abs(x[0]) <= reach * h[0] and abs(x[1]) <= reach * h[1] and abs(x[2]) <= reach * h[2]


@njit
def _as_wedge(planes, count, apex, v, h, patch):
    """Write a patch that stands for the region below two or three planes that meet at `apex`.

    Return whether that surface passes through the voxel.
    """
    normal = np.zeros(3)
    for p in range(count):
        normal += planes[p, 1:4]
    normal /= math.sqrt((normal * normal).sum())
    patch[0] = distance_of_fraction(v, normal[0], normal[1], normal[2], h[0], h[1], h[2])
    patch[1:4] = normal
    patch[4:10] = 0.0
    patch[OFFSET : OFFSET + 3] = apex
    patch[KIND] = count - 1.0
    patch[NORMALS : NORMALS + 9] = 0.0
    for p in range(count):
        patch[NORMALS + 3 * p : NORMALS + 3 * p + 3] = planes[p, 1:4]
    if count == 2:
        t = np.cross(planes[0, 1:4], planes[1, 1:4])
        t /= math.sqrt((t * t).sum())
        patch[NORMALS + 6] = 2.0 * quadratic(planes[0, 4:], t[0], t[1], t[2])
        patch[NORMALS + 7] = 2.0 * quadratic(planes[1, 4:], t[0], t[1], t[2])
    foot = np.zeros(3)
    if not _is_near(apex, h, 0.5):
        patch_distance(patch, -apex[0], -apex[1], -apex[2], foot)
    patch[SITE : SITE + 3] = apex + foot
    return _is_near(apex + foot, h, 0.55)


@njit
def _wedge(f, cell, h, found, count, patch):
    """Turn a patch into a wedge of two or three of the planes found, if that tells the fractions around far better."""
    some, apex, trial = np.empty((3, 10)), np.empty(3), patch.copy()
    some[0] = patch[:10]
    limit = min(TELLS, BETTER * _refine(f, cell, h, some, 1, 0))
    # All planes first, then each pair: the pair that leaves out plane `drop`.
    for drop in range(count, -1 if count == 3 else count - 1, -1):
        used = 0
        for p in range(count):
            if p != drop:
                some[used] = found[p]
                used += 1
        reach = WITHIN if used == 2 else ENDS
        _meet(some, used, apex)
        if not _is_near(apex, h, 1.5 * reach) or _refine(f, cell, h, some, used, ROUNDS) > limit:
            continue
        _meet(some, used, apex)
        if _is_near(apex, h, reach) and _as_wedge(some, used, apex, f[cell[0], cell[1], cell[2]], h, trial):
            patch[:] = trial
            return


@njit
def find_edges(f, own, h, cells, planes, zone, rows, patches):
    """Turn marked patches into wedges of two or three planes, where these tell the occupied fractions."""
    found = np.empty((3, 10))
    for n in range(rows[0], rows[1]):
        if zone[n]:
            count = _gather(own, cells, planes, h, n, found)
            if count > 1:
                _wedge(f, cells[n], h, found, count, patches[n])


@njit
def _is_beside(cells, own, wedges, n):
    """Whether a wedge lies near voxel `n`."""
    i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
    for a in range(max(i - FAR, 0), min(i + FAR + 1, own.shape[0])):
        for b in range(max(j - FAR, 0), min(j + FAR + 1, own.shape[1])):
            for c in range(max(k - FAR, 0), min(k + FAR + 1, own.shape[2])):
                if own[a, b, c] >= 0 and wedges[own[a, b, c]]:
                    return True
    return False


@njit
def flatten(f, own, h, cells, planes, zone, rows, wedges, patches):
    """Give the marked patches near an edge that are no wedge themselves (`wedges`, n, tells) a plane of the columns."""
    found, points = np.empty((3, 10)), np.empty((LINES, 3))
    for n in range(rows[0], rows[1]):
        if not zone[n] or wedges[n] or not _is_beside(cells, own, wedges, n):
            continue
        v = f[cells[n, 0], cells[n, 1], cells[n, 2]]
        for p in range(_gather(own, cells, planes, h, n, found)):
            d, nx, ny, nz = found[p, 0], found[p, 1], found[p, 2], found[p, 3]
            lift = bulge(d, nx, ny, nz, found[p, 4:], h, points)
            touches = abs(d + lift) <= 0.51 * (abs(nx) * h[0] + abs(ny) * h[1] + abs(nz) * h[2])
            if touches and abs(fraction_below(d + lift, nx, ny, nz, h[0], h[1], h[2]) - v) < AGREES:
                patches[n, 0] = distance_of_fraction(v, nx, ny, nz, h[0], h[1], h[2]) - lift
                patches[n, 1:10] = found[p, 1:10]
                patches[n, OFFSET : OFFSET + 3] = -patches[n, 0] * found[p, 1:4]
                patches[n, SITE : SITE + 3] = patches[n, OFFSET : OFFSET + 3]
                break
