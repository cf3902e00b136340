"""The gamma index: beside pymedphys, and where it is known exactly."""

import logging
import warnings

import numpy as np
import pytest

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.evaluate.gamma import Criteria, gamma

ONE = Grid((24, 26, 22), (1.5, 1.5, 1.5), (-17, -18, -16))
OTHER = Grid((28, 30, 19), (1.4, 1.3, 2.0), (-18.9, -18.2, -18.1))


def dose(grid, shift=(0.0, 0.0, 0.0), fall=6.0, noise=0.0, scale=1.0):
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij")
    r = np.sqrt((x - shift[0]) ** 2 + (y - shift[1]) ** 2 + (z - shift[2]) ** 2)
    values = 20 * scale / (1 + np.exp((r - 9) / fall * 4)) * (1 + 0.1 * np.cos(x / 5))
    return Volume(grid, values * (1 + noise * np.random.default_rng(5).normal(size=values.shape)), Quantity.DOSE)


# Ends in the middle of the reference.
PART = Grid((12, 26, 22), (1.5, 1.5, 1.5), (-17, -18, -16))

CASES = {
    "shifted": (dose(ONE), dose(ONE, (0.9, 0.5, -0.4))),
    "noisy": (dose(ONE), dose(ONE, noise=0.02)),
    "two grids": (dose(ONE, noise=0.01), dose(OTHER, (0.5, 0.3, -0.4), noise=0.015)),
    "evaluated in part": (dose(ONE, fall=12), dose(PART, (0.4, 0.3, 0.1), fall=12)),
    "steep": (dose(ONE, fall=3), dose(OTHER, (0.8, 0.3, -0.4), fall=3, noise=0.01)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("percent", "mm", "local"), [(1, 1, False), (2, 2, True)])
def test_pass_rate_and_mean_are_those_of_pymedphys(name, percent, mm, local):
    import pymedphys

    reference, evaluated = CASES[name]
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pymedphys.gamma(
            reference.grid.axes_mm(), reference.data.astype(float), evaluated.grid.axes_mm(),
            evaluated.data.astype(float), percent, mm, lower_percent_dose_cutoff=10, interp_fraction=10,
            max_gamma=2, local_gamma=local,
        )  # fmt: skip
    logging.disable(logging.NOTSET)
    found = gamma(reference, evaluated, Criteria(percent, mm, 10, local=local))
    compared = np.isfinite(peer)
    assert np.array_equal(compared, np.isfinite(found.values))
    assert found.pass_percent == pytest.approx(100 * np.mean(peer[compared] <= 1), abs=0.1)
    assert found.mean == pytest.approx(peer[compared].mean(), abs=1e-4)


@pytest.mark.parametrize("spacing", [0.9, 1.2, 1.5, 2.0, 2.5])
@pytest.mark.parametrize("origin", [(-197.0, 66.6, -59.8), (-111.5544, -169.674, 234.9627), (248.1, -128.4, -121.6)])
def test_gamma_of_a_dose_with_itself_is_zero_up_to_its_last_voxels(spacing, origin):
    """Their coordinates are rounded: none may seem to lie beyond the evaluated dose."""
    grid = Grid((20, 21, 22), (spacing,) * 3, origin)
    values = np.random.default_rng(3).uniform(5.0, 20.0, grid.shape)
    same = Volume(grid, values, Quantity.DOSE)
    assert gamma(same, same, Criteria(1, 1, 0)).maximum < 1e-4


def test_points_far_from_the_evaluated_dose_are_counted_not_compared():
    """Of a flat dose, those within two distances of the other's outermost centres are compared."""
    flat = Volume(ONE, np.full(ONE.shape, 10.0), Quantity.DOSE)
    found = gamma(flat, Volume(PART, np.full(PART.shape, 10.0), Quantity.DOSE), Criteria(1, 1))
    assert (found.points, found.beyond) == (13 * 26 * 22, 11 * 26 * 22)
    assert found.pass_percent == pytest.approx(100 * 12 / 13)


def test_without_a_threshold_points_without_dose_count():
    reference = dose(ONE)
    reference.data[:6] = 0.0
    found = gamma(reference, reference, Criteria(1, 1, 0))
    assert found.points == reference.data.size and found.maximum < 1e-6
    assert gamma(reference, reference, Criteria(1, 1, 0, local=True)).points == (reference.data > 0).sum()


def test_a_dose_agrees_with_itself():
    found = gamma(dose(ONE), dose(ONE), Criteria(1, 1))
    assert found.maximum < 1e-6
    assert found.pass_percent == 100.0


def test_a_flat_dose_too_high_by_twice_the_criterion_has_gamma_two_everywhere():
    flat = Volume(ONE, np.full(ONE.shape, 10.0), Quantity.DOSE)
    high = Volume(ONE, np.full(ONE.shape, 10.15), Quantity.DOSE)
    found = gamma(flat, high, Criteria(1, 1))
    assert np.allclose(found.values, 1.5, atol=1e-5)
    far = gamma(flat, Volume(ONE, np.full(ONE.shape, 20.0), Quantity.DOSE), Criteria(1, 1))
    assert np.all(far.values == 2.0)
    assert far.pass_percent == 0.0


def test_a_linear_dose_shifted_has_the_analytic_gamma():
    """For D = g x moved by s: gamma = s / sqrt(dta^2 + (dD / g)^2)."""
    x = np.broadcast_to(ONE.axes_mm()[0][:, None, None], ONE.shape)
    peak = 1.0 * x.max() + 30
    evaluated = Volume(ONE, 30 + x - 0.8, Quantity.DOSE)
    found = gamma(Volume(ONE, 30 + x, Quantity.DOSE), evaluated, Criteria(2, 1, interp_fraction=30))
    expected = 0.8 / np.hypot(1.0, 0.02 * peak)
    assert found.values[4:-4, 4:-4, 4:-4].mean() == pytest.approx(expected, rel=0.01)


def test_bad_criteria_are_refused():
    with pytest.raises(ValueError, match="positive"):
        Criteria(0, 1)
    with pytest.raises(ValueError, match="threshold"):
        Criteria(1, 1, 100)
    with pytest.raises(ValueError, match="max_gamma must be positive and at most 10"):
        Criteria(1, 1, max_gamma=1e9)
    with pytest.raises(ValueError, match="nowhere positive"):
        gamma(Volume(ONE, np.zeros(ONE.shape), Quantity.DOSE), dose(ONE), Criteria(1, 1))


def test_result_does_not_depend_on_threads(monkeypatch):
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("LACUNA_THREADS", threads)
        found.append(gamma(*CASES["steep"], Criteria(1, 1)).values)
    assert np.array_equal(*found, equal_nan=True)
