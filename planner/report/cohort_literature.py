"""Published series of cavities beside the cavities of a study."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from planner.report.scales import Scale
from planner.validation.cavity import Comparison, cohorts, populations
from planner.validation.cavity_statistics import STATISTICS, StatisticName, Volumes

# Changes that can stand in one chart, best first, and how the chart calls them.
_CHANGES: dict[StatisticName, str] = {
    "median_change": "median",
    "mean_change": "mean",
    "change_of_means": "change of the mean",
}
_EARLY_DAY = 3.0  # a first scan up to this day is the direct post-operative one
_POPULATION = 1500


@dataclass(frozen=True)
class Published:
    """A published change in the chart of volumes: its place, its interval, and its name in the legend."""

    number: int
    x: float
    y: float
    low: float
    high: float
    told: str


@dataclass(frozen=True)
class Beside:
    """A statistic of a published series beside this cohort's, as text.

    Attributes
    ----------
    series, timing, statistic, published, ours, expected : str
        `expected`: what 95 % of simulated cohorts of this size give.
    """

    series: str
    timing: str
    statistic: str
    published: str
    ours: str
    expected: str


def published(x: Scale, y: Scale) -> tuple[Published, ...]:
    """Return the published changes since the first post-operative days that fall into a chart."""
    found: list[Published] = []
    for series, comparison in _since_surgery():
        day = comparison.after.median
        changes = {one.statistic: one for one in comparison.figures}
        best = next((changes[name] for name in _CHANGES if name in changes), None)
        if best is not None and day <= x.high:
            told = f"{series}, {_CHANGES[best.statistic]}, day {day:g}, n = {comparison.patients}"
            low, high = (y(float(np.clip(v, y.low, y.high))) for v in best.interval)
            found.append(Published(len(found) + 1, x(day), y(best.value), low, high, told))
    return tuple(found)


def literature(courses: Mapping[str, tuple[np.ndarray, np.ndarray]], tumour_cc: np.ndarray) -> tuple[Beside, ...]:
    """Return what series published of the change since surgery, and the same statistic of this cohort.

    Parameters
    ----------
    courses : mapping of str to (days, volumes)
        Of every patient.
    tumour_cc : ndarray, shape (n,)
        Tumours of the same patients; NaN where there was none.
    """
    last = min(float(days[-1]) for days, _ in courses.values())
    rows = []
    for name, population in populations(_POPULATION):
        comparison = population.comparison
        if not _is_early(comparison) or comparison.after.median > last:
            continue
        ours = _scans(courses, tumour_cc, comparison)
        if not np.isfinite(ours.before).all():
            continue
        alike = cohorts(population.volumes(), len(courses))
        for one in comparison.figures:
            statistic = STATISTICS[one.statistic]
            if one.statistic.startswith(("rank", "sd")):
                continue  # of a handful of patients these say nothing
            low, high = np.percentile([statistic.value(cohort) for cohort in alike], (2.5, 97.5))
            early = "tumour" if comparison.before is None else f"day {comparison.before.median:g}"
            interval = f"{one.value:g} [{one.interval[0]:g}, {one.interval[1]:g}], n = {comparison.patients}"
            told = (f"{statistic.value(ours):.3g}", f"{low:.3g} to {high:.3g}")
            timing = f"{early} to day {comparison.after.median:g}"
            rows.append(Beside(_title(name), timing, statistic.title, interval, *told))
    return tuple(rows)


def _since_surgery() -> Iterator[tuple[str, Comparison]]:
    for name, population in populations(4):
        if _is_early(population.comparison) and population.comparison.before is not None:
            yield _title(name), population.comparison


def _is_early(comparison: Comparison) -> bool:
    return comparison.before is None or comparison.before.median <= _EARLY_DAY


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _scans(
    courses: Mapping[str, tuple[np.ndarray, np.ndarray]], tumour_cc: np.ndarray, comparison: Comparison
) -> Volumes:
    late = comparison.after.median
    after = np.array([np.interp(late, *course) for course in courses.values()])
    if comparison.before is None:
        return Volumes(tumour_cc, after, np.full(len(after), late))
    before = np.array([np.interp(comparison.before.median, *course) for course in courses.values()])
    return Volumes(before, after, np.full(len(after), late))
