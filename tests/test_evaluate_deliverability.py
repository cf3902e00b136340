"""Every limit of a machine is noticed: one delivery by hand that keeps all of them, spoilt one at a time."""

from dataclasses import replace

import numpy as np
import pytest
from hand_made import arc, arcs_on, fields_on, machine_named, moved_leaf, segments, spoilt

from planner import library
from planner.evaluate import metrics as metrics_module
from planner.evaluate.apertures import aperture_figures, area_mm2
from planner.evaluate.deliverability import clinical_violations, machine_violations, template_violations
from planner.evaluate.delivery_time import delivery_time, gantry_way_deg, intervals
from planner.treatment.constant import Constant
from planner.treatment.delivery import Delivery
from planner.treatment.objective import ObjectiveTemplate
from planner.treatment.timing import TimingRules

STX = machine_named("truebeam-stx")
UNITY = machine_named("elekta-unity")
ARCS, FIELDS = arcs_on(STX), fields_on(UNITY)
MIDDLE = len(STX.leaf_width_mm.value) // 2


def limits_of(delivery, machine=STX) -> set[str]:
    return {v.limit for v in machine_violations(delivery, machine)}


def with_limit(machine, **changes):
    limits = machine.delivery
    updated = {
        name: getattr(limits, name).model_copy(update={"value": value})
        if getattr(limits, name) is not None
        else Constant(value=value, source="test", status="assumed")
        for name, value in changes.items()
    }
    return machine.model_copy(update={"delivery": limits.model_copy(update=updated)})


@pytest.mark.parametrize("name", [n for n in library.names("machines") if machine_named(n).delivery is not None])
def test_a_plain_delivery_violates_nothing_on_any_machine(name):
    machine = machine_named(name)
    assert machine_violations(fields_on(machine), machine) == []
    if machine.delivery.min_mu_per_deg is not None:
        assert machine_violations(arcs_on(machine), machine) == []


def test_leaf_travel():
    point = ARCS.beams[0].control_points[3]
    for bank, to in (("left_mm", -201.0), ("right_mm", 201.0)):
        found = machine_violations(spoilt(ARCS, 0, 3, **moved_leaf(point, bank, 0, to)), STX)
        assert "leaf_travel_mm" in {v.limit for v in found}
        violation = next(v for v in found if v.limit == "leaf_travel_mm")
        assert violation.value == pytest.approx(to) and violation.where == "beam 'arc couch 0', control point 4"


def test_minimum_gap_also_behind_the_jaws():
    point = ARCS.beams[0].control_points[3]
    tip = float(point.right_mm[0])
    assert limits_of(spoilt(ARCS, 0, 3, **moved_leaf(point, "left_mm", 0, tip - 0.4))) == {"minimum_gap_mm"}
    assert limits_of(spoilt(ARCS, 0, 3, **moved_leaf(point, "left_mm", 0, tip - 0.5))) == set()


def test_interdigitation_where_the_machine_forbids_it():
    machine = with_limit(STX, interdigitation=False)
    point = ARCS.beams[0].control_points[3]
    pair = MIDDLE - 1
    # The left leaf of one pair stands beyond the right leaf of its neighbour; both pairs keep their own gap.
    left, right = np.array(point.left_mm), np.array(point.right_mm)
    left[pair], right[pair] = 10.2, 14.0
    crossed = spoilt(ARCS, 0, 3, left_mm=left, right_mm=right)
    assert limits_of(ARCS, machine) == set()
    assert limits_of(crossed, machine) == {"interdigitation"}
    assert limits_of(crossed, STX) == set()


def test_leaf_speed_is_checked_at_the_slowest_gantry():
    # Slowest gantry: 1400 MU/min at 60 MU/deg, 0.389 deg/s. 10 deg take 25.7 s at most: 643 mm at 25 mm/s.
    slow = with_limit(STX, max_mu_per_deg=5.0)  # 4.67 deg/s: 2.14 s, 53.6 mm
    point = ARCS.beams[0].control_points[3]
    tip = float(point.right_mm[MIDDLE])
    assert limits_of(spoilt(ARCS, 0, 3, **moved_leaf(point, "right_mm", MIDDLE, tip + 53.0)), slow) == set()
    found = machine_violations(spoilt(ARCS, 0, 3, **moved_leaf(point, "right_mm", MIDDLE, tip + 54.0)), slow)
    assert [v.limit for v in found] == ["leaf_speed_mm_s"] * 2  # on the way there and on the way back
    assert found[0].value == pytest.approx(54.0 / (10 / (1400 / 60 / 5)))


def test_monitor_units_a_degree_bound_gantry_and_dose_rate():
    found = limits_of(spoilt(spoilt(ARCS, 0, 3, mu=0.1), 0, 4, mu=0.1))
    assert found == {"min_mu_per_deg", "gantry_speed_deg_s"}
    found = limits_of(spoilt(spoilt(ARCS, 0, 3, mu=700.0), 0, 4, mu=700.0))
    assert found == {"max_mu_per_deg", "dose_rate_mu_min"}


def test_limits_hold_for_a_fraction():
    low = spoilt(ARCS, 0, 3, mu=2.0)
    assert limits_of(low) == set()
    assert "min_mu_per_deg" in limits_of(replace(low, fractions=5))
    segment = spoilt(FIELDS, 0, 0, mu=6.0)
    assert limits_of(segment, UNITY) == set()
    assert limits_of(replace(segment, fractions=5), UNITY) == {"minimum_segment_mu"}


def test_least_monitor_units_of_a_segment():
    assert limits_of(spoilt(FIELDS, 0, 0, mu=1.9), UNITY) == {"minimum_segment_mu"}
    assert "monitor_units" in limits_of(spoilt(FIELDS, 0, 0, mu=-1.0), UNITY)


def test_least_area_counts_what_the_jaws_leave_open():
    machine = with_limit(UNITY, minimum_segment_area_mm2=150.0)  # the opening is 20 mm wide
    assert limits_of(spoilt(FIELDS, 0, 0, jaw_y_mm=(0.0, 7.4)), machine) == {"minimum_segment_area_mm2"}
    assert limits_of(spoilt(FIELDS, 0, 0, jaw_y_mm=(0.0, 7.6)), machine) == set()


def test_largest_field():
    point = FIELDS.beams[0].control_points[0]
    wide = with_limit(UNITY, leaf_travel_mm=(-150.0, 150.0))
    middle = len(point.left_mm) // 2
    assert limits_of(spoilt(FIELDS, 0, 0, **moved_leaf(point, "right_mm", middle, 111.0)), wide) == {"max_field_mm"}
    opened = np.array(point.left_mm), np.array(point.right_mm)
    opened[0][:], opened[1][:] = -5.0, 5.0
    small = UNITY.model_copy(update={"max_field_mm": UNITY.max_field_mm.model_copy(update={"value": (220.0, 300.0)})})
    change = {"left_mm": opened[0], "right_mm": opened[1], "jaw_y_mm": (-20.0, 151.0)}
    assert limits_of(spoilt(FIELDS, 0, 0, **change), small) == {"max_field_mm", "jaw_y_mm"}
    assert limits_of(spoilt(FIELDS, 0, 0, **{**change, "jaw_y_mm": (-20.0, 149.0)}), small) == set()
    assert "jaw_y_mm" in limits_of(spoilt(FIELDS, 0, 0, jaw_y_mm=(5.0, -5.0)), UNITY)
    # Jaws may not stand where they cannot, though closed leaves leave no opening there.
    assert limits_of(spoilt(ARCS, 0, 0, jaw_y_mm=(-5.0, 300.0))) == {"jaw_y_mm"}


def test_monitor_units_that_a_file_tells_are_those_of_its_control_points():
    beam = ARCS.beams[0]
    given = sum(point.mu for point in beam.control_points)
    for told, limits in ((given, set()), (given + 1e-6, set()), (given + 0.01, {"stated_mu"}), (np.nan, {"stated_mu"})):
        assert limits_of(replace(ARCS, beams=(replace(beam, stated_mu=told), *ARCS.beams[1:]))) == limits


def test_couch_range():
    turned = Delivery("truebeam-stx", "by hand", (arc(STX, couch=100.0),))
    assert limits_of(turned) == {"couch_range_deg"}
    assert "couch_range_deg" in limits_of(Delivery("u", "by hand", (segments(UNITY, 90.0, couch=1.0),)), UNITY)


def test_avoided_sectors_count_all_that_is_swept():
    assert limits_of(fields_on(UNITY, (13.0,)), UNITY) == {"gantry_avoided_deg"}
    assert limits_of(fields_on(UNITY, (8.0, 18.0)), UNITY) == set()
    avoiding = STX.model_copy(
        update={"gantry_avoided_deg": STX.gantry_avoided_deg.model_copy(update={"value": ((205.5, 206.0),)})}
    )
    found = machine_violations(ARCS, avoiding)  # no control point stands there, the second one passes it
    assert {v.limit for v in found} == {"gantry_avoided_deg"}
    assert {v.where for v in found} == {f"beam 'arc couch {c}', control point 2" for c in (0, 45)}


def test_collision_of_gantry_and_turned_table():
    assert limits_of(Delivery("s", "by hand", (arc(STX, couch=45.0, start=20.0, count=10),))) == {"collision_deg"}
    assert limits_of(Delivery("s", "by hand", (arc(STX, couch=45.0, start=200.0, count=10),))) == set()
    assert limits_of(Delivery("s", "by hand", (arc(STX, couch=90.0, start=20.0, count=10),))) == {"collision_deg"}
    assert limits_of(Delivery("s", "by hand", (arc(STX, couch=20.0, start=20.0, count=10),))) == set()
    # The first control point stands outside (185 deg) but its span reaches in; bounds are permitted.
    table = STX.delivery.collision_deg.value
    assert (20.0, 90.0, 10.0, 170.0) in table
    assert limits_of(Delivery("s", "by hand", (arc(STX, couch=45.0, start=172.0, count=10),))) == {"collision_deg"}
    assert limits_of(Delivery("s", "by hand", (arc(STX, couch=45.0, start=175.0, count=10),))) == set()


def test_a_fixed_collimator_and_a_machine_without_arcs():
    assert "collimator_deg" in limits_of(spoilt(FIELDS, 0, 0, collimator_deg=0.0), UNITY)
    static = replace(
        arc(UNITY), control_points=tuple(replace(p, collimator_deg=90.0) for p in arc(UNITY).control_points)
    )
    assert "arcs" in limits_of(Delivery("u", "by hand", (static,)), UNITY)


def test_what_must_rest_and_what_must_follow():
    assert limits_of(spoilt(FIELDS, 0, 1, gantry_deg=31.0), UNITY) == {"at_rest"}
    assert limits_of(spoilt(FIELDS, 0, 1, span_deg=2.0), UNITY) == {"at_rest"}
    assert limits_of(spoilt(ARCS, 0, 3, couch_deg=5.0)) == {"at_rest"}
    assert "gantry_order" in limits_of(spoilt(ARCS, 0, 3, gantry_deg=236.0))
    points = ARCS.beams[0].control_points
    swapped = replace(ARCS.beams[0], control_points=(*points[:3], points[4], points[3], *points[5:]))
    assert "gantry_order" in limits_of(replace(ARCS, beams=(swapped,)))
    assert "span_deg" in limits_of(spoilt(ARCS, 0, 3, span_deg=0.0))


def test_what_is_no_number():
    point = ARCS.beams[0].control_points[3]
    assert "finite_numbers" in limits_of(spoilt(ARCS, 0, 3, mu=float("nan")))
    assert "finite_numbers" in limits_of(spoilt(ARCS, 0, 3, **moved_leaf(point, "left_mm", 0, float("nan"))))


def test_leaves_of_another_machine_are_refused():
    with pytest.raises(ValueError, match="80"):
        machine_violations(FIELDS, STX)
    with pytest.raises(ValueError, match="point-6mv"):
        machine_violations(FIELDS, machine_named("point-6mv"))


def test_figures_of_apertures():
    point = ARCS.beams[0].control_points[0]
    assert area_mm2(point, STX) == pytest.approx(400.0)
    assert STX.leaf_borders_mm[[0, 30, 60]] == pytest.approx([-110.0, 0.0, 110.0])
    assert area_mm2(replace(point, jaw_y_mm=(-1.0, 3.0)), STX) == pytest.approx(80.0)
    wider = spoilt(ARCS, 0, 0, mu=340.0, jaw_y_mm=(-5.0, 5.0))
    figures = aperture_figures(replace(wider, fractions=2), STX, prescription_gy=9.6)
    assert (figures.beams, figures.control_points, figures.mu) == (2, 32, pytest.approx(480.0))
    assert figures.modulation_factor == pytest.approx(1.0)
    assert figures.aperture_cm2 == pytest.approx((340 * 2 + 620 * 4) / 960)


def test_time_of_arcs_by_hand():
    rules = library.load("timing", "standard", TimingRules)
    found = delivery_time(ARCS, STX, rules)
    # 160 deg at 6 deg/s; 20 MU in 10 deg are far below the dose rate; the leaves rest.
    assert found.beam_on_s == pytest.approx(2 * 160 / 6)
    # Between: gantry back from 355 to 195 deg (160 deg, 26.7 s) while the table turns 45 deg (15 s).
    assert found.total_s == pytest.approx(found.beam_on_s + 2 * 10 + 30 + 160 / 6)
    assert found.couch_kicks == 1 and found.leaf_paced_percent == 0
    # 300 MU in 10 deg: 1400 MU/min makes 12.9 s of it, shared by the halves to either side.
    busy = delivery_time(spoilt(ARCS, 0, 3, mu=300.0), STX, rules)
    assert busy.beam_on_s == pytest.approx(found.beam_on_s + 2 * (160 / 1400 * 60 - 10 / 6))
    point = ARCS.beams[0].control_points[3]
    travel = spoilt(ARCS, 0, 3, **moved_leaf(point, "right_mm", MIDDLE, float(point.right_mm[MIDDLE]) + 100.0))
    slowed = delivery_time(travel, STX, rules)
    assert slowed.beam_on_s == pytest.approx(found.beam_on_s + 2 * (4.0 - 10 / 6))
    assert slowed.leaf_paced_percent == pytest.approx(100 * 8 / slowed.beam_on_s)


def test_time_of_static_segments_by_hand():
    rules = library.load("timing", "standard", TimingRules)
    found = delivery_time(FIELDS, UNITY, rules)
    assert found.beam_on_s == pytest.approx(8 * 50 / 425 * 60)
    # 3 mm between the segments of a field and back between fields; the gantry turns 30 to 90, 180, then back to 270.
    leaves, gantry = 4 * (3 / 60 + 0.5), (60 + 90 + 90) / 6
    assert gantry_way_deg(180.0, 270.0) == 90.0 and gantry_way_deg(30.0, 330.0) == 60.0
    assert gantry_way_deg(170.0, 190.0) == 340.0
    assert found.total_s == pytest.approx(found.beam_on_s + leaves + 4 * 10 + gantry)
    fewer = delivery_time(replace(FIELDS, fractions=4), UNITY, rules)
    assert fewer.beam_on_s == pytest.approx(found.beam_on_s / 4)


def test_intervals_hold_all_of_an_arc():
    parts = intervals(ARCS.beams[0], 2)
    assert sum(part.gantry_deg for part in parts) == pytest.approx(160.0)
    assert sum(part.mu for part in parts) == pytest.approx(160.0)


def test_limits_of_organs_are_read_from_metrics():
    limits = metrics_module.limits_for(1)
    rows = [
        metrics_module.Metric("chiasm", "D0.035cc_gy_over_mandatory_limit", 0.5, "Gy"),
        metrics_module.Metric("chiasm", "D0.035cc_gy_over_optimal_limit", 2.5, "Gy"),
        metrics_module.Metric("brainstem", "D0.035cc_gy_over_mandatory_limit", -3.0, "Gy"),
        metrics_module.Metric("brain", "V12_cc_over_optimal_limit", 1.0, "cc"),
    ]
    found = clinical_violations(rows, limits)
    assert [(v.limit, v.where, v.value, v.allowed) for v in found] == [("D0.035cc_gy", "chiasm", 12.5, 12.0)]
    assert found[0].text == "chiasm: D0.035cc_gy is 12.5 Gy, mandatory limit 12"
    assert {v.where for v in clinical_violations(rows, limits, "optimal")} == {"chiasm", "brain"}


@pytest.mark.parametrize(("covered", "violated"), [(94.9, True), (95.0, False)])
def test_the_coverage_is_held_to_the_template(covered, violated):
    template = library.load("objectives", "srs-marginal", ObjectiveTemplate)
    found = template_violations([metrics_module.Metric("ptv", "V100_percent", covered, "%")], template, 20.0)
    assert [(v.limit, v.value, v.allowed) for v in found] == [("minimum_coverage_percent", covered, 95.0)] * violated


@pytest.mark.parametrize(("name", "percent"), [("srs-marginal", 145.0), ("srs-homogeneous", 110.0)])
def test_the_largest_dose_is_held_to_the_template(name, percent):
    template = library.load("objectives", name, ObjectiveTemplate)
    for above, violated in ((0.01, True), (0.0, False)):
        rows = [
            metrics_module.Metric("ptv", "Dmax_gy", 0.2 * (percent + above), "Gy"),
            metrics_module.Metric("brain", "Dmax_gy", 100.0, "Gy"),
        ]
        found = template_violations(rows, template, 20.0)
        assert [(v.limit, v.where, v.allowed) for v in found] == [("maximum_dose", "ptv", 0.2 * percent)] * violated
        assert all(name in v.text for v in found)
