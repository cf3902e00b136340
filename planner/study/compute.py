"""Compute one case: follow the strategy, then measure what was planned and what was delivered."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from phantoms.patient import Anatomy, Epoch
from phantoms.structure import Structure
from planner.engines.registry import engine_named, for_patient
from planner.evaluate.dvh import Histograms
from planner.evaluate.metrics import Metric, case_metrics
from planner.evaluate.plan_quality import delivery_metrics
from planner.evaluate.robustness import setup_metrics
from planner.io.delivery_file import Treatment
from planner.study.case import Case, observer_of
from planner.study.store import DVH, RECORDS, CaseResult
from planner.study.views import views_of
from planner.timeline.adaptation import Adapted
from planner.timeline.practice import Practice
from planner.timeline.run import follow
from planner.timeline.state import Course, State
from planner.treatment.dose import Dose
from planner.treatment.errors import PlanningError
from planner.treatment.machine import Machine
from planner.treatment.plan import Plan

# The volumes of the course are told for at least this many days, this often.
LAST_DAY, EVERY_DAYS = 42.0, 1.0


@dataclass(frozen=True, eq=False)
class Phase:
    """A dose and the anatomy that it is measured on.

    Attributes
    ----------
    name : str
        ``planned``: the planner's dose on belief; ``delivered``: the dose on truth, of all sessions of the plan.
        Of a second plan ``planned_2`` and ``delivered_2``, and so on.
    dose : Dose
    anatomy : Epoch
    plan : Plan
    """

    name: str
    dose: Dose
    anatomy: Epoch
    plan: Plan

    @cached_property
    def _histograms(self) -> Histograms:
        return Histograms(self.dose.volume)

    def metrics(self) -> list[Metric]:
        """Return every metric of the dose on the anatomy."""
        plan, prescribed = self.plan, self.plan.prescription
        found = case_metrics(self._histograms, self.anatomy.structures, plan.targets, prescribed)
        moved = setup_metrics(self.dose.volume, plan.targets["gtv"], prescribed.dose_gy, plan.beams[0].isocentre_mm)
        return [*found, *moved]

    def curves(self, metrics: Sequence[Metric]) -> Iterator[tuple[str, float, float]]:
        """Yield structure, dose and percentage of volume, for the structures that have metrics."""
        shown = {**self.anatomy.structures, **self.plan.targets}
        for name in dict.fromkeys(metric.structure for metric in metrics):
            if name in shown:
                doses, percent = self._histograms.of(shown[name]).curve()
                yield from ((name, d, v) for d, v in zip(doses.tolist(), percent.tolist(), strict=True))


def run_case(case: Case) -> CaseResult:
    """Return what a case leaves behind: the same wherever and with whatever number of threads it runs.

    Raises
    ------
    LacunaError
        If no plan can be made for a stated reason.
    """
    settings = case.settings
    anatomy = case.cohort.anatomy(case.number, case.seed, case.data)
    name = case.arm.engine(settings.engine, settings.ignore_field)
    engine, percent = engine_named(name), settings.uncertainty_percent
    practice = Practice(
        arm=case.arm,
        engine=for_patient(engine, percent),
        corrector=for_patient(engine, 2.0 * percent),
        fast=engine_named(settings.optimiser_engine),
        corrections=settings.corrections if name == settings.engine else case.arm.strategy.corrections,
        dose_grid_mm=settings.dose_grid_mm,
        ignore_field=settings.ignore_field,
        observer=observer_of(settings),
        seed=case.seed,
        patient=case.number,
        apertures=settings.apertures,
        tumour_before=_tumour_before(anatomy) if case.arm.margins.extensions else None,
    )
    state = follow(case.arm.strategy, anatomy, practice)
    courses = state.courses
    if not courses:
        raise PlanningError("nothing was delivered")
    head = (case.id, case.patient, case.arm.name)
    records, curves = _Columns(RECORDS.names), _Columns(DVH.names)
    told: set[str] = set()
    for phase in phases_of(courses):
        metrics = phase.metrics()
        told.update(metric.structure for metric in metrics)
        records.extend((*head, phase.name, m.structure, m.name, m.value, m.unit, m.uncertainty) for m in metrics)
        curves.extend((*head, phase.name, *row) for row in phase.curves(metrics))
    for number, course in enumerate(courses, 1):
        found = delivered_metrics(course, case.arm.machine)
        name = f"delivered{_suffix(number)}"
        records.extend((*head, name, m.structure, m.name, m.value, m.unit, m.uncertainty) for m in found)
    return CaseResult(
        case=_facts(case, anatomy, courses),
        records=records,
        dvh=curves,
        timeline=_timeline(state),
        views=views_of(courses[0], told),
        treatments=_treatments(courses[0]),
    )


def _tumour_before(anatomy: Anatomy) -> Structure | None:
    """Return the tumour on the day before surgery."""
    return anatomy.epoch(-1.0, images=False).structures.get("tumour")


def phases_of(courses: Sequence[Course]) -> Iterator[Phase]:
    """Yield the planned and the delivered dose of every plan, each on its own anatomy."""
    for number, course in enumerate(courses, 1):
        yield Phase(f"planned{_suffix(number)}", course.plan.dose, course.belief, course.plan)
        yield Phase(f"delivered{_suffix(number)}", course.dose, course.truth, course.given)


def _suffix(number: int) -> str:
    """Return what the phases of the first, second ... plan end in."""
    return f"_{number}" if number > 1 else ""


def delivered_metrics(course: Course, machine: Machine) -> list[Metric]:
    """Return the metrics of the apertures that a course delivered, mean over its days; none where fluence was free."""
    prescribed = course.plan.prescription.dose_gy
    of_days = [delivery_metrics(t.delivery, machine, prescribed) for t in _treatments(course)]
    return [replace(same[0], value=float(np.mean([m.value for m in same]))) for same in zip(*of_days, strict=True)]


def _treatments(course: Course) -> list[Treatment]:
    """Return what a course delivered on each of its days; nothing where fluence was free."""
    return [
        Treatment(session.day, session.given.how, session.given.plan.delivery)
        for session in course.sessions
        if session.given.plan.delivery is not None
    ]


class _Columns(dict[str, list]):
    """A table by columns that grows by rows."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__({name: [] for name in names})

    def extend(self, rows: Iterable[tuple]) -> None:
        for row in rows:
            for column, value in zip(self.values(), row, strict=True):
                column.append(value)


def _facts(case: Case, anatomy: Anatomy, courses: Sequence[Course]) -> dict[str, Any]:
    """Return the content of ``case.json``: nothing in it tells on which machine or how fast the case was computed."""
    first, *later = courses
    return {
        "id": case.id,
        "patient": case.patient,
        "strategy": case.arm.name,
        "seed": case.seed,
        "engine": first.dose.engine,
        "field_ignored": any(course.dose.field_ignored for course in courses),
        "facts": dict(anatomy.facts),
        "plan": _plan_facts(case, first),
        "later_plans": [_plan_facts(case, course) for course in later],
        "hashes": {f"{phase.name}_dose": _hash(phase.dose) for phase in phases_of(courses)},
    }


def _plan_facts(case: Case, course: Course) -> dict[str, Any]:
    plan = course.plan
    return {
        "prescription_gy": plan.prescription.dose_gy,
        "fractions": plan.prescription.fractions,
        "rule": plan.prescription.rule,
        "reason": plan.prescription.reason,
        "machine": plan.machine,
        "technique": plan.technique,
        "margins": case.arm.margins.name,
        "observer": case.settings.observer,
        "day": plan.day,
        "treated_day": course.days[-1],
        "deliveries": len(course.days),
        "treated_days": list(course.days),
        "adaptations": [_adaptation(session.given) for session in course.sessions],
        "apertures": plan.delivery is not None,
        **plan.facts,
    }


def _adaptation(given: Adapted) -> dict[str, Any]:
    """Return how the plan was made to fit one day."""
    facts = {key: value for key, value in given.plan.facts.items() if given.how == "shape"}
    return {
        "how": given.how,
        "shift_mm": [round(x, 3) for x in given.shift_mm.tolist()],
        "planned_on": given.plan.day,
        **facts,
    }


def _hash(dose: Dose) -> str:
    grid = dose.volume.grid
    digest = hashlib.sha256(repr((grid.shape, grid.spacing_mm, grid.origin_mm)).encode())
    digest.update(dose.volume.data.tobytes())
    return digest.hexdigest()


def _timeline(state: State) -> dict[str, Any]:
    """Return the steps as they happened, and the true volumes by day."""
    course, last = state.anatomy.course, max(LAST_DAY, state.day)
    days = np.arange(0.0, last + EVERY_DAYS / 2, EVERY_DAYS).tolist()
    return {
        "steps": [asdict(entry) for entry in state.log],
        "by_day": [
            {"day": d, "cavity_cc": course.volume_cc(d), "residual_cc": course.residual_volume_cc(d), "tumour_cc": 0.0}
            for d in days
        ],
    }
