"""Smooth curved patches refined by the occupied fractions around, where smoothing has misjudged their curvature.

The patch is the quadric ``d + n.x + x.K.x / 2``; its six unknowns (offset, two tilts, three curvatures) are fitted by
least squares to the fractions of a 3x3x3 block, near voxels before far ones.
"""

import math

import numpy as np

from kernels._jit import njit, njit_bare
from kernels.plane import LINES, bulge, distance_of_fraction, fraction_and_slope, quadratic
from kernels.surface import OFFSET, SITE

# Patches that miss less of the fractions around than this (root mean square) are taken for smooth.
SMOOTH = 0.03
# Patches that miss less are not refined.
ENOUGH = 0.002
# Rounds of refinement, and the share of the squared error of an occupancy in that of an unknown.
ROUNDS, DAMPING = 3, 1e-2
# Distance, in longest voxel edges, at which a voxel of the block counts half.
HALF = 1.0
UNKNOWNS = 6


@njit_bare
def solve(gram, right, size):
    """Solve a positive definite system in place: `right` becomes the solution, the lower triangle a Cholesky factor."""
    for p in range(size):
        for q in range(p + 1):
            total = gram[p, q]
            for r in range(q):
                total -= gram[p, r] * gram[q, r]
            gram[p, q] = math.sqrt(max(total, 1e-12)) if p == q else total / gram[q, q]
        for q in range(p):
            right[p] -= gram[p, q] * right[q]
        right[p] /= gram[p, p]
    for p in range(size - 1, -1, -1):
        for q in range(p + 1, size):
            right[p] -= gram[q, p] * right[q]
        right[p] /= gram[p, p]


@njit_bare
def told_below(patch, x, y, z, h):
    """Return the fraction below a patch of a voxel at (x, y, z) mm from the patch's, and how fast it falls with d."""
    K = patch[4:10]
    lift = (K[0] * h[0] ** 2 + K[1] * h[1] ** 2 + K[2] * h[2] ** 2) / 24.0
    d = patch[0] + patch[1] * x + patch[2] * y + patch[3] * z + quadratic(K, x, y, z) + lift
    nx = patch[1] + K[0] * x + K[3] * y + K[4] * z
    ny = patch[2] + K[3] * x + K[1] * y + K[5] * z
    nz = patch[3] + K[4] * x + K[5] * y + K[2] * z
    told, slope = fraction_and_slope(d, nx, ny, nz, h[0], h[1], h[2])
    return told, -slope


@njit_bare
def _tangents(patch, t):
    """Write to `t` (2, 3) two tangents, at right angles to each other and to the patch's normal."""
    n = patch[1:4]
    low = 0
    for axis in range(1, 3):
        if abs(n[axis]) < abs(n[low]):
            low = axis
    size = math.sqrt(1.0 - n[low] * n[low])
    for axis in range(3):
        t[0, axis] = ((axis == low) - n[low] * n[axis]) / size
    t[1, 0] = n[1] * t[0, 2] - n[2] * t[0, 1]
    t[1, 1] = n[2] * t[0, 0] - n[0] * t[0, 2]
    t[1, 2] = n[0] * t[0, 1] - n[1] * t[0, 0]


@njit_bare
def _add(patch, t, change):
    """Change a patch by its six unknowns; the curvatures follow the tilt of the normal."""
    n, K = patch[1:4], patch[4:10]
    for axis in range(3):
        K[axis] += t[0, axis] ** 2 * change[3] + t[1, axis] ** 2 * change[4] + 2.0 * t[0, axis] * t[1, axis] * change[5]
    for r in range(3):
        a, b = (0 if r < 2 else 1), (1 if r == 0 else 2)
        K[3 + r] += t[0, a] * t[0, b] * change[3] + t[1, a] * t[1, b] * change[4]
        K[3 + r] += (t[0, a] * t[1, b] + t[0, b] * t[1, a]) * change[5]
    for axis in range(3):
        n[axis] += t[0, axis] * change[1] + t[1, axis] * change[2]
    size = math.sqrt(n[0] ** 2 + n[1] ** 2 + n[2] ** 2)
    for r in range(10):
        patch[r] /= size
    patch[0] += change[0] / size
    # P K P with P the projection along the new normal.
    ux = K[0] * n[0] + K[3] * n[1] + K[4] * n[2]
    uy = K[3] * n[0] + K[1] * n[1] + K[5] * n[2]
    uz = K[4] * n[0] + K[5] * n[1] + K[2] * n[2]
    q = ux * n[0] + uy * n[1] + uz * n[2]
    K[0] += q * n[0] ** 2 - 2.0 * n[0] * ux
    K[1] += q * n[1] ** 2 - 2.0 * n[1] * uy
    K[2] += q * n[2] ** 2 - 2.0 * n[2] * uz
    K[3] += q * n[0] * n[1] - n[0] * uy - n[1] * ux
    K[4] += q * n[0] * n[2] - n[0] * uz - n[2] * ux
    K[5] += q * n[1] * n[2] - n[1] * uz - n[2] * uy


@njit_bare
def _normal_equations(f, cell, h, patch, t, lent):
    """Write the normal equations of a patch that should tell the fractions of a 3x3x3 block.

    Return by how much it misses them, root mean square of the voxels that are cut.
    """
    gram, right, row = lent
    _tangents(patch, t)
    for p in range(UNKNOWNS):
        right[p] = 0.0
        for q in range(p + 1):
            gram[p, q] = DAMPING if p == q else 0.0
    reach = (HALF * max(h[0], h[1], h[2])) ** 2
    uu = vv = uv = 0.0
    for axis in range(3):
        uu += (t[0, axis] * h[axis]) ** 2
        vv += (t[1, axis] * h[axis]) ** 2
        uv += t[0, axis] * t[1, axis] * h[axis] ** 2
    total, cut = 0.0, 0
    for n in range(27):
        a, b, c = n // 9 - 1, n // 3 % 3 - 1, n % 3 - 1
        x, y, z = a * h[0], b * h[1], c * h[2]
        told, slope = told_below(patch, x, y, z, h)
        truth = f[cell[0] + a, cell[1] + b, cell[2] + c]
        miss = truth - told
        cut += 0.0 < told < 1.0 or 0.0 < truth < 1.0
        total += miss * miss
        if slope == 0.0:
            continue
        u, v = t[0, 0] * x + t[0, 1] * y + t[0, 2] * z, t[1, 0] * x + t[1, 1] * y + t[1, 2] * z
        row[0], row[1], row[2] = slope, slope * u, slope * v
        row[3], row[4] = slope * (0.5 * u * u + uu / 24.0), slope * (0.5 * v * v + vv / 24.0)
        row[5] = slope * (u * v + uv / 12.0)
        weight = 1.0 / (1.0 + ((x * x + y * y + z * z) / reach) ** 2)
        for p in range(UNKNOWNS):
            right[p] += weight * row[p] * miss
            for q in range(p + 1):
                gram[p, q] += weight * row[p] * row[q]
    return math.sqrt(total / max(cut, 1))


@njit
def refine(f, cells, patches, h, zone, rows, misfit):
    """Refine marked patches (n,) that miss the fractions of the cut voxels around; write by how much they then do.

    The misfit is the root mean square over those voxels.
    """
    size = UNKNOWNS
    lent = (np.empty((size, size)), np.empty(size), np.empty(size))
    _refine(f, cells, patches, h, zone, rows, (np.empty(10), np.empty((2, 3)), np.empty((LINES, 3)), lent), misfit)


@njit_bare
def _refine(f, cells, patches, h, zone, rows, lent, misfit):
    trial, t, points, equations = lent
    for n in range(rows[0], rows[1]):
        patch = patches[n]
        misfit[n] = 0.0
        if not zone[n]:
            continue
        for r in range(10):
            trial[r] = patch[r]
        refined = False
        for turn in range(ROUNDS + 1):
            found = _normal_equations(f, cells[n], h, trial, t, equations)
            if turn == 0 or found < misfit[n]:
                misfit[n], refined = found, turn > 0
                for r in range(10):
                    patch[r] = trial[r]
            if turn == ROUNDS or (turn == 0 and found <= ENOUGH):
                break
            solve(equations[0], equations[1], UNKNOWNS)
            _add(trial, t, equations[1])
        if refined:
            v = f[cells[n, 0], cells[n, 1], cells[n, 2]]
            flat = distance_of_fraction(v, patch[1], patch[2], patch[3], h[0], h[1], h[2])
            patch[0] = flat - bulge(flat, patch[1], patch[2], patch[3], patch[4:10], h, points)
            for r in range(3):
                patch[OFFSET + r] = patch[SITE + r] = -patch[0] * patch[1 + r]
