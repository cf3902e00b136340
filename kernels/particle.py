"""Particles of Monte Carlo: what they move in, the stack that they wait on, and how they turn.

A particle is a row ``[x, y, z, u, v, w, energy, kind, weight, full]`` of a stack: mm, MeV; `weight` multiplies what it
scores; `full` is the weight that photons born from it are to have (those of small weight play Russian roulette for it).
"""

from math import cos, log, pi, sin, sqrt
from typing import NamedTuple

import numpy as np

from kernels._jit import njit_bare, njit_welded
from kernels.rng import uniform
from kernels.types import Lattice

ELECTRON_MASS = 0.51099895  # MeV, CODATA 2018
PHOTON, ELECTRON, POSITRON = 0.0, 1.0, 2.0
ROW = 10
ABSORBED, KNOCKED, LOSS = range(3)  # columns of the limits of electrons


class Medium(NamedTuple):
    """The phantom that particles move in.

    Attributes
    ----------
    lattice : Lattice
    density : ndarray float32 (nx, ny, nz), g/cm3
    material : ndarray uint8 (nx, ny, nz), row of the cross-section tables
    clearance : ndarray uint8 (nx, ny, nz)
        In how many voxels around nothing changes: within that Chebyshev distance material and density are the same.
    kind : ndarray uint8 (nx, ny, nz)
        The material as electrons see it: those that are alike to them are the first such row.
    room : ndarray uint8 (nx, ny, nz)
        As `clearance` for electrons, to whom a kind is one and densities that differ little are the same. As they
        score dose, by the density where they set out, such a difference costs no first-order error.
    coarse : ndarray uint8 (nx, ny, nz)
        0 where split photons interact closely, 1 where they do so seldom (far from where the dose is wanted).
    """

    lattice: Lattice
    density: np.ndarray
    material: np.ndarray
    clearance: np.ndarray
    kind: np.ndarray
    room: np.ndarray
    coarse: np.ndarray


class Tables(NamedTuple):
    """Cross sections on a grid uniform in ln(energy).

    Attributes
    ----------
    ln_low, per_ln : float
        Logarithm of the lowest energy and the number of intervals per unit of it.
    photon : ndarray float64 (materials, energies, 3)
        Incoherent, photoelectric, pair (with triplet), cm2/g.
    electron : ndarray float64 (materials, energies, 9)
        Columns of `kernels.electron`.
    limits : ndarray float64 (materials, 3)
        ABSORBED: kinetic energy below which an electron gives up all of it where it is, MeV; KNOCKED: below which
        knock-on electrons are not made, MeV; LOSS: fraction of the kinetic energy lost in a full step.
    photon_cut : float
        Energy below which photons are absorbed where they are, MeV.
    """

    ln_low: float
    per_ln: float
    photon: np.ndarray
    electron: np.ndarray
    limits: np.ndarray
    photon_cut: float


class Scene(NamedTuple):
    """Where and how particles are transported.

    Attributes
    ----------
    medium : Medium
    tables : Tables
    field : ndarray float64 (3, 3)
        Orthonormal right-handed rows; the last is the direction of the magnetic field.
    strength : float
        Tesla.
    spacing : ndarray float64 (2, 2)
        Optical distance between the interactions of a split photon; rows: from the source, scattered; columns: close,
        coarse. 0: no splitting.
    tolerance : float
        Densities that differ by less, relatively, make no difference to the shape of an electron's track.
    """

    medium: Medium
    tables: Tables
    field: np.ndarray
    strength: float
    spacing: np.ndarray
    tolerance: float


class Work(NamedTuple):
    """What a batch works with.

    Attributes
    ----------
    stack : ndarray float64 (n, ROW)
        Particles that wait.
    state : ndarray uint64 (2,)
        Of the random stream.
    out : ndarray float32 (nx, ny, nz)
        Absorbed energy over density, MeV cm3/g: dose times the volume of a voxel.
    """

    stack: np.ndarray
    state: np.ndarray
    out: np.ndarray


@njit_welded
def column(tables, energy):
    """Return the column of the tables below an energy (MeV), and how far it is on the way to the next, 0 to 1."""
    at = (log(energy) - tables.ln_low) * tables.per_ln
    c = int(at)
    return c, at - c


@njit_bare
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


@njit_bare
def push(stack, top, p, u, v, w, energy, kind):
    """Put a particle on the stack, at the place and with the weight of `p`; return the new height.

    A stack holds more than any history needs; beyond that the particle is lost, which the energy balance shows.
    """
    if top >= stack.shape[0]:
        return top
    stack[top, 0], stack[top, 1], stack[top, 2] = p[0], p[1], p[2]
    stack[top, 3], stack[top, 4], stack[top, 5] = u, v, w
    stack[top, 6], stack[top, 7] = energy, kind
    stack[top, 8], stack[top, 9] = p[8], p[9]
    return top + 1


@njit_bare
def push_photon(stack, top, p, u, v, w, energy, state):
    """Put a photon on the stack, with the full weight or, by Russian roulette, not at all; return the new height."""
    if p[8] < p[9] and uniform(state) * p[9] >= p[8]:
        return top
    grown = push(stack, top, p, u, v, w, energy, PHOTON)
    if grown > top and p[8] < p[9]:
        stack[top, 8] = p[9]
    return grown


@njit_bare
def isotropic(state):
    """Return a direction uniform on the sphere."""
    w = 2.0 * uniform(state) - 1.0
    azimuth = 2.0 * pi * uniform(state)
    r = sqrt(1.0 - w * w)
    return r * cos(azimuth), r * sin(azimuth), w
