"""Indices of targets, brain and skin: against concentric spheres, and each defined for the report."""

import numpy as np
import pytest
from oracles_geometry import dose_of, sphere, structure

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from planner.evaluate.definitions import DEFINITIONS
from planner.evaluate.dvh import Histograms, dvh
from planner.evaluate.metrics import (
    brain_metrics,
    case_metrics,
    limits_for,
    plan_metrics,
    quantity,
    skin_near_dose,
    target_metrics,
)
from planner.treatment.prescription import Prescription

SIGMA, PEAK = 15.0, 24.0
DOSE = dose_of(lambda p: PEAK * np.exp(-(p**2).sum(-1) / 2 / SIGMA**2), 45, 1.5)


def radius(level):
    return SIGMA * np.sqrt(2 * np.log(PEAK / level))


def at(r):
    return PEAK * np.exp(-(r**2) / 2 / SIGMA**2)


def ball(r):
    return 4 / 3 * np.pi * r**3 / 1000


def named(name, shape, role=Role.TARGET, spacing=(1, 1, 1), split=8):
    found = structure(shape, spacing, (0.3, 0.1, 0.2), split)
    return Structure(name, role, found.grid, found.occupancy)


def values(metrics, name):
    return {m.name: m.value for m in metrics if m.structure == name}


def test_target_indices_of_concentric_spheres():
    r = 10.0
    found = values(target_metrics(DOSE, named("ptv", sphere(r)), 18.0), "ptv")
    tv, piv, piv50 = ball(r), ball(radius(18)), ball(radius(9))
    covered = min(tv, piv)
    exact = {
        "volume_cc": tv,
        "piv_cc": piv,
        "piv50_cc": piv50,
        "rtog_ci": piv / tv,
        "paddick_ci": covered**2 / (tv * piv),
        "selectivity": covered / piv,
        "gi": piv50 / piv,
        "r50": piv50 / tv,
        "hi_rtog": PEAK / 18,
        "prescription_isodose_percent": 100 * 18 / PEAK,
        "surface_min_gy": at(r),
        "Dmin_gy": at(r),
        "Dmax_gy": PEAK,
    }
    for name, value in exact.items():
        assert found[name] == pytest.approx(value, rel=0.005), name
    d98, d50, d2 = (at((q / 100) ** (1 / 3) * r) for q in (98, 50, 2))
    assert found["D98_gy"] == pytest.approx(d98, rel=0.001)
    assert found["hi_icru83"] == pytest.approx((d2 - d98) / d50, rel=0.005)
    assert found["near_min_gy"] == found["D98_gy"]


def test_small_targets_follow_icru_91():
    r = 6.0
    found = values(target_metrics(DOSE, named("gtv", sphere(r)), 20.0), "gtv")
    left = (1 - 0.035 / ball(r)) ** (1 / 3) * r
    assert found["near_min_gy"] == pytest.approx(at(left), rel=0.001)
    assert found["near_max_gy"] == pytest.approx(at((0.035 / ball(1.0)) ** (1 / 3)), rel=0.001)


def test_a_partly_covered_target():
    r = 16.0
    found = values(target_metrics(DOSE, named("ptv", sphere(r)), 18.0), "ptv")
    tv, piv = ball(r), ball(radius(18))
    assert found["V100_percent"] == pytest.approx(100 * piv / tv, abs=0.3)
    assert found["paddick_ci"] == pytest.approx(piv / tv, rel=0.01)
    assert found["rtog_ci"] == pytest.approx(piv / tv, rel=0.01)


def test_brain_with_and_without_target():
    brain = named("brain", sphere(40.0), Role.ORGAN, (1.5, 1.5, 1.5), 4)
    found = brain_metrics(DOSE, brain, named("ptv", sphere(10.0)))
    whole, rest = values(found, "brain"), values(found, "brain_minus_target")
    for level in (5, 10, 12, 14):
        assert whole[f"V{level}_cc"] == pytest.approx(ball(radius(level)), rel=0.005)
        assert rest[f"V{level}_cc"] == pytest.approx(ball(radius(level)) - ball(10.0), rel=0.007)
    assert rest["volume_cc"] == pytest.approx(ball(40) - ball(10), rel=0.001)


def test_the_skin_is_the_outer_layer_where_dose_reaches_it():
    flat = dose_of(lambda p: np.where(p[..., 0] > 20, 5.0, 1.0), 45, 1.5)
    external = named("external", sphere(35.0), Role.EXTERNAL, (1.5, 1.5, 1.5), 4)
    skin = skin_near_dose(flat, external)
    assert dvh(flat, skin).volume_at_dose_cc(3.0) == pytest.approx(
        np.pi * (35 - 20) ** 2 * (2 * 35 + 20) / 3 / 1000 - np.pi * (30 - 20) ** 2 * (2 * 30 + 20) / 3 / 1000, rel=0.05
    )
    assert skin_near_dose(dose_of(lambda p: 0 * p[..., 0] + 1.0, 45, 1.5), external) is None


def test_a_case_has_every_promised_metric_and_counts_violations():
    stem = named("brainstem", sphere(6.0), Role.ORGAN)
    structures = {
        "cavity": named("cavity", sphere(9.0), Role.TRUTH),
        "residual": named("residual", sphere(3.0), Role.TRUTH),
        "tumour": Structure("tumour", Role.TRUTH, Grid((2, 2, 2), (1, 1, 1), (0, 0, 0)), np.zeros((2, 2, 2))),
        "brain": named("brain", sphere(30.0), Role.ORGAN, (1.5, 1.5, 1.5), 4),
        "brainstem": stem,
        "external": named("external", sphere(38.0), Role.EXTERNAL, (1.5, 1.5, 1.5), 4),
    }
    targets = {"gtv": named("gtv", sphere(9.0)), "ptv": named("ptv", sphere(10.0))}
    found = case_metrics(Histograms(DOSE), structures, targets, Prescription(18.0, 1, "fixed", ""))
    keys = [(m.structure, m.name) for m in found]
    assert len(keys) == len(set(keys))
    assert values(found, "cavity")["rim_1mm_percent"] == 100.0
    assert values(found, "cavity")["rim_3mm_percent"] == 0.0
    assert values(found, "residual")["V100_percent"] == pytest.approx(100.0)
    assert not values(found, "tumour")
    assert values(found, "brainstem")["limits_violated"] == 2
    assert values(found, "all")["limits_violated"] == 2
    assert values(found, "skin")["V3_cc"] == 0.0
    for margin in (0, 1, 2, 3, 5):
        assert ("cavity", f"rim_{margin}mm_percent") in keys
    hypofractionated = case_metrics(Histograms(DOSE), structures, targets, Prescription(27.0, 7, "fixed", ""))
    assert not any("limit" in m.name for m in hypofractionated)


def test_flat_names_of_plan_metrics_are_unique():
    rows = plan_metrics(DOSE, named("ptv", sphere(10.0)), 18.0, named("brain", sphere(20.0), split=2))
    names = [row.name for row in rows]
    assert len(names) == len(set(names))
    assert {"D98_gy", "rtog_ci", "paddick_ci", "gi", "brain_V12_cc", "brain_minus_target_V12_cc"} <= set(names)


def test_limits_exist_for_one_three_and_five_fractions_only():
    for fractions in (1, 3, 5):
        limits = limits_for(fractions)
        assert limits.fractions == fractions
        assert {"optic pathway", "brainstem", "brain"} <= {limit.organ for limit in limits.limits}
    assert limits_for(7) is None


def test_unknown_quantities_are_refused():
    curve = dvh(DOSE, named("ptv", sphere(5.0)))
    assert quantity(curve, "D0.035cc_gy") > quantity(curve, "D95_gy")
    with pytest.raises(ValueError, match="unknown"):
        quantity(curve, "D98")


def test_every_index_is_defined_for_the_report():
    found = {m.name for m in target_metrics(DOSE, named("ptv", sphere(5.0)), 18.0)}
    plain = {name for name in found if not name.startswith("D") or name in ("Dmin_gy", "Dmax_gy", "Dmean_gy")}
    assert plain <= set(DEFINITIONS)
