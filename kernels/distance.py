"""Signed Euclidean distance (mm, negative inside) from the sub-voxel surface of an occupancy, on anisotropic voxels.

Each cut voxel carries a curved patch (``kernels.surface``). A separable transform, one lower envelope of parabolas an
axis (Felzenszwalb and Huttenlocher, Theory Comput 8:415, 2012), hands every voxel a nearby patch: the parabolas stand
at the true surface points, not at voxel centres. Away from edges the distance is that to the smooth patch of the voxel
which holds the foot, in closed form; beside them, to the nearest piece of a patch within its own voxel.
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
# Smooth patches that a foot may be tried on; a foot in a voxel without one is handed on from so far, shortest edges.
HOPS, NEAR = 3, 1.2


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


class Frame(NamedTuple):
    """A lattice that splits the voxels of a window, in mm and voxels of the surface's own grid.

    Attributes
    ----------
    h : tuple of 3 float
        Edges of the voxels.
    start, step : tuple of 3 float
        Centre of the first sub-voxel, mm from voxel (0, 0, 0), and edges of the sub-voxels.
    first, split : tuple of 3 int
        First voxel of the window, and sub-voxels along each of its voxels' edges.
    low, high : tuple of 3 int
        Half-open box of the sub-voxels that hold patches.
    """

    h: tuple[float, float, float]
    start: tuple[float, float, float]
    step: tuple[float, float, float]
    first: tuple[int, int, int]
    split: tuple[int, int, int]
    low: tuple[int, int, int]
    high: tuple[int, int, int]


class Line(NamedTuple):
    """Parabolas ``x^2 - 2 x place + level`` along a line of the lattice: arrays lent to the sweeps.

    Attributes
    ----------
    who : ndarray, int32
        Number of the patch.
    place, level : ndarray
        Where its point lies along the line, and the square of that and of its distance from the line.
    border : ndarray
        From where on, along the line, a parabola of the envelope is the lowest.
    """

    who: np.ndarray
    place: np.ndarray
    level: np.ndarray
    border: np.ndarray


@njit
def seed(cells, patches, h, points, origins):
    """Write the surface points and the origins of patches (n, 3), mm from voxel (0, 0, 0)."""
    for n in range(cells.shape[0]):
        for axis in range(3):
            points[n, axis] = cells[n, axis] * h[axis] + patches[n, SITE + axis]
            origins[n, axis] = cells[n, axis] * h[axis] + patches[n, OFFSET + axis]


@njit
def place(own, surface, frame, ids):
    """Write the number of every patch to the sub-voxel of its own voxel that is nearest to its point."""
    at = np.empty(3, np.int64)
    for n in range(surface.cells.shape[0]):
        i, j, k = surface.cells[n, 0], surface.cells[n, 1], surface.cells[n, 2]
        if own[i, j, k] == n:
            for axis in range(3):
                low = (surface.cells[n, axis] - frame.first[axis]) * frame.split[axis]
                nearest = math.floor((surface.points[n, axis] - frame.start[axis]) / frame.step[axis] + 0.5)
                at[axis] = min(max(nearest, low), low + frame.split[axis] - 1)
            ids[at[0], at[1], at[2]] = n


@njit_bare
def _add(line, count, n, at, away_sq):
    """Insert a parabola into a line that is sorted by place; return how many it then holds."""
    m = count
    # Places are nearly in order.
    while m > 0 and line.place[m - 1] > at:
        line.who[m], line.place[m], line.level[m] = line.who[m - 1], line.place[m - 1], line.level[m - 1]
        m -= 1
    line.who[m], line.place[m], line.level[m] = n, at, away_sq + at * at
    return count + 1


@njit_bare
def _envelope(line, count):
    """Keep, in order, the parabolas of a line that are the lowest somewhere; return how many."""
    top = 0
    for m in range(count):
        at, level = line.place[m], line.level[m]
        border = -np.inf
        keep = True
        while top > 0:
            gap = at - line.place[top - 1]
            if gap < 1e-6:
                keep = level < line.level[top - 1]
                if not keep:
                    break
            else:
                border = 0.5 * (level - line.level[top - 1]) / gap
                if border > line.border[top - 1]:
                    break
            top -= 1
            border = -np.inf
        if keep:
            line.who[top], line.place[top], line.level[top], line.border[top] = line.who[m], at, level, border
            top += 1
    return top


@njit
def sweep(ids, points, frame, axis, reach_sq, rows):
    """Run one axis (0 or 1) of the transform in place on `ids`, for lines ``rows[0]:rows[1]`` of the other one.

    After axis 0 every line of sub-voxels along it that holds a patch tells the nearest one; after axis 1, every plane.
    """
    length = ids.shape[axis]
    line = Line(np.empty(length, np.int32), np.empty(length), np.empty(length), np.empty(length))
    _sweep(ids, points, frame, axis, reach_sq, rows, line)


@njit_bare
def _sweep(ids, points, frame, axis, reach_sq, rows, line):
    other = 1 - axis
    for u in range(rows[0], rows[1]):
        across = frame.start[other] + u * frame.step[other]
        for k in range(frame.low[2], frame.high[2]):
            z = frame.start[2] + k * frame.step[2]
            count = 0
            for x in range(frame.low[axis], frame.high[axis]):
                n = ids[x, u, k] if axis == 0 else ids[u, x, k]
                if n >= 0:
                    away_sq = (points[n, other] - across) ** 2 + (points[n, 2] - z) ** 2
                    if away_sq <= reach_sq:
                        count = _add(line, count, n, points[n, axis], away_sq)
            top = _envelope(line, count)
            m = 0
            for x in range(ids.shape[axis]):
                at = frame.start[axis] + x * frame.step[axis]
                while m + 1 < top and line.border[m + 1] < at:
                    m += 1
                near = top > 0 and (at - 2.0 * line.place[m]) * at + line.level[m] <= reach_sq
                n = line.who[m] if near else -1
                if axis == 0:
                    ids[x, u, k] = n
                else:
                    ids[u, x, k] = n


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
    if patch[KIND] == -1.0:
        d, x, y, z = _edge_distance(patch[NORMALS:], px, py, pz)
        return -d, x, y, z
    if patch[KIND] == -2.0:
        d, x, y, z = _corner_distance(patch[NORMALS:], px, py, pz)
        return -d, x, y, z
    if patch[1] == 0.0 and patch[2] == 0.0 and patch[3] == 0.0:
        return math.sqrt(px * px + py * py + pz * pz) + patch[0], 0.0, 0.0, 0.0
    return _smooth_distance(patch, px, py, pz)


@njit_bare
def _beside(surface, own, i, j, k, x, y, z):
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
    return own[i, j, k] if own[i, j, k] >= 0 else _beside(surface, own, i, j, k, x, y, z)


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
    """Return the signed distance to the nearest piece, and its number: steps from piece `n` to nearer neighbours."""
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
    return best, n


@njit_bare
def _search(surface, own, h, n, x, y, z):
    """Return the signed distance from a point to the surface, of which patch `n` is nearby, and the patch it is to."""
    limit = (FOLLOWED * max(h[0], h[1], h[2])) ** 2
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
        return _descend(surface, own, h, x, y, z, n)
    return d, n


@njit_welded
def _to_smooth(surface, n, x, y, z):
    """Return the signed distance from a point to smooth patch `n`, and the way (3) from its own point to the foot.

    With w the height over the tangent plane, t0 the way along it to below the point, and ``t = (I + w K)^-1 t0`` that
    to the foot, the surface bends away by ``q = t0.K.t / 2``. The distance is ``w + q`` for small q; what is returned
    is exact for spheres and cylinders besides. Where there is no single foot, the way is infinite.
    """
    patch = surface.patches[n]
    k0, k1, k2, k3, k4, k5 = patch[4], patch[5], patch[6], patch[7], patch[8], patch[9]
    px, py, pz = x - surface.points[n, 0], y - surface.points[n, 1], z - surface.points[n, 2]
    w = px * patch[1] + py * patch[2] + pz * patch[3]
    t0, t1, t2 = px - w * patch[1], py - w * patch[2], pz - w * patch[3]
    trace = k0 + k1 + k2
    lift = 1.0 + w * trace
    det = lift + w * w * (k0 * k1 + k0 * k2 + k1 * k2 - k3 * k3 - k4 * k4 - k5 * k5)
    if det < 0.1 or lift < -0.9:
        return w, np.inf, np.inf, np.inf
    b0 = k0 * t0 + k3 * t1 + k4 * t2
    b1 = k3 * t0 + k1 * t1 + k5 * t2
    b2 = k4 * t0 + k5 * t1 + k2 * t2
    share = 1.0 / det
    lift, bend = lift * share, w * share
    flat_sq = t0 * t0 + t1 * t1 + t2 * t2 + 1e-12
    t0, t1, t2 = lift * t0 - bend * b0, lift * t1 - bend * b1, lift * t2 - bend * b2
    twice = t0 * b0 + t1 * b1 + t2 * b2
    return w + twice / (1.0 + math.sqrt(1.0 + twice * twice / flat_sq)), t0, t1, t2


@njit_welded
def distance_from(surface, own, h, near_sq, n, x, y, z):
    """Return the signed distance from a point to the surface, of which patch `n` is nearby, and the patch it is to.

    The patch of the voxel that holds the foot tells it: the nearest points are those of patches that err outwards.
    """
    m, d, lost = n, 0.0, False
    for _ in range(HOPS):
        lost = surface.sharp[m]
        if lost:
            break
        d, t0, t1, t2 = _to_smooth(surface, m, x, y, z)
        away_sq = t0 * t0 + t1 * t1 + t2 * t2
        lost = away_sq == np.inf
        if lost:
            break
        t0, t1, t2 = t0 + surface.points[m, 0], t1 + surface.points[m, 1], t2 + surface.points[m, 2]
        i, j, k = int(t0 / h[0] + 0.5), int(t1 / h[1] + 0.5), int(t2 / h[2] + 0.5)
        lost = min(i, j, k) < 0 or i >= own.shape[0] or j >= own.shape[1] or k >= own.shape[2]
        if lost:
            break
        other = own[i, j, k]
        if other < 0 and away_sq > near_sq:
            other = _beside(surface, own, i, j, k, t0, t1, t2)
            lost = other < 0
        if other < 0 or other == m:
            break
        m = other
    # Two patches that hand a foot on to each other tell it alike.
    return _search(surface, own, h, n, x, y, z) if lost else (d, m)


@njit
def measure(f, ids, own, surface, frame, far, rows, out):
    """Run the last axis of the transform and write the signed distance for the x planes ``rows[0]:rows[1]``.

    Parameters
    ----------
    f : ndarray, float32
        Occupancy, which tells the side of voxels away from the surface.
    ids : ndarray, int32
        Nearby patch of the same plane of every sub-voxel, -1 beyond reach; becomes the one that its distance is to.
    own : ndarray, int32
        Patch of the cut voxels only.
    surface : Sites
    frame : Frame
    far : float
        Distance written (with its sign) beyond reach, mm.
    out : ndarray, float32
    """
    length = ids.shape[2]
    line = Line(np.empty(length, np.int32), np.empty(length), np.empty(length), np.empty(length))
    _measure(f, ids, own, surface, frame, far, rows, out, line)


@njit_bare
def _measure(f, ids, own, surface, frame, far, rows, out, line):
    points, h = surface.points, frame.h
    near_sq = (NEAR * min(h[0], h[1], h[2])) ** 2
    for i in range(rows[0], rows[1]):
        x, a = frame.start[0] + i * frame.step[0], i // frame.split[0] + frame.first[0]
        for j in range(ids.shape[1]):
            y, b = frame.start[1] + j * frame.step[1], j // frame.split[1] + frame.first[1]
            count = 0
            for k in range(frame.low[2], frame.high[2]):
                n = ids[i, j, k]
                if n >= 0:
                    away_sq = (points[n, 0] - x) ** 2 + (points[n, 1] - y) ** 2
                    count = _add(line, count, n, points[n, 2], away_sq)
            top = _envelope(line, count)
            beside = a < 0 or b < 0 or a >= f.shape[0] or b >= f.shape[1]
            m = 0
            for k in range(ids.shape[2]):
                z, c = frame.start[2] + k * frame.step[2], k // frame.split[2] + frame.first[2]
                outside = beside or c < 0 or c >= f.shape[2]
                cut = not outside and own[a, b, c] >= 0
                side = 1.0 if outside or f[a, b, c] < 0.5 else -1.0
                while m + 1 < top and line.border[m + 1] < z:
                    m += 1
                n = line.who[m]
                if top == 0 or (z - 2.0 * line.place[m]) * z + line.level[m] > far * far:
                    out[i, j, k], ids[i, j, k] = side * far, -1
                    continue
                d, ids[i, j, k] = distance_from(surface, own, h, near_sq, n, x, y, z)
                out[i, j, k] = d if cut else side * abs(d)
