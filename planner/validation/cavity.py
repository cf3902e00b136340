"""The cavity's volume beside the published series: each as a simulated cohort of its size, at its timing.

``library/cavity/<series>.toml`` holds the series. A figure is met if its published value lies within the 95 % of such
cohorts; where series exclude one another the file names the other, and the line says so instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import Field, model_validator
from scipy.stats import norm, truncnorm

from phantoms import lesion
from phantoms.dynamics import PROCESS, Chance, Process, VolumeLaw, initial_cc
from planner import library
from planner.treatment.constant import Frozen, Status
from planner.validation.cavity_statistics import STATISTICS, StatisticName, Volumes
from planner.validation.compare import Row

_POPULATION, _COHORTS = 4000, 400
# Of a series whose timing is told as median and range: the range is about this many deviations to either side.
_RANGE_SIGMA = 2.2


class Days(Frozen):
    """When a scan was made, days since surgery.

    Attributes
    ----------
    low, median, high : float
    """

    low: float = Field(ge=0)
    median: float = Field(ge=0)
    high: float = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> "Days":
        if not self.low <= self.median <= self.high:
            raise ValueError("low <= median <= high is needed")
        return self

    def at(self, normal: np.ndarray) -> np.ndarray:
        """Return the days that standard normals mean: two half normals that meet in the median, cut to the range."""
        width = np.where(normal < 0, self.median - self.low, self.high - self.median) / _RANGE_SIGMA
        return np.clip(self.median + width * normal, self.low, self.high)


class Sizes(Frozen):
    """A lognormal distribution of volumes.

    Attributes
    ----------
    median, sigma : float
        cm3, and standard deviation of the logarithm.
    low, high : float
        Limits, cm3.
    """

    median: float = Field(gt=0)
    sigma: float = Field(gt=0)
    low: float = Field(default=0.05, gt=0)
    high: float = Field(default=60.0, gt=0)

    def at(self, normal: np.ndarray) -> np.ndarray:
        """Return the volumes, cm3, that standard normals mean."""
        low, high = (np.log(limit / self.median) / self.sigma for limit in (self.low, self.high))
        return self.median * np.exp(self.sigma * truncnorm.ppf(norm.cdf(normal), low, high))


class Figure(Frozen):
    """One published figure.

    Attributes
    ----------
    statistic : str
        One of `STATISTICS`.
    value : float
    interval : tuple of 2 float
        95 % of it, from the number of patients and the spread that was published, or else 20-45 % of the volume.
    status : Status
    weight : float
        In the fit, where 1 stands for what its interval says.
    conflict : str
        The series that exclude it, and why; empty if none does.
    """

    statistic: StatisticName
    value: float
    interval: tuple[float, float]
    status: Status
    weight: float = Field(default=1.0, gt=0)
    conflict: str = ""

    @property
    def sigma(self) -> float:
        """Standard error of the published value."""
        return (self.interval[1] - self.interval[0]) / (2 * 1.96)


class Comparison(Frozen):
    """Two scans of the same patients.

    Attributes
    ----------
    label : str
    patients : int
    before : Days or None
        None stands for the tumour before surgery.
    after : Days
    timing : str
        What of it is published and what assumed.
    figures : tuple of Figure
    """

    label: str
    patients: int = Field(ge=4)
    before: Days | None = None
    after: Days
    timing: str
    figures: tuple[Figure, ...] = Field(min_length=1)


class Series(Frozen):
    """A published series of resection cavities: a library file ``cavity/<name>.toml``.

    Attributes
    ----------
    citation : str
    read : str
        How sure its figures are: read in the abstract, or recalled.
    tumour_cc : Sizes
        Tumours that were resected; those of our cohorts unless the series tells its own.
    cavity_cc : Sizes or None
        Cavities on day 0, where the series tells them.
    comparison : tuple of Comparison
    """

    citation: str
    read: str
    tumour_cc: Sizes = Sizes(
        median=lesion.VOLUME_MEDIAN_CC.value,
        sigma=lesion.VOLUME_SIGMA.value,
        low=lesion.VOLUME_RANGE_CC[0].value,
        high=lesion.VOLUME_RANGE_CC[1].value,
    )
    cavity_cc: Sizes | None = None
    comparison: tuple[Comparison, ...]


@dataclass(frozen=True, eq=False)
class Population:
    """Random numbers of a large population under the timing of one comparison; the process is free.

    Attributes
    ----------
    series, comparison
    size, before, after : ndarray, shape (n,)
        Standard normals of the size; days (`before` is not used of a tumour).
    chance : Chance
    """

    series: Series
    comparison: Comparison
    size: np.ndarray
    before: np.ndarray
    after: np.ndarray
    chance: Chance

    @classmethod
    def draw(cls, series: Series, comparison: Comparison, rng: np.random.Generator, count: int) -> "Population":
        """Draw it; normals are evenly spread quantiles in random order, so that small populations are quiet."""
        levels = norm.ppf((np.arange(count) + 0.5) / count)
        size, early, late, *normal = (rng.permutation(levels) for _ in range(7))
        chance = Chance.draw(rng, count)._replace(
            **dict(zip(("ratio", "swelling", "collapse", "wander"), normal, strict=True))
        )
        before = np.zeros(count) if comparison.before is None else comparison.before.at(early)
        return cls(series, comparison, size, before, np.maximum(comparison.after.at(late), before + 1.0), chance)

    def volumes(self, process: Process = PROCESS) -> Volumes:
        """Return what the two scans of everyone show."""
        if self.series.cavity_cc is not None:
            start = self.series.cavity_cc.at(self.size)
            tumour = start
        else:
            tumour = self.series.tumour_cc.at(self.size)
            start = np.asarray(initial_cc(tumour, self.chance, process))
        law = VolumeLaw.of(self.chance, start, process)
        before = tumour if self.comparison.before is None else np.asarray(law.cc(self.before))
        return Volumes(before, np.asarray(law.cc(self.after)), self.after)


@dataclass(frozen=True)
class CavityCheck:
    """One line: ours beside a published figure.

    Attributes
    ----------
    series : str
    comparison : Comparison
    figure : Figure
    ours, sigma : float
        Of the whole population, and its standard deviation over cohorts of the published size.
    low, high : float
        What 95 % of those cohorts give.
    """

    series: str
    comparison: Comparison
    figure: Figure
    ours: float
    sigma: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        """Whether the published value is one that a cohort of that size and timing gives."""
        return self.low - 1e-9 <= self.figure.value <= self.high + 1e-9

    def as_row(self) -> Row:
        """Return the line in the form of the commissioning report."""
        figure, comparison = self.figure, self.comparison
        return Row(
            f"cavity: {self.series}",
            "course",
            f"{STATISTICS[figure.statistic].title}, {comparison.label}",
            self.ours,
            figure.value,
            self.sigma,
            f"95 % of cohorts of {comparison.patients}: {self.low:.3g} to {self.high:.3g}",
            self.inside,
            figure.status,
            "" if self.inside else figure.conflict,
        )


def all_series() -> dict[str, Series]:
    """Return the published series of the library, by name."""
    return {name: library.load("cavity", name, Series) for name in library.names("cavity")}


def populations(count: int, seed: int = 0) -> Iterator[tuple[str, Population]]:
    """Yield the name of the series and a population for each comparison of the library."""
    for name, series in all_series().items():
        for number, comparison in enumerate(series.comparison):
            # Keyed by the name, so that another series does not change this one.
            rng = np.random.default_rng([seed, number, *name.encode()])
            yield name, Population.draw(series, comparison, rng, count)


def cohorts(whole: Volumes, patients: int) -> list[Volumes]:
    """Return many random cohorts of a size from a population."""
    rng = np.random.default_rng(1)
    return [whole.of(rng.integers(len(whole.before), size=patients)) for _ in range(_COHORTS)]


def cavity_checks(process: Process = PROCESS) -> list[CavityCheck]:
    """Return every published figure beside ours."""
    return [check for name, population in populations(_POPULATION) for check in _checks(name, population, process)]


def _checks(name: str, population: Population, process: Process) -> Iterator[CavityCheck]:
    whole, comparison = population.volumes(process), population.comparison
    drawn = cohorts(whole, comparison.patients)
    for figure in comparison.figures:
        statistic = STATISTICS[figure.statistic].value
        found = np.array([statistic(cohort) for cohort in drawn])
        low, high = np.percentile(found, (2.5, 97.5))
        yield CavityCheck(name, comparison, figure, statistic(whole), float(found.std()), float(low), float(high))
