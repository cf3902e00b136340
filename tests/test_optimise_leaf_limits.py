"""Apertures of any kind, also impossible ones, become ones that an independent check lets pass."""

import numpy as np
import pytest
from oracles_delivery import violations
from oracles_planning import constant

from planner import library
from planner.optimise.apertures import ApertureSet
from planner.optimise.leaf_limits import Motion, covered, mu_bounds, permitted, scaled_mu
from planner.treatment.delivery import ControlPoint, Delivery, TreatmentBeam
from planner.treatment.machine import Machine

LINACS = ("truebeam-stx", "synergy-agility", "artiste", "brainlab-m3", "elekta-unity", "mridian")


def linac(name, **changes):
    found = library.load("machines", name, Machine)
    limits = found.delivery.model_copy(update={key: constant(value) for key, value in changes.items()})
    return found.model_copy(update={"delivery": limits})


def wild(pairs, count, seed):
    """Tips anywhere, some pairs crossed, jaws that may be all but closed, monitor units of any size."""
    random = np.random.default_rng(seed)
    left = random.uniform(-40, 30, (count, pairs))
    low = random.uniform(-30, 10, count)
    return ApertureSet(
        left,
        left + random.uniform(-5, 30, (count, pairs)),
        np.stack([low, low + random.uniform(0, 30, count)], axis=1),
        random.uniform(0, 3000, count),
    )


def delivered(apertures, motion, machine, kind):
    angles = 200 + np.cumsum(motion.span_deg) - motion.span_deg / 2 if kind == "arc" else np.full(len(motion.arc), 40.0)
    points = tuple(
        ControlPoint(
            float(angles[n] % 360),
            0.0,
            machine.collimator_deg.value,
            apertures.left_mm[n],
            apertures.right_mm[n],
            tuple(apertures.jaw_mm[n].tolist()),
            float(apertures.mu[n]),
            float(motion.span_deg[n]),
        )
        for n in range(len(angles))
    )
    beam = TreatmentBeam("beam", kind, (0.0, 0.0, 0.0), points)
    return Delivery(machine.name, "test", (beam,), motion.fractions)


def motion(kind, count, fractions=3, span=2.0):
    if kind == "arc":
        return Motion(np.zeros(count, int), np.full(count, span), fractions)
    return Motion(np.full(count, -1), np.zeros(count), fractions)


@pytest.mark.parametrize("interdigitation", [True, False])
@pytest.mark.parametrize("name", LINACS)
@pytest.mark.parametrize("kind", ["arc", "static"])
def test_what_is_permitted_passes_an_independent_check(name, kind, interdigitation):
    machine = linac(name, interdigitation=interdigitation)
    if kind == "arc" and machine.delivery.max_mu_per_deg is None:
        pytest.skip("turns no arcs")
    how = motion(kind, 12)
    raw = wild(len(machine.leaf_width_mm.value), 12, seed=len(name))
    assert violations(delivered(raw, how, machine, kind), machine)
    assert violations(delivered(permitted(raw, machine, how), how, machine, kind), machine) == []


def test_an_aperture_that_keeps_all_limits_stays():
    machine, how = linac("truebeam-stx"), motion("arc", 4, span=8.0)
    pairs = len(machine.leaf_width_mm.value)
    given = ApertureSet(
        np.full((4, pairs), -9.0), np.full((4, pairs), 7.0), np.tile([-11.0, 12.0], (4, 1)), np.full(4, 90.0)
    )
    got = permitted(given, machine, how)
    assert all(np.allclose(a, b, atol=1e-9) for a, b in zip(got.parts, given.parts, strict=True))


def test_jaws_cover_what_is_hardly_open_and_pairs_behind_them_are_closed():
    machine = linac("truebeam-stx")
    pairs = len(machine.leaf_width_mm.value)
    right = np.where(np.arange(pairs) < 30, -9.0 + 0.8, 7.0)  # less than the gap and 0.5 mm below the middle
    given = ApertureSet(np.full((2, pairs), -9.0), np.tile(right, (2, 1)), np.tile([-11.0, 12.0], (2, 1)), np.ones(2))
    got = covered(given, machine)
    assert np.allclose(got.jaw_mm, [0.0, 12.0])
    assert np.allclose(got.left_mm[:, 30:35], -9.0) and np.allclose(got.right_mm[:, 30:35], 7.0)
    behind = np.r_[:30, 35:pairs]
    assert (got.right_mm - got.left_mm)[:, behind].max() < 0.6
    assert np.allclose(0.5 * (got.right_mm + got.left_mm)[:, behind], -1.0)


def test_leaves_do_not_outrun_the_gantry_and_openings_keep_their_width():
    machine, how = linac("truebeam-stx", leaf_speed_mm_s=3.0), motion("arc", 9, span=2.0)
    pairs = len(machine.leaf_width_mm.value)
    middle = np.where(np.arange(9) % 2, 8.0, -8.0)[:, None]
    given = ApertureSet(
        np.repeat(middle - 6, pairs, 1),
        np.repeat(middle + 6, pairs, 1),
        np.tile([-10.0, 10.0], (9, 1)),
        np.full(9, 20.0),
    )
    got = permitted(given, machine, how)
    assert np.abs(np.diff(got.left_mm, axis=0)).max() <= 2.0 / 6.0 * 3.0
    assert (got.right_mm - got.left_mm)[:, 26:34] == pytest.approx(12.0)


def test_monitor_units_of_a_course():
    machine = linac("truebeam-stx")
    low, high = mu_bounds(machine, motion("arc", 2, fractions=5, span=4.0))
    assert low == pytest.approx(5 * 4 * 0.1, rel=1e-5)
    assert high == pytest.approx(5 * 4 * machine.delivery.max_mu_per_deg.value, rel=1e-5)
    low, high = mu_bounds(machine, motion("static", 2, fractions=3))
    assert low == pytest.approx(3 * machine.delivery.minimum_segment_mu.value, rel=1e-5)
    assert np.isinf(high).all()


def test_scaled_monitor_units_make_up_for_those_that_meet_a_bound():
    mu, low, high = np.array([1.0, 5.0, 18.0, 0.5]), np.full(4, 0.5), np.full(4, 20.0)
    found = scaled_mu(mu, 1.2, (low, high))
    assert found.sum() == pytest.approx(1.2 * mu.sum(), rel=1e-9)
    assert found[2] == 20.0
    assert found[1] / found[0] == pytest.approx(5.0)
    fewer = scaled_mu(mu, 0.6, (low, high))
    assert fewer.sum() == pytest.approx(0.6 * mu.sum(), rel=1e-9)
    assert fewer[3] == 0.5


def test_scaled_monitor_units_are_proportional_where_no_bound_is_met():
    mu = np.array([1.0, 5.0, 18.0])
    assert np.array_equal(scaled_mu(mu, 1.1, (np.zeros(3), np.full(3, np.inf))), mu * 1.1)


def test_scaled_monitor_units_stand_on_their_bounds_where_the_sum_is_out_of_reach():
    mu, low, high = np.array([1.0, 5.0]), np.full(2, 0.5), np.full(2, 20.0)
    assert np.array_equal(scaled_mu(mu, 100.0, (low, high)), high)
    assert np.array_equal(scaled_mu(mu, 1e-3, (low, high)), low)
