"""Arcs between their control points, against a walk along the arc and by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hand_made import arc, arcs_on, fields_on, machine_named
from oracles_delivery import as_it_turns

from planner.evaluate.deliverability import machine_violations
from planner.treatment.delivery import Delivery
from planner.treatment.turning import Passage, turning

STX = machine_named("truebeam-stx")
MIDDLE = len(STX.leaf_width_mm.value) // 2


def uneven(seed=0, sense=1):
    """An arc of control points of unequal spans, monitor units and openings."""
    random = np.random.default_rng(seed)
    span = random.uniform(3.0, 11.0, 9)
    at = 300.0 + sense * np.concatenate([[0.0], np.cumsum((span[1:] + span[:-1]) / 2)])
    points = tuple(
        replace(p, gantry_deg=float(g % 360), span_deg=float(s), mu=float(m), left_mm=p.left_mm - d, jaw_y_mm=(-d, 8.0))
        for p, g, s, m, d in zip(
            arc(STX, count=9).control_points, at, span, random.uniform(1, 30, 9), random.uniform(0, 9, 9), strict=True
        )
    )
    return Delivery("truebeam-stx", "by hand", (replace(arc(STX), control_points=points),))


def mean_by_sector(delivery, name):
    """Monitor-unit weighted mean of a number of an arc over its halves."""
    points = delivery.beams[0].control_points
    mu = np.array([p.mu for p in points])
    return float(mu @ np.array([np.sum(getattr(p, name)) for p in points]) / mu.sum())


@pytest.mark.parametrize("sense", [1, -1])
@pytest.mark.parametrize("name", ["left_mm", "right_mm", "jaw_y_mm"])
def test_the_same_as_walking_along_the_arc(sense, name):
    plan = uneven(sense=sense)
    ours, walked = turning(plan, 0.2), as_it_turns(plan, 0.2)
    assert mean_by_sector(ours, name) == pytest.approx(mean_by_sector(walked, name), rel=1e-4, abs=1e-4)
    one, other = (np.array([p.gantry_deg for p in d.beams[0].control_points]) for d in (ours, walked))
    assert np.abs((one[0] - other[0] + 180) % 360 - 180) < 0.2
    assert np.abs((one[-1] - other[-1] + 180) % 360 - 180) < 0.2


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


def test_leaves_and_monitor_units_of_a_turning_arc_move_evenly():
    wide, narrow = arc(STX, count=2, half_mm=10.0), arc(STX, count=2, half_mm=20.0)
    more = replace(narrow.control_points[1], mu=60.0)
    mixed = replace(wide, control_points=(wide.control_points[0], more))
    found = turning(Delivery("truebeam-stx", "by hand", (mixed,)), 5.0).beams[0].control_points
    # Middles at 0 and 10 degrees: the parts stand at -2.5, 2.5, 7.5 and 12.5, half of 20 and 60 MU between middles.
    np.testing.assert_allclose([p.right_mm[MIDDLE] for p in found], [10.0, 12.5, 17.5, 20.0])
    np.testing.assert_allclose([p.jaw_y_mm[1] for p in found], [10.0, 12.5, 17.5, 20.0])
    np.testing.assert_allclose([p.mu for p in found], [10.0, 20.0, 20.0, 30.0])
    backwards = replace(mixed, control_points=mixed.control_points[::-1])
    other = turning(Delivery("truebeam-stx", "by hand", (backwards,)), 5.0).beams[0].control_points
    np.testing.assert_allclose([p.gantry_deg for p in other], [p.gantry_deg for p in found][::-1])
    np.testing.assert_allclose([p.right_mm[MIDDLE] for p in other], [20.0, 17.5, 12.5, 10.0])


def test_a_passage_is_linear_and_complete():
    parts = Passage.of(np.array([4.0, 8.0, 6.0]), 1.5)
    np.testing.assert_allclose(parts.tips.sum(axis=1), 1.0)
    np.testing.assert_allclose(parts.mu.sum(axis=0), 1.0)
    assert parts.span_deg.sum() == pytest.approx(18.0)
    assert parts.span_deg.max() <= 1.5
    np.testing.assert_allclose(parts.way_deg[1:] - parts.way_deg[:-1], (parts.span_deg[1:] + parts.span_deg[:-1]) / 2)
    still = Passage.at_rest(3)
    assert still.tips.shape == still.mu.shape == (3, 3)
    both = Passage.joined([parts, still])
    assert both.tips.shape == (len(parts.way_deg) + 3, 6)
