"""A strategy (an arm of a study) as data: which machine, which margins, and the steps in time.

Days count from surgery, which is day 0. A step happens on a ``day``, or ``after_days`` from the step before it, or,
without either, on the same day. A pair ``[low, high]`` is drawn for each patient, uniformly over whole days; patients
keep their draw when strategies are added or removed (``planner.timeline.draws``).
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from planner.treatment.constant import Constant, Frozen
from planner.treatment.scenario import Robust


def _as_range(days: object) -> object:
    if isinstance(days, list):
        return tuple(days)
    return (days, days) if isinstance(days, int | float) else days


Days = Annotated[tuple[float, float], BeforeValidator(_as_range)]
"""The lowest and the highest day; a single day in a file is both."""

Adaptation = Literal["none", "position", "shape"]
"""How a plan is made to fit the image of a session; see `planner.timeline.adaptation`."""


class _Step(Frozen):
    """What all steps share.

    Attributes
    ----------
    day : Constant of (low, high), optional
        Days since surgery.
    after_days : Constant of (low, high), optional
        Days since the step before.
    label : str
        Words for the timeline in the report.
    """

    day: Constant[Days] | None = None
    after_days: Constant[Days] | None = None
    label: str = ""

    @model_validator(mode="after")
    def _one_date(self) -> "_Step":
        if self.day is not None and self.after_days is not None:
            raise ValueError("give either 'day' or 'after_days', not both")
        for days in (self.day, self.after_days):
            if days is not None and days.value[0] > days.value[1]:
                raise ValueError(f"a range of days must be [low, high], got {list(days.value)}")
        if self.after_days is not None and self.after_days.value[0] < 0:
            raise ValueError("'after_days' must not be negative")
        return self


class Resect(_Step):
    """Surgery: the day from which days count."""

    step: Literal["resect"]


class Image(_Step):
    """MRI: from now on the planner believes the anatomy of this day, as the observer draws it."""

    step: Literal["image"]


class PlanStep(_Step):
    """Planning on what was imaged last."""

    step: Literal["plan"]
    same_session: bool = False


class Treat(_Step):
    """Delivery of the plan on the anatomy of the day.

    One step delivers all fractions of the plan; several steps after one plan share them evenly.

    Attributes
    ----------
    same_session : bool
        The patient has stayed on the table since the image: no date may be given.
    adapt : str
        To the image of the session: ``none``, ``position`` (the plan is moved by what the centre of mass of the target
        has moved) or ``shape`` (planned again with the same objectives and prescription).
    """

    step: Literal["treat"]
    same_session: bool = False
    adapt: Adaptation = "none"

    @model_validator(mode="after")
    def _adapts_to_an_image(self) -> "Treat":
        if self.adapt != "none" and not self.same_session:
            raise ValueError("a 'treat' step that adapts needs same_session = true, and an 'image' step on its day")
        return self


class Wait(_Step):
    """Time passes."""

    step: Literal["wait"]


class Recur(_Step):
    """Follow-up until the residual tumour has grown to a size that would be seen, or until the last visit.

    Attributes
    ----------
    volume_cc : Constant
        Volume at which a recurrence is called.
    every_days : Constant
        Interval between visits.
    until_day : Constant
        Last visit.
    """

    step: Literal["recur"]
    volume_cc: Constant[float]
    every_days: Constant[float]
    until_day: Constant[float]

    @model_validator(mode="after")
    def _visits_end(self) -> "Recur":
        if self.every_days.value <= 0 or self.volume_cc.value <= 0:
            raise ValueError("'every_days' and 'volume_cc' must be positive")
        return self


class Follow(_Step):
    """A follow-up visit: the volumes of the day are recorded."""

    step: Literal["follow"]


Step = Annotated[Resect | Image | PlanStep | Treat | Wait | Recur | Follow, Field(discriminator="step")]


class Strategy(Frozen):
    """One way to treat: an arm of a study.

    Attributes
    ----------
    name, title : str
    summary : str
        One sentence for the report.
    machine, technique, objectives, prescription, margins : str
        Names in the library, or the user's own ``.toml`` files, from the folder of the strategy's.
    engine : str or None
        Of planned and delivered dose, where it must be another than that of the study: in a magnetic field.
    corrections : int
        Rounds of the dose-correction loop with that engine.
    robust : str
        Whether coverage is optimised over setup scenarios: ``none``, ``expected`` (their mean) or ``worst``.
    steps : tuple of Step
        In order of time.
    """

    name: str
    title: str
    summary: str = ""
    machine: str
    technique: str
    objectives: str
    prescription: str
    margins: str
    engine: str | None = None
    corrections: int = Field(default=1, ge=1, le=10)
    robust: Robust = "none"
    steps: tuple[Step, ...]

    @model_validator(mode="after")
    def _can_be_followed(self) -> "Strategy":
        seen: set[str] = set()
        for step in self.steps:
            for needed in {"plan": ("image",), "treat": ("image", "plan")}.get(step.step, ()):
                if needed not in seen:
                    raise ValueError(f"a '{step.step}' step needs '{needed}' before it")
            if isinstance(step, PlanStep | Treat) and step.same_session and (step.day or step.after_days):
                raise ValueError(f"a '{step.step}' step in the same session takes no 'day' and no 'after_days'")
            if step.step == "resect" and (step.day is None or step.day.value != (0, 0)):
                raise ValueError("days count from surgery: a 'resect' step needs day = 0")
            seen.add(step.step)
        if "treat" not in seen:
            raise ValueError("a strategy needs a 'treat' step")
        for _ in self._spans():
            pass
        return self

    def treatments_by_plan(self) -> list[int]:
        """Return how many 'treat' steps follow each 'plan' step."""
        counts: list[int] = []
        for step in self.steps:
            if step.step == "plan":
                counts.append(0)
            elif step.step == "treat":
                counts[-1] += 1
        return counts

    def _spans(self) -> Iterator[tuple[float, float]]:
        """Yield the earliest and latest day of each step; a step that could come before its predecessor is refused."""
        low, high = float("-inf"), float("-inf")
        for number, step in enumerate(self.steps):
            if step.day is not None:
                earliest, latest = step.day.value
                if earliest < high:
                    raise ValueError(f"step {number + 1} ('{step.step}') could come before the step that precedes it")
                low, high = earliest, latest
            elif number == 0:
                raise ValueError("the first step needs a 'day'")
            elif step.after_days is not None:
                earliest, latest = step.after_days.value
                low, high = low + earliest, high + latest
            if isinstance(step, Recur):
                high = max(high, step.until_day.value)
            yield low, high
