"""Radiological depth along a fan of rays: one exact walk a ray, then interpolation in the table of the fan.

The walk is that of Amanatides and Woo (Eurographics 1987): it visits every voxel that a ray crosses, once, and adds
density times length. Cumulative depth is stored where the ray meets planes at fixed distances from the source, so the
depth of a million voxels costs as many interpolations and not as many walks. Outside the lattice is vacuum.
"""

from typing import NamedTuple

import numpy as np

from kernels._jit import njit, njit_fast
from kernels.types import Lattice

_NEVER = 1e30


class Fan(NamedTuple):
    """Rays from a source through a regular grid of points in the isocentre plane, and planes across them.

    Attributes
    ----------
    source : tuple of 3 float
        Position of the source, mm.
    axes : tuple of 9 float
        Unit vectors u, v and w one after the other; w points from the source to the isocentre.
    sad : float
        Distance of the isocentre plane from the source along w, mm.
    low : tuple of 2 float
        Coordinates (u, v) of ray (0, 0) in the isocentre plane, mm.
    step : float
        Distance of neighbouring rays in the isocentre plane, mm.
    first : float
        Distance of plane 0 from the source along w, mm.
    spacing : float
        Distance of neighbouring planes, mm.
    shape : tuple of 3 int
        Rays along u and v; planes.
    """

    source: tuple[float, float, float]
    axes: tuple[float, float, float, float, float, float, float, float, float]
    sad: float
    low: tuple[float, float]
    step: float
    first: float
    spacing: float
    shape: tuple[int, int, int]


@njit
def _slab(position, slope, count):
    """Return where a ray is inside ``0 <= position + slope t <= count``; an empty range if never."""
    if slope == 0.0:
        if 0.0 <= position <= count:
            return -_NEVER, _NEVER
        return _NEVER, -_NEVER
    a = -position / slope
    b = (count - position) / slope
    return min(a, b), max(a, b)


@njit
def _axis(position, slope, count, start):
    """Return first voxel, direction, distance of the next face and between faces, for one axis of a walk."""
    index = min(max(int(np.floor(position + slope * start)), 0), count - 1)
    if slope > 0.0:
        return index, 1, (index + 1 - position) / slope, 1.0 / slope
    if slope < 0.0:
        return index, -1, (index - position) / slope, -1.0 / slope
    return index, 0, _NEVER, 0.0


@njit
def walk(lattice, density, position, slope, fan, length, out):
    """Write to `out` (planes,) the depth of one ray at the planes; return the number of voxels visited.

    `position` and `slope` are the ray in voxel units from the lower corner, per mm along w; `length` is mm of ray per
    mm along w. A ray in a face between two voxels belongs to the upper one; one in an outer face, to the voxel inside.
    """
    nx, ny, nz = lattice.shape
    ax, bx = _slab(position[0], slope[0], nx)
    ay, by = _slab(position[1], slope[1], ny)
    az, bz = _slab(position[2], slope[2], nz)
    t = max(ax, ay, az, 0.0)
    end = min(bx, by, bz)
    planes = fan.shape[2]
    plane, k, total, visited = fan.first, 0, 0.0, 0
    if t < end:
        ix, sx, tx, dx = _axis(position[0], slope[0], nx, t)
        iy, sy, ty, dy = _axis(position[1], slope[1], ny, t)
        iz, sz, tz, dz = _axis(position[2], slope[2], nz, t)
        while k < planes and plane <= t:
            out[k] = 0.0
            k += 1
            plane = fan.first + k * fan.spacing
        while k < planes:
            visited += 1
            here = density[ix, iy, iz] * length
            leave = min(tx, ty, tz, end)
            while k < planes and plane <= leave:
                out[k] = total + here * (plane - t)
                k += 1
                plane = fan.first + k * fan.spacing
            total += here * max(leave - t, 0.0)
            t = max(leave, t)
            if leave >= end:
                break
            if tx <= ty and tx <= tz:
                ix += sx
                tx += dx
                if ix < 0 or ix >= nx:
                    break
            elif ty <= tz:
                iy += sy
                ty += dy
                if iy < 0 or iy >= ny:
                    break
            else:
                iz += sz
                tz += dz
                if iz < 0 or iz >= nz:
                    break
    while k < planes:
        out[k] = total
        k += 1
    return visited


@njit
def trace_fan(lattice: Lattice, density: np.ndarray, fan: Fan, rows: tuple[int, int], out: np.ndarray) -> int:
    """Write radiological depths (mm of water) for the rays ``rows[0]:rows[1]`` along u; return the voxels visited.

    Parameters
    ----------
    lattice : Lattice
    density : ndarray (x, y, z), float32
        g/cm3 (relative to water).
    fan : Fan
    rows : tuple of 2 int
    out : ndarray (u, v, planes), float32
    """
    axes, visited = fan.axes, 0
    position = (
        (fan.source[0] - lattice.origin[0]) / lattice.step[0] + 0.5,
        (fan.source[1] - lattice.origin[1]) / lattice.step[1] + 0.5,
        (fan.source[2] - lattice.origin[2]) / lattice.step[2] + 0.5,
    )
    for i in range(rows[0], rows[1]):
        u = (fan.low[0] + i * fan.step) / fan.sad
        for j in range(fan.shape[1]):
            v = (fan.low[1] + j * fan.step) / fan.sad
            slope = (
                (axes[6] + u * axes[0] + v * axes[3]) / lattice.step[0],
                (axes[7] + u * axes[1] + v * axes[4]) / lattice.step[1],
                (axes[8] + u * axes[2] + v * axes[5]) / lattice.step[2],
            )
            length = np.sqrt(1.0 + u * u + v * v)
            visited += walk(lattice, density, position, slope, fan, length, out[i, j])
    return visited


@njit_fast
def fan_depth(fan, table, u, v, w):
    """Return the depth (mm of water) at one point: isocentre-plane coordinates u, v and distance w along the axis.

    Bilinear over the rays and linear along them. Points beyond the fan get the depth of its border.
    """
    nu, nv, nw = fan.shape
    x = min(max((u - fan.low[0]) / fan.step, 0.0), nu - 1.0)
    y = min(max((v - fan.low[1]) / fan.step, 0.0), nv - 1.0)
    z = min(max((w - fan.first) / fan.spacing, 0.0), nw - 1.0)
    i, j, k = min(int(x), nu - 2), min(int(y), nv - 2), min(int(z), nw - 2)
    a, b, c = x - i, y - j, z - k
    low = (table[i, j, k] * (1.0 - b) + table[i, j + 1, k] * b) * (1.0 - a)
    low += (table[i + 1, j, k] * (1.0 - b) + table[i + 1, j + 1, k] * b) * a
    high = (table[i, j, k + 1] * (1.0 - b) + table[i, j + 1, k + 1] * b) * (1.0 - a)
    high += (table[i + 1, j, k + 1] * (1.0 - b) + table[i + 1, j + 1, k + 1] * b) * a
    return low + (high - low) * c


@njit_fast
def seen_from(fan, x, y, z):
    """Return (u, v, w, r) of a point: isocentre-plane coordinates, distance along the axis and from the source, mm."""
    axes = fan.axes
    px, py, pz = x - fan.source[0], y - fan.source[1], z - fan.source[2]
    w = px * axes[6] + py * axes[7] + pz * axes[8]
    r = np.sqrt(px * px + py * py + pz * pz)
    if w <= 0.0:
        return _NEVER, _NEVER, w, r
    scale = fan.sad / w
    u = (px * axes[0] + py * axes[1] + pz * axes[2]) * scale
    v = (px * axes[3] + py * axes[4] + pz * axes[5]) * scale
    return u, v, w, r
