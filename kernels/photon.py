"""Photon interactions for Monte Carlo: Woodcock tracking, Compton, photoelectric absorption, pair production.

Energies in MeV, lengths in mm, mass lengths in g/cm2. Cross sections come as mass attenuation coefficients on a grid
uniform in the logarithm of energy. A particle is a row ``[x, y, z, u, v, w, energy, kind]`` of a stack.
"""

from math import cos, log, pi, sin, sqrt
from typing import NamedTuple

import numpy as np

from kernels._jit import njit
from kernels.rng import uniform
from kernels.types import Lattice

ELECTRON_MASS = 0.51099895  # MeV, CODATA 2018
PHOTON, ELECTRON, POSITRON = 0.0, 1.0, 2.0
ROW = 8


class Medium(NamedTuple):
    """The phantom that particles move in.

    Attributes
    ----------
    lattice : Lattice
    density : ndarray float32 (nx, ny, nz), g/cm3
    material : ndarray uint8 (nx, ny, nz), row of the cross-section tables
    clearance : ndarray uint8 (nx, ny, nz)
        In how many voxels around nothing changes: within that Chebyshev distance material and density are the same.
    """

    lattice: Lattice
    density: np.ndarray
    material: np.ndarray
    clearance: np.ndarray


class Tables(NamedTuple):
    """Cross sections on a grid uniform in ln(energy).

    Attributes
    ----------
    ln_low, per_ln : float
        Logarithm of the lowest energy and the number of intervals per unit of it.
    photon : ndarray float64 (materials, energies, 3)
        Incoherent, photoelectric, pair (with triplet), cm2/g.
    majorant : ndarray float64 (energies,)
        Largest total attenuation in the phantom, 1/mm.
    electron : ndarray float64 (materials, energies, 9)
        Columns of `kernels.electron`.
    photon_cut, electron_cut : float
        Kinetic energies below which a particle is absorbed where it is, MeV.
    """

    ln_low: float
    per_ln: float
    photon: np.ndarray
    majorant: np.ndarray
    electron: np.ndarray
    photon_cut: float
    electron_cut: float


@njit
def turn(u, v, w, cosine, azimuth):
    """Return the direction (u, v, w) deflected by a polar cosine and an azimuth."""
    sine = sqrt(max(0.0, 1.0 - cosine * cosine))
    a, b = sine * cos(azimuth), sine * sin(azimuth)
    across = u * u + v * v
    if across < 1e-20:
        return a, b * (1.0 if w > 0 else -1.0), cosine * (1.0 if w > 0 else -1.0)
    r = sqrt(across)
    nu = u * cosine + (u * w * a - v * b) / r
    nv = v * cosine + (v * w * a + u * b) / r
    nw = w * cosine - r * a
    norm = 1.0 / sqrt(nu * nu + nv * nv + nw * nw)
    return nu * norm, nv * norm, nw * norm


@njit
def push(stack, top, x, y, z, u, v, w, energy, kind):
    """Put a particle on the stack and return the new height; a full stack is reported by -1."""
    if top < 0 or top >= stack.shape[0]:
        return -1
    stack[top, 0], stack[top, 1], stack[top, 2] = x, y, z
    stack[top, 3], stack[top, 4], stack[top, 5] = u, v, w
    stack[top, 6], stack[top, 7] = energy, kind
    return top + 1


@njit
def enter(lattice, x, y, z, u, v, w):
    """Return the distance (mm) along a ray to the box of the lattice, 0 inside it, -1 if it is missed."""
    near, far = 0.0, 1e30
    for axis in range(3):
        p, d = (x, u) if axis == 0 else ((y, v) if axis == 1 else (z, w))
        low = lattice.origin[axis] - 0.5 * lattice.step[axis]
        high = low + lattice.step[axis] * lattice.shape[axis]
        if abs(d) < 1e-12:
            if p <= low or p >= high:
                return -1.0
        else:
            a, b = (low - p) / d, (high - p) / d
            near, far = max(near, min(a, b)), min(far, max(a, b))
    return near if near < far else -1.0


@njit
def compton(energy, state):
    """Return (scattered energy, cosine) of a photon by Klein and Nishina (Butcher and Messel 1960 composition)."""
    k = energy / ELECTRON_MASS
    low = 1.0 / (1.0 + 2.0 * k)
    a1, a2 = -log(low), 0.5 * (1.0 - low * low)
    while True:
        if uniform(state) * (a1 + a2) < a1:
            fraction = low ** uniform(state)
        else:
            fraction = sqrt(low * low + (1.0 - low * low) * uniform(state))
        t = (1.0 - fraction) / (k * fraction)
        if uniform(state) < 1.0 - fraction * t * (2.0 - t) / (1.0 + fraction * fraction):
            return energy * fraction, 1.0 - t


@njit
def dipole_cosine(kinetic, state):
    """Return the polar cosine of the leading-order angular distribution 1/(1 - beta cos)^2 of pairs and bremsstrahlung."""
    total = kinetic + ELECTRON_MASS
    beta = sqrt(kinetic * (kinetic + 2.0 * ELECTRON_MASS)) / total
    r = 2.0 * uniform(state) - 1.0
    return (r + beta) / (beta * r + 1.0)


@njit
def annihilate(stack, top, x, y, z, state):
    """Put the two photons of an annihilation at rest on the stack and return the new height."""
    w = 2.0 * uniform(state) - 1.0
    azimuth = 2.0 * pi * uniform(state)
    r = sqrt(1.0 - w * w)
    u, v = r * cos(azimuth), r * sin(azimuth)
    top = push(stack, top, x, y, z, u, v, w, ELECTRON_MASS, PHOTON)
    return push(stack, top, x, y, z, -u, -v, -w, ELECTRON_MASS, PHOTON)


@njit
def interact(tables, row, column, stack, top, particle, state):
    """Let the photon `particle` interact: products go on the stack; return (height, energy absorbed on the spot).

    `row`, `column` say the material and the energy interval (with its fraction) of the tables.
    """
    x, y, z, u, v, w = particle[0], particle[1], particle[2], particle[3], particle[4], particle[5]
    energy = particle[6]
    i = int(column)
    f = column - i
    table = tables.photon
    incoherent = table[row, i, 0] * (1.0 - f) + table[row, i + 1, 0] * f
    photo = table[row, i, 1] * (1.0 - f) + table[row, i + 1, 1] * f
    pair = table[row, i, 2] * (1.0 - f) + table[row, i + 1, 2] * f
    pick = uniform(state) * (incoherent + photo + pair)
    if pick < incoherent:
        scattered, cosine = compton(energy, state)
        azimuth = 2.0 * pi * uniform(state)
        kinetic = energy - scattered
        absorbed = 0.0
        if kinetic > tables.electron_cut:
            # Momentum balance: the recoil leaves on the other side of the photon's direction.
            momentum = sqrt(kinetic * (kinetic + 2.0 * ELECTRON_MASS))
            eu, ev, ew = turn(u, v, w, (energy - scattered * cosine) / momentum, azimuth + pi)
            top = push(stack, top, x, y, z, eu, ev, ew, kinetic, ELECTRON)
        else:
            absorbed += kinetic
        if scattered > tables.photon_cut:
            pu, pv, pw = turn(u, v, w, cosine, azimuth)
            top = push(stack, top, x, y, z, pu, pv, pw, scattered, PHOTON)
        else:
            absorbed += scattered
        return top, absorbed
    if pick < incoherent + photo:
        if energy > tables.electron_cut:
            return push(stack, top, x, y, z, u, v, w, energy, ELECTRON), 0.0
        return top, energy
    available = energy - 2.0 * ELECTRON_MASS
    if available <= 0.0:
        return top, energy
    share = available * uniform(state)
    azimuth = 2.0 * pi * uniform(state)
    eu, ev, ew = turn(u, v, w, dipole_cosine(share, state), azimuth)
    top = push(stack, top, x, y, z, eu, ev, ew, share, ELECTRON)
    eu, ev, ew = turn(u, v, w, dipole_cosine(available - share, state), azimuth + pi)
    return push(stack, top, x, y, z, eu, ev, ew, available - share, POSITRON), 0.0
