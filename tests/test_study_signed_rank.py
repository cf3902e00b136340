"""The paired statistics against SciPy, tables and by hand."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from planner.study.signed_rank import holm, paired_test, signed_rank_distribution


def enumerated_p(differences):
    """Two-sided probability by flipping every sign: the definition."""
    d = np.asarray([x for x in differences if x != 0])
    ranks = stats.rankdata(np.abs(d))
    sums = np.array([ranks @ signs for signs in product((0, 1), repeat=len(d))])
    seen = ranks[d > 0].sum()
    return min(1.0, 2 * min((sums <= seen + 1e-9).mean(), (sums >= seen - 1e-9).mean()))


@pytest.mark.parametrize("n", [1, 2, 5, 6, 8, 15, 24])
def test_p_is_scipys_exact_p_without_ties(n):
    d = np.random.default_rng(n).normal(0.4, 1, n)
    assert paired_test(d).p == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, rel=1e-12)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9).filter(any))
@settings(max_examples=60, deadline=None)
def test_p_with_ties_and_zeros_is_the_enumeration_of_all_signs(values):
    assert paired_test(np.array(values, float)).p == pytest.approx(enumerated_p(values), rel=1e-12)


def test_six_pairs_of_one_sign_by_hand():
    test = paired_test(np.array([1.0, 2, 3, 4, 5, 6]))
    assert test.p == 2 / 64  # 2 of 2^6 sign patterns
    assert test.difference == 3.5
    # n = 6: P(T <= 0) = 1/64, so the extreme Walsh averages bound a 96.9 % interval (Hollander-Wolfe table A.4).
    assert (test.low, test.high, test.level) == (1.0, 6.0, 1 - 2 / 64)


def test_four_pairs_say_which_level_they_attain():
    test = paired_test(np.array([1.0, 2, 3, 10]))
    assert (test.low, test.high) == (1.0, 10.0)
    assert test.level == 1 - 2 / 16


def test_hollander_wolfe_example_3_1():
    # Hamilton depression scale factor IV, Hollander and Wolfe, table 3.1: T+ = 5, estimate -0.46, 96 % interval
    # (-0.786, -0.010) from ordered Walsh averages 6 and 40 of n = 9.
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    test = paired_test(after - before)
    assert test.p == pytest.approx(2 * 0.0195, abs=1e-3)
    assert test.difference == pytest.approx(-0.46, abs=1e-9)
    assert (test.low, test.high) == pytest.approx((-0.786, -0.010), abs=1e-9)
    assert test.level == pytest.approx(0.961, abs=1e-3)


def test_no_difference_and_no_pair():
    assert paired_test(np.zeros(4)).p == 1.0
    assert paired_test(np.zeros(4)).zeros == 4
    assert np.isnan(paired_test(np.array([])).p)


def test_rounding_is_not_a_difference():
    d = np.array([1.0, 1.0 + 1e-15, -1.0, 1e-16])
    assert paired_test(d).p == paired_test(np.array([1.0, 1.0, -1.0, 0.0])).p


def test_the_interval_holds_the_true_shift_as_often_as_it_says():
    rng = np.random.default_rng(3)
    held = [t.low <= 1.0 <= t.high for t in (paired_test(rng.normal(1.0, 2.0, 8)) for _ in range(2000))]
    level = paired_test(rng.normal(size=8)).level
    assert abs(np.mean(held) - level) < 4 * np.sqrt(level * (1 - level) / 2000)


def test_distribution_is_a_distribution():
    probability = signed_rank_distribution(np.array([1.5, 1.5, 3.0]))
    assert probability.sum() == pytest.approx(1.0)
    assert probability @ np.arange(len(probability)) / 2 == pytest.approx(3.0)  # n (n + 1) / 4


def test_holm_by_hand():
    # 0.01 * 4, 0.02 * 3, max(0.06, 0.03 * 2), 0.5 * 1
    assert holm(np.array([0.03, 0.01, 0.5, 0.02])) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert np.isnan(holm(np.array([np.nan, 0.04]))[0])
    assert holm(np.array([np.nan, 0.04]))[1] == 0.04
    assert holm(np.array([0.6, 0.9])).max() == 1.0
