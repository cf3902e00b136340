"""Make a plan that a machine can deliver: apertures to start from, and their search.

Arcs start from fluence and static fields from conformal apertures, to which segments are added one by one.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from planner.engines.base import Engine, Influence
from planner.evaluate.dvh import dose_at
from planner.optimise.aperture_search import Outline, Search, Stage, search
from planner.optimise.apertures import ApertureMap, ApertureSet, areas_mm2
from planner.optimise.conformal import conformal_apertures
from planner.optimise.control_points import delivery_of, fine_beams, motion_of, passage_of, shaping_of
from planner.optimise.correction import Corrected
from planner.optimise.fluence import Roughness, optimise_fluence, start_weights
from planner.optimise.leaf_limits import SPARE_MU, Motion, covered, mu_bounds, scaled_mu
from planner.optimise.minimise import Progress
from planner.optimise.normalisation import Normalised, normalisation_factor, scaled, searched_until_cool
from planner.optimise.objectives import Objective
from planner.optimise.planning import (
    PlanRequest,
    checked_target,
    dose_for,
    eased,
    facts_of,
    influence_for,
    is_corrected,
    objective_for,
    samples_of,
    start_gy,
)
from planner.optimise.pricing import fastest_opening
from planner.optimise.sampling import Samples
from planner.optimise.sequencing import aperture_of, best_opening, by_leaf_pair
from planner.treatment.beam import Beam
from planner.treatment.beam_list import delivered_beams
from planner.treatment.delivery import Delivery
from planner.treatment.dose import Dose
from planner.treatment.errors import PlanningError
from planner.treatment.plan import Plan
from planner.treatment.technique import Apertures
from planner.treatment.turning import turning

# Rounds of normalising, each with a dose of its own: the second is needed only where monitor units met a limit.
_ROUNDS = 6
# Where they do, the prescription is met when the dose is this near to it.
_SCALED = 2e-4
# The fluence that arcs start from is searched with so much of the weight on the target's least and largest dose: stiff
# goals would need more evaluations than it has, and leaves and monitor units make up for the rest.
_SOFT = 1 / 6
# Static segments within this of the fewest monitor units that can be delivered are not worth their time.
_HARDLY_USED = 1.01
# Targets below are small: chosen, where the gradient index is slowly found (docs/decisions.md).
_SMALL_CC = 1.0


@dataclass(frozen=True)
class ApertureEffort:
    """How hard to search for apertures.

    Attributes
    ----------
    fluence : int
        Evaluations for the free fluence that the apertures of arcs start from.
    stages : tuple of int
        The most evaluations of each stage of the search; after each one apertures are made to fit the machine.
    weights : int
        The most evaluations of conformal apertures.
    rounds : int
        How often each field of several segments is given one more.
    round : int
        The most evaluations of a round: of monitor units alone, and then of everything.
    segments, arcs : float
        By how much more a search from a corrected dose may evaluate where fields have several segments (few beams,
        slowly found), and where the leaves of arcs are free.
    small : float
        By how much more still where those arcs treat a small target, whose gradient is slowly found; not again where a
        plan is searched again.
    """

    fluence: int = 50
    stages: tuple[int, ...] = (40, 30)
    weights: int = 40
    rounds: int = 4
    round: int = 15
    segments: float = 2.0
    arcs: float = 2.5
    small: float = 2.0


@dataclass(frozen=True, eq=False)
class _Case:
    """What all steps of one plan share."""

    request: PlanRequest
    shaping: Apertures
    beams: tuple[Beam, ...]
    motion: Motion
    samples: Samples
    influence: Influence
    objective: Objective
    accurate: Engine | None
    effort: ApertureEffort
    progress: Progress
    outline: Outline | None = None

    @property
    def moves_leaves(self) -> bool:
        """Whether leaves are optimised, or monitor units alone."""
        return self.shaping.shape == "optimised" or self.shaping.trim_mm > 0

    @property
    def has_segments(self) -> bool:
        """Whether fields are static, of several segments that are optimised."""
        return self.shaping.shape == "optimised" and self.request.technique.arcs is None

    @property
    def per_mu(self) -> float:
        """What a monitor unit costs. Only arcs whose leaves are free could spend many: one opening each direction."""
        if self.shaping.shape != "optimised" or self.has_segments:
            return 0.0
        return self.request.objectives.monitor_units.value / (100.0 * self.request.prescription.dose_gy)


class _Step(NamedTuple):
    """A stage of the search: its most evaluations, whether leaves move, and what is done before it."""

    most: int
    leaves: bool
    correct: bool = False
    adds: bool = False


@dataclass(frozen=True, eq=False)
class _ControlPoints:
    """Control points on the way: the beam of each, their apertures, how they follow one another."""

    beam_of: np.ndarray
    apertures: ApertureSet
    motion: Motion


def make_deliverable(
    request: PlanRequest,
    engine: Engine,
    progress: Progress = lambda evaluation, value: None,
    fast: Engine | None = None,
    corrector: Engine | None = None,
    effort: ApertureEffort | None = None,
) -> tuple[Plan, Delivery]:
    """Return a plan of apertures and monitor units that the machine can deliver, and the delivery itself.

    Parameters
    ----------
    request : PlanRequest
        ``effort.corrections`` counts rounds of the dose-correction loop.
    engine : Engine
        Of the dose of the plan, which is computed from the apertures and their monitor units alone.
    progress : callable
        Is told the number of evaluations so far, within one stage, and the objective.
    fast : Engine, optional
        Engine inside the optimiser, with the capability INFLUENCE; `engine` itself if it has that.
    corrector : Engine, optional
        Engine of the dose-correction loop; `engine` itself if not given.
    effort : ApertureEffort, optional

    Raises
    ------
    PlanningError
        As `make_plan`; also if the machine has no limits of delivery, the technique no apertures, or monitor units meet
        a limit of the machine so that the dose cannot be scaled to the prescription.
    """
    request = eased(request)
    case = _prepared(request, (corrector or engine, fast or engine), effort or ApertureEffort(), progress)
    start, before = _started(case)
    if case.shaping.shape == "conformal":
        case = replace(case, outline=Outline(start.apertures, case.shaping.trim_mm))
    points, found = _searched(case, start)
    finished = searched_until_cool(
        _normalised(case, points, engine),
        request,
        lambda last, factor: _normalised(case, _firmer(case, last, factor), engine),
    )
    points, dose = finished.found, finished.dose
    delivery = delivery_of(request, case.beams, points.beam_of, points.apertures, points.motion)
    made = delivered_beams(turning(delivery), request.machine)
    plan = Plan(
        day=request.day,
        machine=request.machine.name,
        technique=request.technique.name,
        prescription=request.prescription,
        targets=request.targets,
        beams=tuple(m.beam for m in made),
        weights=tuple(m.weights for m in made),
        dose=dose,
        facts=_facts(case, found, points, dose) | {"start_objective": before, "normalisation_factor": finished.factor},
    )
    return plan, delivery


def _prepared(
    request: PlanRequest, engines: tuple[Engine, Engine], effort: ApertureEffort, progress: Progress
) -> _Case:
    checked_target(request)
    shaping = shaping_of(request)
    beams = fine_beams(request)
    samples = samples_of(request)
    influence = influence_for(request, beams, samples, engines)
    goal = objective_for(request, samples, request.effort.stages[-1][0])
    motion = motion_of(beams, request)
    accurate = engines[0] if is_corrected(request, engines) else None
    return _Case(request, shaping, beams, motion, samples, influence, goal, accurate, effort, progress)


def _started(case: _Case) -> tuple[_ControlPoints, float]:
    """Return control points to start from, and the objective of what they come from: outlines, or fluence."""
    request, target = case.request, case.samples.target.index
    aim = start_gy(request)
    if case.shaping.shape == "conformal" or case.has_segments:
        shaped = conformal_apertures(request.targets["ptv"], case.beams, request.machine, case.shaping.margin_mm)
        each = np.arange(len(case.beams))
        where = ApertureMap.of(case.beams, each, request.machine, passage_of(case.motion))
        dose = case.influence.forward(where.forward(shaped))
        factor = aim / float(dose[target].mean())
        value, _ = case.objective.evaluate(dose * factor)
        return _ControlPoints(each, replace(shaped, mu=shaped.mu * factor), case.motion), value
    rough = Roughness.of(case.beams, request.objectives.smoothness.value)
    start = start_weights(case.influence, target, aim)
    stages = [(_goal(case, _SOFT), case.effort.fluence)]
    free = optimise_fluence(case.influence, stages, start, roughness=rough, progress=case.progress)
    value, _ = case.objective.evaluate(free.dose_gy)
    return _sequenced(case, free.weights), value


def _sequenced(case: _Case, weights: np.ndarray) -> _ControlPoints:
    """Return the control points of arcs that come nearest to a fluence."""
    machine = case.request.machine
    parts = []
    for beam, part in zip(case.beams, case.influence.beam_slices, strict=True):
        plane, pairs = by_leaf_pair(weights[part].reshape(beam.bixels.open.shape), beam.bixels, machine)
        found = best_opening(plane)
        if found.gain <= 0.0:
            # An arc cannot leave out a control point: the least monitor units, for the search to make something of.
            found = replace(best_opening(np.ones_like(plane)), level=0.0)
        parts.append(aperture_of(found, pairs, beam.bixels.edges_mm[0], machine))
    return _ControlPoints(np.arange(len(case.beams)), covered(_joined(parts), machine), case.motion)


def _joined(parts: list[ApertureSet]) -> ApertureSet:
    return ApertureSet(*(np.concatenate(part) for part in zip(*(part.parts for part in parts), strict=True)))


def _added(case: _Case, influence: Influence, points: _ControlPoints) -> _ControlPoints:
    """Return control points with one more segment, of no monitor units yet, for each field that gains by it."""
    where = ApertureMap.of(case.beams, points.beam_of, case.request.machine)
    _, by_dose = case.objective.evaluate(influence.forward(where.forward(points.apertures)))
    gain = -influence.adjoint(by_dose)
    beam_of, parts = points.beam_of.tolist(), [points.apertures]
    for n, (beam, part) in enumerate(zip(case.beams, influence.beam_slices, strict=True)):
        if np.count_nonzero(points.beam_of == n) >= case.shaping.segments:
            continue
        found = fastest_opening(gain[part].reshape(beam.bixels.open.shape), beam.bixels, case.request.machine)
        if found is not None:
            beam_of.append(n)
            parts.append(found)
    order = np.argsort(beam_of, kind="stable")
    fields = np.array(beam_of)[order]
    return _ControlPoints(fields, _joined(parts).chosen(order), case.motion.chosen(fields))


def _searched(case: _Case, start: _ControlPoints) -> tuple[_ControlPoints, Search]:
    """Return the control points found and what the last stage of the search says, with the evaluations of all."""
    points, evaluations, influence = start, 0, case.influence
    for step in _steps(case):
        if step.correct:
            assert case.accurate is not None
            influence = Corrected(case.influence, _offset(case, points, _dose(case, points, case.accurate)))
        if step.adds:
            points = _added(case, influence, points)
        points, found = _stage(case, influence, points, (step.most, step.leaves))
        evaluations += found.evaluations
        if step.leaves and not step.correct and case.outline is None:
            points = _worth_while(case, points)
    return points, replace(found, evaluations=evaluations)


def _stage(
    case: _Case, influence: Influence, points: _ControlPoints, how: tuple[int, bool]
) -> tuple[_ControlPoints, Search]:
    """Return control points after one stage of at most so many evaluations, in which leaves move or not."""
    most, leaves = how
    machine = case.request.machine
    where = ApertureMap.of(case.beams, points.beam_of, machine, passage_of(points.motion))
    stage = Stage(case.objective, most, leaves, case.outline, case.per_mu)
    found = search(influence, where, stage, points.apertures, machine, points.motion, case.progress)
    return replace(points, apertures=found.apertures), found


def _steps(case: _Case) -> list[_Step]:
    """Return the stages of the search."""
    corrections = case.request.effort.corrections if case.accurate is not None else 0
    last = _evaluations(case)
    if case.shaping.shape == "conformal":
        trimmed = case.moves_leaves
        # Near the outline a correction has little to change, but where the fast engine left a field out.
        field = case.request.machine.field_strength_t > 0 and not case.request.ignore_field
        steps = [_Step(case.effort.weights, trimmed)]
        return steps + [_Step(last, trimmed, correct=True)] * (corrections if field else 0)
    if case.has_segments:
        more = [_Step(case.effort.round, False, adds=True), _Step(case.effort.round, True)] * case.effort.rounds
        most = round(case.effort.segments * case.effort.stages[-1])
        steps = [_Step(case.effort.round, False), *more, _Step(most, True)]
    else:
        steps = [_Step(most, True) for most in case.effort.stages]
        if case.request.targets["ptv"].volume_cc < _SMALL_CC:
            last = round(case.effort.small * last)
    return steps + [_Step(last, True, correct=True)] * corrections


def _evaluations(case: _Case) -> int:
    """Return the most evaluations of a search that starts from a corrected dose."""
    usual = case.request.effort.correction_evaluations
    if case.shaping.shape == "conformal":
        return usual
    return round(usual * (case.effort.segments if case.has_segments else case.effort.arcs))


def _worth_while(case: _Case, points: _ControlPoints) -> _ControlPoints:
    """Leave out static segments that the search gave the fewest monitor units it may; arcs keep all control points."""
    low, _ = mu_bounds(case.request.machine, points.motion, SPARE_MU)
    kept = np.flatnonzero((points.motion.arc >= 0) | (points.apertures.mu > _HARDLY_USED * low))
    if not len(kept):
        return points
    return _ControlPoints(points.beam_of[kept], points.apertures.chosen(kept), points.motion.chosen(kept))


def _offset(case: _Case, points: _ControlPoints, dose: Dose) -> np.ndarray:
    """Return what a dose of the control points is more than the fast engine's at the points of the optimisation."""
    where = ApertureMap.of(case.beams, points.beam_of, case.request.machine, passage_of(points.motion))
    fast = case.influence.forward(where.forward(points.apertures))
    return dose_at(dose.volume, case.samples.points_mm) - fast


def _dose(case: _Case, points: _ControlPoints, engine: Engine) -> Dose:
    request = case.request
    delivery = delivery_of(request, case.beams, points.beam_of, points.apertures, points.motion)
    made = delivered_beams(turning(delivery), request.machine)
    return dose_for(request, engine, [m.beam for m in made], [m.weights for m in made])


def _firmer(case: _Case, last: Normalised[_ControlPoints], factor: float) -> _ControlPoints:
    """Return control points searched again with the dose just found and so much more weight on the target."""
    goal = _goal(case, factor)
    influence = Corrected(case.influence, _offset(case, last.found, last.dose))
    how = _evaluations(case), case.moves_leaves
    points, _ = _stage(replace(case, objective=goal), influence, last.found, how)
    return points


def _goal(case: _Case, factor: float) -> Objective:
    """Return the objective with so much more weight on the target's least and largest dose."""
    firm = replace(case.request, objectives=case.request.objectives.firmer(factor))
    return objective_for(firm, case.samples, firm.effort.stages[-1][0])


def _normalised(case: _Case, points: _ControlPoints, engine: Engine) -> Normalised[_ControlPoints]:
    """Return control points with monitor units that meet the prescription, and their dose."""
    request, total = case.request, 1.0
    bounds = mu_bounds(request.machine, points.motion)
    for _ in range(_ROUNDS):
        dose = _dose(case, points, engine)
        factor = normalisation_factor(dose.volume, request)
        if abs(factor - 1) < _SCALED:
            return Normalised(points, dose, total)
        before, total = points.apertures.mu, total * factor
        kept = scaled_mu(before, factor, bounds)
        points = replace(points, apertures=replace(points.apertures, mu=kept))
        if np.array_equal(kept, before * factor):
            return Normalised(points, scaled(dose, factor), total)
    raise PlanningError(
        f"the dose cannot be scaled to the prescription: monitor units meet the limits of {request.machine.title}"
    )


def _facts(case: _Case, found: Search, points: _ControlPoints, dose: Dose) -> dict[str, float | str]:
    apertures = points.apertures
    areas = areas_mm2(apertures, case.request.machine.leaf_borders_mm)
    return {
        **facts_of(case.request, case.samples, dose.volume),
        "objective": found.objective,
        "evaluations": float(found.evaluations),
        "control_points": float(len(apertures.mu)),
        "monitor_units": float(apertures.mu.sum()),
        "mean_aperture_mm2": float(np.average(areas, weights=apertures.mu)),
    }
