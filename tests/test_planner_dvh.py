"""Histograms and isodose volumes: against doses whose curves are known in closed form."""

import numpy as np
import pytest
from oracles_geometry import Shape, dose_of, sphere, structure
from scipy.optimize import brentq

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.evaluate.dvh import Histograms, dose_at, dvh, isodose_volume_cc

SETUPS = (((1, 1, 1), (0, 0, 0), 1.0), ((1, 1, 2), (0.3, 0.1, 0.4), 1.25), ((0.9, 0.9, 1.5), (0.5, 0.2, 0.1), 2.0))


def cap(r, t):
    """Share of a sphere's volume on the far side of a plane at distance t from its centre."""
    return (r - t) ** 2 * (2 * r + t) / (4 * r**3)


@pytest.mark.parametrize("r", [2.88, 4.93, 13.36])
@pytest.mark.parametrize(("voxel", "shift", "step"), SETUPS)
def test_linear_dose_in_a_sphere(r, voxel, shift, step):
    found = dvh(dose_of(lambda p: 20 + 0.8 * p[..., 0], r + 6, step), structure(sphere(r), voxel, shift))
    for percent in (98, 95, 50, 2):
        exact = 20 + 0.8 * brentq(lambda t, v=percent / 100: cap(r, t) - v, -r, r)
        assert found.dose_at_volume_percent(percent) == pytest.approx(exact, rel=0.001)
    exact = 20 + 0.8 * brentq(lambda t: cap(r, t) - 30 / (4 / 3 * np.pi * r**3), -r, r)
    assert found.dose_at_volume_cc(0.03) == pytest.approx(exact, rel=0.001)
    assert found.volume_cc * 1000 == pytest.approx(4 / 3 * np.pi * r**3, rel=0.005)
    assert found.covered_fraction == pytest.approx(1.0, abs=1e-6)
    assert found.mean_gy == pytest.approx(20.0, rel=0.0005)


@pytest.mark.parametrize(("voxel", "shift"), [s[:2] for s in SETUPS])
@pytest.mark.parametrize(("r", "sigma", "step"), [(4.93, 8.0, 1.0), (13.36, 16.0, 1.0), (13.36, 16.0, 2.0)])
def test_gaussian_dose_in_a_sphere(r, sigma, step, voxel, shift):
    found = dvh(
        dose_of(lambda p: 24 * np.exp(-(p**2).sum(-1) / 2 / sigma**2), r + 6, step), structure(sphere(r), voxel, shift)
    )
    for percent in (98, 95, 50, 2):
        exact = 24 * np.exp(-(((percent / 100) ** (1 / 3) * r) ** 2) / 2 / sigma**2)
        assert found.dose_at_volume_percent(percent) == pytest.approx(exact, rel=0.001)
        assert found.volume_at_dose_percent(exact) == pytest.approx(percent, abs=0.5)


def test_dose_by_radius_in_a_cylinder():
    r, half = 8.0, 10.0

    def sign(p):
        return np.maximum(np.hypot(p[..., 0], p[..., 1]) - r, np.abs(p[..., 2]) - half)

    body = structure(Shape(sign, lambda m: np.pi * r**2 * 2 * half, 11.0), (1, 1, 1), (0.2, 0.4, 0.1))
    found = dvh(dose_of(lambda p: 30 - 0.1 * (p[..., 0] ** 2 + p[..., 1] ** 2), 18, 1.0), body)
    for percent in (98, 95, 50, 2):
        assert found.dose_at_volume_percent(percent) == pytest.approx(30 - 0.1 * r**2 * percent / 100, rel=0.001)
    assert found.volume_cc * 1000 == pytest.approx(np.pi * r**2 * 2 * half, rel=0.005)


def test_a_tiny_structure_has_a_sane_histogram():
    body = structure(sphere(1.93), (1, 1, 1), (0.3, 0.2, 0.1))
    found = dvh(dose_of(lambda p: 20 + p[..., 0], 8, 2.0), body)
    assert np.all(np.diff(found.at_least_cc) <= 1e-12)
    assert found.min_gy <= found.dose_at_volume_percent(98) <= found.dose_at_volume_percent(50) <= found.max_gy
    assert found.dose_at_volume_percent(98) == pytest.approx(18.3, abs=0.1)
    assert found.dose_at_volume_cc(1.0) == pytest.approx(found.min_gy)


def test_binary_mask_on_a_grid_of_its_own():
    body = structure(sphere(13.36), (1, 1, 2), (0.3, 0.1, 0.4), split=1)
    found = dvh(dose_of(lambda p: 20 + 0.8 * p[..., 0], 20, 1.7), body)
    exact = 20 + 0.8 * brentq(lambda t: cap(13.36, t) - 0.98, -13.36, 13.36)
    assert found.dose_at_volume_percent(98) == pytest.approx(exact, rel=0.002)


def test_uniform_dose_and_the_definition_of_volume_at_dose():
    body = structure(sphere(5.0), (1, 1, 1))
    found = dvh(dose_of(lambda p: 12.0 + 0 * p[..., 0], 9, 1.0), body)
    for percent in (98, 50, 2):
        assert found.dose_at_volume_percent(percent) == pytest.approx(12.0, rel=2e-4)
    assert found.volume_at_dose_percent(11.9) == pytest.approx(100.0)
    assert found.volume_at_dose_percent(12.1) == 0.0


def test_the_part_outside_the_dose_grid_is_told_and_not_scaled_away():
    body = structure(sphere(8.0), (1, 1, 1))
    half = Volume(Grid((20, 40, 40), (1, 1, 1), (0.5, -19.5, -19.5)), np.full((20, 40, 40), 10.0), Quantity.DOSE)
    found = dvh(half, body)
    assert found.covered_fraction == pytest.approx(0.5, abs=0.01)
    assert found.volume_at_dose_percent(5.0) == pytest.approx(50.0, abs=1.0)
    assert found.dose_at_volume_percent(98) == 0.0
    away = dvh(Volume(Grid((5, 5, 5), (1, 1, 1), (90, 90, 90)), np.ones((5, 5, 5)), Quantity.DOSE), body)
    assert away.covered_fraction == 0.0
    assert np.isnan(away.dose_at_volume_percent(98))
    assert away.volume_at_dose_cc(0.5) == 0.0


def test_an_empty_structure_has_no_histogram():
    empty = Structure("none", Role.TARGET, Grid((3, 3, 3), (1, 1, 1), (0, 0, 0)), np.zeros((3, 3, 3)))
    with pytest.raises(ValueError, match="empty"):
        dvh(dose_of(lambda p: p[..., 0] + 50, 9, 1.0), empty)


def test_isodose_volumes_of_a_gaussian():
    dose = dose_of(lambda p: 24 * np.exp(-(p**2).sum(-1) / 2 / 25), 20, 1.0)
    for level in (20.0, 12.0, 3.0):
        r = np.sqrt(-50 * np.log(level / 24))
        assert isodose_volume_cc(dose, level) * 1000 == pytest.approx(4 / 3 * np.pi * r**3, rel=0.005)


def test_dose_between_voxels_follows_a_parabola():
    dose = dose_of(lambda p: 100 - p[..., 0] ** 2 - 0.5 * p[..., 1] ** 2, 9, 1.5)
    points = np.random.default_rng(0).uniform(-5, 5, (200, 3))
    assert np.allclose(dose_at(dose, points), 100 - points[:, 0] ** 2 - 0.5 * points[:, 1] ** 2, atol=1e-4)
    assert dose_at(dose, np.array([[99.0, 0, 0]]))[0] == 0.0


def test_result_does_not_depend_on_threads(monkeypatch):
    body, dose = structure(sphere(20.0), (1, 1, 1), split=2), dose_of(lambda p: 20 + 0.8 * p[..., 0], 24, 1.7)
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("LACUNA_THREADS", threads)
        found.append(dvh(dose, body).at_least_cc)
    assert np.array_equal(*found)


def test_histograms_of_a_dose_are_computed_once_a_structure():
    dose = dose_of(lambda p: 20 + 0.8 * p[..., 0], 9.0, 2.0)
    first, same = structure(sphere(3.0), (1, 1, 1)), structure(sphere(3.0), (1, 1, 1))
    histograms = Histograms(dose)
    assert histograms.of(first) is histograms.of(first)
    assert histograms.of(same) is not histograms.of(first)  # by identity
    assert np.array_equal(histograms.of(first).at_least_cc, dvh(dose, first).at_least_cc)
    # Nothing outlives them: a dose that was changed in place is read anew.
    dose.data[...] *= 2
    assert Histograms(dose).of(first).mean_gy == pytest.approx(2 * histograms.of(first).mean_gy)
