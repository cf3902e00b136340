"""Steps, the loop, and what a strategy file may say."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ball_patients import BallAnatomy

from phantoms.volume import Quantity, Volume
from planner import library
from planner.study.compute import phases_of
from planner.timeline.arm import load_arm
from planner.timeline.draws import drawn_day, generator
from planner.timeline.run import follow
from planner.timeline.strategy import Strategy
from planner.treatment.dose import Dose
from planner.treatment.errors import InputError, PlanningError
from planner.treatment.plan import Plan
from planner.treatment.prescription import Prescription

ROOT = Path(__file__).resolve().parent.parent
SAID = {"source": "test", "status": "assumed"}


def strategy(*steps, **other):
    named = dict.fromkeys(("name", "title", "machine", "technique", "objectives", "prescription", "margins"), "x")
    return library.parse(Strategy, {**named, "steps": list(steps), **other}, "strategy.toml")


def on(step, day, **other):
    return {"step": step, "day": {"value": day, **SAID}, **other}


def after(step, days, **other):
    return {"step": step, "after_days": {"value": days, **SAID}, **other}


@dataclass
class Diary:
    """A practice that writes down what it was asked: plans and doses are words."""

    days: dict = field(default_factory=dict)

    def day_of(self, step, state):
        if step.day is not None:
            return step.day.value[0]
        return state.day + (step.after_days.value[1] if step.after_days else 0)

    def contoured(self, truth, occurrence):
        return truth

    def plan_on(self, belief):
        return SimpleNamespace(belief=belief, dose=("planned on", belief))

    def dose_on(self, truth, plan):
        return ("dose on", truth, plan)


def test_plans_on_belief_and_delivers_on_truth():
    arm = strategy(on("resect", 0.0), on("image", 1.0), {"step": "plan"}, after("treat", 4.0))
    state = follow(arm, BallAnatomy(), Diary())
    (session,) = state.sessions
    assert state.plan.belief.day == 1.0
    assert session.day == session.truth.day == 5.0
    assert session.dose == ("dose on", session.truth, state.plan)
    assert session.truth.structures["cavity"].volume_cc < state.belief.structures["cavity"].volume_cc


def test_log_tells_the_true_volumes_of_each_day():
    state = follow(
        strategy(on("resect", 0.0), on("image", 1.0), {"step": "plan"}, after("treat", 4.0)), BallAnatomy(), Diary()
    )
    assert [(entry.step, entry.day) for entry in state.log] == [("resect", 0), ("image", 1), ("plan", 1), ("treat", 5)]
    for entry in state.log:
        truth = BallAnatomy().epoch(entry.day)
        assert entry.cavity_cc == pytest.approx(truth.structures["cavity"].volume_cc, abs=1e-6)
        assert entry.tumour_cc is None


def test_a_session_makes_the_anatomy_once():
    anatomy = BallAnatomy()
    same = {"same_session": True}
    follow(strategy(on("image", 2.0), {"step": "plan", **same}, {"step": "treat", **same}), anatomy, Diary())
    assert anatomy.asked == [(2.0, True)]


def test_a_session_delivers_the_dose_that_it_planned():
    same = {"same_session": True}
    steps = (on("image", 2.0), {"step": "plan", **same}, {"step": "treat", **same})
    (session,) = follow(strategy(*steps), BallAnatomy(), Diary()).sessions
    assert session.dose == session.plan.dose


@dataclass
class Physicist(Diary):
    """A practice whose doses are volumes: the dose of a day is the day's number everywhere."""

    def plan_on(self, belief):
        return Plan(belief.day, "m", "t", Prescription(27.0, 3, "r", ""), {}, (), (), self.dose_on(belief, None), {})

    def dose_on(self, truth, plan):
        everywhere = np.full(truth.grid.shape, truth.day, np.float32)
        volume = Volume(truth.grid, everywhere, Quantity.DOSE)
        return Dose(volume, "e", False, 0.01, Volume(truth.grid, 0.01 * everywhere, Quantity.DOSE))


def test_fractions_on_several_days_are_added_on_the_truth_of_the_last():
    arm = strategy(on("image", 1.0), {"step": "plan"}, on("treat", 2.0), after("treat", 1.0), after("treat", 4.0))
    state = follow(arm, BallAnatomy(), Physicist())
    (course,) = state.courses
    assert course.days == (2.0, 3.0, 7.0)
    assert course.truth.day == 7.0 and course.belief.day == 1.0
    # A third of the plan each day.
    np.testing.assert_allclose(course.dose.volume.data, (2.0 + 3.0 + 7.0) / 3, rtol=1e-6)
    # The days may share their histories, so that their noise need not average out.
    assert course.dose.uncertainty == pytest.approx(0.01)
    assert course.dose.deviation is not None
    np.testing.assert_allclose(course.dose.deviation.data, 0.04, rtol=1e-6)
    single = follow(strategy(on("image", 1.0), {"step": "plan"}, on("treat", 2.0)), BallAnatomy(), Physicist())
    assert single.courses[0].dose is single.sessions[0].dose


def test_every_plan_is_a_course_of_its_own_and_keeps_its_belief():
    again = (on("image", 5.0), {"step": "plan"}, on("image", 6.0), after("treat", 1.0))
    arm = strategy(on("image", 1.0), {"step": "plan"}, on("treat", 2.0), after("treat", 1.0), *again)
    courses = follow(arm, BallAnatomy(), Physicist()).courses
    assert [course.days for course in courses] == [(2.0, 3.0), (7.0,)]
    # An image after the plan moves belief, but not what the plan was made on.
    assert [course.belief.day for course in courses] == [course.plan.day for course in courses] == [1.0, 5.0]
    assert [(p.name, p.anatomy.day) for p in phases_of(courses)] == [
        ("planned", 1.0), ("delivered", 3.0), ("planned_2", 5.0), ("delivered_2", 7.0)
    ]  # fmt: skip


FRACTIONATED = """
name = "fractionated"
title = "t"
machine = "elekta-unity"
technique = "coplanar-imrt"
objectives = "srs-marginal"
prescription = "{prescription}"
margins = "ptv-2"
[[steps]]
step = "image"
day = {{ value = 1.0, source = "test", status = "assumed" }}
[[steps]]
step = "plan"
"""
TREAT = """
[[steps]]
step = "treat"
after_days = { value = 1.0, source = "test", status = "assumed" }
"""


@pytest.mark.parametrize(
    ("prescription", "steps", "sound"),
    [("hypofractionated-27-3", 3, True), ("hypofractionated-27-3", 1, True), ("hypofractionated-27-3", 2, False),
     ("n107c", 2, False)],
)  # fmt: skip
def test_fractions_must_be_shared_evenly(tmp_path, prescription, steps, sound):
    (tmp_path / "own.toml").write_text(FRACTIONATED.format(prescription=prescription) + steps * TREAT)
    if sound:
        assert load_arm("own.toml", tmp_path / "study.toml", "study.strategies.0").name == "fractionated"
        return
    with pytest.raises(InputError, match=r"own\.toml: steps: 2 'treat' steps .*evenly"):
        load_arm("own.toml", tmp_path / "study.toml", "study.strategies.0")


def test_a_session_is_one_day():
    arm = strategy(on("image", 2.0), {"step": "plan"}, after("wait", 1.0), {"step": "treat", "same_session": True})
    with pytest.raises(PlanningError, match="same session"):
        follow(arm, BallAnatomy(), Diary())


def test_treatment_before_surgery():
    arm = strategy(on("image", -3.0), {"step": "plan"}, after("treat", 2.0), on("resect", 0.0), after("follow", 30.0))
    state = follow(arm, BallAnatomy(), Diary())
    assert state.sessions[0].truth.structures.keys() >= {"tumour"}
    assert [entry.cavity_cc is None for entry in state.log] == [True, True, True, False, False]


def recurrence(volume_cc, until):
    said = {
        key: {"value": value, **SAID}
        for key, value in (("volume_cc", volume_cc), ("every_days", 30.0), ("until_day", until))
    }
    return strategy(on("image", 0.0), {"step": "plan"}, {"step": "treat"}, {"step": "recur", **said})


def test_recurrence_is_called_at_the_first_visit_with_the_volume():
    # 4 mm x 2^(day / 90): 0.268 cc grows to 1 cc (radius 6.2 mm) by day 57, so the visit of day 60 sees it.
    last = follow(recurrence(1.0, 365.0), BallAnatomy(spacing_mm=2.0), Diary()).log[-1]
    assert (last.day, last.label) == (60.0, "recurrence")
    assert last.residual_cc > 1.0
    last = follow(recurrence(1.0, 45.0), BallAnatomy(spacing_mm=2.0), Diary()).log[-1]
    assert (last.day, last.label) == (30.0, "no recurrence")


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([on("plan", 0.0), on("treat", 1.0)], "needs 'image' before it"),
        ([on("image", 0.0), on("treat", 1.0)], "needs 'plan' before it"),
        ([on("image", 0.0)], "needs a 'treat' step"),
        ([{"step": "image"}, {"step": "plan"}, {"step": "treat"}], "first step needs a 'day'"),
        ([on("resect", 2.0), on("image", 3.0), {"step": "plan"}, {"step": "treat"}], "day = 0"),
        ([on("image", [1.0, 9.0]), {"step": "plan"}, on("treat", [5.0, 8.0])], "could come before"),
        ([on("image", 3.0), {"step": "plan"}, after("treat", 2.0), on("follow", 4.0)], "could come before"),
        ([on("image", [5.0, 1.0]), {"step": "plan"}, {"step": "treat"}], "low, high"),
        ([on("image", 0.0), {"step": "plan"}, after("treat", -2.0)], "negative"),
        ([on("image", 0.0), {"step": "plan"}, after("treat", 2.0, same_session=True)], "same session"),
        ([{**on("image", 0.0), **after("image", 2.0)}, {"step": "plan"}, {"step": "treat"}], "not both"),
        ([on("imagine", 0.0)], "imagine"),
        ([on("image", float("nan")), {"step": "plan"}, {"step": "treat"}], "finite"),
        ([{"step": "image", "day": {"value": 0.0}}], "source"),
    ],
)
def test_impossible_strategies_are_refused_with_a_reason(steps, told):
    with pytest.raises(InputError) as raised:
        strategy(*steps)
    assert told in str(raised.value)
    assert raised.value.source == "strategy.toml"


def test_library_strategies_parse_and_say_where_days_come_from():
    for name in library.names("strategies"):
        loaded = library.load("strategies", name, Strategy)
        assert loaded.name == name
        assert all(row["source"] for row in library.constants(loaded))


def test_no_code_names_a_strategy():
    names = "|".join(library.names("strategies"))
    for room in ("kernels", "phantoms", "planner"):
        for file in (ROOT / room).rglob("*.py"):
            found = re.findall(rf"[\"'](?:{names})[\"']", file.read_text(encoding="utf-8"))
            assert not found, f"{file} names {found}: an arm is data, not code"


def test_days_are_drawn_evenly_over_whole_days_and_bounds_are_reached():
    days = [drawn_day((14.0, 28.0), generator(1, patient, "day of image")) for patient in range(3000)]
    counts = np.bincount(np.array(days, int), minlength=29)[14:]
    assert set(days) <= set(range(14, 29))
    # 15 days, 200 expected in each: 5 standard deviations.
    assert abs(counts - 200).max() < 5 * np.sqrt(200 * 14 / 15)
    assert drawn_day((3.0, 3.0), generator(1, 0, "day of treat")) == 3.0


def test_streams_depend_on_patient_purpose_and_occurrence_only():
    def draw(*key):
        return generator(*key).random()

    assert draw(7, 3, "observer", 0) == draw(7, 3, "observer", 0)
    others = [draw(8, 3, "observer", 0), draw(7, 4, "observer", 0), draw(7, 3, "day", 0), draw(7, 3, "observer", 1)]
    assert len({draw(7, 3, "observer", 0), *others}) == 5
