"""Doses from apertures and monitor units alone, and arcs as they turn."""

from dataclasses import replace

import numpy as np
import pytest
from ball_patients import ball
from hand_made import arc, arcs_on, fields_on, machine_named, spoilt

from phantoms.grid import Grid
from phantoms.structure import Role
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.registry import engine_named
from planner.evaluate.deliverability import machine_violations
from planner.evaluate.recompute import dose_difference, in_body, recomputed, turning
from planner.treatment.beam import Beam, BixelGrid
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
    # With a statistical uncertainty of 2 % a difference of 3 % is noise.
    noisy = replace(scaled, uncertainty=0.02)
    assert dose_difference(noisy, stated, level, RULES).agrees
    more_mu = recomputed(spoilt(plan, 0, 0, mu=80.0), STX, WATER, CONE, ignore_field=False)
    assert not dose_difference(stated, more_mu, level, RULES).agrees


def test_turning_arcs_keep_monitor_units_spans_and_limits():
    plan = arcs_on(STX)
    fine = turning(plan, 3.0)
    assert [len(b.control_points) for b in fine.beams] == [64, 64]  # 10 degrees in four parts
    assert sum(p.mu for p in fine.beams[0].control_points) == pytest.approx(320.0)
    gantry = [p.gantry_deg for p in fine.beams[0].control_points]
    np.testing.assert_allclose(np.diff(np.unwrap(np.radians(gantry))), np.radians(2.5))
    assert gantry[0] == pytest.approx(196.25)
    assert machine_violations(fine, STX) == []
    fields = fields_on(STX)
    assert turning(fields, 1.0).beams == fields.beams
    with pytest.raises(ValueError, match="degrees"):
        turning(plan, 0.0)


def test_leaves_of_a_turning_arc_move_evenly():
    wide, narrow = arc(STX, count=2, half_mm=10.0), arc(STX, count=2, half_mm=20.0)
    mixed = replace(wide, control_points=(wide.control_points[0], narrow.control_points[1]))
    found = turning(Delivery("truebeam-stx", "by hand", (mixed,)), 5.0).beams[0].control_points
    middle = len(STX.leaf_width_mm.value) // 2
    # Middles at 0 and 10 degrees: the parts stand at -2.5, 2.5, 7.5 and 12.5.
    np.testing.assert_allclose([p.right_mm[middle] for p in found], [10.0, 12.5, 17.5, 20.0])
    np.testing.assert_allclose([p.jaw_y_mm[1] for p in found], [10.0, 12.5, 17.5, 20.0])
    backwards = replace(mixed, control_points=mixed.control_points[::-1])
    other = turning(Delivery("truebeam-stx", "by hand", (backwards,)), 5.0).beams[0].control_points
    np.testing.assert_allclose([p.gantry_deg for p in other], [p.gantry_deg for p in found][::-1])
    np.testing.assert_allclose([p.right_mm[middle] for p in other], [20.0, 17.5, 12.5, 10.0])


def test_outside_of_the_body_there_is_no_dose():
    body = ball("external", Role.EXTERNAL, GRID, (0, 0, 0), 30.0)
    everywhere = Volume(GRID, np.full(GRID.shape, 2.0), Quantity.DOSE)
    found = in_body(Dose(everywhere, "cone", False, deviation=everywhere), body)
    for part in (found.volume, found.deviation):
        np.testing.assert_array_equal(part.data, np.where(body.occupancy > 0, 2.0, 0.0))
