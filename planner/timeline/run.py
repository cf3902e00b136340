"""The one loop: the steps of a strategy, folded over the state of a patient."""

from collections.abc import Callable
from dataclasses import replace

from phantoms.patient import Anatomy
from planner.timeline.state import State
from planner.timeline.steps import STEPS, Practice
from planner.timeline.strategy import Strategy


def follow(
    strategy: Strategy,
    anatomy: Anatomy,
    practice: Practice,
    tell: Callable[[str], None] = lambda step: None,
) -> State:
    """Return the state after the last step of a strategy.

    Parameters
    ----------
    strategy : Strategy
    anatomy : Anatomy
        The patient as it truly is, on any day.
    practice : Practice
    tell : callable
        Is called with the kind of each step before it happens.

    Raises
    ------
    PlanningError
        If a plan cannot be made, or a session is not on the day of its image.
    """
    state = State(day=0.0, anatomy=anatomy)
    for step in strategy.steps:
        tell(step.step)
        state = replace(state, day=practice.day_of(step, state))
        state = STEPS[step.step](state, step, practice)
    return state
