"""Slivers beside an edge: voxels too empty to tell where their surface lies, which then may reach far out."""

import numpy as np

from kernels._jit import njit, njit_bare
from kernels.edges import as_wedge, fraction_below_all
from kernels.quadric import told_below
from kernels.surface import EMPTY, KIND, NORMALS, OFFSET

# Fuller voxels must find their own model; slivers may take a neighbour's, or have none.
SLIVER = 0.05
# A sliver's patch may miss this share of the slivers around, and a wedge that it takes this share of its own fraction.
LIKE, INHERITED = 0.08, 0.3


@njit
def inherit(f, own, h, cells, beside, rows, patches, lost):
    """Give slivers beside an edge (n, tells which), that their patch sticks out of, the wedge of a neighbour.

    Of the neighbours' wedges the one that tells the fraction best. Where none tells it, `lost` (n,) is set.
    """
    lent = (np.empty((3, 10)), np.empty(3), np.empty((3, 6)), np.empty(12))
    _inherit(f, own, h, cells, beside, rows, lent, patches, lost)


@njit_bare
def _sticks_out(f, cell, patch, h):
    """Return whether the patch of a sliver tells slivers around it that are not there, or misses some that are."""
    miss, total = 0.0, 0.0
    for n in range(27):
        a, b, c = n // 9 - 1, n // 3 % 3 - 1, n % 3 - 1
        told, _ = told_below(patch, a * h[0], b * h[1], c * h[2], h)
        truth = f[cell[0] + a, cell[1] + b, cell[2] + c]
        if told < 2.0 * SLIVER and truth < 2.0 * SLIVER:
            miss += abs(told - truth)
            total += max(told, truth)
    return miss > LIKE * total


@njit_bare
def _inherit(f, own, h, cells, beside, rows, lent, patches, lost):
    planes, apex, work, row = lent
    for n in range(rows[0], rows[1]):
        i, j, k = cells[n, 0], cells[n, 1], cells[n, 2]
        v = f[i, j, k]
        if not beside[n] or v >= SLIVER or patches[n, KIND] > 0.0 or not _sticks_out(f, cells[n], patches[n], h):
            continue
        best = INHERITED * v + EMPTY
        lost[n] = True
        for m in range(27):
            a, b, c = m // 9 - 1, m // 3 % 3 - 1, m % 3 - 1
            q = own[i + a, j + b, k + c]
            if q < 0 or patches[q, KIND] <= 0.0 or f[i + a, j + b, k + c] < SLIVER:
                continue
            w = patches[q]
            count = int(w[KIND]) + 1
            apex[0], apex[1], apex[2] = w[OFFSET] + a * h[0], w[OFFSET + 1] + b * h[1], w[OFFSET + 2] + c * h[2]
            for p in range(count):
                planes[p, 0] = 0.0
                for r in range(3):
                    planes[p, 1 + r] = w[NORMALS + 3 * p + r]
                    planes[p, 0] -= planes[p, 1 + r] * apex[r]
                for r in range(4, 10):
                    planes[p, r] = 0.0
            told = fraction_below_all(planes, count, (0.0, 0.0, 0.0), h, work, row)
            if abs(told - v) < best:
                best = abs(told - v)
                lost[n] = False
                bend0, bend1 = w[NORMALS + 6], w[NORMALS + 7]
                as_wedge(planes, count, apex, v, h, patches[n])
                if count == 2:
                    patches[n, NORMALS + 6], patches[n, NORMALS + 7] = bend0, bend1
