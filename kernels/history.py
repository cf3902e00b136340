"""Photon histories from a source of rectangles to the energy that they leave in a lattice."""

from math import log, pi, sin, cos, sqrt
from typing import NamedTuple

import numpy as np

from kernels._jit import njit
from kernels.electron import transport
from kernels.photon import ELECTRON_MASS, PHOTON, POSITRON, ROW, enter, interact
from kernels.rng import seed_stream, uniform


class Emission(NamedTuple):
    """Photons emitted through rectangles in the isocentre plane.

    Attributes
    ----------
    position : ndarray float64 (beams, 3)
        Source, mm.
    axes : ndarray float64 (beams, 3, 3)
        Rows: X and Y of the beam limiting device, direction to the isocentre.
    sad : float
        mm.
    spot : tuple of 2 float
        Standard deviation of the focal spot along X and Y, mm.
    beam : ndarray int64 (rectangles,)
    edges : ndarray float64 (rectangles, 4)
        Low X, high X, low Y, high Y at the isocentre plane, mm.
    cumulative : ndarray float64 (rectangles,)
        Running sum of the rectangles' photon numbers, ending at 1.
    energies : ndarray float64 (bins + 1,)
        Edges of the spectrum, MeV.
    probabilities : ndarray float64 (bins,)
        Running sum of the photon numbers in the bins, ending at 1.
    isotropic : bool
        Uniform in solid angle inside the rectangles, otherwise uniform in area at the isocentre plane.
    """

    position: np.ndarray
    axes: np.ndarray
    sad: float
    spot: tuple[float, float]
    beam: np.ndarray
    edges: np.ndarray
    cumulative: np.ndarray
    energies: np.ndarray
    probabilities: np.ndarray
    isotropic: bool


@njit
def emit(source, particle, state):
    """Write a new photon to `particle` (8,)."""
    while True:
        n = np.searchsorted(source.cumulative, uniform(state))
        edges = source.edges[n]
        x = edges[0] + (edges[1] - edges[0]) * uniform(state)
        y = edges[2] + (edges[3] - edges[2]) * uniform(state)
        if not source.isotropic:
            break
        # Per solid angle, a plane at distance SAD thins out as the cube of the cosine.
        if uniform(state) < (1.0 + (x * x + y * y) / (source.sad * source.sad)) ** -1.5:
            break
    sx, sy = 0.0, 0.0
    if source.spot[0] > 0.0 or source.spot[1] > 0.0:
        r = sqrt(-2.0 * log(uniform(state)))
        azimuth = 2.0 * pi * uniform(state)
        sx, sy = source.spot[0] * r * cos(azimuth), source.spot[1] * r * sin(azimuth)
    b = source.beam[n]
    axes = source.axes[b]
    dx, dy, dz = x - sx, y - sy, source.sad
    length = sqrt(dx * dx + dy * dy + dz * dz)
    for a in range(3):
        particle[a] = source.position[b, a] + sx * axes[0, a] + sy * axes[1, a]
        particle[3 + a] = (dx * axes[0, a] + dy * axes[1, a] + dz * axes[2, a]) / length
    e = np.searchsorted(source.probabilities, uniform(state))
    particle[6] = source.energies[e] + (source.energies[e + 1] - source.energies[e]) * uniform(state)
    particle[7] = PHOTON


@njit
def _fly(medium, tables, p, voxel, state):
    """Fly a photon to its next interaction by Woodcock tracking; return (inside, material, energy column)."""
    lattice = medium.lattice
    nx, ny, nz = lattice.shape
    column = (log(p[6]) - tables.ln_low) * tables.per_ln
    c = int(column)
    f = column - c
    majorant = tables.majorant[c] * (1.0 - f) + tables.majorant[c + 1] * f
    table = tables.photon
    while True:
        d = -log(uniform(state)) / majorant
        p[0] += d * p[3]
        p[1] += d * p[4]
        p[2] += d * p[5]
        fi = (p[0] - lattice.origin[0]) / lattice.step[0] + 0.5
        fj = (p[1] - lattice.origin[1]) / lattice.step[1] + 0.5
        fk = (p[2] - lattice.origin[2]) / lattice.step[2] + 0.5
        if not (0.0 <= fi < nx and 0.0 <= fj < ny and 0.0 <= fk < nz):
            return False, 0, column
        i, j, k = int(fi), int(fj), int(fk)
        m = medium.material[i, j, k]
        low = table[m, c, 0] + table[m, c, 1] + table[m, c, 2]
        high = table[m, c + 1, 0] + table[m, c + 1, 1] + table[m, c + 1, 2]
        real = 0.1 * medium.density[i, j, k] * (low * (1.0 - f) + high * f)
        if uniform(state) * majorant < real:
            voxel[0], voxel[1], voxel[2] = i, j, k
            return True, m, column


@njit
def follow(medium, tables, field, strength, stack, top, state, out):
    """Follow every particle on the stack to its end; return the energy that left the lattice, MeV."""
    escaped = 0.0
    p = np.empty(ROW)
    voxel = np.empty(3, np.int64)
    lattice = medium.lattice
    while top > 0:
        top -= 1
        for n in range(ROW):
            p[n] = stack[top, n]
        if p[7] == PHOTON:
            inside, m, column = _fly(medium, tables, p, voxel, state)
            if not inside:
                escaped += p[6]
                continue
            top, absorbed = interact(tables, m, column, stack, top, p, state)
            out[voxel[0], voxel[1], voxel[2]] += absorbed
        else:
            for a in range(3):
                n = int((p[a] - lattice.origin[a]) / lattice.step[a] + 0.5)
                voxel[a] = min(max(n, 0), lattice.shape[a] - 1)
            top, gone = transport(medium, tables, field, strength, stack, top, p, voxel, state, out)
            escaped += gone
    return escaped


@njit
def simulate(medium, tables, source, field, strength, seed, batch, histories, out):
    """Simulate one batch of photon histories and add the absorbed energy (MeV) to `out`.

    Returns
    -------
    ndarray (2,)
        Energy emitted and energy that left the lattice, MeV.
    """
    state = np.empty(2, np.uint64)
    seed_stream(seed, batch, state)
    stack = np.empty((256, ROW))
    particle = np.empty(ROW)
    totals = np.zeros(2)
    for _ in range(histories):
        emit(source, particle, state)
        totals[0] += particle[6]
        p = particle
        d = enter(medium.lattice, p[0], p[1], p[2], p[3], p[4], p[5])
        if d < 0.0:
            totals[1] += p[6]
            continue
        for n in range(ROW):
            stack[0, n] = p[n]
        for a in range(3):
            stack[0, a] += (d + 1e-9) * p[3 + a]
        totals[1] += follow(medium, tables, field, strength, stack, 1, state, out)
    return totals
