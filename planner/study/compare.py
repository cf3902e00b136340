"""Paired comparison of strategies: every patient is treated in every arm, so each is compared with itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from planner.study.signed_rank import holm, paired_test

KEY = ["phase", "structure", "metric"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What the records say about the strategies.

    Attributes
    ----------
    arms : DataFrame
        One row a phase, structure, metric and strategy: ``unit, n, median, q1, q3``.
    pairs : DataFrame
        One row a phase, structure, metric and pair of strategies (``first``, ``second``): ``unit, n, zeros``, the
        Hodges-Lehmann ``difference`` (second minus first) with ``low``, ``high`` and the ``level`` that the interval
        attains, the exact Wilcoxon ``p``, ``p_holm`` where the row belongs to the family, and ``in_family``.
    family : str
        Which tests the Holm correction is over, in words.
    smallest_p : float
        Smallest probability that the number of patients can give: nothing can be more significant than that.
    """

    arms: pd.DataFrame
    pairs: pd.DataFrame
    family: str
    smallest_p: float


def compare(
    records: pd.DataFrame,
    strategies: Sequence[str],
    endpoints: Sequence[str],
    confidence: float = 0.95,
) -> Comparison:
    """Return the arms and their paired differences.

    Parameters
    ----------
    records : DataFrame
        As `planner.study.store.collect` returns them.
    strategies : sequence of str
        In the order of the study; a pair is (earlier, later).
    endpoints : sequence of str
        The family of the Holm correction, each ``structure.metric`` of the delivered dose. All other rows are
        exploratory and keep their uncorrected probability.
    confidence : float
        Level asked of the intervals.
    """
    present = [name for name in strategies if name in set(records["strategy"])]
    wide = {
        key: group.pivot(index="patient", columns="strategy", values="value")
        for key, group in records.groupby(KEY, sort=False)
    }
    units = {key: str(unit) for key, unit in records.groupby(KEY, sort=False)["unit"].first().items()}
    arms = pd.DataFrame(
        [
            _arm_row(key, units[key], name, table[name])
            for key, table in wide.items()
            for name in present
            if name in table
        ],
        columns=[*KEY, "unit", "strategy", "n", "median", "q1", "q3"],
    )
    pairs = pd.DataFrame(
        [
            _pair_row(key, units[key], (first, second), table, confidence)
            for key, table in wide.items()
            for first, second in combinations([name for name in present if name in table], 2)
        ],
        columns=[*KEY, "unit", "first", "second", "n", "zeros", "difference", "low", "high", "level", "p"],
    )
    named = pairs["structure"] + "." + pairs["metric"]
    pairs["in_family"] = (pairs["phase"] == "delivered") & named.isin(list(endpoints))
    pairs["p_holm"] = np.nan
    pairs.loc[pairs["in_family"], "p_holm"] = holm(pairs.loc[pairs["in_family"], "p"].to_numpy(float))
    most = int(pairs["n"].max()) if len(pairs) else 0
    return Comparison(arms, pairs, _family(pairs, endpoints), 2.0 ** (1 - most) if most else 1.0)


def _arm_row(key: tuple, unit: str, strategy: str, values: pd.Series) -> tuple:
    known = values.dropna()
    q1, median, q3 = known.quantile([0.25, 0.5, 0.75]) if len(known) else (np.nan, np.nan, np.nan)
    return (*key, unit, strategy, len(known), median, q1, q3)


def _pair_row(key: tuple, unit: str, names: tuple[str, str], table: pd.DataFrame, confidence: float) -> tuple:
    first, second = names
    test = paired_test((table[second] - table[first]).dropna().to_numpy(float), confidence)
    return (
        *key, unit, first, second, test.n, test.zeros, test.difference, test.low, test.high, test.level, test.p
    )  # fmt: skip


def _family(pairs: pd.DataFrame, endpoints: Sequence[str]) -> str:
    tests = int((pairs["in_family"] & pairs["p"].notna()).sum())
    compared = len(pairs[["first", "second"]].drop_duplicates())
    return (
        f"{tests} tests: {len(endpoints)} endpoints of the delivered dose ({', '.join(endpoints)}) "
        f"in {compared} pairs of strategies; all other comparisons are exploratory and uncorrected"
    )
