"""Rician noise: against the distribution of Rice, without noise, in the tail, and from one number to the next."""

import numpy as np
import pytest
from scipy import stats

from kernels.rician import add_rician

SIGMA, COUNT = 7.0, 400_000


def noisy(level, key=11, sigma=SIGMA, count=COUNT):
    signal = np.full(count, level, np.float32)
    add_rician(np.ones_like(signal), sigma, np.uint64(key), signal)
    return signal


@pytest.mark.parametrize("level", [0.0, 3.0, 7.0, 40.0, 300.0])
def test_magnitudes_follow_the_distribution_of_rice(level):
    found = stats.kstest(noisy(level) / SIGMA, stats.rice(level / SIGMA).cdf)
    assert found.statistic < 1.95 / np.sqrt(COUNT)  # exceeded by chance in one of a thousand


def test_without_noise_the_signal_times_the_sensitivity_is_left():
    rng = np.random.default_rng(2)
    signal, bias = rng.uniform(0, 900, 999).astype(np.float32), rng.uniform(0.2, 2, 999).astype(np.float32)
    seen = signal.copy()
    add_rician(bias, 0.0, np.uint64(5), seen)
    assert np.array_equal(seen, signal * bias)


def test_the_tail_is_that_of_gaussian_channels():
    length = noisy(0.0, count=4_000_000).astype(float) / SIGMA
    assert np.isfinite(length).all()
    for beyond in (3.0, 4.0, 4.5):
        expected = 4e6 * np.exp(-(beyond**2) / 2)
        assert (length > beyond).sum() == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_neighbours_and_streams_are_unrelated():
    first, other = noisy(300.0), noisy(300.0, key=12)
    limit = 4.0 / np.sqrt(COUNT)
    assert abs(np.corrcoef(first, other)[0, 1]) < limit
    for step in (1, 2, 236):
        assert abs(np.corrcoef(first[step:], first[:-step])[0, 1]) < limit
    assert np.array_equal(first, noisy(300.0))
