"""Tips: points in which a body ends, as a cone or a pyramid does.

The last voxels of a tip hold too little to show how far it reaches, and what a margin loses there is lost of the whole
cap above it. But the tangent planes of a cone, whatever its base, all pass through its apex. So where little of the
voxels around is occupied, the planes of the faces nearby (``kernels.edges``) are met, by least squares that leave out
the planes of other faces. Where most of them pass through one point, that is the tip.
"""

import math
from typing import NamedTuple

import numpy as np

from kernels._jit import njit, njit_bare, njit_welded
from kernels.edges import SOURCES
from kernels.quadric import solve
from kernels.surface import KIND, NORMALS, OFFSET

# How far the voxels reach whose occupied share tells a tip, and from which share on there is none: a straight edge of
# 90 degrees has 0.25, a corner of a box 0.125.
AROUND, SOLID = 2, 0.3
# How far away planes are looked for, voxels, and how many there can be: three of each voxel.
FAR = 3
MOST = 3 * (2 * FAR + 1) ** 3
# Rounds of least squares, and the distance from the tip at which a plane counts a quarter: first and last, voxels.
ROUNDS, LOOSE, TIGHT = 10, 0.5, 0.2
# Planes miss a tip by less than this (root mean square, voxels). The share of them that meet in it, times how their
# normals spread along all three axes (1 if evenly), is more than this: rims of small cylinders have up to 0.28, tips
# from 0.4 on. It lies so near to its voxel's centre, voxels.
MISS, MEETING, WITHIN = 0.12, 0.35, 2.5


class Bench(NamedTuple):
    """Arrays lent to the kernels of one chunk.

    Attributes
    ----------
    planes : ndarray (MOST, 4)
        Distance and normal of planes about a voxel's centre.
    gram, right : ndarray (3, 3), (3,)
        Normal equations.
    tip : ndarray (3,)
        From the voxel's centre, mm.
    """

    planes: np.ndarray
    gram: np.ndarray
    right: np.ndarray
    tip: np.ndarray


@njit
def solidity(f, cells, rows, out):
    """Write how much of the voxels around cut voxels (n,) is occupied."""
    for n in range(rows[0], rows[1]):
        i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
        total = 0.0
        for a in range(max(i - AROUND, 0), min(i + AROUND + 1, f.shape[0])):
            for b in range(max(j - AROUND, 0), min(j + AROUND + 1, f.shape[1])):
                for c in range(max(k - AROUND, 0), min(k + AROUND + 1, f.shape[2])):
                    total += f[a, b, c]
        out[n] = total / (2 * AROUND + 1) ** 3


@njit_bare
def _is_least(own, cells, solid, n):
    """Return whether no cut voxel beside this one has less around it."""
    for m in range(27):
        q = own[cells[n, 0] + m // 9 - 1, cells[n, 1] + m // 3 % 3 - 1, cells[n, 2] + m % 3 - 1]
        if q >= 0 and (solid[q] < solid[n] or (solid[q] == solid[n] and q < n)):
            return False
    return True


@njit_welded
def _keep(bench, count, d, n0, n1, n2):
    plane = bench.planes[count]
    plane[0], plane[1], plane[2], plane[3] = d, n0, n1, n2


@njit_bare
def _faces(patches, planes, m, x, y, z, bench, count):
    """Add to the planes of a bench those of voxel `m`, at (x, y, z) mm from another; return how many there then are.

    Both or all three of a wedge, of others the one that tells the most fractions around, if any.
    """
    patch = patches[m]
    if patch[KIND] > 0.0:
        x, y, z = x + patch[OFFSET], y + patch[OFFSET + 1], z + patch[OFFSET + 2]
        for p in range(int(patch[KIND]) + 1):
            n0, n1, n2 = patch[NORMALS + 3 * p], patch[NORMALS + 3 * p + 1], patch[NORMALS + 3 * p + 2]
            _keep(bench, count + p, -(n0 * x + n1 * y + n2 * z), n0, n1, n2)
        return count + int(patch[KIND]) + 1
    best = planes[m, 0]
    for source in range(1, SOURCES):
        if planes[m, source, 0] > best[0]:
            best = planes[m, source]
    if best[0] == 0.0:
        return count
    _keep(bench, count, best[1] - best[2] * x - best[3] * y - best[4] * z, best[2], best[3], best[4])
    return count + 1


@njit_bare
def _gather(own, cells, patches, planes, h, n, bench):
    """Write the planes of the faces around a voxel, from its centre, to a bench; return how many."""
    count = 0
    i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
    for a in range(max(i - FAR, 0), min(i + FAR + 1, own.shape[0])):
        for b in range(max(j - FAR, 0), min(j + FAR + 1, own.shape[1])):
            for c in range(max(k - FAR, 0), min(k + FAR + 1, own.shape[2])):
                m = own[a, b, c]
                if m >= 0:
                    x, y, z = (a - i) * h[0], (b - j) * h[1], (c - k) * h[2]
                    count = _faces(patches, planes, m, x, y, z, bench, count)
    return count


@njit_welded
def _height(plane, x, y, z):
    return plane[0] + plane[1] * x + plane[2] * y + plane[3] * z


@njit_bare
def _meet(count, edge, bench):
    """Write to `bench.tip` the point nearest to most planes; return whether they meet there."""
    gram, right, tip = bench.gram, bench.right, bench.tip
    tip[0] = tip[1] = tip[2] = 0.0
    total = weights = spread = 0.0
    for turn in range(ROUNDS):
        width = edge * (LOOSE if 2 * turn < ROUNDS else TIGHT)
        for p in range(3):
            right[p] = 0.0
            for q in range(3):
                gram[p, q] = 1e-6 if p == q else 0.0
        total = weights = 0.0
        for r in range(count):
            plane = bench.planes[r]
            d = _height(plane, tip[0], tip[1], tip[2])
            weight = 1.0 / (1.0 + (d / width) ** 2) ** 2
            total, weights = total + weight * d * d, weights + weight
            for p in range(3):
                right[p] -= weight * d * plane[1 + p]
                for q in range(3):
                    gram[p, q] += weight * plane[1 + p] * plane[1 + q]
        trace = gram[0, 0] + gram[1, 1] + gram[2, 2]
        solve(gram, right, 3)
        # The root of the determinant, from the Cholesky factor.
        spread = gram[0, 0] * gram[1, 1] * gram[2, 2] / math.sqrt(trace / 3.0) ** 3
        for p in range(3):
            tip[p] += right[p]
    return spread * weights > MEETING * count and total < weights * (MISS * edge) ** 2


@njit
def find_tips(own, h, cells, patches, planes, solid, rows, tips):
    """Find the tips of the voxels that have the least around them.

    Parameters
    ----------
    own : ndarray, int32
        Patch of each voxel, -1 where there is none.
    h : tuple of 3 float
        Voxel edges, mm.
    cells, patches, planes : ndarray
        See ``kernels.edges.fit_planes``.
    solid : ndarray (n,)
        See ``solidity``.
    tips : ndarray (n, 3)
        Written: mm from voxel (0, 0, 0), NaN where a voxel has none.
    """
    bench = Bench(np.empty((MOST, 4)), np.empty((3, 3)), np.empty(3), np.empty(3))
    _find_tips(own, h, cells, patches, planes, solid, rows, bench, tips)


@njit_bare
def _find_tips(own, h, cells, patches, planes, solid, rows, bench, tips):
    edge = (h[0] * h[1] * h[2]) ** (1.0 / 3.0)
    for n in range(rows[0], rows[1]):
        tips[n, 0] = np.nan
        if solid[n] >= SOLID or not _is_least(own, cells, solid, n):
            continue
        count = _gather(own, cells, patches, planes, h, n, bench)
        if count < 3 or not _meet(count, edge, bench):
            continue
        tip = bench.tip
        if max(abs(tip[0]) / h[0], abs(tip[1]) / h[1], abs(tip[2]) / h[2]) > WITHIN:
            continue
        for axis in range(3):
            tips[n, axis] = cells[n, axis] * h[axis] + tip[axis]


@njit
def reach_tips(phi, tips, frame, reach, rows):
    """Shorten, in place, distances of points outside that are nearer to a tip, for the x planes ``rows[0]:rows[1]``.

    Parameters
    ----------
    phi : ndarray, float32
        Signed distance, mm.
    tips : ndarray (n, 3)
        Mm from voxel (0, 0, 0).
    frame : Frame
    reach : float
        Distances that matter, mm.
    """
    for n in range(tips.shape[0]):
        low, high = np.empty(3, np.int64), np.empty(3, np.int64)
        for axis in range(3):
            at = (tips[n, axis] - frame.start[axis]) / frame.step[axis]
            wide = reach / frame.step[axis]
            low[axis], high[axis] = max(math.ceil(at - wide), 0), min(math.floor(at + wide) + 1, phi.shape[axis])
        for i in range(max(low[0], rows[0]), min(high[0], rows[1])):
            x = frame.start[0] + i * frame.step[0] - tips[n, 0]
            for j in range(low[1], high[1]):
                y = frame.start[1] + j * frame.step[1] - tips[n, 1]
                for k in range(low[2], high[2]):
                    z = frame.start[2] + k * frame.step[2] - tips[n, 2]
                    if phi[i, j, k] > 0.0:
                        phi[i, j, k] = min(phi[i, j, k], math.sqrt(x * x + y * y + z * z))
