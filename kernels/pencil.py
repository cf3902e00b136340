"""The pencil beam as gather and scatter: dose at a point = amplitudes at its depth x blurred fluence at its (u, v).

Each beam has one *plane*: its fluence blurred by four kernels, on nodes that are fine about the field and coarse beyond
it, the four values of a node side by side. Each point has one *footprint* in a beam: the fractional node (u, v) and
four amplitudes. Forward gathers planes at footprints, the adjoint scatters back; blurring is two small products with
the bixel integrals of Gaussians, so forward and adjoint are exact transposes of each other, and no matrix of points by
bixels ever exists.
"""

from typing import NamedTuple

import numpy as np

from kernels._jit import njit_fast
from kernels.raytrace import Fan, fan_depth, seen_from

FOOTPRINT = 6
"""Columns of a footprint: fractional node along u and v, four amplitudes (Gy per unit of blurred fluence)."""


class Nodes(NamedTuple):
    """Nodes along one axis of a plane: `before` coarse ones, fine ones from `low` to `high`, coarse ones again.

    Attributes
    ----------
    low, high : float
        First and last fine node, mm.
    fine, coarse : float
        Distances of neighbouring nodes, mm.
    before : int
        Number of coarse nodes below `low`.
    inner : int
        Number of fine intervals.
    size : int
        Number of nodes.
    """

    low: float
    high: float
    fine: float
    coarse: float
    before: int
    inner: int
    size: int


class DepthTable(NamedTuple):
    """Where the entries of an amplitude table (depths, magnifications, 4) lie.

    Attributes
    ----------
    step : float
        Distance of neighbouring depths, mm of water, from 0.
    first, spacing : float
        First magnification and distance of neighbouring ones.
    """

    step: float
    first: float
    spacing: float


@njit_fast
def node_of(nodes, x):
    """Return the fractional node of a coordinate; negative or beyond ``size - 1`` outside the plane."""
    if x < nodes.low:
        return nodes.before + (x - nodes.low) / nodes.coarse
    if x > nodes.high:
        return nodes.before + nodes.inner + (x - nodes.high) / nodes.coarse
    return nodes.before + (x - nodes.low) / nodes.fine


@njit_fast
def locate(
    points: np.ndarray,
    fan: Fan,
    depths: np.ndarray,
    axes: tuple[Nodes, Nodes],
    amplitude: np.ndarray,
    where: DepthTable,
    out: np.ndarray,
) -> None:
    """Write the footprints of points in one beam.

    Parameters
    ----------
    points : ndarray (n, 3), float64
        mm.
    fan : Fan
    depths : ndarray (u, v, planes), float32
        Radiological depths of the fan, from ``kernels.raytrace.trace_fan``.
    axes : tuple of 2 Nodes
    amplitude : ndarray (depths, magnifications, 4), float32
    where : DepthTable
    out : ndarray (n, 6), float32
        All zero for a point outside the plane or behind the source: it gets no dose and scatters none.
    """
    along_u, along_v = axes
    depth_count, scale_count = amplitude.shape[0], amplitude.shape[1]
    for n in range(points.shape[0]):
        u, v, w, r = seen_from(fan, points[n, 0], points[n, 1], points[n, 2])
        x, y = node_of(along_u, u), node_of(along_v, v)
        if not (0.0 <= x <= along_u.size - 1 and 0.0 <= y <= along_v.size - 1):
            for c in range(FOOTPRINT):
                out[n, c] = 0.0
            continue
        depth = min(fan_depth(fan, depths, u, v, w) / where.step, depth_count - 1.0)
        scale = min(max((w / fan.sad - where.first) / where.spacing, 0.0), scale_count - 1.0)
        i, j = min(int(depth), depth_count - 2), min(int(scale), scale_count - 2)
        a, b = depth - i, scale - j
        square = (fan.sad / r) ** 2
        w00, w01 = np.float32(square * (1.0 - a) * (1.0 - b)), np.float32(square * (1.0 - a) * b)
        w10, w11 = np.float32(square * a * (1.0 - b)), np.float32(square * a * b)
        shallow, deep, row = amplitude[i], amplitude[i + 1], out[n]
        row[0], row[1] = x, y
        for c in range(4):
            here = w00 * shallow[j, c] + w01 * shallow[j + 1, c]
            row[2 + c] = here + w10 * deep[j, c] + w11 * deep[j + 1, c]


@njit_fast
def gather(plane: np.ndarray, footprints: np.ndarray, out: np.ndarray) -> None:
    """Add to `out` (n,), float64, the dose of one beam: `plane` (u, v, 4) sampled at `footprints` (n, 6), float32."""
    last_u, last_v = plane.shape[0] - 2, plane.shape[1] - 2
    one = np.float32(1.0)
    for n in range(footprints.shape[0]):
        x, y = footprints[n, 0], footprints[n, 1]
        i, j = min(np.int64(x), last_u), min(np.int64(y), last_v)
        a, b = x - np.float32(i), y - np.float32(j)
        w00, w01, w10, w11 = (one - a) * (one - b), (one - a) * b, a * (one - b), a * b
        dose = np.float32(0.0)
        for c in range(4):
            here = w00 * plane[i, j, c] + w01 * plane[i, j + 1, c]
            here += w10 * plane[i + 1, j, c] + w11 * plane[i + 1, j + 1, c]
            dose += footprints[n, 2 + c] * here
        out[n] += dose


@njit_fast
def scatter(gradient: np.ndarray, footprints: np.ndarray, out: np.ndarray) -> None:
    """Add to `out` (u, v, 4), float32, the transpose of `gather` applied to `gradient` (n,), float64."""
    last_u, last_v = out.shape[0] - 2, out.shape[1] - 2
    one = np.float32(1.0)
    for n in range(footprints.shape[0]):
        x, y = footprints[n, 0], footprints[n, 1]
        i, j = min(np.int64(x), last_u), min(np.int64(y), last_v)
        a, b = x - np.float32(i), y - np.float32(j)
        g = np.float32(gradient[n])
        w00, w01, w10, w11 = (one - a) * (one - b), (one - a) * b, a * (one - b), a * b
        for c in range(4):
            share = footprints[n, 2 + c] * g
            out[i, j, c] += w00 * share
            out[i, j + 1, c] += w01 * share
            out[i + 1, j, c] += w10 * share
            out[i + 1, j + 1, c] += w11 * share


@njit_fast
def blur(
    left: np.ndarray, right: np.ndarray, spans: np.ndarray, mixture: np.ndarray, fluence: np.ndarray, out: np.ndarray
) -> None:
    """Write the plane of one beam, ``out[i, k, c] = sum_j mixture[j, c] (left[j] fluence right[j])[i, k]``.

    Parameters
    ----------
    left : ndarray (gaussians, u, bx), float32
        Integral of each Gaussian, centred at each node along u, over each bixel along X.
    right : ndarray (gaussians, by, v), float32
        The same along Y and v; by is a multiple of 4, filled up with zeros.
    spans : ndarray (gaussians, by, 2), int64
        Range of the last axis of `right` beyond which each four rows of it are zero, given with the first of them.
    mixture : ndarray (gaussians, 4), float32
        Share of each Gaussian in each kernel.
    fluence : ndarray (bx, by), float32
    out : ndarray (u, v, 4), float32
    """
    gaussians, nodes, nx = left.shape
    ny, width = right.shape[1], right.shape[2]
    lines = np.empty((gaussians, width), np.float32)
    mixed = np.empty((4, width), np.float32)
    totals = np.empty(ny, np.float32)
    for i in range(nodes):
        for j in range(gaussians):
            # Rows and spans are taken out of the inner loops: they then run over plain vectors.
            totals[:] = np.float32(0.0)
            for x in range(nx):
                share, values = left[j, i, x], fluence[x]
                if share != np.float32(0.0):
                    for y in range(ny):
                        totals[y] += share * values[y]
            lines[j, :] = np.float32(0.0)
            for y in range(0, ny, 4):
                low, high = spans[j, y, 0], spans[j, y, 1]
                target = lines[j, low:high]
                s0, s1 = right[j, y, low:high], right[j, y + 1, low:high]
                s2, s3 = right[j, y + 2, low:high], right[j, y + 3, low:high]
                t0, t1, t2, t3 = totals[y], totals[y + 1], totals[y + 2], totals[y + 3]
                for k in range(high - low):
                    target[k] += t0 * s0[k] + t1 * s1[k] + t2 * s2[k] + t3 * s3[k]
        mixed[:] = np.float32(0.0)
        for j in range(gaussians):
            line = lines[j]
            for c in range(4):
                part, target = mixture[j, c], mixed[c]
                for k in range(width):
                    target[k] += part * line[k]
        row = out[i]
        for k in range(width):
            row[k, 0], row[k, 1], row[k, 2], row[k, 3] = mixed[0, k], mixed[1, k], mixed[2, k], mixed[3, k]


@njit_fast
def unblur(
    left: np.ndarray, right: np.ndarray, spans: np.ndarray, mixture: np.ndarray, plane: np.ndarray, out: np.ndarray
) -> None:
    """Write to `out` (bx, by), float64, the transpose of `blur` applied to `plane` (u, v, 4), float32."""
    gaussians, nodes, nx = left.shape
    ny, width = right.shape[1], right.shape[2]
    lines = np.empty((gaussians, width), np.float32)
    mixed = np.empty((4, width), np.float32)
    totals = np.empty(ny, np.float32)
    out[:] = 0.0
    for i in range(nodes):
        row = plane[i]
        for k in range(width):
            mixed[0, k], mixed[1, k], mixed[2, k], mixed[3, k] = row[k, 0], row[k, 1], row[k, 2], row[k, 3]
        for j in range(gaussians):
            line, m0, m1, m2, m3 = lines[j], mixed[0], mixed[1], mixed[2], mixed[3]
            c0, c1, c2, c3 = mixture[j, 0], mixture[j, 1], mixture[j, 2], mixture[j, 3]
            for k in range(width):
                line[k] = c0 * m0[k] + c1 * m1[k] + c2 * m2[k] + c3 * m3[k]
            for y in range(0, ny, 4):
                low, high = spans[j, y, 0], spans[j, y, 1]
                line = lines[j, low:high]
                s0, s1 = right[j, y, low:high], right[j, y + 1, low:high]
                s2, s3 = right[j, y + 2, low:high], right[j, y + 3, low:high]
                t0 = t1 = t2 = t3 = np.float32(0.0)
                for k in range(high - low):
                    t0 += line[k] * s0[k]
                    t1 += line[k] * s1[k]
                    t2 += line[k] * s2[k]
                    t3 += line[k] * s3[k]
                totals[y], totals[y + 1], totals[y + 2], totals[y + 3] = t0, t1, t2, t3
            for x in range(nx):
                share, values = left[j, i, x], out[x]
                if share != np.float32(0.0):
                    for y in range(ny):
                        values[y] += share * totals[y]
