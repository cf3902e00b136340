"""Physics tables: spectra, attenuation, energy deposition kernels; ``physics/ORIGIN.md`` says where they are from."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from planner.library import ROOT
from planner.treatment.errors import InputError, unknown_name
from planner.treatment.machine import AliRogers

_FOLDER = ROOT / "physics"
_MEV_OF_KERNEL = {"0p2MeV": 0.2, "0p5MeV": 0.5, "1MeV": 1.0, "1p25MeV": 1.25, "2MeV": 2.0, "4MeV": 4.0, "6MeV": 6.0}


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Photon fluence by energy.

    Attributes
    ----------
    edges_mev : ndarray (n + 1,)
        Bin edges; energies are uniform within a bin.
    probability : ndarray (n,)
        Fraction of the photons in each bin; sums to 1.
    """

    edges_mev: np.ndarray
    probability: np.ndarray

    @property
    def centres_mev(self) -> np.ndarray:
        """Mean energy of each bin."""
        return 0.5 * (self.edges_mev[1:] + self.edges_mev[:-1])


@dataclass(frozen=True, eq=False)
class EnergyDeposition:
    """Monoenergetic energy deposition kernels in water about one interacting photon.

    Attributes
    ----------
    energies_mev : ndarray (e,)
    theta_edges_rad : ndarray (t + 1,)
        From the photon's direction of flight.
    r_edges_mm : ndarray (r + 1,)
    primary, scatter : ndarray (e, t, r)
        Fraction of the photon's energy in each bin that electrons of the first interaction deposit, and all the rest.
    """

    energies_mev: np.ndarray
    theta_edges_rad: np.ndarray
    r_edges_mm: np.ndarray
    primary: np.ndarray
    scatter: np.ndarray


class Medium(NamedTuple):
    """A medium of ``media.csv``: density (g/cm3) and atomic number over mass number."""

    density: float
    z_over_a: float


def medium(name: str) -> Medium:
    """Return a medium.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    rows = _media()
    if name not in rows["medium"]:
        raise InputError("library", "medium", unknown_name("medium", name, rows["medium"]))
    row = rows[rows["medium"] == name][0]
    return Medium(float(row["rho_g_cm3"]), float(row["Z_over_A"]))


@cache
def _media() -> np.ndarray:
    return read_table("media.csv")


def spectrum_names() -> list[str]:
    """Return the names of the photon spectra in the library, sorted."""
    return sorted(file.stem.removeprefix("spectrum_") for file in _FOLDER.glob("spectrum_*.csv"))


@cache
def spectrum(which: str | AliRogers) -> Spectrum:
    """Return a photon spectrum: a table of the library by its name, or a closed form evaluated.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    if isinstance(which, AliRogers):
        return _ali_rogers(which)
    if which not in spectrum_names():
        raise InputError("library", "spectrum", unknown_name("spectrum", which, spectrum_names()))
    rows = read_table(f"spectrum_{which}.csv")
    probability = rows["probability"].astype(float)
    edges = np.append(rows["E_lo_MeV"], rows["E_hi_MeV"][-1]).astype(float)
    return Spectrum(edges, probability / probability.sum())


_BIN_MEV, _LEAST_MEV, _PARTS = 0.25, 0.1, 20


def _ali_rogers(form: AliRogers) -> Spectrum:
    """Return a closed form in bins of 0.25 MeV, the last one cut at the energy of the electrons.

    Equation 12 of the paper gives energy fluence; photons are that over energy. Below 0.1 MeV nothing is left of it.
    """
    edges = np.append(np.arange(0.0, form.electron_mev - 0.2 * _BIN_MEV, _BIN_MEV), form.electron_mev)
    energy = edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(_PARTS) + 0.5) / _PARTS
    share = energy / form.electron_mev
    released = np.log((form.electron_mev - energy) / share + 1.65) - 0.5
    passed = np.exp(
        -_of_metal("tungsten", energy) * form.tungsten**2 - _of_metal("aluminium", energy) * form.aluminium**2
    )
    psi = (1 + form.slope * share + share**2) * np.maximum(released, 0.0) * passed
    photons = np.where(energy >= _LEAST_MEV, psi / energy, 0.0).mean(axis=1) * np.diff(edges)
    return Spectrum(edges, photons / photons.sum())


def _of_metal(metal: str, energies_mev: np.ndarray) -> np.ndarray:
    """Return the mass attenuation coefficient of a metal, cm2/g, log-log interpolated."""
    rows = read_table("photon_metals.csv")
    return np.exp(np.interp(np.log(energies_mev), np.log(rows["E_MeV"]), np.log(rows[metal])))


@cache
def _photon_media() -> np.ndarray:
    return read_table("photon_media.csv")


def attenuation(medium_name: str, energies_mev: np.ndarray, column: str = "total") -> np.ndarray:
    """Return a mass attenuation coefficient of a medium, cm2/g, log-log interpolated.

    Parameters
    ----------
    medium_name : str
        A medium of ``photon_media.csv``.
    energies_mev : ndarray
    column : str
        ``total``, ``mu_tr``, ``mu_en`` or a process.

    Raises
    ------
    InputError
        If the medium is unknown.
    """
    rows = _photon_media()
    chosen = rows[rows["medium"] == medium_name]
    if not len(chosen):
        raise InputError("library", "medium", unknown_name("medium", medium_name, set(rows["medium"])))
    log_value = np.log(np.maximum(chosen[column], 1e-300))
    return np.exp(np.interp(np.log(energies_mev), np.log(chosen["E_MeV"]), log_value))


@cache
def energy_deposition() -> EnergyDeposition:
    """Return the monoenergetic energy deposition kernels in water."""
    with np.load(_FOLDER / "energy_deposition_kernels.npz") as stored:
        kernels = np.stack([stored[f"K_{key}"] for key in _MEV_OF_KERNEL]).astype(float)
        theta, radius = np.radians(stored["theta_edges_deg"]), 10.0 * stored["r_edges_cm"]
    energies = np.array(list(_MEV_OF_KERNEL.values()))
    return EnergyDeposition(energies, theta, radius, kernels[..., 0], kernels[..., 1:].sum(axis=-1))


def read_table(file: str) -> np.ndarray:
    """Return a CSV file with ``#`` comments as a structured array."""
    lines = [line for line in (_FOLDER / file).read_text().splitlines() if not line.startswith("#")]
    return np.genfromtxt(lines, delimiter=",", names=True, dtype=None, encoding="utf-8", deletechars="")
