"""What series of resection cavities publish of two scans, as functions of the volumes."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import rankdata

# A change below this, per cent, is called stable where a series does not tell what it called so (assumed).
_STABLE_PERCENT = 2.0

StatisticName = Literal[
    "share_gain_2cc", "share_loss_2cc", "share_within_2cc", "share_fell", "share_rose",
    "median_change", "mean_change", "sd_change", "change_of_means", "median_before_cc", "median_after_cc",
    "rank_change_size", "rank_change_day",
]  # fmt: skip


class Volumes(NamedTuple):
    """Two scans of the same patients.

    Attributes
    ----------
    before, after : ndarray, shape (n,)
        Volumes, cm3.
    day : ndarray, shape (n,)
        Of the later scan.
    """

    before: np.ndarray
    after: np.ndarray
    day: np.ndarray

    def of(self, patients: np.ndarray) -> "Volumes":
        """Return those of some patients, by index."""
        return Volumes(*(values[patients] for values in self))

    @property
    def percent(self) -> np.ndarray:
        """Change of each, per cent of the earlier volume."""
        return 100.0 * (self.after / self.before - 1.0)

    @property
    def cc(self) -> np.ndarray:
        """Change of each, cm3."""
        return self.after - self.before


class Statistic(NamedTuple):
    """A statistic and how it is called.

    Attributes
    ----------
    title : str
    value : callable of Volumes to float
    """

    title: str
    value: Callable[[Volumes], float]


STATISTICS: dict[StatisticName, Statistic] = {
    "share_gain_2cc": Statistic("grown by > 2 cc, %", lambda v: _share(v.cc > 2.0)),
    "share_loss_2cc": Statistic("shrunk by > 2 cc, %", lambda v: _share(v.cc < -2.0)),
    "share_within_2cc": Statistic("within 2 cc, %", lambda v: _share(np.abs(v.cc) <= 2.0)),
    "share_fell": Statistic("smaller, %", lambda v: _share(v.percent < -_STABLE_PERCENT)),
    "share_rose": Statistic("larger, %", lambda v: _share(v.percent > _STABLE_PERCENT)),
    "median_change": Statistic("median change, %", lambda v: float(np.median(v.percent))),
    "mean_change": Statistic("mean change, %", lambda v: float(v.percent.mean())),
    "sd_change": Statistic("standard deviation of the change, %", lambda v: float(v.percent.std(ddof=1))),
    "change_of_means": Statistic("change of the mean volume, %", lambda v: 100.0 * float(v.cc.sum() / v.before.sum())),
    "median_before_cc": Statistic("median before, cc", lambda v: float(np.median(v.before))),
    "median_after_cc": Statistic("median after, cc", lambda v: float(np.median(v.after))),
    "rank_change_size": Statistic(
        "rank correlation of % change and volume before", lambda v: _rank(v.percent, v.before)
    ),
    "rank_change_day": Statistic("rank correlation of % change and day", lambda v: _rank(v.percent, v.day)),
}


def _share(found: np.ndarray) -> float:
    return 100.0 * float(found.mean())


def _rank(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
