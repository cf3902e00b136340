"""The pencil beam kernel of a photon spectrum: point kernels superposed along a ray in water, made separable.

A pencil is one ray of photons that enters water at depth 0. Each of its interactions at depth z' spreads the energy
deposition kernel of its photon energy; the ray is attenuated and hardens with depth, energy bin by energy bin:

    k(s, d) = sum_E phi(E) E mu(E) integral dz' exp(-mu(E) z') h_E(s, d - z')            [MeV/mm3 per photon]

Rays diverge, kernels do not: at magnification m = z / SAD a distance s is seen as s / m in the isocentre plane. The
engine therefore needs m^2 k(m s, d) = sum_c A_c(d, m) K_c(s) with few fixed K_c (Bortfeld, Schlegel, Rhein, Med Phys
20:311, 1993, who used a singular value decomposition). Here the factorisation is non-negative (Lee and Seung, Nature
401:788, 1999) and the K_c are mixtures of Gaussians, so every kernel is positive and smooth, source blur adds to the
variances, and the integral over a rectangular bixel is a product of error functions: no sampling of the fluence.

It takes a second or so and depends on the spectrum only, so it is computed at first use and kept in memory: any
spectrum of the library works and no derived file can go stale.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import nnls

from planner.engines.base import GY_PER_MEV_MM3
from planner.library.tables import attenuation, energy_deposition, spectrum
from planner.treatment.machine import AliRogers

# Numerical: how many kernels are kept and of which Gaussians they are made, and where amplitudes are tabled.
COMPONENTS = 4
SIGMA_MM = (0.45, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
DEPTH_STEP_MM = 2.0
_DEPTHS_MM = np.arange(0.0, 402.0, DEPTH_STEP_MM)
_MAGNIFICATIONS = np.linspace(0.80, 1.20, 9)
RING_EDGES_MM = np.concatenate([[0.0], np.geomspace(1.0, 300.0, 57)])
"""Edges of the rings over which kernels are integrated, in depth and in the isocentre plane."""

# Slices of a point kernel before and behind its interaction; the depths that the kernels are learnt from: all of the
# build-up and some of the rest.
_SLICE_MM = 1.0
_SLICE_EDGES_MM = np.arange(-400.0, 401.0, _SLICE_MM)
_LEARNT_FROM = np.r_[0:16, 16:150:4]
# Points that a bin of a point kernel is spread over, in angle and in radius.
_SUB_THETA, _SUB_R = 4, 8


@dataclass(frozen=True, eq=False)
class PencilKernel:
    """A separable pencil kernel, ``k(s, d) m^2 = sum_c amplitude[d, m, c] sum_j mixture[c, j] gauss(s; sigma_j)``.

    Attributes
    ----------
    depth_step_mm : float
        Depths of the amplitude table are multiples of it, from 0.
    magnifications : ndarray (m,)
        Distance from the source over source-axis distance, evenly spaced.
    amplitude : ndarray (d, m, 4)
        Gy mm2 per photon, >= 0; the mixtures of a component sum to 1.
    mixture : ndarray (4, j)
        Share of each Gaussian in each component, >= 0.
    sigma_mm : ndarray (j,)
        Standard deviations of the Gaussians in the isocentre plane.
    """

    depth_step_mm: float
    magnifications: np.ndarray
    amplitude: np.ndarray
    mixture: np.ndarray
    sigma_mm: np.ndarray


@cache
def pencil_kernel(which: str | AliRogers) -> PencilKernel:
    """Return the separable pencil kernel of a spectrum of the library.

    Raises
    ------
    InputError
        If the spectrum is unknown.
    """
    rings = np.stack([_rings_at(ring_doses(which), m) for m in _MAGNIFICATIONS], axis=1)
    basis = _gaussian_rings(np.asarray(SIGMA_MM), RING_EDGES_MM)
    learnt = rings[_LEARNT_FROM].reshape(-1, rings.shape[-1])
    mixture = _mixture(learnt / learnt.sum(axis=1, keepdims=True), basis)
    amplitude = _amplitudes(rings.reshape(-1, rings.shape[-1]), mixture @ basis)
    return PencilKernel(
        DEPTH_STEP_MM,
        _MAGNIFICATIONS,
        amplitude.reshape(*rings.shape[:2], COMPONENTS),
        mixture,
        np.asarray(SIGMA_MM),
    )


@cache
def ring_doses(which: str | AliRogers) -> np.ndarray:
    """Return the pencil kernel integrated over rings, shape (depths, rings), Gy mm2 per photon.

    Raises
    ------
    InputError
        If the spectrum is unknown.
    """
    beam = spectrum(which)
    energies = beam.centres_mev
    mu = 0.1 * attenuation("water", energies)
    total = np.zeros((len(_DEPTHS_MM), len(RING_EDGES_MM) - 1))
    for energy, share, mu_e in zip(energies, beam.probability, mu, strict=True):
        total += _interactions(mu_e) @ (share * energy * _point_kernel(energy))
    return total * GY_PER_MEV_MM3


def _interactions(mu: float) -> np.ndarray:
    """Return the fraction of photons that interact so far above each depth that a slice at `mu` receives their energy.

    Shape (depths, slices): row d, slice k is the mean over the slice's range of offsets dz of mu exp(-mu (d - dz)),
    zero above the surface, per mm.
    """
    low = _DEPTHS_MM[:, None] - _SLICE_EDGES_MM[None, 1:]
    high = low + _SLICE_MM
    inside = np.exp(-mu * np.maximum(low, 0.0)) - np.exp(-mu * np.maximum(high, 0.0))
    return inside / _SLICE_MM


def _point_kernel(energy: float) -> np.ndarray:
    """Return the energy fractions of one photon energy by (slice, ring); depth offsets forward positive.

    Neighbouring tabulated energies are mixed in log energy. Electron tracks scale nearly with energy, so primary radii
    are stretched by the energy ratio, beyond the table (6 MeV) too; the primary sum is set to mu_en / mu.
    """
    table = energy_deposition()
    position = np.interp(np.log(energy), np.log(table.energies_mev), np.arange(len(table.energies_mev)))
    lower = min(int(position), len(table.energies_mev) - 2)
    out = np.zeros((len(_SLICE_EDGES_MM) - 1, len(RING_EDGES_MM) - 1))
    wanted = float((attenuation("water", np.array([energy]), "mu_en") / attenuation("water", np.array([energy])))[0])
    mixed = 0.0
    for index, weight in ((lower, 1 - (position - lower)), (lower + 1, position - lower)):
        mixed += weight * table.primary[index].sum()
    for index, weight in ((lower, 1 - (position - lower)), (lower + 1, position - lower)):
        if weight > 0:
            out += weight * wanted / mixed * _binned(table.primary[index], energy / table.energies_mev[index])
            out += weight * _binned_scatter(index)
    return out


@cache
def _binned_scatter(index: int) -> np.ndarray:
    return _binned(energy_deposition().scatter[index], 1.0)


def _binned(fraction: np.ndarray, stretch: float) -> np.ndarray:
    """Return a kernel (theta, r) by (slice, ring), each bin spread over sub-points even in cos(theta) and in radius."""
    height, ring_radius = _sub_points()
    weights = np.broadcast_to(fraction[:, None, :, None] / (_SUB_THETA * _SUB_R), height.shape)
    height, ring_radius = height * stretch, ring_radius * stretch
    slices = np.floor((height - _SLICE_EDGES_MM[0]) / _SLICE_MM).astype(np.int64)
    rings = np.searchsorted(RING_EDGES_MM, ring_radius.ravel(), side="right").reshape(height.shape) - 1
    columns = len(RING_EDGES_MM) - 1
    keep = (slices >= 0) & (slices < len(_SLICE_EDGES_MM) - 1) & (rings < columns)
    flat = np.bincount(
        (slices[keep] * columns + rings[keep]), weights[keep], minlength=(len(_SLICE_EDGES_MM) - 1) * columns
    )
    return flat.reshape(-1, columns)


@cache
def _sub_points() -> tuple[np.ndarray, np.ndarray]:
    """Return height and distance from the axis, shape (theta, sub, r, sub), of the sub-points of all bins."""
    table = energy_deposition()
    theta = _within(np.cos(table.theta_edges_rad), _SUB_THETA)
    radius = _within(table.r_edges_mm, _SUB_R)
    height = theta[:, :, None, None] * radius[None, None]
    return height, np.sqrt(np.maximum(1 - theta**2, 0.0))[:, :, None, None] * radius[None, None]


def _within(edges: np.ndarray, parts: int) -> np.ndarray:
    """Return `parts` midpoints inside each bin, shape (bins, parts)."""
    at = (np.arange(parts) + 0.5) / parts
    return edges[:-1, None] + np.diff(edges)[:, None] * at


def _rings_at(rings: np.ndarray, magnification: float) -> np.ndarray:
    """Return ring integrals as seen in the isocentre plane at a magnification, times its square (see above)."""
    cumulative = np.concatenate([np.zeros((len(rings), 1)), np.cumsum(rings, axis=1)], axis=1)
    seen = np.stack([np.interp(RING_EDGES_MM * magnification, RING_EDGES_MM, row) for row in cumulative])
    return np.diff(seen, axis=1)


def _gaussian_rings(sigma: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of unit two-dimensional Gaussians, shape (sigma, rings), in each ring."""
    beyond = np.exp(-0.5 * (edges[None, :] / sigma[:, None]) ** 2)
    return beyond[:, :-1] - beyond[:, 1:]


def _mixture(rings: np.ndarray, basis: np.ndarray, rounds: int = 400) -> np.ndarray:
    """Return the non-negative mixtures (4, j) whose components best span `rings` (rows, rings).

    Multiplicative updates of amplitudes and mixtures in turn (Lee and Seung), from four overlapping groups.
    """
    features, basis = _features(rings), _features(basis)
    centres = np.linspace(0, len(basis) - 1, COMPONENTS)
    mixture = np.exp(-0.5 * ((np.arange(len(basis))[None, :] - centres[:, None]) / 0.8) ** 2)
    amplitude = np.full((len(rings), COMPONENTS), 1.0 / COMPONENTS)
    gram, projected = basis @ basis.T, features @ basis.T
    for _ in range(rounds):
        amplitude *= (projected @ mixture.T) / (amplitude @ (mixture @ gram @ mixture.T) + 1e-15)
        mixture *= (amplitude.T @ projected) / ((amplitude.T @ amplitude) @ mixture @ gram + 1e-15)
    return mixture / mixture.sum(axis=1, keepdims=True)


def _features(rings: np.ndarray) -> np.ndarray:
    """Return what a fit should match: the doses inside circles (output factors) and in rings (profiles)."""
    return np.concatenate([rings, np.cumsum(rings, axis=1)], axis=1)


def _amplitudes(rings: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Return the non-negative amplitudes (rows, components) of given components for ring integrals (rows, rings)."""
    design = _features(components).T
    return np.stack([nnls(design, row)[0] for row in _features(rings)])
