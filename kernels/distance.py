"""Signed Euclidean distance (mm, negative inside) from the sub-voxel surface of an occupancy, on anisotropic voxels.

Each cut voxel carries a curved patch (``kernels.surface``). A separable transform, one lower envelope of parabolas an
axis (Felzenszwalb and Huttenlocher, Theory Comput 8:415, 2012), hands every voxel a nearby patch: the parabolas stand
at the true surface points, not at voxel centres. The distance to the patch is then exact to fourth order in the offset.
"""

import math
from typing import NamedTuple

import numpy as np

from kernels._jit import njit, njit_inline
from kernels.plane import quadratic
from kernels.surface import KIND, NORMALS, OFFSET, SITE

# Patches that a foot may be handed on to; how far from its voxel's centre a patch extends, voxels; and steps from there
# to nearer pieces, where the foot lies in no voxel of the surface.
WALK, SLACK, STEPS = 3, 0.6, 3


class Sites(NamedTuple):
    """A surface: voxels (n, 3) int32 and patches (n, PATCH); sites and origins of these (n, 3), mm from voxel 0."""

    cells: np.ndarray
    patches: np.ndarray
    points: np.ndarray
    origins: np.ndarray


@njit
def seed(cells, patches, h, points, origins):
    """Write the surface points and the origins of patches (n, 3), mm from voxel (0, 0, 0)."""
    for n in range(cells.shape[0]):
        for axis in range(3):
            points[n, axis] = cells[n, axis] * h[axis] + patches[n, SITE + axis]
            origins[n, axis] = cells[n, axis] * h[axis] + patches[n, OFFSET + axis]


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
    """Run one axis of the transform in place on `ids`, for lines ``rows[0]:rows[1]`` of the first other axis."""
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


@njit
def _edge_distance(edge, px, py, pz, foot):
    """Return the signed distance from a point to the region below two surfaces through the origin; write the foot.

    `edge` holds their normals and their curvatures along the edge, in which they meet; across it they are flat.
    """
    n, m, kn, km = edge[:3], edge[3:6], edge[6], edge[7]
    wn = n[0] * px + n[1] * py + n[2] * pz
    wm = m[0] * px + m[1] * py + m[2] * pz
    dot = n[0] * m[0] + n[1] * m[1] + n[2] * m[2]
    sine = 1.0 - dot * dot
    # Along the edge, from the component that neither normal explains.
    a, b = (wn - dot * wm) / sine, (wm - dot * wn) / sine
    tx, ty, tz = px - a * n[0] - b * m[0], py - a * n[1] - b * m[1], pz - a * n[2] - b * m[2]
    along = tx * tx + ty * ty + tz * tz
    ln, lm = max(1.0 + wn * kn, 0.2), max(1.0 + wm * km, 0.2)
    sn, sm = wn + 0.5 * kn * along / ln, wm + 0.5 * km * along / lm
    if sn <= 0.0 and sm <= 0.0:
        w, base = (wn, n) if sn > sm else (wm, m)
        foot[0], foot[1], foot[2] = px - w * base[0], py - w * base[1], pz - w * base[2]
        return max(sn, sm)
    if sn > 0.0 and wm - dot * wn + 0.5 * km * along / (ln * ln) <= 0.0:
        foot[0], foot[1], foot[2] = px - wn * n[0], py - wn * n[1], pz - wn * n[2]
        return sn
    if sm > 0.0 and wn - dot * wm + 0.5 * kn * along / (lm * lm) <= 0.0:
        foot[0], foot[1], foot[2] = px - wm * m[0], py - wm * m[1], pz - wm * m[2]
        return sm
    # The edge itself: x = s t + k s^2 / 2 with k.n = -kn and k.m = -km.
    a, b = (dot * km - kn) / sine, (dot * kn - km) / sine
    s = 1.0 / max(1.0 - a * wn - b * wm, 0.2)
    half = 0.5 * s * s * along
    foot[0] = s * tx + half * (a * n[0] + b * m[0])
    foot[1] = s * ty + half * (a * n[1] + b * m[1])
    foot[2] = s * tz + half * (a * n[2] + b * m[2])
    return math.sqrt((px - foot[0]) ** 2 + (py - foot[1]) ** 2 + (pz - foot[2]) ** 2)


@njit
def _corner_distance(normals, px, py, pz, foot):
    """Return the signed distance from a point to the region below three planes through the origin; write the foot."""
    count = 3
    best, inner = np.inf, -np.inf
    foot[:] = 0.0
    for p in range(count):
        a, b, c = normals[3 * p], normals[3 * p + 1], normals[3 * p + 2]
        d = a * px + b * py + c * pz
        x, y, z = px - d * a, py - d * b, pz - d * c
        on = d > 0.0
        for q in range(count):
            if q != p:
                on = on and normals[3 * q] * x + normals[3 * q + 1] * y + normals[3 * q + 2] * z <= 1e-9
        if d > inner:
            inner = d
            if d <= 0.0:
                foot[0], foot[1], foot[2] = x, y, z
        if on and d < best:
            best = d
            foot[0], foot[1], foot[2] = x, y, z
    if inner <= 0.0:
        return inner
    if best < np.inf:
        return best
    best = px * px + py * py + pz * pz
    foot[:] = 0.0
    for p in range(count):
        for q in range(p + 1, count):
            a = normals[3 * p + 1] * normals[3 * q + 2] - normals[3 * p + 2] * normals[3 * q + 1]
            b = normals[3 * p + 2] * normals[3 * q] - normals[3 * p] * normals[3 * q + 2]
            c = normals[3 * p] * normals[3 * q + 1] - normals[3 * p + 1] * normals[3 * q]
            along = (a * px + b * py + c * pz) / (a * a + b * b + c * c)
            x, y, z = along * a, along * b, along * c
            on = True
            for r in range(count):
                if r not in (p, q):
                    on = on and normals[3 * r] * x + normals[3 * r + 1] * y + normals[3 * r + 2] * z <= 1e-9
            away = (px - x) ** 2 + (py - y) ** 2 + (pz - z) ** 2
            if on and away < best:
                best = away
                foot[0], foot[1], foot[2] = x, y, z
    return math.sqrt(best)


@njit
def patch_distance(patch, px, py, pz, foot):
    """Return the signed distance from a point to a patch, and write the foot; both relative to the surface point.

    The closest point of ``w = -t.K.t / 2`` solves ``(I + s K) t = t0`` with s the height of the point over the foot.
    Inside the focal surface, where that has no single answer, the surface point itself stands for the patch.
    """
    nx, ny, nz = patch[1], patch[2], patch[3]
    if nx == 0.0 and ny == 0.0 and nz == 0.0:
        foot[:] = 0.0
        return math.sqrt(px * px + py * py + pz * pz) + patch[0]
    if patch[KIND] > 0.0:
        if patch[KIND] == 1.0:
            return _edge_distance(patch[NORMALS:], px, py, pz, foot)
        return _corner_distance(patch[NORMALS:], px, py, pz, foot)
    K = patch[4:10]
    w = px * nx + py * ny + pz * nz
    t0, t1, t2 = px - w * nx, py - w * ny, pz - w * nz
    trace = K[0] + K[1] + K[2]
    square = K[0] ** 2 + K[1] ** 2 + K[2] ** 2 + 2.0 * (K[3] ** 2 + K[4] ** 2 + K[5] ** 2)
    gauss = 0.5 * (trace * trace - square)
    k0 = K[0] * t0 + K[3] * t1 + K[4] * t2
    k1 = K[3] * t0 + K[1] * t1 + K[5] * t2
    k2 = K[4] * t0 + K[5] * t1 + K[2] * t2
    x, y, z, s = 0.0, 0.0, 0.0, w
    for _ in range(2):
        det = 1.0 + s * trace + s * s * gauss
        if det < 0.1 or 2.0 + s * trace < 0.1:
            foot[:] = 0.0
            return math.copysign(math.sqrt(px * px + py * py + pz * pz), w)
        lift = 1.0 + s * trace
        lift, bend = lift / det, s / det
        x, y, z = lift * t0 - bend * k0, lift * t1 - bend * k1, lift * t2 - bend * k2
        s = w + quadratic(K, x, y, z)
    drop = w - s
    foot[0], foot[1], foot[2] = x + drop * nx, y + drop * ny, z + drop * nz
    return math.copysign(math.sqrt((t0 - x) ** 2 + (t1 - y) ** 2 + (t2 - z) ** 2 + s * s), s)


@njit_inline
def _own(ids, h, x):
    """Return the patch of the voxel that holds a point (mm), or -1."""
    i, j, k = int(x[0] / h[0] + 0.5), int(x[1] / h[1] + 0.5), int(x[2] / h[2] + 0.5)
    if i < 0 or j < 0 or k < 0 or i >= ids.shape[0] or j >= ids.shape[1] or k >= ids.shape[2]:
        return -1
    return ids[i, j, k]


@njit_inline
def _to_patch(surface, n, h, x, y, z, foot):
    """Return the signed distance from a point to patch `n` and whether the foot, written, lies in the patch's voxel."""
    # Scalars, not rows: every view of a shared array counts references, for which threads wait on each other.
    ox, oy, oz = surface.origins[n, 0], surface.origins[n, 1], surface.origins[n, 2]
    d = patch_distance(surface.patches[n], x - ox, y - oy, z - oz, foot)
    foot[0] += ox
    foot[1] += oy
    foot[2] += oz
    inside = abs(foot[0] - surface.cells[n, 0] * h[0]) <= SLACK * h[0]
    inside = inside and abs(foot[1] - surface.cells[n, 1] * h[1]) <= SLACK * h[1]
    return d, inside and abs(foot[2] - surface.cells[n, 2] * h[2]) <= SLACK * h[2]


@njit
def _to_piece(surface, n, h, x, y, z, foot, scratch):
    """Return the signed distance from a point to the piece of patch `n` within its voxel."""
    d, inside = _to_patch(surface, n, h, x, y, z, foot)
    if inside:
        return d
    for axis in range(3):
        at, half = surface.cells[n, axis] * h[axis], 0.5 * h[axis]
        scratch[axis] = min(max(foot[axis], at - half), at + half)
    _to_patch(surface, n, h, scratch[0], scratch[1], scratch[2], foot)
    return math.copysign(math.sqrt((x - foot[0]) ** 2 + (y - foot[1]) ** 2 + (z - foot[2]) ** 2), d)


@njit
def _descend(surface, own, h, x, y, z, foot, scratch, n):
    """Return the signed distance to the nearest piece, found by steps from piece `n` to its nearest neighbour."""
    best = _to_piece(surface, n, h, x, y, z, foot, scratch)
    for _ in range(STEPS):
        at = n
        i, j, k = surface.cells[at, 0], surface.cells[at, 1], surface.cells[at, 2]
        for a in range(max(i - 1, 0), min(i + 2, own.shape[0])):
            for b in range(max(j - 1, 0), min(j + 2, own.shape[1])):
                for c in range(max(k - 1, 0), min(k + 2, own.shape[2])):
                    m = own[a, b, c]
                    if m >= 0 and m != at:
                        d = _to_piece(surface, m, h, x, y, z, foot, scratch)
                        if abs(d) < abs(best):
                            best, n = d, m
        if n == at:
            break
    return best


@njit
def measure(f, ids, own, surface, h, far, rows, out):
    """Write the signed distance for the x planes ``rows[0]:rows[1]``.

    Parameters
    ----------
    f : ndarray, float32
        Occupancy, which tells the side of voxels away from the surface.
    ids : ndarray, int32
        Nearby patch of every voxel, -1 beyond reach.
    own : ndarray, int32
        Patch of the cut voxels only.
    surface : Sites
    h : tuple of 3 float
    far : float
        Distance written (with its sign) beyond reach, mm.
    out : ndarray, float32
    """
    foot, scratch = np.empty(3), np.empty(3)
    for i in range(rows[0], rows[1]):
        for j in range(ids.shape[1]):
            for k in range(ids.shape[2]):
                side = -1.0 if f[i, j, k] >= 0.5 else 1.0
                n = ids[i, j, k]
                if n < 0:
                    out[i, j, k] = side * far
                    continue
                x, y, z = i * h[0], j * h[1], k * h[2]
                d, found = _to_patch(surface, n, h, x, y, z, foot)
                # The foot may lie in another voxel, whose patch knows the surface there.
                for _ in range(WALK):
                    m = _own(own, h, foot)
                    if found or m < 0 or m == n:
                        break
                    n = m
                    d, found = _to_patch(surface, n, h, x, y, z, foot)
                if not found:
                    d = _descend(surface, own, h, x, y, z, foot, scratch, n)
                out[i, j, k] = d if own[i, j, k] >= 0 else side * abs(d)
