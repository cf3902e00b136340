"""Doses from apertures and monitor units alone, of arcs as they turn."""

from dataclasses import replace

import numpy as np
import pytest
from hand_made import arc, fields_on, machine_named, spoilt
from oracles_delivery import as_it_turns

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.registry import engine_named
from planner.evaluate.recompute import dose_difference, recomputed
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.beam_list import delivered_beams
from planner.treatment.delivery import Delivery
from planner.treatment.dose import Dose
from planner.treatment.limits import DoseAgreement

STX, UNITY = machine_named("truebeam-stx"), machine_named("elekta-unity")
RULES = library.load("evaluation", "dose-agreement", DoseAgreement)
GRID = Grid.covering((-60, -60, -60), (60, 60, 60), 4.0)
WATER = Volume(GRID, np.ones(GRID.shape), Quantity.DENSITY)
CONE = engine_named("cone")


def test_static_segments_are_open_fields_of_their_monitor_units():
    one = fields_on(STX, (90.0,))
    field = one.beams[0].control_points[0]
    single = replace(one, beams=(replace(one.beams[0], control_points=(field,)),))
    found = recomputed(single, STX, WATER, CONE, ignore_field=False)
    # The same 2 x 2 cm field as one bixel: leaves stand at the borders of pairs, and their ends reach a little further.
    half = 10.0 + STX.collimation.leaf_offset_mm.value
    bixels = BixelGrid((-half, -10.0), (2 * half, 20.0), np.ones((1, 1), bool))
    beam = Beam(90.0, 0.0, STX.collimator_deg.value, (0.0, 0.0, 0.0), bixels)
    expected = CONE.dose(WATER, [beam], [np.array([field.mu])], STX, ignore_field=False)
    high = expected.volume.data > 0.2 * expected.volume.data.max()
    np.testing.assert_allclose(found.volume.data[high], expected.volume.data[high], rtol=0.01)


def test_a_field_of_the_machine_is_left_out_only_on_the_plans_word():
    one = fields_on(UNITY, (90.0,))
    with pytest.raises(Exception, match="magnetic field"):
        recomputed(one, UNITY, WATER, CONE, ignore_field=False)
    assert recomputed(one, UNITY, WATER, CONE, ignore_field=True).field_ignored


def test_a_dose_that_is_not_that_of_its_apertures_is_noticed():
    plan = fields_on(STX, (30.0, 120.0))
    stated = recomputed(plan, STX, WATER, CONE, ignore_field=False)
    level = float(stated.volume.data.max())
    same = dose_difference(stated, stated, level, RULES)
    assert same.agrees and same.largest_percent == 0 and same.gamma_percent == 100
    scaled = Dose(Volume(GRID, 1.03 * stated.volume.data, Quantity.DOSE), "cone", False)
    more = dose_difference(scaled, stated, level, RULES)
    assert not more.agrees and more.largest_percent == pytest.approx(3.0, abs=0.01)
    blind = RULES.model_copy(update={"pass_percent": RULES.pass_percent.model_copy(update={"value": 0.0})})
    assert not dose_difference(scaled, stated, level, blind).agrees  # by the mean difference alone
    more_mu = recomputed(spoilt(plan, 0, 0, mu=80.0), STX, WATER, CONE, ignore_field=False)
    assert not dose_difference(stated, more_mu, level, RULES).agrees


def _noisy(dose: Dose, seed: int, near: float, far: float) -> Dose:
    """Return a dose with noise of its maximum: `near` where it is high, `far` elsewhere; `near` is what it states."""
    data = dose.volume.data.astype(float)
    spread = np.where(data > 0.5 * data.max(), near, far) * data.max()
    noise = np.random.default_rng(seed).normal(0.0, spread)
    volume, deviation = (Volume(GRID, x.astype(np.float32), Quantity.DOSE) for x in (data + noise, spread))
    return replace(dose, volume=volume, deviation=deviation, uncertainty=near)


def test_noise_is_no_difference_but_other_monitor_units_are():
    """What Monte Carlo states of its noise passes, also where it is more than in the target; 2 % more units do not."""
    clean = recomputed(fields_on(STX, (30.0, 120.0)), STX, WATER, CONE, ignore_field=False)
    level = float(clean.volume.data.max())
    percent = 100 * float(clean.volume.data[clean.volume.data > 0.5 * level].mean()) / level
    stated, again = _noisy(clean, 1, 0.01, 0.03), _noisy(clean, 2, 0.01, 0.03)
    same = dose_difference(stated, again, level, RULES)
    assert same.agrees and abs(same.bias_percent) < 0.25 < same.mean_percent
    assert not dose_difference(stated, replace(again, deviation=None), level, RULES).agrees
    for factor in (0.98, 1.02):
        more = Dose(Volume(GRID, factor * again.volume.data, Quantity.DOSE), "mc", False, 0.01, again.deviation)
        other = dose_difference(stated, more, level, RULES)
        assert not other.agrees and other.bias_percent == pytest.approx(percent * (factor - 1), abs=0.25)


def _of_parts(delivery):
    beams = delivered_beams(delivery, STX)
    return CONE.dose(WATER, [b.beam for b in beams], [b.weights for b in beams], STX, ignore_field=False).volume.data


def test_the_dose_of_an_arc_is_that_of_its_parts():
    """Against an arc walked in steps of its own: spans of 10 degrees, leaves that travel 8 mm between their middles."""
    points = arc(STX, count=5).control_points
    moved = tuple(replace(p, left_mm=p.left_mm - 8 * (n % 2), mu=20.0 + 5 * n) for n, p in enumerate(points))
    plan = Delivery("truebeam-stx", "by hand", (replace(arc(STX), control_points=moved),))
    found = recomputed(plan, STX, WATER, CONE, ignore_field=False, arc_step_deg=2.0).volume.data
    walked, still = (_of_parts(parts) for parts in (as_it_turns(plan, 1.3), plan))
    high = walked > 0.5 * walked.max()
    assert np.abs(found - walked)[high].mean() < 0.005 * walked.max()
    assert np.abs(still - walked)[high].mean() > 0.01 * walked.max()
