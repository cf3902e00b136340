"""Materials of Monte Carlo transport: composition, and what is tabled about photons and electrons in them."""

from functools import cache
from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from kernels.particle import ELECTRON_MASS
from planner.library import ROOT, parse, read_toml
from planner.library.tables import read_table
from planner.treatment.constant import Frozen
from planner.treatment.errors import InputError, unknown_name

_FILE = ROOT / "physics" / "materials.toml"
AVOGADRO = 0.602214076  # 1/mol times cm2/barn; SI 2019
MOLLER = 0.1535375  # MeV cm2/mol: 2 pi r_e^2 m_e c^2 N_A


class _Entry(Frozen):
    """One material of the file, in grams per gram of media of ``media.csv`` or of one element."""

    name: str
    label: int = Field(gt=0)
    media: dict[str, float] = Field(default_factory=dict)
    element: int | None = None
    density_g_cm3: float = Field(gt=0)
    density_from: float | None = None
    source: str
    status: str

    @model_validator(mode="after")
    def _one_composition(self) -> "_Entry":
        if bool(self.media) == (self.element is not None):
            raise ValueError(f"material '{self.name}' needs media or an element")
        if self.media and abs(sum(self.media.values()) - 1.0) > 1e-6:
            raise ValueError(f"the mass fractions of '{self.name}' do not sum to 1")
        return self


class _Element(Frozen):
    """What the stopping power of an element takes (Sternheimer, Berger, Seltzer 1984)."""

    symbol: str
    atomic_mass: float
    mean_excitation_ev: float
    c: float
    x0: float
    x1: float
    a: float
    k: float
    source: str
    status: str


class _File(Frozen):
    material: tuple[_Entry, ...]
    element: dict[str, _Element]


class Material(NamedTuple):
    """A material.

    Attributes
    ----------
    name : str
    density_g_cm3 : float
        Nominal; transport takes the density of the voxel.
    media : tuple of (str, float)
        Media of ``media.csv`` and their mass fractions; empty for an element.
    element : int
        Atomic number of an element that is no medium of the tables, or 0.
    """

    name: str
    density_g_cm3: float
    media: tuple[tuple[str, float], ...]
    element: int

    @property
    def atoms(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Atomic numbers, mass fractions and atomic masses."""
        if self.element:
            return (
                np.array([float(self.element)]),
                np.ones(1),
                np.array([_file().element[str(self.element)].atomic_mass]),
            )
        elements = _elements()
        fraction = np.zeros(len(elements))
        for name, share in self.media:
            row = _medium_row(name)
            fraction += share * np.array([float(row[symbol]) for symbol, _, _ in elements])
        used = fraction > 0
        z, mass = np.array([[z, a] for _, z, a in elements]).T
        return z[used], fraction[used], mass[used]

    @property
    def electrons_per_gram(self) -> float:
        """Mean atomic number over atomic mass, mol/g."""
        z, fraction, mass = self.atoms
        return float((fraction * z / mass).sum())


def material_names() -> list[str]:
    """Return the names of all materials, in the order of the file."""
    return [entry.name for entry in _file().material]


@cache
def material(name: str) -> Material:
    """Return a material.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    for entry in _file().material:
        if entry.name == name:
            return Material(name, entry.density_g_cm3, tuple(entry.media.items()), entry.element or 0)
    raise InputError("library", "material", unknown_name("material", name, material_names()))


def by_density(density: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the materials that densities stand for, by the table of ``materials.toml``.

    Parameters
    ----------
    density : ndarray, g/cm3

    Returns
    -------
    (list of str, ndarray of uint8)
        Names, and for every density the index of its name.
    """
    ranges = sorted((e.density_from, e.name) for e in _file().material if e.density_from is not None)
    starts = np.array([start for start, _ in ranges])
    index = np.clip(np.searchsorted(starts, density, side="right") - 1, 0, len(ranges) - 1)
    return [name for _, name in ranges], index.astype(np.uint8)


def by_label(labels: np.ndarray, density: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the materials of a volume of labels; where the label is 0, those that the densities stand for.

    Raises
    ------
    InputError
        If a number is no label of ``materials.toml``.
    """
    entries = _file().material
    names, index = by_density(density)
    numbers = np.rint(labels).astype(np.int64)
    known = {entry.label: entry.name for entry in entries}
    unknown = sorted(set(np.unique(numbers).tolist()) - {0, *known})
    if unknown:
        listed = ", ".join(f"{label} {name}" for label, name in sorted(known.items()))
        raise InputError("materials", "labels", f"unknown label {unknown[0]}. Known: 0 by density, {listed}")
    for label, name in known.items():
        here = numbers == label
        if here.any():
            if name not in names:
                names.append(name)
            index[here] = names.index(name)
    return names, index


def photon_cross_sections(material: Material, energies_mev: np.ndarray) -> np.ndarray:
    """Return incoherent, photoelectric and pair (with triplet) mass attenuation, cm2/g, shape (energies, 3).

    By additivity of the XCOM cross sections of the elements, log-log interpolated in energy.
    """
    out = np.zeros((len(energies_mev), 3))
    for z, fraction, mass in zip(*material.atoms, strict=True):
        out += fraction / mass * AVOGADRO * _barns(int(z), energies_mev)
    return out


def electron_stopping(material: Material, energies_mev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return collision and radiative mass stopping power, MeV cm2/g (Bragg additivity of the tabled media)."""
    if material.element:
        return _element_stopping(material.element, energies_mev)
    table = _stopping_table()
    collision, radiative = np.zeros(len(energies_mev)), np.zeros(len(energies_mev))
    for name, share in material.media:
        rows = table[table["medium"] == name]
        at = np.log(energies_mev), np.log(rows["T_MeV"])
        collision += share * np.exp(np.interp(*at, np.log(rows["S_col"])))
        radiative += share * np.exp(np.interp(*at, np.log(rows["S_rad"])))
    return collision, radiative


def _element_stopping(z: int, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the stopping powers of an element: collision by Berger and Seltzer (ICRU 37), radiative as Z(Z+1)/A."""
    data = _file().element[str(z)]
    tau = energy / ELECTRON_MASS
    beta2 = tau * (tau + 2.0) / (tau + 1.0) ** 2
    x = np.log10(np.sqrt(tau * (tau + 2.0)))
    delta = np.where(x > data.x0, 2.0 * np.log(10.0) * x - data.c, 0.0)
    delta += np.where((x > data.x0) & (x < data.x1), data.a * np.maximum(data.x1 - x, 0.0) ** data.k, 0.0)
    excitation = data.mean_excitation_ev * 1e-6
    f = 1.0 - beta2 + (tau**2 / 8.0 - (2.0 * tau + 1.0) * np.log(2.0)) / (tau + 1.0) ** 2
    logs = np.log((energy / excitation) ** 2 * (1.0 + tau / 2.0))
    collision = MOLLER * z / data.atomic_mass / beta2 * (logs + f - delta)
    bone = material("cortical_bone")
    zs, fraction, masses = bone.atoms
    ratio = z * (z + 1.0) / data.atomic_mass / (fraction * zs * (zs + 1.0) / masses).sum()
    return collision, ratio * electron_stopping(bone, energy)[1]


def _barns(z: int, energies_mev: np.ndarray) -> np.ndarray:
    """Return incoherent, photoelectric and pair cross sections per atom; of an untabled element between neighbours."""
    table = _cross_sections()
    known = np.unique(table["Z"])
    if z not in known:
        low, high = known[known < z].max(), known[known > z].min()
        part = np.log(z / low) / np.log(high / low)
        below, above = (np.log(np.maximum(_barns(int(n), energies_mev), 1e-300)) for n in (low, high))
        return np.asarray(np.exp((1.0 - part) * below + part * above))
    rows = table[table["Z"] == z]
    at = np.log(energies_mev), np.log(rows["E_MeV"])
    incoherent, photo = (
        np.exp(np.interp(*at, np.log(np.maximum(rows[name], 1e-300)))) for name in ("incoherent", "photoelectric")
    )
    pair = np.interp(*at, rows["pair_nuclear"] + rows["triplet"])
    return np.stack([incoherent, photo, pair], axis=1)


@cache
def _file() -> _File:
    return parse(_File, read_toml(_FILE), _FILE)


@cache
def _cross_sections() -> np.ndarray:
    return read_table("photon_elements_xcom.csv")


@cache
def _stopping_table() -> np.ndarray:
    return read_table("electron_stopping.csv")


@cache
def _elements() -> list[tuple[str, float, float]]:
    rows = _cross_sections()
    _, first = np.unique(rows["Z"], return_index=True)
    return [(str(rows["symbol"][n]), float(rows["Z"][n]), float(rows["A"][n])) for n in first]


def _medium_row(name: str) -> np.ndarray:
    rows = read_table("media.csv")
    if name not in rows["medium"]:
        raise InputError("library", "medium", unknown_name("medium", name, set(rows["medium"])))
    return np.asarray(rows[rows["medium"] == name][0])
