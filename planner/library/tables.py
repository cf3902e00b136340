"""Physics tables: spectra, attenuation, energy deposition kernels; ``physics/ORIGIN.md`` says where they are from."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from planner.library import ROOT
from planner.treatment.errors import InputError, unknown_name

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
def spectrum(name: str) -> Spectrum:
    """Return a photon spectrum of the library.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    if name not in spectrum_names():
        raise InputError("library", "spectrum", unknown_name("spectrum", name, spectrum_names()))
    rows = read_table(f"spectrum_{name}.csv")
    probability = rows["probability"].astype(float)
    edges = np.append(rows["E_lo_MeV"], rows["E_hi_MeV"][-1]).astype(float)
    return Spectrum(edges, probability / probability.sum())


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
