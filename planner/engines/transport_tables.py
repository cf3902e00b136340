"""Cross sections of Monte Carlo transport, tabled by energy for each material.

Photons: XCOM attenuation per process. Electrons: restricted stopping powers (tabled collision and radiative ones less
what Moller collisions and bremsstrahlung above the cuts carry away), screened Rutherford scattering with the Mott
correction of McKinley and Feshbach (Phys Rev 74:1759, 1948) and the screening of Moliere (Z Naturforsch 2a:133, 1947).
Bremsstrahlung: (1 - 0.8 k/T)/k, scaled to the tabled radiative stopping power.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from kernels.electron import COLUMNS
from kernels.particle import ELECTRON_MASS, Tables
from planner.engines.monte_carlo_physics import monte_carlo_physics
from planner.library.materials import AVOGADRO, MOLLER, Material, electron_stopping, photon_cross_sections

LOW_MEV, HIGH_MEV, NODES = 0.01, 20.0, 700
_FINE_STRUCTURE = 1.0 / 137.035999  # CODATA 2018
_CLASSICAL_RADIUS2 = 0.0794078  # barn; square of the classical electron radius, 2.8179403 fm (CODATA 2018)
_RADIATIVE_MEAN = 0.6  # integral of 1 - 0.8 k/T over k/T


class Care(NamedTuple):
    """How closely electrons are followed.

    Attributes
    ----------
    absorbed_mev : float
        Kinetic energy below which an electron is absorbed where it is.
    knocked_mev : float
        Kinetic energy above which knock-on electrons are simulated.
    loss : float
        Fraction of the kinetic energy that is lost in one step.
    """

    absorbed_mev: float
    knocked_mev: float
    loss: float


def usual() -> Care:
    """Return how electrons are followed everywhere but near gas."""
    return Care(*monte_carlo_physics().usual.value)


def close() -> Care:
    """Return how electrons are followed in gas and next to it."""
    return Care(*monte_carlo_physics().close.value)


def transport_tables(rows: Sequence[tuple[Material, Care]]) -> Tables:
    """Return the tables with one row for each material and the care with which electrons are followed in it."""
    ln = np.linspace(np.log(LOW_MEV), np.log(HIGH_MEV), NODES)
    parts = [_of(material, care) for material, care in rows]
    return Tables(
        float(ln[0]),
        float(1.0 / (ln[1] - ln[0])),
        np.ascontiguousarray(np.stack([photon for photon, _ in parts])),
        np.ascontiguousarray(np.stack([electron for _, electron in parts])),
        np.array([tuple(care) for _, care in rows]),
        monte_carlo_physics().photon_cut_mev.value,
    )


@cache
def _of(material: Material, care: Care) -> tuple[np.ndarray, np.ndarray]:
    energy = np.exp(np.linspace(np.log(LOW_MEV), np.log(HIGH_MEV), NODES))
    photon = photon_cross_sections(material, energy)
    return photon, _electron_table(material, care, energy)


def _electron_table(material: Material, care: Care, energy: np.ndarray) -> np.ndarray:
    cut = monte_carlo_physics().photon_cut_mev.value
    collision, radiative = electron_stopping(material, energy)
    moller, moller_loss, moller_first, moller_second = _moller(material.electrons_per_gram, care.knocked_mev, energy)
    hard = np.maximum(energy, cut)
    scale = radiative / (_RADIATIVE_MEAN * energy)
    brems = scale * (np.log(hard / cut) - 0.8 * (1.0 - cut / hard))
    soft_radiative = np.where(energy > cut, scale * (cut - 0.4 * cut**2 / hard), radiative)
    stopping = collision - moller_loss + soft_radiative
    first, second = _elastic(material, energy)
    # Multiple scattering counts Z(Z+1), atomic electrons included; the hard ones among them are simulated.
    first, second = first - moller_first, second - moller_second
    table = np.zeros((len(energy), COLUMNS))
    table[:, 0] = _over_step(energy, 1.0 / stopping, care.loss)
    both = moller + brems
    index = np.arange(len(energy))
    begin = np.searchsorted(energy, (1.0 - care.loss) * energy) - 1
    table[:, 1] = [both[max(0, b) : n + 2].max() for b, n in zip(begin, index, strict=True)]
    table[:, 2] = _over_step(energy, first / stopping, care.loss)
    table[:, 3] = _over_step(energy, second / stopping, care.loss)
    table[:, 4], table[:, 5] = _two_pieces(table[:, 2], table[:, 3])
    table[:, 6], table[:, 7] = moller, brems
    table[:, 8] = _over_step(energy, 1.0 / stopping, 1.0 - LOW_MEV / energy) + LOW_MEV / stopping[0]
    return table


def _over_step(energy: np.ndarray, value: np.ndarray, loss: float | np.ndarray) -> np.ndarray:
    """Return the integral of `value` dT from (1 - loss) T to T, trapezoidal in ln T; held constant below the grid."""
    ln = np.log(energy)
    product = value * energy
    running = np.concatenate([[0.0], np.cumsum(0.5 * (product[1:] + product[:-1]) * np.diff(ln))])
    start = ln + np.log(1.0 - loss)
    below = np.minimum(0.0, start - ln[0]) * product[0]
    return np.asarray(running - np.interp(start, ln, running) - below)


def _two_pieces(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `kernels.electron.two_pieces` of arrays."""
    mean = 0.5 * (1.0 - np.exp(-first))
    square = mean - (1.0 - np.exp(-second)) / 6.0
    edge = (2.0 * mean - 3.0 * square) / (1.0 - 2.0 * mean)
    return 1.0 - 2.0 * mean + edge, edge


def _moller(electrons_per_gram: float, cut: float, energy: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return cross section, energy loss, first and second transport cross section of Moller collisions above a cut."""
    out = np.zeros((4, len(energy)))
    for n in np.flatnonzero(energy > 2.0 * cut):
        t = energy[n]
        total = t + ELECTRON_MASS
        beta2 = t * (t + 2.0 * ELECTRON_MASS) / total**2
        w = np.exp(np.linspace(np.log(cut), np.log(0.5 * t), 200))
        value = 1.0 / w**2 + 1.0 / (t - w) ** 2 + 1.0 / total**2
        value -= ELECTRON_MASS * (2.0 * t + ELECTRON_MASS) / (total**2 * w * (t - w))
        value *= MOLLER * electrons_per_gram / beta2
        cosine = np.sqrt((t - w) * (t + 2.0 * ELECTRON_MASS) / (t * (t - w + 2.0 * ELECTRON_MASS)))
        moments = (np.ones_like(w), w, 1.0 - cosine, 1.5 * (1.0 - cosine**2))
        out[:, n] = [np.trapezoid(value * moment, w) for moment in moments]
    return tuple(out)


def _elastic(material: Material, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and second transport cross sections per mass, cm2/g."""
    squared = energy * (energy + 2.0 * ELECTRON_MASS)
    beta2 = squared / (energy + ELECTRON_MASS) ** 2
    z, weight, mass = material.atoms
    strength = weight / mass * z * (z + 1.0)
    radius = (_FINE_STRUCTURE * ELECTRON_MASS / (0.885 * 2.0)) ** 2 * z ** (2.0 / 3.0)
    screening = radius[:, None] / squared * (1.13 + 3.76 * _FINE_STRUCTURE**2 * z[:, None] ** 2 / beta2)
    mean = np.exp((strength[:, None] * np.log(screening)).sum(axis=0) / strength.sum())
    factor = AVOGADRO * strength.sum() * np.pi * _CLASSICAL_RADIUS2 * ELECTRON_MASS**2 / (squared * beta2)
    mott = np.pi * _FINE_STRUCTURE * (strength @ z) / strength.sum()
    x = np.logspace(-9, 0, 1500)
    root = np.sqrt(x)
    shape = 1.0 - beta2[:, None] * x + mott * np.sqrt(beta2)[:, None] * root * (1.0 - root)
    shape *= factor[:, None] / (x + mean[:, None]) ** 2
    return (
        np.trapezoid(2.0 * shape * x, x, axis=1),
        np.trapezoid(6.0 * shape * x * (1.0 - x), x, axis=1),
    )
