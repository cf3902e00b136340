"""Signed Euclidean distance (mm, negative inside) from the sub-voxel surface of an occupancy, on anisotropic voxels.

Each cut voxel carries a curved patch (``kernels.surface``). A separable transform, one lower envelope of parabolas an
axis (Felzenszwalb and Huttenlocher, Theory Comput 8:415, 2012), hands every voxel a nearby patch: the parabolas stand
at the true surface points, not at voxel centres. The distance to the patch is then exact to fourth order in the offset.
"""

import math
from typing import NamedTuple

import numpy as np

from kernels._jit import njit, njit_bare, njit_welded
from kernels.surface import KIND, NORMALS, OFFSET, SITE

# Patches that a foot may be handed on to; how far from its voxel's centre a patch extends, voxels; and steps from there
# to nearer pieces, where the foot lies in no voxel of the surface.
WALK, SLACK, STEPS = 6, 0.6, 3
# How far, in longest voxel edges, a patch is followed into voxels that have none: farther away it has ended. Less than
# `BESIDE` voxels from an edge, not at all.
FOLLOWED, BESIDE = 1.5, 2


class Sites(NamedTuple):
    """A surface.

    Attributes
    ----------
    cells, patches : ndarray (n, 3) int32, ndarray (n, PATCH)
    points, origins : ndarray (n, 3)
        A point of each patch and where it begins, mm from voxel 0.
    sharp : ndarray (n,), bool
        Whether an edge is near.
    """

    cells: np.ndarray
    patches: np.ndarray
    points: np.ndarray
    origins: np.ndarray
    sharp: np.ndarray


@njit
def seed(cells, patches, h, points, origins):
    """Write the surface points and the origins of patches (n, 3), mm from voxel (0, 0, 0)."""
    for n in range(cells.shape[0]):
        for axis in range(3):
            points[n, axis] = cells[n, axis] * h[axis] + patches[n, SITE + axis]
            origins[n, axis] = cells[n, axis] * h[axis] + patches[n, OFFSET + axis]


@njit
def place(own, points, h, split, ids):
    """Write the number of every patch to the sub-voxel of its own voxel that is nearest to its point (mm)."""
    for i in range(own.shape[0]):
        for j in range(own.shape[1]):
            for k in range(own.shape[2]):
                n = own[i, j, k]
                if n >= 0:
                    a = min(max(int((points[n, 0] / h[0] + 0.5) * split[0]), i * split[0]), (i + 1) * split[0] - 1)
                    b = min(max(int((points[n, 1] / h[1] + 0.5) * split[1]), j * split[1]), (j + 1) * split[1] - 1)
                    c = min(max(int((points[n, 2] / h[2] + 0.5) * split[2]), k * split[2]), (k + 1) * split[2] - 1)
                    ids[a, b, c] = n


@njit
def _envelope(line, place, height, step, reach_sq, order, border, found):
    """Replace `line` (patch numbers, -1 for none) by the number with the least ``(x - place)^2 + height`` at each x."""
    count = 0
    for x in range(line.shape[0]):
        if line[x] < 0 or height[x] > reach_sq:
            continue
        # Places are nearly in order: sort by insertion, then drop parabolas that never win.
        m = count
        while m > 0 and place[order[m - 1]] > place[x]:
            order[m] = order[m - 1]
            m -= 1
        order[m] = x
        count += 1
    if count == 0:
        for x in range(line.shape[0]):
            line[x] = -1
        return
    top = 0
    for m in range(count):
        new = order[m]
        keep = True
        while top > 0:
            old = order[top - 1]
            gap = place[new] - place[old]
            if gap < 1e-6:
                if height[new] >= height[old]:
                    keep = False
                    break
                top -= 1
                continue
            cross = 0.5 * (height[new] - height[old] + (place[new] - place[old]) * (place[new] + place[old])) / gap
            if top > 1 and cross <= border[top - 1]:
                top -= 1
                continue
            border[top] = cross
            break
        if keep:
            order[top] = new
            top += 1
    m = 0
    for x in range(line.shape[0]):
        at = x * step
        while m + 1 < top and border[m + 1] < at:
            m += 1
        gap = at - place[order[m]]
        found[x] = line[order[m]] if gap * gap + height[order[m]] <= reach_sq else -1
    for x in range(line.shape[0]):
        line[x] = found[x]


@njit
def sweep(ids, points, h, axis, reach_sq, rows):
    """Run one axis of the transform in place on `ids`, for lines ``rows[0]:rows[1]`` of the first other axis.

    The points (n, 3) are relative to the centre of voxel (0, 0, 0) of `ids`, whose voxels have edges `h`, mm.
    """
    a = axis
    b = 0 if axis != 0 else 1
    c = 2 if axis != 2 else 1
    length = ids.shape[a]
    line = np.empty(length, np.int32)
    place, height, border = np.empty(length), np.empty(length), np.empty(length + 1)
    order, found = np.empty(length, np.int32), np.empty(length, np.int32)
    cell = np.zeros(3, np.int64)
    for u in range(rows[0], rows[1]):
        cell[b] = u
        for v in range(ids.shape[c]):
            cell[c] = v
            for x in range(length):
                cell[a] = x
                n = ids[cell[0], cell[1], cell[2]]
                line[x] = n
                if n >= 0:
                    place[x] = points[n, a]
                    height[x] = (points[n, b] - u * h[b]) ** 2 + (points[n, c] - v * h[c]) ** 2
            _envelope(line, place, height, h[a], reach_sq, order, border, found)
            for x in range(length):
                cell[a] = x
                ids[cell[0], cell[1], cell[2]] = line[x]


@njit_bare
def _edge_distance(edge, px, py, pz):
    """Return the signed distance from a point to the region below two surfaces through the origin, and the foot.

    `edge` holds their normals and their curvatures along the edge, in which they meet; across it they are flat.
    """
    n0, n1, n2, m0, m1, m2, kn, km = edge[0], edge[1], edge[2], edge[3], edge[4], edge[5], edge[6], edge[7]
    wn = n0 * px + n1 * py + n2 * pz
    wm = m0 * px + m1 * py + m2 * pz
    dot = n0 * m0 + n1 * m1 + n2 * m2
    sine = 1.0 - dot * dot
    # Along the edge, from the component that neither normal explains.
    a, b = (wn - dot * wm) / sine, (wm - dot * wn) / sine
    tx, ty, tz = px - a * n0 - b * m0, py - a * n1 - b * m1, pz - a * n2 - b * m2
    along = tx * tx + ty * ty + tz * tz
    ln, lm = max(1.0 + wn * kn, 0.2), max(1.0 + wm * km, 0.2)
    sn, sm = wn + 0.5 * kn * along / ln, wm + 0.5 * km * along / lm
    within = sn <= 0.0 and sm <= 0.0
    if (within and sn > sm) or (sn > 0.0 and wm - dot * wn + 0.5 * km * along / (ln * ln) <= 0.0):
        return sn, px - wn * n0, py - wn * n1, pz - wn * n2
    if within or (sm > 0.0 and wn - dot * wm + 0.5 * kn * along / (lm * lm) <= 0.0):
        return sm, px - wm * m0, py - wm * m1, pz - wm * m2
    # The edge itself: x = s t + k s^2 / 2 with k.n = -kn and k.m = -km.
    a, b = (dot * km - kn) / sine, (dot * kn - km) / sine
    s = 1.0 / max(1.0 - a * wn - b * wm, 0.2)
    half = 0.5 * s * s * along
    x, y, z = s * tx + half * (a * n0 + b * m0), s * ty + half * (a * n1 + b * m1), s * tz + half * (a * n2 + b * m2)
    return math.sqrt((px - x) ** 2 + (py - y) ** 2 + (pz - z) ** 2), x, y, z


@njit_bare
def _height_over(normals, p, x, y, z):
    """Return the height of a point over plane `p` of a corner."""
    return normals[3 * p] * x + normals[3 * p + 1] * y + normals[3 * p + 2] * z


@njit_bare
def _corner_distance(normals, px, py, pz):
    """Return the signed distance from a point to the region below three planes through the origin, and the foot."""
    best, inner = np.inf, -np.inf
    fx = fy = fz = 0.0
    for p in range(3):
        d = _height_over(normals, p, px, py, pz)
        x, y, z = px - d * normals[3 * p], py - d * normals[3 * p + 1], pz - d * normals[3 * p + 2]
        on = d > 0.0
        for q in range(3):
            on = on and (q == p or _height_over(normals, q, x, y, z) <= 1e-9)
        if (d > inner and d <= 0.0) or (on and d < best):
            fx, fy, fz = x, y, z
        inner = max(inner, d)
        if on:
            best = min(best, d)
    if inner <= 0.0:
        return inner, fx, fy, fz
    if best < np.inf:
        return best, fx, fy, fz
    best = px * px + py * py + pz * pz
    fx = fy = fz = 0.0
    for r in range(3):
        # The edge of the two planes other than r.
        p, q = 3 * ((r + 1) % 3), 3 * ((r + 2) % 3)
        a = normals[p + 1] * normals[q + 2] - normals[p + 2] * normals[q + 1]
        b = normals[p + 2] * normals[q] - normals[p] * normals[q + 2]
        c = normals[p] * normals[q + 1] - normals[p + 1] * normals[q]
        along = (a * px + b * py + c * pz) / (a * a + b * b + c * c)
        x, y, z = along * a, along * b, along * c
        away = (px - x) ** 2 + (py - y) ** 2 + (pz - z) ** 2
        if away < best and _height_over(normals, r, x, y, z) <= 1e-9:
            best = away
            fx, fy, fz = x, y, z
    return math.sqrt(best), fx, fy, fz


@njit_welded
def _smooth_distance(patch, px, py, pz):
    """Return the signed distance from a point to a curved patch, and the foot.

    The closest point of ``w = -t.K.t / 2`` solves ``(I + s K) t = t0`` with s the height of the point over the foot.
    Inside the focal surface, where that has no single answer, the surface point itself stands for the patch.
    """
    nx, ny, nz = patch[1], patch[2], patch[3]
    k0, k1, k2, k3, k4, k5 = patch[4], patch[5], patch[6], patch[7], patch[8], patch[9]
    w = px * nx + py * ny + pz * nz
    t0, t1, t2 = px - w * nx, py - w * ny, pz - w * nz
    trace = k0 + k1 + k2
    gauss = 0.5 * (trace * trace - k0 * k0 - k1 * k1 - k2 * k2) - k3 * k3 - k4 * k4 - k5 * k5
    b0 = k0 * t0 + k3 * t1 + k4 * t2
    b1 = k3 * t0 + k1 * t1 + k5 * t2
    b2 = k4 * t0 + k5 * t1 + k2 * t2
    x, y, z, s = 0.0, 0.0, 0.0, w
    for _ in range(2):
        lift = 1.0 + s * trace
        det = lift + s * s * gauss
        if det < 0.1 or 1.0 + lift < 0.1:
            return math.copysign(math.sqrt(px * px + py * py + pz * pz), w), 0.0, 0.0, 0.0
        share = 1.0 / det
        lift, bend = lift * share, s * share
        x, y, z = lift * t0 - bend * b0, lift * t1 - bend * b1, lift * t2 - bend * b2
        s = w + 0.5 * (k0 * x * x + k1 * y * y + k2 * z * z) + k3 * x * y + k4 * x * z + k5 * y * z
    drop = w - s
    d = math.copysign(math.sqrt((t0 - x) ** 2 + (t1 - y) ** 2 + (t2 - z) ** 2 + s * s), s)
    return d, x + drop * nx, y + drop * ny, z + drop * nz


@njit_bare
def patch_distance(patch, px, py, pz):
    """Return the signed distance from a point to a patch, and the foot (3); both relative to the patch's beginning."""
    if patch[KIND] == 1.0:
        return _edge_distance(patch[NORMALS:], px, py, pz)
    if patch[KIND] == 2.0:
        return _corner_distance(patch[NORMALS:], px, py, pz)
    if patch[1] == 0.0 and patch[2] == 0.0 and patch[3] == 0.0:
        return math.sqrt(px * px + py * py + pz * pz) + patch[0], 0.0, 0.0, 0.0
    return _smooth_distance(patch, px, py, pz)


@njit_bare
def _beside(surface, own, h, i, j, k, x, y, z):
    """Return the patch whose surface point is nearest to a point (mm) in voxel (i, j, k), of those around it, or -1."""
    found, best = -1, np.inf
    for a in range(max(i - 1, 0), min(i + 2, own.shape[0])):
        for b in range(max(j - 1, 0), min(j + 2, own.shape[1])):
            for c in range(max(k - 1, 0), min(k + 2, own.shape[2])):
                m = own[a, b, c]
                if m >= 0:
                    away = (surface.points[m, 0] - x) ** 2 + (surface.points[m, 1] - y) ** 2
                    away += (surface.points[m, 2] - z) ** 2
                    if away < best:
                        best, found = away, m
    return found


@njit_welded
def _hand_on(surface, own, h, x, y, z):
    """Return the patch of the voxel that holds a point (mm); of a neighbour if the surface only grazes it; or -1."""
    i, j, k = int(x / h[0] + 0.5), int(y / h[1] + 0.5), int(z / h[2] + 0.5)
    if i < 0 or j < 0 or k < 0 or i >= own.shape[0] or j >= own.shape[1] or k >= own.shape[2]:
        return -1
    return own[i, j, k] if own[i, j, k] >= 0 else _beside(surface, own, h, i, j, k, x, y, z)


@njit_welded
def _to_patch(surface, n, h, x, y, z):
    """Return the signed distance from a point to patch `n`, the foot (3), and whether it lies in the patch's voxel."""
    ox, oy, oz = surface.origins[n, 0], surface.origins[n, 1], surface.origins[n, 2]
    d, fx, fy, fz = patch_distance(surface.patches[n], x - ox, y - oy, z - oz)
    fx, fy, fz = fx + ox, fy + oy, fz + oz
    inside = abs(fx - surface.cells[n, 0] * h[0]) <= SLACK * h[0]
    inside = inside and abs(fy - surface.cells[n, 1] * h[1]) <= SLACK * h[1]
    return d, fx, fy, fz, inside and abs(fz - surface.cells[n, 2] * h[2]) <= SLACK * h[2]


@njit_bare
def _to_piece(surface, n, h, x, y, z):
    """Return the signed distance from a point to the piece of patch `n` within its voxel."""
    d, fx, fy, fz, inside = _to_patch(surface, n, h, x, y, z)
    if inside:
        return d
    i, j, k = surface.cells[n, 0], surface.cells[n, 1], surface.cells[n, 2]
    fx = min(max(fx, (i - 0.5) * h[0]), (i + 0.5) * h[0])
    fy = min(max(fy, (j - 0.5) * h[1]), (j + 0.5) * h[1])
    fz = min(max(fz, (k - 0.5) * h[2]), (k + 0.5) * h[2])
    _, fx, fy, fz, _ = _to_patch(surface, n, h, fx, fy, fz)
    return math.copysign(math.sqrt((x - fx) ** 2 + (y - fy) ** 2 + (z - fz) ** 2), d)


@njit_bare
def _descend(surface, own, h, x, y, z, n):
    """Return the signed distance to the nearest piece, found by steps from piece `n` to its nearest neighbour."""
    best = _to_piece(surface, n, h, x, y, z)
    for _ in range(STEPS):
        at = n
        i, j, k = surface.cells[at, 0], surface.cells[at, 1], surface.cells[at, 2]
        for a in range(max(i - 1, 0), min(i + 2, own.shape[0])):
            for b in range(max(j - 1, 0), min(j + 2, own.shape[1])):
                for c in range(max(k - 1, 0), min(k + 2, own.shape[2])):
                    m = own[a, b, c]
                    if m >= 0 and m != at:
                        d = _to_piece(surface, m, h, x, y, z)
                        if abs(d) < abs(best):
                            best, n = d, m
        if n == at:
            break
    return best


@njit_bare
def measure(f, ids, own, surface, h, split, far, rows, out):
    """Write the signed distance for the x planes ``rows[0]:rows[1]`` of a lattice that splits every voxel.

    Parameters
    ----------
    f : ndarray, float32
        Occupancy, which tells the side of voxels away from the surface.
    ids : ndarray, int32
        Nearby patch of every sub-voxel, -1 beyond reach.
    own : ndarray, int32
        Patch of the cut voxels only.
    surface : Sites
    h : tuple of 3 float
        Edges of the voxels.
    split : tuple of 3 int
        Sub-voxels along each edge.
    far : float
        Distance written (with its sign) beyond reach, mm.
    out : ndarray, float32
    """
    limit = (FOLLOWED * max(h[0], h[1], h[2])) ** 2
    for i in range(rows[0], rows[1]):
        for j in range(ids.shape[1]):
            for k in range(ids.shape[2]):
                a, b, c = i // split[0], j // split[1], k // split[2]
                side = -1.0 if f[a, b, c] >= 0.5 else 1.0
                n = ids[i, j, k]
                if n < 0:
                    out[i, j, k] = side * far
                    continue
                x = ((i + 0.5) / split[0] - 0.5) * h[0]
                y = ((j + 0.5) / split[1] - 0.5) * h[1]
                z = ((k + 0.5) / split[2] - 0.5) * h[2]
                d, fx, fy, fz, found = _to_patch(surface, n, h, x, y, z)
                # The foot may lie in another voxel, whose patch knows the surface there.
                for _ in range(WALK):
                    m = _hand_on(surface, own, h, fx, fy, fz)
                    if found or m < 0 or m == n:
                        break
                    n = m
                    d, fx, fy, fz, found = _to_patch(surface, n, h, x, y, z)
                away = (fx - surface.points[n, 0]) ** 2 + (fy - surface.points[n, 1]) ** 2
                away += (fz - surface.points[n, 2]) ** 2
                if not found and (surface.sharp[n] or away > limit):
                    d = _descend(surface, own, h, x, y, z, n)
                out[i, j, k] = d if own[a, b, c] >= 0 else side * abs(d)
