"""Radial flow about a cavity: each ray keeps its direction, and matter moves along it as the wall moves.

With v = r^3 the wall of one day lies at a(u), that of the other at b(u), and matter rests beyond L(u). Outside the wall

    exp((L - v') / V) - 1 = q (exp((L - v) / V) - 1),   q = (exp((L - b) / V) - 1) / (exp((L - a) / V) - 1)

which carries a to b and L to L. Far inside L it is v' = v + b - a, which keeps every volume; what is displaced is
taken up within about V of L. Inside the wall v' = v b / a. Any two such flows compose to a third, so that the way
back is exact; the Jacobian determinant is dv'/dv > 0 however the walls depend on direction.
"""

import numpy as np

from kernels._jit import njit, njit_fast
from kernels.types import Lattice


@njit
def shifted(v, a, b, limit, share):
    """Return v' and the Jacobian determinant of the flow at `v` = r^3 on a ray; ``V = share * limit``."""
    if v >= limit:
        return v, 1.0
    if v <= a:
        return v * b / a, b / a
    width = share * limit
    q = np.expm1((limit - b) / width) / np.expm1((limit - a) / width)
    moved = limit - width * np.log1p(q * np.expm1((limit - v) / width))
    return moved, q * np.exp((moved - v) / width)


@njit
def _ray(tables, x, y, z, radius, out):
    """Write to `out` the tables' values in a direction: bilinear in polar angle and azimuth, the azimuth periodic."""
    rows, columns = tables.shape[1] - 1, tables.shape[2]
    polar = np.arccos(min(max(z / radius, -1.0), 1.0)) / np.pi * rows
    around = (np.arctan2(y, x) / (2.0 * np.pi)) % 1.0 * columns
    i, j = min(int(polar), rows - 1), min(int(around), columns - 1)
    f, g, j1 = polar - i, around - j, (j + 1) % columns
    for n in range(tables.shape[0]):
        table = tables[n]
        low = table[i, j] * (1.0 - g) + table[i, j1] * g
        high = table[i + 1, j] * (1.0 - g) + table[i + 1, j1] * g
        out[n] = low * (1.0 - f) + high * f


@njit
def flow_points(centre, tables, share, points, out, jacobian) -> None:
    """Write to `out` where points come to lie, and to `jacobian` the determinant there.

    Parameters
    ----------
    centre : tuple of 3 float
        Where all rays meet, mm.
    tables : ndarray, shape (3, p, q), float64
        Cubes of the wall before, the wall after and the limit, mm3, at polar angles ``pi i / (p - 1)`` from z and
        azimuths ``2 pi j / q`` from x.
    share : float
        V over the cube of the limit.
    points, out : ndarray, shape (n, 3), float64
        mm.
    jacobian : ndarray, shape (n,), float64
    """
    ray = np.empty(3)
    for n in range(points.shape[0]):
        x, y, z = points[n, 0] - centre[0], points[n, 1] - centre[1], points[n, 2] - centre[2]
        radius = max(np.sqrt(x * x + y * y + z * z), 1e-6)
        _ray(tables, x, y, z, radius, ray)
        v, jacobian[n] = shifted(radius**3, ray[0], ray[1], ray[2], share)
        scale = np.cbrt(v) / radius
        out[n, 0], out[n, 1], out[n, 2] = centre[0] + x * scale, centre[1] + y * scale, centre[2] + z * scale


@njit
def flow_lattice(lattice: Lattice, centre, tables, share, planes, out: np.ndarray) -> None:
    """Write to `out`, shape (3, *shape), the displacement, mm, of voxel centres, for x planes ``planes[0]:planes[1]``.

    The other parameters are those of `flow_points`.
    """
    ray = np.empty(3)
    farthest = np.cbrt(tables[2].max())
    for i in range(planes[0], planes[1]):
        x = lattice.origin[0] + i * lattice.step[0] - centre[0]
        for j in range(lattice.shape[1]):
            y = lattice.origin[1] + j * lattice.step[1] - centre[1]
            for k in range(lattice.shape[2]):
                z = lattice.origin[2] + k * lattice.step[2] - centre[2]
                radius = max(np.sqrt(x * x + y * y + z * z), 1e-6)
                scale = 0.0
                if radius < farthest:
                    _ray(tables, x, y, z, radius, ray)
                    v, _ = shifted(radius**3, ray[0], ray[1], ray[2], share)
                    scale = np.cbrt(v) / radius - 1.0
                out[0, i, j, k], out[1, i, j, k], out[2, i, j, k] = x * scale, y * scale, z * scale


@njit_fast
def warp(lattice: Lattice, values, shift_lattice: Lattice, shift, planes, out) -> None:
    """Write to `out`, on the lattice of `shift`, `values` (trilinear, ends held) at voxel centres moved by `shift`.

    Parameters
    ----------
    lattice : Lattice
        Of `values`.
    values : ndarray, shape ``lattice.shape``
    shift_lattice : Lattice
    shift : ndarray, shape (3, *shift_lattice.shape)
        mm.
    planes : tuple of 2 int
        The x planes of `out` to write.
    out : ndarray, shape ``shift_lattice.shape``
    """
    nx, ny, nz = lattice.shape
    px, py, pz = 1.0 / lattice.step[0], 1.0 / lattice.step[1], 1.0 / lattice.step[2]
    sx, sy, sz = shift_lattice.step
    ox = shift_lattice.origin[0] - lattice.origin[0]
    oy = shift_lattice.origin[1] - lattice.origin[1]
    oz = shift_lattice.origin[2] - lattice.origin[2]
    # The step to the next voxel, and the last that has a next; nothing follows in a volume of one plane.
    ex, ey, ez = min(nx - 1, 1), min(ny - 1, 1), min(nz - 1, 1)
    for i in range(planes[0], planes[1]):
        for j in range(shift_lattice.shape[1]):
            for k in range(shift_lattice.shape[2]):
                x = (ox + i * sx + shift[0, i, j, k]) * px
                y = (oy + j * sy + shift[1, i, j, k]) * py
                z = (oz + k * sz + shift[2, i, j, k]) * pz
                x, y, z = min(max(x, 0.0), nx - 1.0), min(max(y, 0.0), ny - 1.0), min(max(z, 0.0), nz - 1.0)
                p, q, r = min(int(x), nx - 1 - ex), min(int(y), ny - 1 - ey), min(int(z), nz - 1 - ez)
                p1, q1, r1 = p + ex, q + ey, r + ez
                a, b, c = x - p, y - q, z - r
                v00 = values[p, q, r] * (1.0 - c) + values[p, q, r1] * c
                v01 = values[p, q1, r] * (1.0 - c) + values[p, q1, r1] * c
                v10 = values[p1, q, r] * (1.0 - c) + values[p1, q, r1] * c
                v11 = values[p1, q1, r] * (1.0 - c) + values[p1, q1, r1] * c
                out[i, j, k] = (v00 * (1.0 - b) + v01 * b) * (1.0 - a) + (v10 * (1.0 - b) + v11 * b) * a
