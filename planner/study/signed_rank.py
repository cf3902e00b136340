"""Wilcoxon's signed-rank test and the Hodges-Lehmann difference, exactly, for paired samples of any small size."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata


@dataclass(frozen=True)
class PairedTest:
    """The comparison of two paired samples.

    Attributes
    ----------
    n : int
        Pairs.
    zeros : int
        Pairs without a difference; the test leaves them out (Wilcoxon 1945), the interval keeps them.
    p : float
        Two-sided exact probability; 1 where no pair differs, NaN without pairs.
    difference : float
        Hodges-Lehmann estimate: the median of the Walsh averages of the differences.
    low, high : float
        Confidence interval of it, from the ordered Walsh averages.
    level : float
        The level that the interval attains: at least what was asked if the number of pairs allows it; with few pairs
        the interval is all that the data can give, and its level is lower.
    """

    n: int
    zeros: int
    p: float
    difference: float
    low: float
    high: float
    level: float


def signed_rank_distribution(ranks: np.ndarray) -> np.ndarray:
    """Return the null probabilities of twice the sum of the positive ranks, from 0 to twice their total.

    Parameters
    ----------
    ranks : ndarray (n,)
        Ranks of the absolute differences; midranks for ties, which is why the sum is doubled: it is then whole.

    Notes
    -----
    Each rank is positive with probability 1/2 (the differences are symmetric about 0 under the null hypothesis), so
    the distribution is the convolution of ``n`` two-point distributions: exact with ties as well.
    """
    doubled = np.rint(2 * np.asarray(ranks)).astype(int)
    probability = np.zeros(int(doubled.sum()) + 1)
    probability[0] = 1.0
    for step in doubled:
        shifted = np.zeros_like(probability)
        shifted[step:] = probability[: len(probability) - step]
        probability = 0.5 * (probability + shifted)
    return probability


def paired_test(differences: np.ndarray, confidence: float = 0.95) -> PairedTest:
    """Return the exact signed-rank test of `differences` and their Hodges-Lehmann estimate with its interval.

    Parameters
    ----------
    differences : ndarray (n,)
        One a pair, finite.
    confidence : float
        Level asked of the interval.

    Notes
    -----
    Hollander, Wolfe and Chicken, Nonparametric Statistical Methods (3rd ed. 2014), sections 3.1 to 3.3. Differences
    that agree to 12 digits of the largest count as tied, and as zero below that: they are rounding.
    """
    d = np.asarray(differences, float)
    n = len(d)
    if n == 0:
        return PairedTest(0, 0, float("nan"), float("nan"), float("nan"), float("nan"), float("nan"))
    largest = float(np.abs(d).max())
    rounded = np.round(d / largest, 12) if largest > 0 else d
    left = rounded[rounded != 0]
    p = _two_sided(left) if len(left) else 1.0
    walsh = np.sort(((d[:, None] + d[None, :]) / 2)[np.triu_indices(n)])
    rank, level = _interval_rank(n, confidence)
    return PairedTest(
        n, n - len(left), p, float(np.median(walsh)), float(walsh[rank - 1]), float(walsh[len(walsh) - rank]), level
    )


def _two_sided(differences: np.ndarray) -> float:
    """Return twice the smaller tail of the signed-rank distribution, at most 1."""
    ranks = rankdata(np.abs(differences))
    probability = signed_rank_distribution(ranks)
    positive = round(2 * float(ranks[differences > 0].sum()))
    lower, upper = probability[: positive + 1].sum(), probability[positive:].sum()
    return float(min(1.0, 2 * min(lower, upper)))


def _interval_rank(n: int, confidence: float) -> tuple[int, float]:
    """Return which ordered Walsh average, from either end, bounds the interval; and the level that this attains."""
    cumulative = np.cumsum(signed_rank_distribution(np.arange(1, n + 1)))[::2]
    # P(T <= k - 1) at index k - 1; the largest k whose two tails still fit outside the asked level.
    fits = int(np.searchsorted(cumulative, (1 - confidence) / 2 * (1 + 1e-12), side="right"))
    rank = max(1, fits)
    return rank, float(1 - 2 * cumulative[rank - 1])


def holm(p: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted probabilities of a family, shape (m,); NaN entries stay and do not count.

    Notes
    -----
    Holm S. Scand J Statist 1979;6:65-70: the i-th smallest of m is multiplied by m - i + 1, made monotone, capped at 1.
    """
    p = np.asarray(p, float)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return out
