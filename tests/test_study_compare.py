"""Arms and paired differences from records."""

import numpy as np
import pandas as pd
import pytest

from planner.study.compare import compare
from planner.study.signed_rank import holm, paired_test


def records(values, metric="D98_gy", phase="delivered"):
    """Long records from {strategy: [value a patient]}."""
    rows = [
        {"patient": f"p{n:02d}", "strategy": strategy, "phase": phase, "structure": "ptv", "metric": metric, "value": v}
        for strategy, column in values.items()
        for n, v in enumerate(column)
    ]
    return pd.DataFrame(rows).assign(case="c", unit="Gy", uncertainty=0.0)


VALUES = {"a": [10.0, 11, 12, 13, 14, 15], "b": [11.0, 13, 15, 17, 19, 21], "c": [10.5, 10, 12.2, 13.1, 13.5, 15.7]}


def test_arms_have_median_and_quartiles():
    arms = compare(records(VALUES), ["a", "b", "c"], []).arms.set_index("strategy")
    assert arms.loc["a", ["n", "q1", "median", "q3"]].to_list() == [6, 11.25, 12.5, 13.75]
    assert set(arms["unit"]) == {"Gy"}


def test_pairs_are_of_the_same_patient_in_the_order_of_the_study():
    shuffled = records(VALUES).sample(frac=1, random_state=1)
    pairs = compare(shuffled, ["a", "b", "c"], []).pairs.set_index(["first", "second"])
    assert list(pairs.index) == [("a", "b"), ("a", "c"), ("b", "c")]
    expected = paired_test(np.array([1.0, 2, 3, 4, 5, 6]))
    row = pairs.loc[("a", "b")]
    assert (row["difference"], row["low"], row["high"], row["p"]) == (3.5, expected.low, expected.high, 2 / 64)


def test_holm_is_over_the_endpoints_and_nothing_else():
    table = pd.concat([records(VALUES), records(VALUES, "D2_gy"), records(VALUES, phase="planned")])
    result = compare(table, ["a", "b", "c"], ["ptv.D98_gy"])
    family = result.pairs[result.pairs["in_family"]]
    assert list(family["metric"]) == ["D98_gy"] * 3
    assert set(family["phase"]) == {"delivered"}
    assert family["p_holm"].to_numpy() == pytest.approx(holm(family["p"].to_numpy()))
    assert result.pairs.loc[~result.pairs["in_family"], "p_holm"].isna().all()
    assert result.family.startswith("3 tests: 1 endpoint")
    assert result.smallest_p == 2 / 64


def test_missing_values_and_failed_cases_shrink_the_pair_only():
    table = records({**VALUES, "b": [11.0, np.nan, 15, 17, 19, 21]})
    table = table[~((table["patient"] == "p05") & (table["strategy"] == "a"))]
    pairs = compare(table, ["a", "b", "c"], ["ptv.D98_gy"]).pairs.set_index(["first", "second"])
    assert pairs["n"].to_dict() == {("a", "b"): 4, ("a", "c"): 5, ("b", "c"): 5}


def test_one_arm_has_no_pairs():
    result = compare(records({"a": [1.0, 2.0]}), ["a", "b"], ["ptv.D98_gy"])
    assert len(result.arms) == 1
    assert result.pairs.empty
