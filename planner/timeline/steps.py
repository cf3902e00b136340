"""The steps of a strategy: each takes the state and returns the next one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from phantoms.patient import Epoch
from planner.timeline.adaptation import adapted
from planner.timeline.state import Session, State
from planner.timeline.strategy import Recur, Step
from planner.treatment.dose import Dose
from planner.treatment.errors import PlanningError
from planner.treatment.plan import Plan


class Practice(Protocol):
    """The people and machines of a strategy: who draws, who plans, what irradiates."""

    def day_of(self, step: Step, state: State) -> float:
        """Return the day on which a step of this patient happens."""
        ...

    def contoured(self, truth: Epoch, occurrence: int) -> Epoch:
        """Return what an observer draws on the images of `truth`, the anatomy as the planner will believe it."""
        ...

    def plan_on(self, belief: Epoch) -> Plan:
        """Return a plan made on what the planner believes."""
        ...

    def replan_on(self, belief: Epoch, reference: Plan) -> Plan:
        """Return a plan on what the planner believes now, of the prescription of an older plan."""
        ...

    def dose_on(self, truth: Epoch, plan: Plan) -> Dose:
        """Return the dose that a plan delivers to the anatomy of the day."""
        ...


def _truth(state: State, *, images: bool = False) -> Epoch:
    """Return the anatomy of the day, with its MR volumes if they are needed and were not made yet."""
    known = state.truth
    if known is not None and known.day == state.day and (not images or len(known.volumes) > 1):
        return known
    return state.anatomy.epoch(state.day, images=images)


def _pass(state: State, step: Any, practice: Practice) -> State:
    """Surgery, a visit or a wait: the day is reached and its volumes are recorded."""
    truth = _truth(state)
    return replace(state, truth=truth).logged(step.step, step.label, truth)


def image(state: State, step: Any, practice: Practice) -> State:
    """Take images: belief becomes the anatomy of the day as the observer draws it."""
    truth = _truth(state, images=True)
    belief = practice.contoured(truth, state.done("image"))
    return replace(state, truth=truth, belief=belief).logged(step.step, step.label, truth)


def plan(state: State, step: Any, practice: Practice) -> State:
    """Plan on belief."""
    if state.belief is None:
        raise PlanningError("there is nothing to plan on: no image was taken")
    _same_session(state, step)
    truth = _truth(state)
    made = replace(state, truth=truth, plan=practice.plan_on(state.belief), planned_on=state.belief)
    return made.logged(step.step, step.label, truth)


def treat(state: State, step: Any, practice: Practice) -> State:
    """Deliver the plan, adapted to the image of the day where the step says so, on truth.

    The dose is computed again, unless the matter is that which it was planned on.
    """
    if state.plan is None or state.planned_on is None or state.belief is None:
        raise PlanningError("there is nothing to deliver: no plan was made")
    _same_session(state, step)
    truth = _truth(state, images=True)
    given = adapted(step.adapt, (state.plan, state.planned_on), state.belief, practice)
    unchanged = truth.volumes["density"] is given.density
    dose = given.plan.dose if unchanged else practice.dose_on(truth, given.plan)
    session = Session(state.day, truth, state.plan, state.planned_on, given, dose)
    done = replace(state, truth=truth, sessions=(*state.sessions, session))
    return done.logged(step.step, ", ".join(filter(None, (step.label or step.step, given.told))), truth)


def recur(state: State, step: Recur, practice: Practice) -> State:
    """See the patient every so often until the residual tumour has reached a size, or until the last visit."""
    while True:
        truth = _truth(state)
        residual = truth.structures.get("residual")
        grown = residual is not None and residual.volume_cc >= step.volume_cc.value
        if grown or state.day + step.every_days.value > step.until_day.value:
            label = step.label or ("recurrence" if grown else "no recurrence")
            return replace(state, truth=truth).logged(step.step, label, truth)
        state = replace(state, day=state.day + step.every_days.value)


def _same_session(state: State, step: Any) -> None:
    if step.same_session and (state.belief is None or state.belief.day != state.day):
        raise PlanningError(f"a '{step.step}' step in the same session needs an image of the same day")


STEPS: Mapping[str, Callable[[State, Any, Practice], State]] = {
    "resect": _pass,
    "image": image,
    "plan": plan,
    "treat": treat,
    "wait": _pass,
    "recur": recur,
    "follow": _pass,
}
