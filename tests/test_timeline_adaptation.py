"""Plans adapted to the image of a session: moved by what was drawn, or made again; never by what is true."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from ball_patients import BallAnatomy, ball
from hand_made import fields_on, machine_named
from test_timeline import Physicist, after, on, strategy

from phantoms.structure import Role
from phantoms.volume import Quantity, Volume
from planner.engines.registry import engine_named
from planner.timeline.adaptation import moved
from planner.timeline.run import follow
from planner.treatment.beam_list import delivered_beams
from planner.treatment.errors import InputError
from planner.treatment.plan import Plan
from planner.treatment.prescription import Prescription

SHIFT = np.array([4.0, -8.0, 12.0])
SESSION = {"same_session": True}


@dataclass
class Drawing(Physicist):
    """Draws a ball `drawn_mm` further along x with every image, wherever the cavity truly is."""

    drawn_mm: float = 4.0
    asked: list = field(default_factory=list)

    def contoured(self, truth, occurrence):
        drawn = ball("cavity", Role.TARGET, truth.grid, (10.0 + self.drawn_mm * occurrence, 0.0, 0.0), 12.0)
        return replace(truth, structures={"external": truth.structures["external"], "cavity": drawn})

    def plan_on(self, belief):
        plan = super().plan_on(belief)
        return replace(plan, targets={"gtv": belief.structures["cavity"]}, beams=water_plan().beams)

    def replan_on(self, belief, reference):
        self.asked.append(belief.day)
        return replace(self.plan_on(belief), prescription=reference.prescription)


def fractions(adapt, count=3):
    days = (step for _ in range(count) for step in (after("image", 2.0), {"step": "treat", **SESSION, "adapt": adapt}))
    return strategy(on("image", 1.0), {"step": "plan"}, *days)


def water_plan() -> Plan:
    """Return a plan of four fields on a ball of water, with apertures."""
    machine, delivery = machine_named("truebeam-stx"), fields_on(machine_named("truebeam-stx"))
    made = delivered_beams(delivery, machine)
    beams, weights = tuple(m.beam for m in made), tuple(m.weights for m in made)
    epoch = BallAnatomy().epoch(0.0, images=False)
    dose = engine_named("pencil").dose(epoch.volumes["density"], beams, weights, machine, ignore_field=False)
    targets = {"gtv": epoch.structures["cavity"]}
    return Plan(0.0, "m", "t", Prescription(20.0, 1, "r", ""), targets, beams, weights, dose, {}, delivery)


def test_a_moved_plan_gives_the_moved_dose_in_a_moved_patient():
    plan = water_plan()
    there = moved(plan, SHIFT)
    density = BallAnatomy().epoch(0.0, images=False).volumes["density"]
    grid = replace(density.grid, origin_mm=tuple(np.asarray(density.grid.origin_mm) + SHIFT))
    patient = Volume(grid, density.data, Quantity.DENSITY)
    stx = machine_named("truebeam-stx")
    dose = engine_named("pencil").dose(patient, there.beams, there.weights, stx, ignore_field=False)
    assert there.dose.volume.grid == grid
    np.testing.assert_allclose(
        dose.volume.data, there.dose.volume.data, rtol=2e-5, atol=1e-6 * plan.dose.volume.data.max()
    )


def test_a_plan_moves_as_a_whole_and_back():
    plan = water_plan()
    there = moved(plan, SHIFT)
    for one, other in zip(plan.delivery.beams, there.delivery.beams, strict=True):
        np.testing.assert_allclose(np.subtract(other.isocentre_mm, one.isocentre_mm), SHIFT)
        assert other.control_points is one.control_points
    np.testing.assert_allclose(there.targets["gtv"].centroid_mm - plan.targets["gtv"].centroid_mm, SHIFT)
    back = moved(there, -SHIFT)
    assert [beam.isocentre_mm for beam in back.beams] == [beam.isocentre_mm for beam in plan.beams]


def test_position_follows_the_drawn_target_of_the_day_and_not_the_true_one():
    state = follow(fractions("position"), BallAnatomy(), Drawing())
    (course,) = state.courses
    shifts = [session.given.shift_mm for session in course.sessions]
    np.testing.assert_allclose(shifts, [[4.0 * n, 0.0, 0.0] for n in (1, 2, 3)], atol=1e-6)
    # Each fraction moves the reference plan, not the one of the day before.
    assert {id(session.plan) for session in course.sessions} == {id(course.plan)}
    assert [entry.label for entry in state.log if entry.step == "treat"] == [
        "treat, moved by 4.0 mm", "treat, moved by 8.0 mm", "treat, moved by 12.0 mm"
    ]  # fmt: skip


def test_shape_plans_again_on_the_image_of_each_day_with_the_prescription_of_the_reference():
    practice = Drawing()
    (course,) = follow(fractions("shape"), BallAnatomy(), practice).courses
    assert practice.asked == [3.0, 5.0, 7.0]
    assert [session.given.planned_on.day for session in course.sessions] == [3.0, 5.0, 7.0]
    assert {session.given.plan.prescription for session in course.sessions} == {course.plan.prescription}
    assert course.given.day == 7.0 and course.plan.day == 1.0
    # In the session the matter is that which it was planned on: the dose is that of the day's plan.
    np.testing.assert_allclose(course.dose.volume.data, (3.0 + 5.0 + 7.0) / 3)


def test_without_adaptation_the_plan_is_delivered_as_it_is():
    (course,) = follow(fractions("none"), BallAnatomy(), Drawing()).courses
    assert all(session.given.plan is course.plan and not session.given.shift_mm.any() for session in course.sessions)


@pytest.mark.parametrize("adapt", ["position", "shape"])
def test_a_plan_of_the_same_image_needs_no_adaptation(adapt):
    practice = Drawing()
    steps = (on("image", 2.0), {"step": "plan", **SESSION}, {"step": "treat", **SESSION, "adapt": adapt})
    (session,) = follow(strategy(*steps), BallAnatomy(), practice).sessions
    assert session.given.plan is session.plan and practice.asked == []
    assert session.dose is session.plan.dose


def test_adapting_needs_the_image_of_the_session():
    with pytest.raises(InputError, match="adapts needs same_session"):
        strategy(on("image", 1.0), {"step": "plan"}, after("treat", 1.0, adapt="position"))
    with pytest.raises(InputError, match="adapt"):
        strategy(on("image", 1.0), {"step": "plan"}, {"step": "treat", **SESSION, "adapt": "somehow"})
