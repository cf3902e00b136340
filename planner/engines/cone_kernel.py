"""The collapsed cone kernel of a photon spectrum: shares of four shared exponentials by angle, and what is released.

Monoenergetic energy deposition kernels are composed with the spectrum and each angle is fitted, in least squares, by
a signed sum of the exponentials of ``kernels.cone``: signed, because the scatter of a photon starts from nothing at its
interaction and an electron has a range, which sums of positive exponentials cannot say.

Hardening: every released MeV is divided between two kernels, that of the spectrum at the surface and that of the
spectrum below 200 mm of water, linearly in the logarithm of the photon energy, such that both spectra get exactly
their own kernel. Kerma (mu_en) and scatter (mu - mu_en) are kept apart, because media change them differently.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from kernels.cone import RATES
from kernels.terma import ReleaseTable
from planner.engines.cone_physics import cone_physics
from planner.library.tables import attenuation, energy_deposition, spectrum
from planner.treatment.machine import AliRogers

# Numerical: where the deep spectrum is taken, the fields whose output the cones keep, depths of the release table,
# parts of an energy bin, radial bins beyond a head, the fields whose output the fit of each kernel keeps, and points in
# an angular bin.
DEEP_MM = 200.0
WIDTHS_MM = (9.0, 9.0, 90.0, 90.0)
"""Field widths, for the four fields of released energy, whose output a finite set of directions must keep."""
_BONE = "bone_cortical_icrp"
_DEPTHS_MM = (np.arange(0.0, 802.0, 2.0), np.arange(0.0, 205.0, 4.0))
_PARTS_OF_BIN = 4
_FAR_BINS = 5
_FITTED_WIDTHS_MM = ((9.0, 30.0), (9.0, 27.0, 90.0))
_SUB = 10


@dataclass(frozen=True, eq=False)
class ConeKernel:
    """What a spectrum releases and where it goes.

    Attributes
    ----------
    theta_edges : ndarray (t + 1,)
        Radians from the direction of flight.
    share : ndarray (FIELDS, 4, t)
        Signed share of a field's energy that each exponential carries into each interval of angle; sums to 1 a field.
    in_cylinder : ndarray (FIELDS,)
        Share that stays within half of `WIDTHS_MM` of a line of interactions.
    table : ReleaseTable
    """

    theta_edges: np.ndarray
    share: np.ndarray
    in_cylinder: np.ndarray
    table: ReleaseTable


@cache
def cone_kernel(which: str | AliRogers) -> ConeKernel:
    """Return the kernel of a spectrum of the library.

    Raises
    ------
    InputError
        If the spectrum is unknown.
    """
    energies, photons = _bins(which)
    kerma, scatter = _coefficients("water", energies)
    deep = photons * np.exp(-0.1 * DEEP_MM * attenuation("water", energies))
    kernels = [point_kernel(energy) for energy in energies]
    share, ramps = [], []
    for kind, coefficient in enumerate((kerma, scatter)):
        weights = [spectrum_at * coefficient * energies for spectrum_at in (photons, deep)]
        means = [np.average(np.log(energies), weights=w) for w in weights]
        ramp = (np.log(energies) - means[0]) / (means[1] - means[0])
        ramps += [1.0 - ramp, ramp]
        for w in weights:
            composed = np.tensordot(w / w.sum(), np.stack([k[kind] for k in kernels]), 1)
            share.append(_fit(composed, _FITTED_WIDTHS_MM[kind]))
    table = _release_table(energies, photons, np.stack(ramps))
    in_cylinder = [(s * _reach(0.5 * width).T).sum() for s, width in zip(share, WIDTHS_MM, strict=True)]
    return ConeKernel(energy_deposition().theta_edges_rad, np.stack(share), np.array(in_cylinder), table)


def _bins(which: str | AliRogers) -> tuple[np.ndarray, np.ndarray]:
    """Return energies and photons of a spectrum whose bins are cut into equal parts."""
    beam = spectrum(which)
    at = (np.arange(_PARTS_OF_BIN) + 0.5) / _PARTS_OF_BIN
    energies = beam.edges_mev[:-1, None] + np.diff(beam.edges_mev)[:, None] * at
    return energies.ravel(), np.repeat(beam.probability / _PARTS_OF_BIN, _PARTS_OF_BIN)


def _coefficients(medium: str, energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return kerma (mu_en) and scatter (mu - mu_en) coefficients, cm2/g."""
    kerma = attenuation(medium, energies, "mu_en")
    return kerma, attenuation(medium, energies) - kerma


def point_kernel(energy: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the primary and scatter kernels (theta, r) of one photon energy, each as fractions of its own energy."""
    table, physics = energy_deposition(), cone_physics()
    position = np.interp(np.log(energy), np.log(table.energies_mev), np.arange(len(table.energies_mev)))
    lower = min(int(position), len(table.energies_mev) - 2)
    shape = table.primary.shape[1:]
    mixed_primary, mixed_scatter = np.zeros(shape), np.zeros(shape)
    for index, weight in ((lower, lower + 1 - position), (lower + 1, position - lower)):
        stretch = physics.range_scale.value * (energy / table.energies_mev[index]) ** physics.range_power.value
        primary, scatter = table.primary[index], table.scatter[index]
        mixed_primary += weight * _stretched(primary, table.r_edges_mm, stretch) / primary.sum()
        mixed_scatter += weight * scatter / (1.0 - primary.sum())
    return mixed_primary, mixed_scatter


def _stretched(kernel: np.ndarray, edges: np.ndarray, stretch: float) -> np.ndarray:
    """Return a kernel (theta, r) with all radii multiplied by `stretch`, in the same bins."""
    running = np.concatenate([np.zeros((len(kernel), 1)), np.cumsum(kernel, axis=1)], axis=1)
    return np.diff(np.stack([np.interp(edges / stretch, edges, row) for row in running]), axis=1)


def _fit(kernel: np.ndarray, widths_mm: tuple[float, ...]) -> np.ndarray:
    """Return signed shares (4, theta) of the exponentials for a kernel (theta, r); they sum to 1.

    Each angle is a least-squares fit of the energy in each radial bin (weighted as counts) and within each radius; the
    last bins, beyond a head, count less. Energy that the sphere of the kernels does not hold arrives beyond its surface
    as the last radial bin arrives there. Then the least change, in the metric of the same fits, makes exact what dose
    depends on most: the sum, and the energy within cylinders (half `widths_mm`) about a line of interactions, which
    is the output of fields of these widths.
    """
    edges = energy_deposition().r_edges_mm
    inside = np.exp(-np.outer(np.append(edges, np.inf), RATES))
    basis = inside[:-1] - inside[1:]
    last = kernel[:, -1] / max(kernel[:, -1].sum(), 1e-300)
    wanted = np.column_stack([kernel, max(1.0 - kernel.sum(), 0.0) * last])
    within = np.full(len(basis), 3.0)
    within[-_FAR_BINS:], within[-1] = 1.0, 0.0
    shares, metric = np.empty((len(kernel), len(RATES))), np.empty((len(kernel), len(RATES), len(RATES)))
    for angle, row in enumerate(wanted):
        counts = 1.0 / np.sqrt(np.maximum(row, 2e-3 * row.max()))
        counts /= counts.min()
        counts[-_FAR_BINS:] *= 0.3
        design = np.vstack([basis * counts[:, None], np.cumsum(basis, axis=0) * within[:, None]])
        metric[angle] = np.linalg.inv(design.T @ design + 1e-9 * np.eye(len(RATES)))
        shares[angle] = metric[angle] @ (design.T @ np.concatenate([row * counts, np.cumsum(row) * within]))
    radii = [0.5 * width for width in widths_mm]
    rows = np.stack([np.ones_like(shares)] + [_reach(radius) for radius in radii])
    exact = np.array([1.0] + [_within_cylinder(kernel, radius) for radius in radii])
    give = np.einsum("tkl,mtl->mtk", metric, rows)
    miss = exact - np.einsum("mtk,tk->m", rows, shares)
    weight = np.linalg.solve(np.einsum("mtk,ntk->mn", rows, give), miss)
    return (shares + np.einsum("m,mtk->tk", weight, give)).T


def _reach(radius: float) -> np.ndarray:
    """Return the part of each exponential at each angle, shape (theta, 4), that stays within a cylinder."""
    slant = radius / np.maximum(_sines(), 1e-9)
    return (1.0 - np.exp(-slant[:, :, None] * RATES)).mean(axis=1)


def _within_cylinder(kernel: np.ndarray, radius: float) -> float:
    """Return the energy of a kernel (theta, r) within a cylinder about the direction of flight."""
    edges = energy_deposition().r_edges_mm
    slant = radius / np.maximum(_sines(), 1e-9)
    part = np.clip((slant[:, :, None] - edges[:-1]) / np.diff(edges), 0.0, 1.0).mean(axis=1)
    return float((kernel * part).sum())


def _sines() -> np.ndarray:
    """Return the sine of the angle at points even in solid angle within each angular bin, shape (theta, _SUB)."""
    cosines = np.cos(energy_deposition().theta_edges_rad)
    at = (np.arange(_SUB) + 0.5) / _SUB
    return np.sqrt(1.0 - (cosines[:-1, None] + np.diff(cosines)[:, None] * at) ** 2)


def _release_table(energies: np.ndarray, photons: np.ndarray, ramps: np.ndarray) -> ReleaseTable:
    """Return released energy by depth of water and of bone, local medium and field, MeV mm2/g per photon/mm2."""
    mu = [0.1 * attenuation(medium, energies) for medium in ("water", _BONE)]
    passed = np.exp(-_DEPTHS_MM[0][:, None, None] * mu[0] - _DEPTHS_MM[1][None, :, None] * mu[1])
    local = []
    for medium in ("water", _BONE):
        kerma, scatter = _coefficients(medium, energies)
        local.append(100.0 * energies * photons * np.stack([kerma, kerma, scatter, scatter]) * ramps)
    values = np.einsum("wbe,mfe->wbmf", passed, np.stack(local))
    return ReleaseTable(
        (float(_DEPTHS_MM[0][1]), float(_DEPTHS_MM[1][1])), np.ascontiguousarray(values, dtype=np.float32)
    )
