"""Dose-volume histograms with sub-voxel membership, and isodose volumes.

A voxel is split into sub-voxels where it is cut by the structure's surface or where dose falls steeply. A sub-voxel
adds its volume spread evenly over the dose range that it spans, so that the histogram is smooth: with D its dose and w
its range, the density gains ``m / w`` between D - w/2 and D + w/2. `curve` holds the second derivative of the
cumulative histogram, two spikes a sub-voxel, each shared between the two nearest bins; summing twice gives the curve.
"""

import math
from typing import NamedTuple

import numpy as np

from kernels._jit import njit, njit_bare, njit_welded
from kernels.interp import trilinear
from kernels.plane import quadratic
from kernels.types import Lattice

# Lines along each side of a cut voxel and pieces of each; sub-voxels along an axis of other voxels, at most.
CUT_SPLIT = 4
CUT_PIECES = 2
MOST_SPLIT = 3
# A peak between samples may exceed the highest of them by this at most.
BULGE = 0.95


class Dose(NamedTuple):
    """A dose on a lattice: `values`, float32, Gy; smooth between centres, constant from there to the outer faces."""

    lattice: Lattice
    values: np.ndarray


class Histogram(NamedTuple):
    """Where a histogram is added up.

    Attributes
    ----------
    bin_gy : float
    span_gy : float
        Dose range along an axis of a voxel from which it is split.
    curve : ndarray (bins + 3,)
        Second derivative of the volume, mm3, that receives less than a dose; bin 1 is dose 0.
    extremes : ndarray (4,)
        Lowest and highest dose met, volume inside the dose grid (mm3), integral of dose (Gy mm3).
    """

    bin_gy: float
    span_gy: float
    curve: np.ndarray
    extremes: np.ndarray


@njit_welded
def _spike(out, at, amount):
    m = int(at)
    part = at - m
    out[m] += amount * (1.0 - part)
    out[m + 1] += amount * part


@njit_welded
def _variation(dose, x, y, z, out):
    """Write to `out` the differences (3) and second differences (3) of the dose around a point, per dose voxel edge."""
    lattice, values = dose.lattice, dose.values
    here = trilinear(lattice, values, x, y, z, np.nan)
    for axis in range(3):
        sx, sy, sz = lattice.step[0] * (axis == 0), lattice.step[1] * (axis == 1), lattice.step[2] * (axis == 2)
        up = trilinear(lattice, values, x + sx, y + sy, z + sz, np.nan)
        down = trilinear(lattice, values, x - sx, y - sy, z - sz, np.nan)
        step, bend = 0.5 * (up - down), up - 2.0 * here + down
        out[axis] = 0.0 if math.isnan(step) else step
        out[axis + 3] = 0.0 if math.isnan(bend) else bend


@njit_welded
def _smooth(dose, variation, x, y, z):
    """Return the dose at a point, NaN outside the grid: trilinear, less the sag of its chords below a curved dose.

    Between two samples a chord misses a parabola by ``a (1 - a) / 2`` of the second difference, a being the way along
    it: at the centre of a 1 mm grid over a Gaussian of 5 mm this is 0.5 % an axis.
    """
    lattice = dose.lattice
    d = trilinear(lattice, dose.values, x, y, z, np.nan)
    if math.isnan(d):
        return d
    u = (x - lattice.origin[0]) / lattice.step[0]
    v = (y - lattice.origin[1]) / lattice.step[1]
    w = (z - lattice.origin[2]) / lattice.step[2]
    u, v, w = u - math.floor(u), v - math.floor(v), w - math.floor(w)
    sag = u * (1.0 - u) * variation[3] + v * (1.0 - v) * variation[4] + w * (1.0 - w) * variation[5]
    return max(d - 0.5 * sag, 0.0)


@njit
def read_points(dose: Dose, points: np.ndarray, outside: float, out: np.ndarray) -> None:
    """Write to `out` (n,) the dose at `points` (n, 3), mm; `outside` beyond the grid."""
    variation = np.empty(6)
    for n in range(points.shape[0]):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        _variation(dose, x, y, z, variation)
        d = _smooth(dose, variation, x, y, z)
        out[n] = outside if math.isnan(d) else d


@njit_welded
def _deposit(d, width, share, into):
    """Add a volume `share` (mm3) whose dose is spread evenly over `width` (Gy) about `d`; nothing if `d` is NaN."""
    if math.isnan(d):
        return
    bin_gy, out, extremes = into.bin_gy, into.curve, into.extremes
    extremes[0], extremes[1] = min(extremes[0], d), max(extremes[1], d)
    extremes[2] += share
    extremes[3] += share * d
    at = min(d / bin_gy + 1.0, out.shape[0] - 3.0)
    half = min(0.5 * max(width / bin_gy, 1.0), at)
    _spike(out, at - half, share / (2.0 * half))
    _spike(out, min(at + half, out.shape[0] - 2.0), -share / (2.0 * half))


@njit_bare
def _whole_voxel(h, centre, volume, dose, variation, into):
    """Add a voxel without a surface in it, split along each axis as often as the dose varies along it."""
    ax, ay, az = h[0] / dose.lattice.step[0], h[1] / dose.lattice.step[1], h[2] / dose.lattice.step[2]
    span = into.span_gy
    nx = min(int(math.hypot(variation[0] * ax, variation[3] * ax * ax) / span) + 1, MOST_SPLIT)
    ny = min(int(math.hypot(variation[1] * ay, variation[4] * ay * ay) / span) + 1, MOST_SPLIT)
    nz = min(int(math.hypot(variation[2] * az, variation[5] * az * az) / span) + 1, MOST_SPLIT)
    ax, ay, az = ax / nx, ay / ny, az / nz
    width = math.sqrt((variation[0] * ax) ** 2 + (variation[1] * ay) ** 2 + (variation[2] * az) ** 2)
    # The mean over a sub-voxel differs from the dose at its centre.
    mean = (variation[3] * ax * ax + variation[4] * ay * ay + variation[5] * az * az) / 24.0
    share = volume / (nx * ny * nz)
    for i in range(nx):
        x = centre[0] + ((i + 0.5) / nx - 0.5) * h[0]
        for j in range(ny):
            y = centre[1] + ((j + 0.5) / ny - 0.5) * h[1]
            for k in range(nz):
                z = centre[2] + ((k + 0.5) / nz - 0.5) * h[2]
                _deposit(_smooth(dose, variation, x, y, z) + mean, width, share, into)


@njit_bare
def _cut_voxel(patch, h, centre, volume, dose, variation, depths, x, into):
    """Add the part of a cut voxel below its patch, by lines across it that end exactly on the patch.

    A line is parted into pieces of equal length. The dose range of a piece is that along the line and that between
    lines at the same depth below the surface: where dose falls with depth only, the edge of the histogram is sharp.
    """
    a = 0
    for axis in range(1, 3):
        if abs(patch[axis + 1]) * h[axis] > abs(patch[a + 1]) * h[a]:
            a = axis
    b, c = (a + 1) % 3, (a + 2) % 3
    na, nb, nc = patch[a + 1], patch[b + 1], patch[c + 1]
    total = 0.0
    for n in range(CUT_SPLIT * CUT_SPLIT):
        x[b] = ((n // CUT_SPLIT + 0.5) / CUT_SPLIT - 0.5) * h[b]
        x[c] = ((n % CUT_SPLIT + 0.5) / CUT_SPLIT - 0.5) * h[c]
        x[a] = -(patch[0] + nb * x[b] + nc * x[c]) / na
        top = x[a] - quadratic(patch[4:10], x[0], x[1], x[2]) / na
        depths[n] = min(max(top / h[a] + 0.5 if na > 0.0 else 0.5 - top / h[a], 0.0), 1.0)
        total += depths[n]
    ga = variation[a] / dose.lattice.step[a]
    gb = variation[b] / dose.lattice.step[b]
    gc = variation[c] / dose.lattice.step[c]
    if total <= 0.0:
        # A sliver in a corner: its dose is that of the patch's nearest point of the voxel.
        for axis in range(3):
            x[axis] = centre[axis] + min(max(-patch[0] * patch[axis + 1], -0.5 * h[axis]), 0.5 * h[axis])
        d = _smooth(dose, variation, x[0], x[1], x[2])
        _deposit(d, 0.0, volume, into)
        return
    across = ((gb - ga * nb / na) * h[b] / CUT_SPLIT) ** 2 + ((gc - ga * nc / na) * h[c] / CUT_SPLIT) ** 2
    for n in range(CUT_SPLIT * CUT_SPLIT):
        length = depths[n] * h[a] / CUT_PIECES
        if length <= 0.0:
            continue
        share = volume * depths[n] / (total * CUT_PIECES)
        width = math.sqrt((ga * length) ** 2 + across)
        x[b] = centre[b] + ((n // CUT_SPLIT + 0.5) / CUT_SPLIT - 0.5) * h[b]
        x[c] = centre[c] + ((n % CUT_SPLIT + 0.5) / CUT_SPLIT - 0.5) * h[c]
        for m in range(CUT_PIECES):
            along = (m + 0.5) * length - 0.5 * h[a]
            x[a] = centre[a] + (along if na > 0.0 else -along)
            d = _smooth(dose, variation, x[0], x[1], x[2])
            _deposit(d, width, share, into)


@njit
def accumulate(lattice, f, ids, patches, dose, planes, into):
    """Add the x planes ``planes[0]:planes[1]`` of a structure to its histogram.

    Parameters
    ----------
    lattice, f : Lattice, ndarray float32
        Where and how much each voxel is occupied.
    ids, patches : ndarray int32, ndarray (n, PATCH)
        The patch of each cut voxel (-1 elsewhere) and the patches (``kernels.surface``).
    dose : Dose
    into : Histogram
        Updated.
    """
    depths = np.empty(CUT_SPLIT * CUT_SPLIT)
    _accumulate(lattice, f, ids, patches, dose, planes, (np.empty(6), np.empty(3), depths, np.empty(3)), into)


@njit_bare
def _accumulate(lattice, f, ids, patches, dose, planes, lent, into):
    """Do the work of ``accumulate`` in arrays that it is lent."""
    variation, centre, depths, x = lent
    h = lattice.step
    voxel = h[0] * h[1] * h[2]
    for i in range(planes[0], planes[1]):
        centre[0] = lattice.origin[0] + i * h[0]
        for j in range(lattice.shape[1]):
            centre[1] = lattice.origin[1] + j * h[1]
            for k in range(lattice.shape[2]):
                if f[i, j, k] <= 0.0:
                    continue
                centre[2] = lattice.origin[2] + k * h[2]
                _variation(dose, centre[0], centre[1], centre[2], variation)
                volume = f[i, j, k] * voxel
                n = ids[i, j, k]
                # A patch without a normal stands for a speck: the voxel counts as a whole.
                if n >= 0 and (patches[n, 1] != 0.0 or patches[n, 2] != 0.0 or patches[n, 3] != 0.0):
                    _cut_voxel(patches[n], h, centre, volume, dose, variation, depths, x, into)
                    continue
                _whole_voxel(h, centre, volume, dose, variation, into)


@njit
def volume_above(lattice, dose, level, split, planes):
    """Return the volume (mm3) with at least `level` in the voxels of the x planes ``planes[0]:planes[1]``.

    Voxels that the isodose surface crosses are counted by ``split**3`` samples.
    """
    h = lattice.step
    nx, ny, nz = lattice.shape
    field, variation = Dose(lattice, dose), np.empty(6)
    count = 0
    for i in range(planes[0], planes[1]):
        for j in range(ny):
            for k in range(nz):
                low = high = dose[i, j, k]
                for a in range(max(i - 1, 0), min(i + 2, nx)):
                    for b in range(max(j - 1, 0), min(j + 2, ny)):
                        for c in range(max(k - 1, 0), min(k + 2, nz)):
                            low, high = min(low, dose[a, b, c]), max(high, dose[a, b, c])
                if low >= level:
                    count += split**3
                elif high >= level * BULGE:
                    x, y, z = lattice.origin[0] + i * h[0], lattice.origin[1] + j * h[1], lattice.origin[2] + k * h[2]
                    _variation(field, x, y, z, variation)
                    for n in range(split**3):
                        u = x + ((n // (split * split) + 0.5) / split - 0.5) * h[0]
                        v = y + ((n // split % split + 0.5) / split - 0.5) * h[1]
                        w = z + ((n % split + 0.5) / split - 0.5) * h[2]
                        if _smooth(field, variation, u, v, w) >= level:
                            count += 1
    return count * h[0] * h[1] * h[2] / split**3
