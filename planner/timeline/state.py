"""Truth and belief: what is, what the planner saw, and what has been done."""

from dataclasses import dataclass, replace

from phantoms.patient import Anatomy, Epoch
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
    dose : Dose
        Computed on the truth.
    """

    day: float
    truth: Epoch
    plan: Plan
    dose: Dose


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
    deliveries : tuple of Delivery
    log : tuple of LogEntry
    """

    day: float
    anatomy: Anatomy
    truth: Epoch | None = None
    belief: Epoch | None = None
    plan: Plan | None = None
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

    def done(self, step: str) -> int:
        """Return how many steps of a kind lie in the log."""
        return sum(entry.step == step for entry in self.log)
