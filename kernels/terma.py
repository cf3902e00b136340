"""Energy released by a photon beam in voxels: fluence of a diverging, hardening beam times attenuation.

The fluence plane is given by its running integral, so a voxel takes the mean over its own footprint: half-covered
voxels and bixels cut by a voxel are exact for voxels seen face-on. Seen obliquely, the footprint is replaced by the
square of the same variance along u and v; for cubic voxels that is the voxel's width for any direction.
"""

from typing import NamedTuple

import numpy as np

from kernels._jit import njit, njit_fast
from kernels.raytrace import fan_depth, seen_from


class FluencePlane(NamedTuple):
    """Running integral of the fluence over the isocentre plane.

    Attributes
    ----------
    low : tuple of 2 float
        Lower edge along u and v, mm.
    size : tuple of 2 float
        Width of a cell, mm.
    integral : ndarray (nu + 1, nv + 1)
        Integral from the lower edges, photons (fluence in photons per mm2 on the sphere through the isocentre).
    """

    low: tuple[float, float]
    size: tuple[float, float]
    integral: np.ndarray


class ReleaseTable(NamedTuple):
    """Released energy per fluence and mass against the water and bone passed.

    Attributes
    ----------
    step : tuple of 2 float
        Distance of neighbouring entries along the two depths, mm of unit density.
    values : ndarray (water, bone, 2, FIELDS)
        MeV mm2/g for local water and local bone.
    """

    step: tuple[float, float]
    values: np.ndarray


@njit
def _node(at, low, size, nodes):
    """Return the node below a coordinate and how far it is on the way to the next, 0 to 1, both held to the plane."""
    x = min(max((at - low) / size, 0.0), nodes - 1.0)
    i = min(int(x), nodes - 2)
    return i, x - i


@njit
def _integral(integral, column, row):
    (i, a), (j, b) = column, row
    low = integral[i, j] * (1.0 - b) + integral[i, j + 1] * b
    high = integral[i + 1, j] * (1.0 - b) + integral[i + 1, j + 1] * b
    return low * (1.0 - a) + high * a


@njit
def mean_fluence(plane, u, v, half_u, half_v):
    """Return the mean fluence over a rectangle about (u, v)."""
    low, size, nodes = plane.low, plane.size, plane.integral.shape
    left, right = _node(u - half_u, low[0], size[0], nodes[0]), _node(u + half_u, low[0], size[0], nodes[0])
    below, above = _node(v - half_v, low[1], size[1], nodes[1]), _node(v + half_v, low[1], size[1], nodes[1])
    total = _integral(plane.integral, right, above) - _integral(plane.integral, left, above)
    total += _integral(plane.integral, left, below) - _integral(plane.integral, right, below)
    return total / (4.0 * half_u * half_v)


@njit
def _inside(value, slope, first, last):
    """Return the part of ``range(first, last)`` where ``value + slope k`` may be >= 0, a step wider at most."""
    if abs(slope) < 1e-6:
        return first, (last if value >= -1e-6 * last else first)
    if slope > 0.0:
        return max(first, min(int(np.floor(-value / slope)), last)), last
    return first, min(last, max(int(np.ceil(-value / slope)) + 1, first))


# Free to reassociate, unlike its caller: where no fluence arrives, differences of integrals are exactly nothing there.
@njit_fast
def _between(values, corner, share, medium, field):
    """Return what a unit of mass of a medium releases between four entries of the table, by the share of each."""
    m, n = corner
    low = share[0] * values[m, n, medium, field] + share[1] * values[m + 1, n, medium, field]
    return low + share[2] * values[m, n + 1, medium, field] + share[3] * values[m + 1, n + 1, medium, field]


@njit
def release(lattice, media, fan, depths, fluence, table, planes, energy, flight):
    """Add the energy that one beam releases, for the x planes ``planes[0]:planes[1]``.

    Parameters
    ----------
    lattice : Lattice
    media : tuple of 2 ndarray (x, y, z), float32
        Density of the water-like and of the bone part, g/cm3.
    fan : Fan
    depths : tuple of 2 ndarray (u, v, planes), float32
        Depths of both parts along the fan.
    fluence : FluencePlane
    table : ReleaseTable
    planes : tuple of 2 int
    energy : ndarray (FIELDS, x, y, z), float32
        MeV.
    flight : ndarray (3, x, y, z), float32
        Direction of flight times the released energy of all fields, MeV.
    """
    volume = lattice.step[0] * lattice.step[1] * lattice.step[2]
    axes, step = fan.axes, lattice.step
    half_u = 0.5 * np.sqrt((step[0] * axes[0]) ** 2 + (step[1] * axes[1]) ** 2 + (step[2] * axes[2]) ** 2)
    half_v = 0.5 * np.sqrt((step[0] * axes[3]) ** 2 + (step[1] * axes[4]) ** 2 + (step[2] * axes[5]) ** 2)
    # Sides of the field as planes through the source: a voxel may see it where all of m . (x - source) >= -half width.
    low, size, cells = fluence.low, fluence.size, fluence.integral.shape
    edges = (
        (1.0, -low[0], half_u),
        (-1.0, low[0] + size[0] * (cells[0] - 1), half_u),
        (1.0, -low[1], half_v),
        (-1.0, low[1] + size[1] * (cells[1] - 1), half_v),
    )
    last_w, last_b = table.values.shape[0] - 2, table.values.shape[1] - 2
    for i in range(planes[0], planes[1]):
        x = lattice.origin[0] + i * step[0]
        for j in range(lattice.shape[1]):
            y = lattice.origin[1] + j * step[1]
            px, py, pz = x - fan.source[0], y - fan.source[1], lattice.origin[2] - fan.source[2]
            first, last = _inside(px * axes[6] + py * axes[7] + pz * axes[8], step[2] * axes[8], 0, lattice.shape[2])
            for side in range(4):
                sign, edge, margin = edges[side]
                t = 0 if side < 2 else 3
                mx = sign * axes[t] + edge / fan.sad * axes[6]
                my = sign * axes[t + 1] + edge / fan.sad * axes[7]
                mz = sign * axes[t + 2] + edge / fan.sad * axes[8]
                first, last = _inside(mx * px + my * py + mz * pz + margin, mz * step[2], first, last)
            for k in range(first, last):
                u, v, w, r = seen_from(fan, x, y, lattice.origin[2] + k * step[2])
                if w <= 0.0:
                    continue
                scale = fan.sad / w
                hu, hv = half_u * scale, half_v * scale
                water, bone = media[0][i, j, k], media[1][i, j, k]
                if water + bone <= 0.0:
                    continue
                # Cells are flat in the isocentre plane; uniform in solid angle there is (sad / r)^2 of the sphere.
                photons = mean_fluence(fluence, u, v, hu, hv) * (fan.sad / r) ** 2
                if photons == 0.0:
                    continue
                mass = photons * volume * 1e-3
                p, q = (
                    fan_depth(fan, depths[0], u, v, w) / table.step[0],
                    fan_depth(fan, depths[1], u, v, w) / table.step[1],
                )
                m, n = min(int(p), last_w), min(int(q), last_b)
                a, b = p - m, q - n
                share = ((1.0 - a) * (1.0 - b), a * (1.0 - b), (1.0 - a) * b, a * b)
                total = 0.0
                for f in range(energy.shape[0]):
                    here = 0.0
                    if water > 0.0:
                        here += water * _between(table.values, (m, n), share, 0, f)
                    if bone > 0.0:
                        here += bone * _between(table.values, (m, n), share, 1, f)
                    energy[f, i, j, k] += np.float32(here * mass)
                    total += here * mass
                total *= 1.0 / r
                flight[0, i, j, k] += np.float32(total * (x - fan.source[0]))
                flight[1, i, j, k] += np.float32(total * (y - fan.source[1]))
                flight[2, i, j, k] += np.float32(total * (lattice.origin[2] + k * step[2] - fan.source[2]))
