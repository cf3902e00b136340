"""Photons of Monte Carlo: the way into the lattice, Compton scattering, directions of pairs and bremsstrahlung."""

from math import log, sqrt

from kernels._jit import njit_bare
from kernels.particle import ELECTRON_MASS
from kernels.rng import uniform


@njit_bare
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


@njit_bare
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


@njit_bare
def dipole_cosine(kinetic, state):
    """Return a polar cosine from 1/(1 - beta cos)^2, the leading order of pairs and bremsstrahlung."""
    total = kinetic + ELECTRON_MASS
    beta = sqrt(kinetic * (kinetic + 2.0 * ELECTRON_MASS)) / total
    r = 2.0 * uniform(state) - 1.0
    return (r + beta) / (beta * r + 1.0)
