"""Gamma index in three dimensions by shells of points around each reference point (Low et al., Med Phys 25:656, 1998).

The evaluated dose is read trilinearly at points spread over spheres of growing radius until no farther sphere can
lower gamma: the convention of pymedphys, whose sampled minimum this reproduces. Speed comes from points that are not
read. In the neighbourhood of a reference point the dose cannot change faster than a bound found once from the voxels
there, so one reading that misses by far excludes the points near it: the next ones in its row, or the whole sphere.
"""

import math
from typing import NamedTuple

import numpy as np

from kernels._jit import njit, njit_inline
from kernels.types import Lattice

# A point this close to the outermost centres, voxels, lies on them: differences of coordinates are rounded.
_ROUNDING = 1e-6


class Shells(NamedTuple):
    """Points on concentric spheres.

    Attributes
    ----------
    offsets : ndarray (n, 3)
        Points in voxel edges of the evaluated dose, ordered by sphere, row (circle of latitude) and azimuth.
    row_first : ndarray (rows + 1,), int64
        First point of each row.
    row_step : ndarray (rows,)
        Distance between neighbouring points of the row, mm.
    shell_first : ndarray (shells + 1,), int64
        First row of each sphere.
    radius : ndarray (shells,)
        Radii, mm, from 0.
    """

    offsets: np.ndarray
    row_first: np.ndarray
    row_step: np.ndarray
    shell_first: np.ndarray
    radius: np.ndarray


def shells(step_mm: float, count: int, spacing_mm: tuple[float, float, float]) -> Shells:
    """Return `count` + 1 spheres of radius 0, `step_mm`, 2 `step_mm` ..., no two neighbouring points farther apart."""
    rows = np.array([1] + [math.ceil(np.pi * n) + 1 for n in range(1, count + 1)])
    shell = np.repeat(np.arange(count + 1), rows)
    row = np.arange(len(shell)) - np.repeat(np.cumsum(rows) - rows, rows)
    polar = np.pi * row / np.maximum(rows[shell] - 1, 1)
    circle = 2.0 * np.pi * shell * np.sin(polar)
    number = np.ceil(circle).astype(np.int64) + (shell > 0)
    number[0] = 1
    ends = np.cumsum(number)
    azimuth = (np.arange(ends[-1]) - np.repeat(ends - number, number)) * np.repeat(2.0 * np.pi / number, number)
    flat, up = np.repeat(shell * np.sin(polar), number), np.repeat(shell * np.cos(polar), number)
    points = step_mm * np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), up], axis=1) / spacing_mm
    return Shells(
        np.ascontiguousarray(points),
        np.concatenate([[0], ends]),
        np.maximum(circle, 1e-9) * step_mm / number,
        np.concatenate([[0], np.cumsum(rows)]),
        step_mm * np.arange(count + 1.0),
    )


@njit
def _read(dose, x, y, z):
    """Return the trilinear dose at a fractional index, infinite beyond the outermost centres."""
    nx, ny, nz = dose.shape
    if not (0.0 <= x <= nx - 1.0 and 0.0 <= y <= ny - 1.0 and 0.0 <= z <= nz - 1.0):
        return np.inf
    i, j, k = min(int(x), nx - 2), min(int(y), ny - 2), min(int(z), nz - 2)
    a, b, c = x - i, y - j, z - k
    v00 = dose[i, j, k] + (dose[i, j, k + 1] - dose[i, j, k]) * c
    v01 = dose[i, j + 1, k] + (dose[i, j + 1, k + 1] - dose[i, j + 1, k]) * c
    v10 = dose[i + 1, j, k] + (dose[i + 1, j, k + 1] - dose[i + 1, j, k]) * c
    v11 = dose[i + 1, j + 1, k] + (dose[i + 1, j + 1, k + 1] - dose[i + 1, j + 1, k]) * c
    v0 = v00 + (v01 - v00) * b
    return v0 + (v10 + (v11 - v10) * b - v0) * a


@njit
def _bounds(dose, h, place, radius):
    """Return lowest and highest dose, and the steepest slope (Gy/mm), of the cells within `radius` of a place."""
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    for axis in range(3):
        reach = radius / h[axis]
        first[axis] = min(max(int(np.floor(place[axis] - reach)), 0), dose.shape[axis] - 1)
        last[axis] = min(max(int(np.ceil(place[axis] + reach)), 0), dose.shape[axis] - 1)
    low, high, sx, sy, sz = np.inf, -np.inf, 0.0, 0.0, 0.0
    for i in range(first[0], last[0] + 1):
        for j in range(first[1], last[1] + 1):
            for k in range(first[2], last[2] + 1):
                d = dose[i, j, k]
                low, high = min(low, d), max(high, d)
                if i < last[0]:
                    sx = max(sx, abs(dose[i + 1, j, k] - d))
                if j < last[1]:
                    sy = max(sy, abs(dose[i, j + 1, k] - d))
                if k < last[2]:
                    sz = max(sz, abs(dose[i, j, k + 1] - d))
    return low, high, math.sqrt((sx / h[0]) ** 2 + (sy / h[1]) ** 2 + (sz / h[2]) ** 2)


@njit
def _probe(dose, h, place, want, scale, dta, centre, spheres):
    """Return gamma^2 at the sphere point nearest to where a linear dose would have its minimum: an early upper bound.

    A bound read at a point that the full search would also read cannot change its result, only shorten it.
    """
    here = _read(dose, place[0] + 0.5, place[1], place[2]) - _read(dose, place[0] - 0.5, place[1], place[2])
    gx = here / h[0]
    here = _read(dose, place[0], place[1] + 0.5, place[2]) - _read(dose, place[0], place[1] - 0.5, place[2])
    gy = here / h[1]
    here = _read(dose, place[0], place[1], place[2] + 0.5) - _read(dose, place[0], place[1], place[2] - 0.5)
    gz = here / h[2]
    steep = math.sqrt(gx * gx + gy * gy + gz * gz) * scale
    if not 1e-9 < steep < 1e9:
        return np.inf
    miss = (want - centre) * scale
    step = abs(miss) * steep / (steep * steep + 1.0 / (dta * dta))
    shell = int(step / spheres.radius[1] + 0.5)
    if shell < 1 or shell >= spheres.radius.shape[0]:
        return np.inf
    sign = scale / steep if miss > 0.0 else -scale / steep
    rows = spheres.shell_first[shell + 1] - spheres.shell_first[shell]
    polar = math.acos(min(max(gz * sign, -1.0), 1.0))
    row = spheres.shell_first[shell] + int(polar / math.pi * (rows - 1) + 0.5)
    number = spheres.row_first[row + 1] - spheres.row_first[row]
    turn = math.atan2(gy * sign, gx * sign) / (2.0 * math.pi)
    n = spheres.row_first[row] + int((turn + 1.0) * number + 0.5) % number
    o = spheres.offsets[n]
    d = _read(dose, place[0] + o[0], place[1] + o[1], place[2] + o[2])
    return (spheres.radius[shell] / dta) ** 2 + ((d - want) * scale) ** 2


@njit
def _search(dose, h, place, want, scale, dta, most, spheres):
    """Return the least gamma^2 at a reference point, not more than ``most**2``.

    Parameters
    ----------
    dose : ndarray
    h : tuple of 3 float
        Voxel edges, mm.
    place : ndarray (3,)
        The point as a fractional index of `dose`.
    want : float
        Reference dose, Gy.
    scale : float
        One over the dose criterion, 1/Gy.
    dta, most : float
        Distance criterion, mm; largest gamma.
    spheres : Shells
    """
    offsets, row_first, row_step = spheres.offsets, spheres.row_first, spheres.row_step
    best = most * most
    centre = _read(dose, place[0], place[1], place[2])
    start = abs(centre - want) * scale
    best = min(best, start * start)
    if spheres.radius.shape[0] > 1 and best > (spheres.radius[1] / dta) ** 2:
        best = min(best, _probe(dose, h, place, want, scale, dta, centre, spheres))
    known, gap, slope = 0.0, 0.0, 0.0
    for shell in range(1, spheres.radius.shape[0]):
        r = spheres.radius[shell]
        away = (r / dta) ** 2
        if away >= best:
            break
        if r > known + 1e-9:
            # Bounds for a few more spheres at a time: tight near the point, and seldom computed.
            known = min(r + 0.35 * dta, spheres.radius[-1])
            low, high, slope = _bounds(dose, h, place, known)
            gap = max(low - want, want - high, 0.0) * scale
            slope *= scale
        target = math.sqrt(best - away)
        if gap >= target or (start < np.inf and start - slope * r >= target):
            continue
        for row in range(spheres.shell_first[shell], spheres.shell_first[shell + 1]):
            n, end = row_first[row], row_first[row + 1]
            stride = slope * row_step[row] + 1e-12
            while n < end:
                d = _read(dose, place[0] + offsets[n, 0], place[1] + offsets[n, 1], place[2] + offsets[n, 2])
                n += 1
                if d == np.inf:
                    continue
                miss = abs(d - want) * scale
                if miss < target:
                    target = miss
                else:
                    n += min(int((miss - target) / stride), end - n)
        best = min(best, away + target * target)
    return best


@njit_inline
def _settled(index, count):
    """Return a fractional index, on the outermost centre where only rounding puts it beyond: no dose lies there."""
    inner = min(max(index, 0.0), count - 1.0)
    return inner if abs(index - inner) < _ROUNDING else index


@njit
def gamma_rows(
    reference_lattice: Lattice, reference, lattice: Lattice, dose, criteria, spheres: Shells, planes, out
) -> None:
    """Write gamma for the x planes ``planes[0]:planes[1]`` of the reference; NaN below the cut-off.

    Parameters
    ----------
    reference_lattice, reference : Lattice, ndarray float32
    lattice, dose : Lattice, ndarray float32
        The evaluated dose; it ends at its outermost voxel centres.
    criteria : tuple of 5 float
        Dose (Gy, or a fraction of the local dose), distance (mm), cut-off (Gy), largest gamma told, 1 if local else 0.
    spheres : Shells
    out : ndarray, float64
    """
    dose_gy, dta, cutoff, most, local = criteria
    place = np.empty(3)
    origin, step, other, h = reference_lattice.origin, reference_lattice.step, lattice.origin, lattice.step
    for i in range(planes[0], planes[1]):
        place[0] = _settled((origin[0] + i * step[0] - other[0]) / h[0], dose.shape[0])
        for j in range(reference.shape[1]):
            place[1] = _settled((origin[1] + j * step[1] - other[1]) / h[1], dose.shape[1])
            for k in range(reference.shape[2]):
                want = np.float64(reference[i, j, k])
                if not want >= cutoff:
                    out[i, j, k] = np.nan
                    continue
                place[2] = _settled((origin[2] + k * step[2] - other[2]) / h[2], dose.shape[2])
                scale = 1.0 / (dose_gy * want) if local > 0.0 else 1.0 / dose_gy
                out[i, j, k] = math.sqrt(_search(dose, h, place, want, scale, dta, most, spheres))
