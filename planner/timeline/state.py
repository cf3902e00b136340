"""Truth and belief: what is, what the planner saw, and what has been done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from phantoms.grid import Grid
from phantoms.patient import Anatomy, Epoch
from phantoms.volume import Volume
from planner.timeline.adaptation import Adapted
from planner.treatment.dose import Dose
from planner.treatment.plan import Plan


@dataclass(frozen=True)
class LogEntry:
    """One line of the timeline of a case.

    Attributes
    ----------
    day : float
        Days since surgery.
    step, label : str
    cavity_cc, residual_cc, tumour_cc : float or None
        True volumes on that day; None where the patient has no such structure then.
    """

    day: float
    step: str
    label: str
    cavity_cc: float | None
    residual_cc: float | None
    tumour_cc: float | None


@dataclass(frozen=True, eq=False)
class Session:
    """A plan, or its part of the fractions, delivered on the anatomy of one day.

    Attributes
    ----------
    day : float
    truth : Epoch
        The anatomy that received the dose.
    plan : Plan
        The plan as it was made.
    belief : Epoch
        What it was made on.
    given : Adapted
        What was delivered: the plan itself, or what was made of it to fit the day.
    dose : Dose
        Of all fractions of the plan, computed on the truth of this day; see `Course`.
    """

    day: float
    truth: Epoch
    plan: Plan
    belief: Epoch
    given: Adapted
    dose: Dose


@dataclass(frozen=True, eq=False)
class Course:
    """The sessions of one plan: its fractions are shared out evenly among them.

    Attributes
    ----------
    sessions : tuple of Session
        In order of time; at least one.
    """

    sessions: tuple[Session, ...]

    @property
    def plan(self) -> Plan:
        """The plan as it was made."""
        return self.sessions[0].plan

    @property
    def given(self) -> Plan:
        """The plan as it was delivered last: on its targets the delivered dose is told."""
        return self.sessions[-1].given.plan

    @property
    def belief(self) -> Epoch:
        """What the plan was made on."""
        return self.sessions[0].belief

    @property
    def truth(self) -> Epoch:
        """The anatomy of the last day, on which the dose is told."""
        return self.sessions[-1].truth

    @property
    def days(self) -> tuple[float, ...]:
        """Days of the sessions."""
        return tuple(session.day for session in self.sessions)

    @cached_property
    def dose(self) -> Dose:
        """Dose of the whole course: the mean of the sessions, each of which gives its part of the fractions.

        Doses are added in patient coordinates, aligned on the skull: tissue is not followed as it deforms. Statistical
        uncertainties are averaged like the doses, an upper bound: an engine may draw the same histories every day.
        """
        doses = [session.dose for session in self.sessions]
        last = doses[-1]
        if len(doses) == 1:
            return last
        known = [dose.deviation for dose in doses if dose.deviation is not None]
        return replace(
            last,
            volume=_mean([dose.volume for dose in doses], len(doses), last.volume.grid),
            field_ignored=any(dose.field_ignored for dose in doses),
            uncertainty=float(np.mean([dose.uncertainty for dose in doses])),
            deviation=_mean(known, len(doses), last.volume.grid) if known else None,
        )


def _mean(volumes: Sequence[Volume], count: int, grid: Grid) -> Volume:
    """Return the sum of volumes over `count`, on a grid."""
    total = np.sum([volume.on(grid).data for volume in volumes], axis=0) / count
    return Volume(grid, total.astype(np.float32), volumes[0].quantity)


@dataclass(frozen=True, eq=False)
class State:
    """Where a case stands.

    Attributes
    ----------
    day : float
        Days since surgery.
    anatomy : Anatomy
        The truth, of any day.
    truth : Epoch or None
        The anatomy of the day that was looked at last.
    belief : Epoch or None
        What the planner saw last: images, density and contours as the observer drew them.
    plan : Plan or None
    planned_on : Epoch or None
        What the plan was made on: belief may have moved on since.
    sessions : tuple of Session
    log : tuple of LogEntry
    """

    day: float
    anatomy: Anatomy
    truth: Epoch | None = None
    belief: Epoch | None = None
    plan: Plan | None = None
    planned_on: Epoch | None = None
    sessions: tuple[Session, ...] = ()
    log: tuple[LogEntry, ...] = ()

    def logged(self, step: str, label: str, truth: Epoch) -> "State":
        """Return the state with one more line in its log, the volumes taken from `truth`."""
        volumes = {
            name: round(truth.structures[name].volume_cc, 6) if name in truth.structures else None
            for name in ("cavity", "residual", "tumour")
        }
        entry = LogEntry(self.day, step, label or step, volumes["cavity"], volumes["residual"], volumes["tumour"])
        return replace(self, log=(*self.log, entry))

    @property
    def courses(self) -> tuple[Course, ...]:
        """The sessions by plan, in order of time."""
        plans = {id(session.plan): None for session in self.sessions}
        return tuple(Course(tuple(s for s in self.sessions if id(s.plan) == plan)) for plan in plans)

    def done(self, step: str) -> int:
        """Return how many steps of a kind lie in the log."""
        return sum(entry.step == step for entry in self.log)
