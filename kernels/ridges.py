"""Ridges: where points are as far from one part of a surface as from another, and the distance has a kink.

The transform of ``kernels.distance`` hands a voxel the patch whose own point is nearest. Beside a ridge that may be one
of the farther part. There, within a body, the patches of the voxels around are tried as well, and fractions come from
the planes of all parts: what lies deeper than a margin lies below all of them.
"""

import math

import numpy as np

from kernels._jit import njit, njit_bare
from kernels.distance import NEAR, distance_from, patch_distance
from kernels.edges import fraction_below_all
from kernels.surface import KIND, NORMALS, parallel

# No distance changes by more than the step to a neighbour: one that changes by this times as much is too long.
STEEP = 1.02
# Second difference of the distance, in steps, from which a voxel may lie on a ridge.
BENT = 0.1
# Two planes whose normals have a larger dot product belong to the same part of the surface.
ALIKE = 0.9
# Parts that a ridge has at most, and how far from its own voxel's centre a patch is taken for its part, voxels.
PARTS, ASTRAY = 3, 1.5
# Where the surface parallel to a curved patch has shrunk to this share of it, all points are nearly as far from it.
FOCAL = 0.25


@njit
def settle(phi, ids, own, surface, frame, rows, out, out_ids):
    """Mend, in copies, distances within a body that are too long, for the x planes ``rows[0]:rows[1]``.

    Parameters
    ----------
    phi, ids : ndarray float32, int32
        Signed distance, mm, and the patches that it is to.
    own : ndarray, int32
        Patch of the cut voxels only.
    surface : Sites
    frame : Frame
    out, out_ids : ndarray float32, int32
        Copies of `phi` and `ids`.
    """
    _settle(phi, ids, own, surface, frame, rows, out, out_ids)


@njit_bare
def _settle(phi, ids, own, surface, frame, rows, out, out_ids):
    near_sq = (NEAR * min(frame.h[0], frame.h[1], frame.h[2])) ** 2
    sx, sy, sz = STEEP * frame.step[0], STEEP * frame.step[1], STEEP * frame.step[2]
    for i in range(max(rows[0], 1), min(rows[1], phi.shape[0] - 1)):
        for j in range(1, phi.shape[1] - 1):
            for k in range(1, phi.shape[2] - 1):
                told = abs(phi[i, j, k])
                steep = told - min(abs(phi[i - 1, j, k]), abs(phi[i + 1, j, k])) > sx
                steep |= told - min(abs(phi[i, j - 1, k]), abs(phi[i, j + 1, k])) > sy
                steep |= told - min(abs(phi[i, j, k - 1]), abs(phi[i, j, k + 1])) > sz
                if steep and phi[i, j, k] < 0.0 and ids[i, j, k] >= 0:
                    _mend(phi, ids, own, surface, frame, near_sq, (i, j, k), out, out_ids)


@njit_bare
def _mend(phi, ids, own, surface, frame, near_sq, cell, out, out_ids):
    """Write the distance of one voxel to the nearest of the patches that those of its six neighbours are to."""
    i, j, k = cell
    x, y = frame.start[0] + i * frame.step[0], frame.start[1] + j * frame.step[1]
    z = frame.start[2] + k * frame.step[2]
    best, nearest = abs(phi[i, j, k]), ids[i, j, k]
    for way in range(6):
        axis, side = way // 2, 2 * (way % 2) - 1
        n = ids[i + side * (axis == 0), j + side * (axis == 1), k + side * (axis == 2)]
        if n >= 0 and n != ids[i, j, k]:
            d, m = distance_from(surface, own, frame.h, near_sq, n, x, y, z)
            if abs(d) < best:
                best, nearest = abs(d), m
    out[i, j, k], out_ids[i, j, k] = math.copysign(best, phi[i, j, k]), nearest


@njit_bare
def _is_bent(phi, i, j, k, step):
    """Return whether the distance may have a kink at a voxel within a body."""
    for axis in range(3):
        di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
        if min(i - di, j - dj, k - dk) < 0:
            continue
        if i + di >= phi.shape[0] or j + dj >= phi.shape[1] or k + dk >= phi.shape[2]:
            continue
        second = phi[i + di, j + dj, k + dk] - 2.0 * phi[i, j, k] + phi[i - di, j - dj, k - dk]
        if second > BENT * step[axis]:
            return True
    return False


@njit_bare
def _is_astray(surface, n, h, fx, fy, fz):
    """Return whether a foot (mm from where patch `n` begins) lies too far off the patch's own voxel."""
    x = surface.origins[n, 0] + fx - surface.cells[n, 0] * h[0]
    y = surface.origins[n, 1] + fy - surface.cells[n, 1] * h[1]
    z = surface.origins[n, 2] + fz - surface.cells[n, 2] * h[2]
    return abs(x) > ASTRAY * h[0] or abs(y) > ASTRAY * h[1] or abs(z) > ASTRAY * h[2]


@njit_bare
def _tangent(surface, n, h, x, y, z, plane):
    """Write the plane (d, n, K) about a point that stands for the distance to patch `n`; return whether it is there."""
    patch = surface.patches[n]
    px, py, pz = x - surface.origins[n, 0], y - surface.origins[n, 1], z - surface.origins[n, 2]
    d, fx, fy, fz = patch_distance(patch, px, py, pz)
    vx, vy, vz = px - fx, py - fy, pz - fz
    size = math.copysign(math.sqrt(vx * vx + vy * vy + vz * vz), d)
    if abs(size) < 1e-3 or _is_astray(surface, n, h, fx, fy, fz):
        return False
    plane[0], plane[1], plane[2], plane[3] = d, vx / size, vy / size, vz / size
    for r in range(4, 10):
        plane[r] = patch[r] if patch[KIND] == 0.0 else 0.0
    return parallel(plane[4:10], -d) > FOCAL


@njit_bare
def _side(surface, n, side, h, x, y, z, plane):
    """Write the plane about a point that stands for one side of the wedge `n`; return whether that is there."""
    patch = surface.patches[n]
    px, py, pz = x - surface.origins[n, 0], y - surface.origins[n, 1], z - surface.origins[n, 2]
    edge = patch[NORMALS:]
    nx, ny, nz = edge[3 * side], edge[3 * side + 1], edge[3 * side + 2]
    d = nx * px + ny * py + nz * pz
    if _is_astray(surface, n, h, px - d * nx, py - d * ny, pz - d * nz):
        return False
    for r in range(4, 10):
        plane[r] = 0.0
    if patch[KIND] == 1.0:
        # Curved along the edge only.
        x, y = edge[1] * edge[5] - edge[2] * edge[4], edge[2] * edge[3] - edge[0] * edge[5]
        z = edge[0] * edge[4] - edge[1] * edge[3]
        square = x * x + y * y + z * z
        bend = edge[6 + side] / square
        along = x * px + y * py + z * pz
        d += 0.5 * bend * along * along / max(1.0 + edge[6 + side] * d, 0.3)
        plane[4], plane[5], plane[6] = bend * x * x, bend * y * y, bend * z * z
        plane[7], plane[8], plane[9] = bend * x * y, bend * x * z, bend * y * z
        parallel(plane[4:10], -d)
        lift = bend / max(1.0 + edge[6 + side] * d, 0.3) * along
        nx, ny, nz = nx + lift * x, ny + lift * y, nz + lift * z
        size = math.sqrt(nx * nx + ny * ny + nz * nz)
        nx, ny, nz = nx / size, ny / size, nz / size
    plane[0], plane[1], plane[2], plane[3] = d, nx, ny, nz
    return True


@njit_bare
def _is_new(planes, count):
    """Return whether plane `count` is on the same side of the surface as the ones before, and like none of them."""
    new = planes[count, 0] * planes[0, 0] > 0.0
    for p in range(count):
        dot = planes[count, 1] * planes[p, 1] + planes[count, 2] * planes[p, 2] + planes[count, 3] * planes[p, 3]
        new = new and dot < ALIKE
    return new


@njit_bare
def _parts(ids, own, surface, h, near_sq, cell, at, planes):
    """Write the planes (PARTS, 10) of the parts of a surface that voxels around one are near to; return how many."""
    i, j, k = cell
    x, y, z = at
    if not _tangent(surface, ids[i, j, k], h, x, y, z, planes[0]):
        return 0
    count = 1
    for a in range(max(i - 1, 0), min(i + 2, ids.shape[0])):
        for b in range(max(j - 1, 0), min(j + 2, ids.shape[1])):
            for c in range(max(k - 1, 0), min(k + 2, ids.shape[2])):
                n = ids[a, b, c]
                if n < 0 or count == PARTS:
                    continue
                if surface.patches[n, KIND] > 0.0:
                    # Seen from within, all sides of a wedge count.
                    for side in range(int(surface.patches[n, KIND]) + 1):
                        if count < PARTS and _side(surface, n, side, h, x, y, z, planes[count]):
                            count += _is_new(planes, count)
                elif n != ids[i, j, k]:
                    _, m = distance_from(surface, own, h, near_sq, n, x, y, z)
                    if _tangent(surface, m, h, x, y, z, planes[count]):
                        count += _is_new(planes, count)
    return count


@njit
def fraction_by_ridges(phi, ids, own, surface, frame, level, rows, out):
    """Correct, for the x planes ``rows[0]:rows[1]``, fractions `out` below a level in a body where a ridge crosses it.

    Parameters
    ----------
    phi, ids : ndarray float32, int32
        Signed distance, mm, and the patches that it is to.
    own : ndarray, int32
        Patch of the cut voxels only.
    surface : Sites
    frame : Frame
    level : float
        Below zero, mm.
    out : ndarray, float32
    """
    lent = (np.empty((PARTS, 10)), np.empty((PARTS, 6)), np.empty(4 * PARTS))
    _fraction_by_ridges(phi, ids, own, surface, frame, level, rows, lent, out)


@njit_bare
def _fraction_by_ridges(phi, ids, own, surface, frame, level, rows, lent, out):
    planes, work, row = lent
    h, step = frame.h, frame.step
    near_sq = (NEAR * min(h[0], h[1], h[2])) ** 2
    half = 0.5 * math.sqrt(step[0] ** 2 + step[1] ** 2 + step[2] ** 2)
    for i in range(rows[0], rows[1]):
        for j in range(phi.shape[1]):
            for k in range(phi.shape[2]):
                if abs(phi[i, j, k] - level) >= half or ids[i, j, k] < 0 or not _is_bent(phi, i, j, k, step):
                    continue
                at = (frame.start[0] + i * step[0], frame.start[1] + j * step[1], frame.start[2] + k * step[2])
                count = _parts(ids, own, surface, h, near_sq, (i, j, k), at, planes)
                if count > 1:
                    for p in range(count):
                        planes[p, 0] -= level
                    out[i, j, k] = fraction_below_all(planes, count, (0.0, 0.0, 0.0), step, work, row)
