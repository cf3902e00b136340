"""Truth and belief: what is, what the planner saw, and what has been done."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from phantoms.patient import Anatomy, Epoch
from phantoms.volume import Volume
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
class Delivery:
    """A plan delivered on the anatomy of the day.

    Attributes
    ----------
    day : float
    truth : Epoch
        The anatomy that received the dose.
    plan : Plan
    belief : Epoch
        What the plan was made on.
    dose : Dose
        Of all fractions of the plan, computed on the truth of this day; see `Course`.
    """

    day: float
    truth: Epoch
    plan: Plan
    belief: Epoch
    dose: Dose


@dataclass(frozen=True, eq=False)
class Course:
    """The deliveries of one plan: its fractions are shared out evenly among them.

    Attributes
    ----------
    deliveries : tuple of Delivery
        In order of time; at least one.
    """

    deliveries: tuple[Delivery, ...]

    @property
    def plan(self) -> Plan:
        """The plan that was delivered."""
        return self.deliveries[0].plan

    @property
    def belief(self) -> Epoch:
        """What the plan was made on."""
        return self.deliveries[0].belief

    @property
    def truth(self) -> Epoch:
        """The anatomy of the last day, on which the dose is told."""
        return self.deliveries[-1].truth

    @property
    def days(self) -> tuple[float, ...]:
        """Days of the deliveries."""
        return tuple(delivery.day for delivery in self.deliveries)

    @cached_property
    def dose(self) -> Dose:
        """Dose of the whole course: the mean of the deliveries, each of which gives its part of the fractions.

        Doses are added in patient coordinates, aligned on the skull: tissue is not followed as it deforms.
        """
        last, count = self.deliveries[-1].dose, len(self.deliveries)
        if count == 1:
            return last
        grid = last.volume.grid
        total = np.sum([delivery.dose.volume.on(grid).data for delivery in self.deliveries], axis=0) / count
        return replace(
            last,
            volume=Volume(grid, total.astype(np.float32), last.volume.quantity),
            field_ignored=any(delivery.dose.field_ignored for delivery in self.deliveries),
            uncertainty=float(np.linalg.norm([delivery.dose.uncertainty for delivery in self.deliveries])) / count,
        )


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
    deliveries : tuple of Delivery
    log : tuple of LogEntry
    """

    day: float
    anatomy: Anatomy
    truth: Epoch | None = None
    belief: Epoch | None = None
    plan: Plan | None = None
    planned_on: Epoch | None = None
    deliveries: tuple[Delivery, ...] = ()
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
        """The deliveries by plan, in order of time."""
        plans = {id(delivery.plan): None for delivery in self.deliveries}
        return tuple(Course(tuple(d for d in self.deliveries if id(d.plan) == plan)) for plan in plans)

    def done(self, step: str) -> int:
        """Return how many steps of a kind lie in the log."""
        return sum(entry.step == step for entry in self.log)
