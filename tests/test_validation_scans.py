"""Figures read from scans: depth doses and profiles in closed form, and the noise of a figure."""

import numpy as np
import pytest
from scipy.special import ndtr

from planner.validation import scans

DEPTHS = np.arange(1.0, 260.0, 2.0)


def depth_dose(build_up: float = 0.25, slope: float = 0.0045) -> np.ndarray:
    """Return a build-up towards an exponential; its maximum lies at ln((a + b) / b) / a."""
    return (1.0 - np.exp(-build_up * DEPTHS)) * np.exp(-slope * DEPTHS)


def profile(at: np.ndarray, sigma: float, off: float = 0.0, half: float = 50.0) -> np.ndarray:
    return ndtr((half + at - off) / sigma) * ndtr((half - at + off) / sigma)


@pytest.mark.parametrize("build_up", [0.2, 0.25, 0.3])
def test_maximum_of_a_depth_dose_in_closed_form(build_up):
    slope = 0.0045
    dose = depth_dose(build_up, slope)
    want = np.log((build_up + slope) / slope) / build_up
    assert scans.depth_of_maximum(DEPTHS, dose) == pytest.approx(want, abs=0.7)
    highest = (1.0 - np.exp(-build_up * want)) * np.exp(-slope * want)
    assert scans.maximum(DEPTHS, dose)[1] == pytest.approx(highest, rel=1e-3)
    assert scans.ten_over_maximum(DEPTHS, dose) == pytest.approx(np.exp(-100.0 * slope) / highest, rel=1e-3)
    assert scans.twenty_over_ten(DEPTHS, dose) == pytest.approx(np.exp(-100.0 * slope), rel=1e-6)


def test_depths_further_apart_are_read_by_a_straight_line():
    sparse = np.append(np.arange(5.0, 31.0, 0.5), [100.0, 200.0])
    assert scans.twenty_over_ten(sparse, np.exp(-0.005 * sparse)) == pytest.approx(np.exp(-0.5), rel=1e-9)


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_penumbra_of_a_blurred_edge_from_one_side_and_from_both(sigma):
    outwards, across = np.arange(0.0, 80.0, 0.25), np.arange(-80.0, 80.1, 0.25)
    want = 2 * 0.8416212 * sigma
    assert scans.penumbra(outwards, profile(outwards, sigma)) == pytest.approx(want, abs=0.02)
    assert scans.penumbra(across, profile(across, sigma)) == pytest.approx(want, abs=0.02)


def test_a_shifted_field_is_shifted_by_as_much_to_either_side():
    at = np.arange(-79.0, 80.0, 2.0)
    for off in (1.7, -1.7):
        assert scans.shift(at, profile(at, 3.0, off)) == pytest.approx(1.7, abs=0.02)
    assert scans.shift(at, profile(at, 3.0)) == pytest.approx(0.0, abs=1e-9)


def test_the_last_fall_counts_where_a_profile_is_noisy():
    at = np.arange(0.0, 80.0, 1.0)
    dose = profile(at, 2.0)
    dipped = np.where(at == 20.0, 0.75, dose)
    assert scans.penumbra(at, dipped) == pytest.approx(scans.penumbra(at, dose))


def test_noise_of_a_mean_is_that_of_the_points_over_the_root_of_their_number():
    at = np.arange(100.0)
    sigma = np.full(100, 0.3)
    noise = scans.noise_of(lambda _, dose: float(dose.mean()), at, np.ones(100), sigma)
    assert noise == pytest.approx(0.03, rel=0.15)  # 200 resamplings know it to 5 %
    assert scans.noise_of(scans.penumbra, at, profile(at, 3.0), np.zeros(100)) == 0.0
    again = scans.noise_of(scans.penumbra, at, profile(at, 3.0), np.full(100, 0.01))
    assert again == scans.noise_of(scans.penumbra, at, profile(at, 3.0), np.full(100, 0.01))
