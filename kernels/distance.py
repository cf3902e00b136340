"""Signed Euclidean distance (mm, negative inside) from the sub-voxel surface of an occupancy, on anisotropic voxels.

Each cut voxel carries a curved patch (``kernels.surface``). A separable transform, one lower envelope of parabolas an
axis (Felzenszwalb and Huttenlocher, Theory Comput 8:415, 2012), hands every voxel a nearby patch: the parabolas stand
at the true surface points, not at voxel centres. The distance to the patch is then exact to fourth order in the offset.
"""

import math

import numpy as np

from kernels._jit import njit, njit_inline
from kernels.plane import quadratic


@njit
def seed(cells, patches, h, rows, ids, points):
    """Write patch numbers into `ids` at the cut voxels and the surface points (n, 3), mm from voxel (0, 0, 0)."""
    for n in range(rows[0], rows[1]):
        i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
        ids[i, j, k] = n
        d = patches[n, 0]
        points[n, 0] = i * h[0] - d * patches[n, 1]
        points[n, 1] = j * h[1] - d * patches[n, 2]
        points[n, 2] = k * h[2] - d * patches[n, 3]


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
def patch_distance(patch, px, py, pz, foot):
    """Return the signed distance from a point to a patch, and write the foot; both relative to the surface point.

    The closest point of ``w = -t.K.t / 2`` solves ``(I + s K) t = t0`` with s the height of the point over the foot.
    Inside the focal surface, where that has no single answer, the surface point itself stands for the patch.
    """
    nx, ny, nz = patch[1], patch[2], patch[3]
    if nx == 0.0 and ny == 0.0 and nz == 0.0:
        foot[:] = 0.0
        return math.sqrt(px * px + py * py + pz * pz) + patch[0]
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
    for _ in range(3):
        det = 1.0 + s * trace + s * s * gauss
        if det < 0.1 or 2.0 + s * trace < 0.1:
            foot[:] = 0.0
            return math.copysign(math.sqrt(px * px + py * py + pz * pz), w)
        lift = 1.0 + s * trace
        x, y, z = (lift * t0 - s * k0) / det, (lift * t1 - s * k1) / det, (lift * t2 - s * k2) / det
        s = w + quadratic(K, x, y, z)
    drop = w - s
    foot[0], foot[1], foot[2] = x + drop * nx, y + drop * ny, z + drop * nz
    return math.copysign(math.sqrt((t0 - x) ** 2 + (t1 - y) ** 2 + (t2 - z) ** 2 + s * s), s)


@njit_inline
def _own(ids, h, x, y, z):
    """Return the patch of the voxel that holds a point (mm), or -1."""
    i, j, k = int(x / h[0] + 0.5), int(y / h[1] + 0.5), int(z / h[2] + 0.5)
    if i < 0 or j < 0 or k < 0 or i >= ids.shape[0] or j >= ids.shape[1] or k >= ids.shape[2]:
        return -1
    return ids[i, j, k]


@njit
def measure(f, ids, own, patches, points, h, far, rows, out):
    """Write the signed distance for the x planes ``rows[0]:rows[1]``.

    Parameters
    ----------
    f : ndarray, float32
        Occupancy, which tells the side of voxels away from the surface.
    ids : ndarray, int32
        Nearby patch of every voxel, -1 beyond reach.
    own : ndarray, int32
        Patch of the cut voxels only.
    patches, points : ndarray (n, PATCH), (n, 3)
    h : tuple of 3 float
    far : float
        Distance written (with its sign) beyond reach, mm.
    out : ndarray, float32
    """
    near_sq = (1.5 * max(h[0], h[1], h[2])) ** 2
    foot = np.empty(3)
    for i in range(rows[0], rows[1]):
        for j in range(ids.shape[1]):
            for k in range(ids.shape[2]):
                side = -1.0 if f[i, j, k] >= 0.5 else 1.0
                n = ids[i, j, k]
                if n < 0:
                    out[i, j, k] = side * far
                    continue
                px, py, pz = i * h[0] - points[n, 0], j * h[1] - points[n, 1], k * h[2] - points[n, 2]
                d = patch_distance(patches[n], px, py, pz, foot)
                best = px * px + py * py + pz * pz
                # The foot may lie in the next voxel, whose patch knows the surface there better.
                m = _own(own, h, points[n, 0] + foot[0], points[n, 1] + foot[1], points[n, 2] + foot[2])
                if m >= 0 and m != n:
                    px, py, pz = i * h[0] - points[m, 0], j * h[1] - points[m, 1], k * h[2] - points[m, 2]
                    other = px * px + py * py + pz * pz
                    if other < best:
                        d, best = patch_distance(patches[m], px, py, pz, foot), other
                out[i, j, k] = d if best < near_sq else side * abs(d)
