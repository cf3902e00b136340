"""How the volume of a resection cavity changes with the day: a signed random process.

Within about three weeks the published series disagree even in the sign; beyond a month cavities shrink:

    ln V(t)/V0 = swelling * (1 - exp(-(t/tau_s)^q))  -  collapse * t^p / (t^p + tau_c^p)  +  wander(t)

with a signed random swelling that falls with the initial volume, a positive random collapse and a slow scatter. The
constants stand in ``cavity_volume.toml``; `planner.validation.cavity_fit` fits them to the published series together.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from phantoms.cited import cited_in

CAVITY_VOLUME = cited_in(Path(__file__).with_name("cavity_volume.toml"))
# Draws are cut here: the published extremes are of percentages of tiny cavities, not of large ones.
_CUT = 2.0


class Process(NamedTuple):
    """The constants of the process; see ``cavity_volume.toml`` for what each is and where it comes from.

    Attributes
    ----------
    ratio, ratio_sigma, ratio_size : float
        Cavity on day 0 over tumour: median at 10 cm3, its lognormal spread, and the power of tumour / 10 cm3.
    swelling, swelling_sigma, swelling_size : float
        Logarithmic swelling: mean at 8 cm3, spread, and change per ln(volume / 8 cm3).
    swelling_day, swelling_power : float
        Time constant, days, and power of its onset.
    collapse, collapse_sigma, collapse_size : float
        Logarithmic collapse: median at 8 cm3, lognormal spread, and power of volume / 8 cm3.
    collapse_day, collapse_power : float
        Day of half collapse, and how steep it is.
    wander : float
        Logarithmic amplitude, one standard deviation, of the scatter.
    """

    ratio: float
    ratio_sigma: float
    ratio_size: float
    swelling: float
    swelling_sigma: float
    swelling_size: float
    swelling_day: float
    swelling_power: float
    collapse: float
    collapse_sigma: float
    collapse_size: float
    collapse_day: float
    collapse_power: float
    wander: float


PROCESS = Process(**{name: CAVITY_VOLUME[name].value for name in Process._fields})


class Chance(NamedTuple):
    """What is drawn for one cavity, or for many at once: standard normals, and the waves of the scatter.

    Attributes
    ----------
    ratio, swelling, collapse, wander : float or ndarray, shape (n,)
        Standard normal.
    short_day, long_day, phase : float or ndarray, shape (n,)
        Two periods, days, and a phase, radians.
    """

    ratio: np.ndarray | float
    swelling: np.ndarray | float
    collapse: np.ndarray | float
    wander: np.ndarray | float
    short_day: np.ndarray | float
    long_day: np.ndarray | float
    phase: np.ndarray | float

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int | None = None) -> "Chance":
        """Draw for one cavity, or arrays for `count`."""
        ratio, swelling, collapse, wander = (rng.standard_normal(count) for _ in range(4))
        short, long = rng.uniform(40.0, 70.0, count), rng.uniform(80.0, 160.0, count)
        return cls(ratio, swelling, collapse, wander, short, long, rng.uniform(0.0, 2.0 * np.pi, count))


@dataclass(frozen=True, eq=False)
class VolumeLaw:
    """How the volume of a cavity changes with the day: ``cc(day)`` for day >= 0. Arrays stand for many cavities.

    Attributes
    ----------
    initial_cc : float or ndarray, shape (n,)
        Volume on day 0.
    swelling, collapse, wander : float or ndarray, shape (n,)
        Drawn logarithmic amplitudes; swelling and wander are signed, collapse positive.
    chance : Chance
        What they were drawn from; holds the waves of the wander.
    process : Process
    """

    initial_cc: np.ndarray | float
    swelling: np.ndarray | float
    collapse: np.ndarray | float
    wander: np.ndarray | float
    chance: Chance
    process: Process = PROCESS

    @classmethod
    def draw(cls, rng: np.random.Generator, tumour_cc: float) -> "VolumeLaw":
        """Draw the law of the cavity that the resection of a tumour of `tumour_cc` leaves."""
        chance = Chance.draw(rng)
        return cls.of(chance, initial_cc(tumour_cc, chance))

    @classmethod
    def of(cls, chance: Chance, initial_cc: np.ndarray | float, process: Process = PROCESS) -> "VolumeLaw":
        """Return the law of a cavity of a given volume on day 0."""
        size = np.log(np.asarray(initial_cc) / 8.0)
        mean = process.swelling + process.swelling_size * size
        collapse = process.collapse * np.exp(
            process.collapse_size * size + process.collapse_sigma * _cut(chance.collapse)
        )
        swelling = mean + process.swelling_sigma * _cut(chance.swelling)
        return cls(initial_cc, swelling, collapse, process.wander * _cut(chance.wander), chance, process)

    def cc(self, day: np.ndarray | float) -> np.ndarray | float:
        """Return the volume, cm3, on `day` >= 0: a number for one cavity, an array for many."""
        process, chance = self.process, self.chance
        swell = self.swelling * -np.expm1(-((day / process.swelling_day) ** process.swelling_power))
        wave = np.sin(2 * np.pi * day / chance.short_day + chance.phase) + np.sin(2 * np.pi * day / chance.long_day)
        wander = self.wander * -np.expm1(-day / 7.0) * (wave - np.sin(chance.phase))
        return self.initial_cc * np.exp(swell - self.collapse * collapsed(day, process) + wander)


def initial_cc(tumour_cc: np.ndarray | float, chance: Chance, process: Process = PROCESS) -> np.ndarray | float:
    """Return the volume, cm3, on day 0 of the cavity that the resection of a tumour leaves."""
    size = np.log(np.asarray(tumour_cc) / 10.0)
    return tumour_cc * process.ratio * np.exp(process.ratio_size * size + process.ratio_sigma * chance.ratio)


def collapsed(day: np.ndarray | float, process: Process = PROCESS) -> np.ndarray | float:
    """Return how far the collapse of a cavity has gone on `day`, 0 to 1."""
    aged = np.maximum(day, 0.0) ** process.collapse_power
    return aged / (aged + process.collapse_day**process.collapse_power)


def _cut(normal: np.ndarray | float) -> np.ndarray | float:
    return np.clip(normal, -_CUT, _CUT)
