"""Collapsed cone superposition as a slab-shift sweep with four shared exponentials.

The kernel of every photon energy and angle is a signed sum of ``exp(-RATES[k] * relative electron density * path)``.
Because the rates are shared, transport along one direction is linear in the source: all beams of a plan are added to
one source per direction and swept once (Ahnesjo, Med Phys 16:577, 1989, for the collapsed cone itself).

A direction is followed along its dominant axis, plane by plane. The rays of one direction are the columns of the
lattice, shifted from plane to plane by whole voxels, so every voxel is visited once by one ray and rows stay
contiguous. Energy is what is handed on: what enters a voxel and is released in it either stays there or leaves.
"""

from typing import NamedTuple

import numpy as np

from kernels._jit import njit_fast

SLOWEST_RATE = 0.0047
"""Slowest rate, 1/mm of water: with `RATIOS` the best fit to energy deposition kernels in a scan."""
RATIOS = (1, 2, 48, 192)
"""The four rates over the slowest: products of doublings and a tripling, see `carry`."""
RATES = SLOWEST_RATE * np.array(RATIOS, float)
FIELDS = 4
"""Released energy by kind: kerma of the surface and of the deep spectrum, scatter of the same."""

_TWO = np.float32(2.0)
_ONE, _HALF, _THIRD, _SIXTH, _24TH, _120TH = (np.float32(1.0 / n) for n in (1, 2, 3, 6, 24, 120))


class Layout(NamedTuple):
    """How a sweep walks flat arrays: planes along the dominant axis, rows of contiguous columns.

    Attributes
    ----------
    shape : tuple of 3 int
        Number of planes, of rows in a plane, of columns in a row.
    strides : tuple of 2 int
        Elements from plane to plane and from row to row.
    """

    shape: tuple[int, int, int]
    strides: tuple[int, int]


class Sources(NamedTuple):
    """Released energy of groups of beams in voxels: stretches of rows where it is not zero.

    Stretches are stored plane by plane, in a plane group by group, in a group row by row.

    Attributes
    ----------
    blocks : ndarray of int64, shape (planes + 1,)
        First block of each plane.
    block : ndarray of int64, shape (b, 3)
        Stretches of one group in one plane: the group, and the range of `energy` and `tilt` that they fill.
    rows : ndarray of int64, shape (planes * rows + 1,)
        First entry of each row in `stretch`.
    stretch : ndarray of int64, shape (m, 3)
        First column, one past the last column, where the stretch begins in `energy` and `tilt`.
    energy : ndarray of float32, shape (FIELDS, n)
        Released energy, any unit.
    tilt : ndarray of float32, shape (3, n)
        Direction of flight minus the axis of the group.
    """

    blocks: np.ndarray
    block: np.ndarray
    rows: np.ndarray
    stretch: np.ndarray
    energy: np.ndarray
    tilt: np.ndarray


class Rays(NamedTuple):
    """Directions that share a layout.

    Attributes
    ----------
    direction : ndarray of float32, shape (n, 3)
        Unit vectors, in the axes of `Sources.tilt`.
    sense : ndarray of int64, shape (n,)
        +1 or -1: whether planes are visited upwards or downwards.
    slope : ndarray, shape (n, 2)
        Rows and columns that a ray moves from plane to plane.
    offset : ndarray, shape (n, 2)
        Displacement of the rays within a voxel at the first plane, in rows and columns, within half a voxel.
    path : ndarray of float32, shape (n,)
        Length of a ray between two planes times SLOWEST_RATE.
    share : ndarray of float32, shape (n, groups, 4, 3, FIELDS)
        Signed share that each exponential carries along the direction, as coefficients of 1, c and c**2 for each field,
        where c is the change of the cosine to the direction of flight by the tilt.
    """

    direction: np.ndarray
    sense: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    path: np.ndarray
    share: np.ndarray


@njit_fast
def emit(sources, rays, n, plane, out):
    """Write to `out` (4, m) what direction `n` carries from the voxels of a plane, in the order of `Sources.energy`."""
    dx, dy, dz = rays.direction[n, 0], rays.direction[n, 1], rays.direction[n, 2]
    first = sources.blocks[plane]
    for m in range(first, sources.blocks[plane + 1]):
        g, start, end = sources.block[m, 0], sources.block[m, 1], sources.block[m, 2]
        at = start - sources.block[first, 1]
        tx, ty, tz = sources.tilt[0][start:end], sources.tilt[1][start:end], sources.tilt[2][start:end]
        e0, e1 = sources.energy[0][start:end], sources.energy[1][start:end]
        e2, e3 = sources.energy[2][start:end], sources.energy[3][start:end]
        for k in range(4):
            s0, s1, s2 = rays.share[n, g, k, 0], rays.share[n, g, k, 1], rays.share[n, g, k, 2]
            a0, a1, a2, a3 = s0[0], s0[1], s0[2], s0[3]
            b0, b1, b2, b3 = s1[0], s1[1], s1[2], s1[3]
            c0, c1, c2, c3 = s2[0], s2[1], s2[2], s2[3]
            given = out[k][at : at + end - start]
            for i in range(end - start):
                c = dx * tx[i] + dy * ty[i] + dz * tz[i]
                level = e0[i] * a0 + e1[i] * a1 + e2[i] * a2 + e3[i] * a3
                slope = e0[i] * b0 + e1[i] * b1 + e2[i] * b2 + e3[i] * b3
                bend = e0[i] * c0 + e1[i] * c1 + e2[i] * c2 + e3[i] * c3
                given[i] = level + c * (slope + c * bend)


@njit_fast
def collect(sources, row, first, given, out):
    """Add to `out` (4, columns) what was emitted in one row; return the columns touched and the energy.

    `given` (4, m) is what `emit` wrote for the plane, whose voxels begin at `first` in `Sources.energy`.
    """
    low, high, total = out.shape[1], 0, 0.0
    for m in range(sources.rows[row], sources.rows[row + 1]):
        begin, end, at = sources.stretch[m, 0], sources.stretch[m, 1], sources.stretch[m, 2] - first
        low, high = min(low, begin), max(high, end)
        for k in range(4):
            line, emitted, here = out[k][begin:end], given[k][at : at + end - begin], np.float32(0.0)
            for i in range(end - begin):
                line[i] += emitted[i]
                here += emitted[i]
            total += here
    return low, high, total


@njit_fast
def carry(path, density, carried, released, deposit):
    """Take the rays of one row through its voxels: update `carried`, add to `deposit` (n,).

    `carried` and `released` are tuples of four contiguous rows, one for each exponential.
    With t = rate * density * path: e = 1 - exp(-t) of what enters stays, and 1 - f of what is released evenly along
    the path, f = e / t. For 2 t: e' = e (2 - e), f' = f (1 - e / 2); for 3 t: e' = e (3 - 3 e + e e),
    f' = f (1 - e + e e / 3). So one short series gives all four exponentials.
    """
    s0, s1, s2, s3 = carried
    q0, q1, q2, q3 = released
    for b in range(density.shape[0]):
        t = path * density[b]
        f = _ONE - t * (_HALF - t * (_SIXTH - t * (_24TH - t * _120TH)))
        e = t * f
        stays0 = s0[b] * e + q0[b] * (_ONE - f)
        s0[b] += q0[b] - stays0
        f *= _ONE - _HALF * e
        e *= _ONE + (_ONE - e)
        stays1 = s1[b] * e + q1[b] * (_ONE - f)
        s1[b] += q1[b] - stays1
        f *= _ONE - e * (_ONE - _THIRD * e)
        e *= _ONE + (_ONE - e) * (_TWO - e)
        f *= _ONE - _HALF * e
        e *= _ONE + (_ONE - e)
        f *= _ONE - _HALF * e
        e *= _ONE + (_ONE - e)
        f *= _ONE - _HALF * e
        e *= _ONE + (_ONE - e)
        stays2 = s2[b] * e + q2[b] * (_ONE - f)
        s2[b] += q2[b] - stays2
        f *= _ONE - _HALF * e
        e *= _ONE + (_ONE - e)
        f *= _ONE - _HALF * e
        e *= _ONE + (_ONE - e)
        stays3 = s3[b] * e + q3[b] * (_ONE - f)
        s3[b] += q3[b] - stays3
        deposit[b] += stays0 + stays1 + stays2 + stays3


@njit_fast
def carry_dark(path, density, carried, deposit):
    """Do what `carry` does where nothing is released."""
    s0, s1, s2, s3 = carried
    for b in range(density.shape[0]):
        t = path * density[b]
        f = _ONE - t * (_HALF - t * (_SIXTH - t * (_24TH - t * _120TH)))
        e = t * f
        stays0 = s0[b] * e
        s0[b] -= stays0
        e *= _ONE + (_ONE - e)
        stays1 = s1[b] * e
        s1[b] -= stays1
        e *= _ONE + (_ONE - e) * (_TWO - e)
        e *= _ONE + (_ONE - e)
        e *= _ONE + (_ONE - e)
        e *= _ONE + (_ONE - e)
        stays2 = s2[b] * e
        s2[b] -= stays2
        e *= _ONE + (_ONE - e)
        e *= _ONE + (_ONE - e)
        stays3 = s3[b] * e
        s3[b] -= stays3
        deposit[b] += stays0 + stays1 + stays2 + stays3


@njit_fast
def sweep(layout, density, sources, rays, deposit, balance):
    """Transport all directions of `rays` through the lattice.

    Parameters
    ----------
    layout : Layout
    density : ndarray of float32, flat
        Electron density relative to water.
    sources : Sources
    rays : Rays
    deposit : ndarray of float32, flat
        Deposited energy is added.
    balance : ndarray, shape (2,)
        Released and escaped energy are added.
    """
    planes, rows, columns = layout.shape
    plane_stride, row_stride = layout.strides
    released = np.zeros((4, columns), np.float32)
    most = 0
    for plane in range(planes):
        if sources.blocks[plane + 1] > sources.blocks[plane]:
            length = sources.block[sources.blocks[plane + 1] - 1, 2] - sources.block[sources.blocks[plane], 1]
            most = max(most, length)
    given = np.empty((4, most), np.float32)
    for n in range(rays.sense.shape[0]):
        reach_a = int(np.ceil(abs(rays.slope[n, 0]) * planes)) + 1
        reach_b = int(np.ceil(abs(rays.slope[n, 1]) * planes)) + 1
        width = columns + reach_b
        carried = np.zeros((rows + reach_a) * 4 * width, np.float32)
        zero_a = reach_a - 1 if rays.slope[n, 0] > 0 else 0
        zero_b = reach_b - 1 if rays.slope[n, 1] > 0 else 0
        for m in range(planes):
            plane = m if rays.sense[n] > 0 else planes - 1 - m
            shift_a = zero_a - int(np.floor(m * rays.slope[n, 0] + rays.offset[n, 0] + 0.5))
            shift_b = zero_b - int(np.floor(m * rays.slope[n, 1] + rays.offset[n, 1] + 0.5))
            emit(sources, rays, n, plane, given)
            lit = sources.blocks[plane + 1] > sources.blocks[plane]
            first = sources.block[sources.blocks[plane], 1] if lit else 0
            for a in range(rows):
                low, high, energy = collect(sources, plane * rows + a, first, given, released)
                balance[0] += energy
                at = plane * plane_stride + a * row_stride
                s = 4 * (a + shift_a) * width + shift_b
                here, keep = density[at : at + columns], deposit[at : at + columns]
                rows_of_ray = (
                    carried[s : s + columns],
                    carried[s + width : s + width + columns],
                    carried[s + 2 * width : s + 2 * width + columns],
                    carried[s + 3 * width : s + 3 * width + columns],
                )
                if high > low:
                    carry(rays.path[n], here, rows_of_ray, (released[0], released[1], released[2], released[3]), keep)
                else:
                    carry_dark(rays.path[n], here, rows_of_ray, keep)
                if high > low:
                    for k in range(4):
                        released[k, low:high] = np.float32(0.0)
        balance[1] += np.sum(carried)
