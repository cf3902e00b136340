"""Tri-cubic B-spline fields on a sparse lattice of coefficients: smooth noise, cheap at any resolution."""

import numpy as np

from kernels._jit import njit_fast, njit_inline
from kernels.types import Lattice


@njit_inline
def _weights(t):
    """Return the four cubic B-spline weights at the fraction `t` between two coefficients."""
    u = 1.0 - t
    return (
        u * u * u / 6.0,
        (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0,
        (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0,
        t * t * t / 6.0,
    )


@njit_inline
def _cell(coordinate, origin, step, count):
    """Return the first of four coefficients that act at a coordinate, and the fraction within the cell."""
    f = min(max((coordinate - origin) / step, 1.0), count - 2.000001)
    cell = int(f)
    return cell - 1, f - cell


@njit_fast
def spline_mesh(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, knots: Lattice, coefficients: np.ndarray, out: np.ndarray
) -> None:
    """Write to `out` (nx, ny, nz) the field at the mesh of the axes `x`, `y`, `z` (mm).

    Beyond the coefficients the value of the nearest full cell holds.
    """
    nz = z.shape[0]
    line = np.empty(knots.shape[2], np.float32)
    for i in range(x.shape[0]):
        a, s = _cell(x[i], knots.origin[0], knots.step[0], knots.shape[0])
        wx = _weights(s)
        for j in range(y.shape[0]):
            b, t = _cell(y[j], knots.origin[1], knots.step[1], knots.shape[1])
            wy = _weights(t)
            line[:] = 0.0
            for p in range(4):
                for q in range(4):
                    w = np.float32(wx[p] * wy[q])
                    for n in range(knots.shape[2]):
                        line[n] += w * coefficients[a + p, b + q, n]
            for k in range(nz):
                c, u = _cell(z[k], knots.origin[2], knots.step[2], knots.shape[2])
                w0, w1, w2, w3 = _weights(u)
                out[i, j, k] = w0 * line[c] + w1 * line[c + 1] + w2 * line[c + 2] + w3 * line[c + 3]


@njit_fast
def spline_points(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, knots: Lattice, coefficients: np.ndarray, out: np.ndarray
) -> None:
    """Write to `out` (n,) the field at the points `x`, `y`, `z` (mm)."""
    for n in range(x.shape[0]):
        a, s = _cell(x[n], knots.origin[0], knots.step[0], knots.shape[0])
        b, t = _cell(y[n], knots.origin[1], knots.step[1], knots.shape[1])
        c, u = _cell(z[n], knots.origin[2], knots.step[2], knots.shape[2])
        wx, wy, (w0, w1, w2, w3) = _weights(s), _weights(t), _weights(u)
        value = 0.0
        for p in range(4):
            for q in range(4):
                row = coefficients[a + p, b + q]
                value += wx[p] * wy[q] * (w0 * row[c] + w1 * row[c + 1] + w2 * row[c + 2] + w3 * row[c + 3])
        out[n] = value
