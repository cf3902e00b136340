"""Make a plan that a machine can deliver: fluence, apertures from it, and their search; or conformal apertures."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from planner.engines.base import Capability, Engine, Influence
from planner.optimise.aperture_search import Search, search
from planner.optimise.apertures import ApertureMap, ApertureSet, areas_mm2, leaf_borders_mm
from planner.optimise.conformal import conformal_apertures
from planner.optimise.correction import Corrected
from planner.optimise.fluence import Roughness, optimise_fluence, start_weights
from planner.optimise.goals import objective_of
from planner.optimise.leaf_limits import Motion, mu_bounds
from planner.optimise.objectives import Objective
from planner.optimise.planning import PlanRequest, checked_target, goal_organs, normalisation_factor, scaled
from planner.optimise.sampling import Samples, sample
from planner.optimise.sequencing import apertures_of, openings
from planner.techniques.beams import beams_on
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.beam_list import delivered_beams
from planner.treatment.delivery import ControlPoint, Delivery, TreatmentBeam
from planner.treatment.dose import Dose
from planner.treatment.errors import PlanningError
from planner.treatment.plan import Plan
from planner.treatment.technique import Apertures, TechniqueSpec

Progress = Callable[[int, float], None]

# Sides of the bixels that leaf tips move over: along X much finer than the blur of an edge, along Y at most this.
_STEP_X_MM, _STEP_Y_MM = 1.0, 2.6
# Rounds of normalising, each of which computes the dose again: the second is needed only where monitor units met a limit.
_ROUNDS = 4


@dataclass(frozen=True)
class ApertureEffort:
    """How hard to search for apertures.

    Attributes
    ----------
    fluence : int
        Evaluations for the free fluence that apertures start from.
    stages : tuple of int
        The most evaluations of each stage of the search; after each one apertures are made to fit the machine.
    weights : int
        The most evaluations where monitor units alone change.
    """

    fluence: int = 30
    stages: tuple[int, ...] = (30, 30)
    weights: int = 40


@dataclass(frozen=True, eq=False)
class _Case:
    """What all steps of one plan share."""

    request: PlanRequest
    beams: tuple[Beam, ...]
    motion: Motion
    samples: Samples
    influence: Influence
    objectives: tuple[Objective, ...]
    shaping: Apertures


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
    effort = effort or ApertureEffort()
    case = _prepared(request, fast or engine, engine)
    beam_of, start, start_value = _started(case, effort, progress)
    found, case, beam_of = _searched(case, (beam_of, start), corrector or engine, effort, progress)
    delivery, dose, factor = _normalised(case, beam_of, found.apertures, engine)
    made = delivered_beams(delivery, request.machine)
    facts = _facts(case, found, delivery, dose)
    plan = Plan(
        day=request.day,
        machine=request.machine.name,
        technique=request.technique.name,
        prescription=request.prescription,
        targets=request.targets,
        beams=tuple(m.beam for m in made),
        weights=tuple(m.weights for m in made),
        dose=dose,
        facts=facts | {"start_objective": start_value, "normalisation_factor": factor},
    )
    return plan, delivery


def _prepared(request: PlanRequest, fast: Engine, engine: Engine) -> _Case:
    ptv = checked_target(request)
    shaping = _shaping(request)
    beams = _fine_beams(request, shaping)
    goals = (goal_organs(request), request.objectives.skin.value.thickness_mm)
    samples = sample(request.density.grid, ptv, request.structures, goals, request.effort.budget)
    if Capability.INFLUENCE not in fast.can:
        raise PlanningError(f"engine '{fast.name}' has no influence of single bixels: a fast engine is needed as well")
    ignore = request.ignore_field or (engine is not fast and request.effort.corrections > 0)
    influence = fast.influence(request.density, beams, request.machine, samples.points_mm, ignore_field=ignore)
    widths = [width for width, _ in request.effort.stages]
    objectives = tuple(objective_of(samples, request.objectives, request.prescription, width) for width in widths)
    return _Case(request, beams, _motion(beams, request), samples, influence, objectives, shaping)


def _shaping(request: PlanRequest) -> Apertures:
    if request.machine.delivery is None:
        raise PlanningError(f"{request.machine.title} has no limits of delivery: only free fluence can be planned on it")
    if request.technique.apertures is None:
        raise PlanningError(f"technique '{request.technique.name}' does not say how its apertures are shaped")
    if request.technique.arcs is not None and request.machine.delivery.max_mu_per_deg is None:
        raise PlanningError(f"{request.machine.title} does not turn its gantry with the beam on: choose static fields")
    return request.technique.apertures.value


def _fine_beams(request: PlanRequest, shaping: Apertures) -> tuple[Beam, ...]:
    """Return one beam a control point of arcs, or a static field, with rectangles of fine bixels."""
    technique: TechniqueSpec = request.technique
    if technique.arcs is not None:
        arcs = tuple(arc.model_copy(update={"spacing_deg": shaping.step_deg}) for arc in technique.arcs.value)
        technique = technique.model_copy(update={"arcs": technique.arcs.model_copy(update={"value": arcs})})
    coarse = beams_on(request.targets["ptv"], request.machine, technique)
    return tuple(replace(beam, bixels=_fine(beam.bixels)) for beam in coarse)


def _fine(grid: BixelGrid) -> BixelGrid:
    """Return the rectangle around a grid's bixels, all open, in bixels that leaf tips can move over."""
    parts = [max(1, round(size / step + 0.499)) for size, step in zip(grid.size_mm, (_STEP_X_MM, _STEP_Y_MM), strict=True)]
    size = (grid.size_mm[0] / parts[0], grid.size_mm[1] / parts[1])
    return BixelGrid(grid.low_mm, size, np.ones((grid.open.shape[0] * parts[0], grid.open.shape[1] * parts[1]), bool))


def _motion(beams: tuple[Beam, ...], request: PlanRequest) -> Motion:
    arcs = request.technique.arcs
    if arcs is None or request.technique.apertures is None:
        count = len(beams)
        return Motion(np.full(count, -1), np.zeros(count), request.prescription.fractions)
    labels = [arc.label for arc in arcs.value]
    turn = {arc.label: abs(arc.gantry_stop_deg - arc.gantry_start_deg) for arc in arcs.value}
    of = np.array([labels.index(beam.arc) for beam in beams])
    span = np.array([turn[beam.arc] / sum(b.arc == beam.arc for b in beams) for beam in beams])
    return Motion(of, span, request.prescription.fractions)


def _started(case: _Case, effort: ApertureEffort, progress: Progress) -> tuple[np.ndarray, ApertureSet, float]:
    """Return the beam of each control point, apertures to start from, and the objective of what they come from."""
    request, target = case.request, case.samples.target.index
    template, dose_gy = request.objectives, request.prescription.dose_gy
    middle = 0.5 * (template.target_minimum.value.level + template.target_maximum.value.level) * dose_gy
    if case.shaping.shape == "conformal":
        shaped = conformal_apertures(request.targets["ptv"], case.beams, request.machine, case.shaping.margin_mm)
        each = np.arange(len(case.beams))
        where = ApertureMap.of(case.beams, each, request.machine)
        dose = case.influence.forward(where.forward(shaped))
        even = replace(shaped, mu=shaped.mu * middle / float(dose[target].mean()))
        value, _ = case.objectives[-1].evaluate(case.influence.forward(where.forward(even)))
        return each, even, value
    start = start_weights(case.influence, target, middle)
    rough = Roughness.of(case.beams, template.smoothness.value)
    free = optimise_fluence(
        case.influence, [(case.objectives[0], effort.fluence)], start, roughness=rough, progress=progress
    )
    beam_of, apertures = _sequenced(case, free.weights)
    return beam_of, apertures, free.objective


def _sequenced(case: _Case, weights: np.ndarray) -> tuple[np.ndarray, ApertureSet]:
    """Return the beam of each segment or control point and the apertures that come nearest to a fluence."""
    first, beam_of, parts = 0, [], []
    most = case.shaping.segments if case.request.technique.arcs is None else 1
    for n, beam in enumerate(case.beams):
        plane = weights[first : first + beam.bixels.count].reshape(beam.bixels.open.shape)
        first += beam.bixels.count
        found = openings(plane, most)
        if not found and case.request.technique.arcs is not None:
            found = openings(np.ones_like(plane), 1)
            found = [replace(found[0], level=0.0)]
        if found:
            parts.append(apertures_of(found, beam.bixels, case.request.machine))
            beam_of += [n] * len(found)
    if not parts:
        raise PlanningError("the optimised fluence is zero everywhere: no aperture can be made from it")
    joined = (np.concatenate(part) for part in zip(*(part.parts for part in parts), strict=True))
    return np.array(beam_of), ApertureSet(*joined)


def _searched(
    case: _Case, start: tuple[np.ndarray, ApertureSet], corrector: Engine, effort: ApertureEffort, progress: Progress
) -> tuple[Search, _Case, np.ndarray]:
    """Return the apertures found; static segments with too few monitor units are left out after the first stage."""
    beam_of, apertures = start
    leaves = case.shaping.shape == "optimised"
    stages = effort.stages if leaves else (effort.weights,)
    goal, machine = case.objectives[-1], case.request.machine
    where = ApertureMap.of(case.beams, beam_of, machine)
    case = replace(case, motion=case.motion.chosen(beam_of))
    offset: np.ndarray | None = None
    rounds = [False] * len(stages) + [True] * case.request.effort.corrections
    evaluations = 0
    for n, correct in enumerate(rounds):
        if correct:
            if isinstance(case.influence, Corrected) or corrector is not None:
                offset = _offset(case, beam_of, where, apertures, corrector)
        influence: Influence = case.influence if offset is None else Corrected(case.influence, offset)
        most = case.request.effort.correction_evaluations if correct else stages[n]
        found = search(
            influence, where, [(goal, most)], apertures, machine, case.motion, leaves=leaves, progress=progress
        )
        apertures, evaluations = found.apertures, evaluations + found.evaluations
    return replace(found, evaluations=evaluations), case, beam_of


def _offset(
    case: _Case, beam_of: np.ndarray, where: ApertureMap, apertures: ApertureSet, engine: Engine
) -> np.ndarray:
    """Return what an accurate engine gives more than the fast one at the points."""
    dose = _dose(case, _delivery(case, beam_of, apertures), engine)
    return dose.volume.at(case.samples.points_mm) - case.influence.forward(where.forward(apertures))


def _dose(case: _Case, delivery: Delivery, engine: Engine) -> Dose:
    request = case.request
    made = delivered_beams(delivery, request.machine)
    return engine.dose(
        request.density,
        [m.beam for m in made],
        [m.weights for m in made],
        request.machine,
        ignore_field=request.ignore_field,
        region=request.targets["ptv"],
    )


def _delivery(case: _Case, beam_of: np.ndarray, apertures: ApertureSet) -> Delivery:
    """Return apertures as the arcs and fields of a delivery, in the order of the beams."""
    grouped: dict[tuple[str, bool], list[int]] = {}
    for n, b in enumerate(beam_of):
        beam = case.beams[b]
        label = beam.arc or f"couch {beam.couch_deg:g} gantry {beam.gantry_deg:g}"
        grouped.setdefault((label, bool(beam.arc)), []).append(n)
    made = []
    for (label, is_arc), points in grouped.items():
        isocentre = case.beams[beam_of[points[0]]].isocentre_mm
        controls = tuple(_control_point(case, case.beams[beam_of[n]], n, apertures) for n in points)
        made.append(TreatmentBeam(label, "arc" if is_arc else "static", isocentre, controls))
    request = case.request
    return Delivery(request.machine.name, request.technique.name, tuple(made), request.prescription.fractions)


def _control_point(case: _Case, beam: Beam, n: int, apertures: ApertureSet) -> ControlPoint:
    low, high = apertures.jaw_mm[n].tolist()
    return ControlPoint(
        beam.gantry_deg,
        beam.couch_deg,
        beam.collimator_deg,
        apertures.left_mm[n],
        apertures.right_mm[n],
        (low, high),
        float(apertures.mu[n]),
        float(case.motion.span_deg[n]),
    )


def _normalised(
    case: _Case, beam_of: np.ndarray, apertures: ApertureSet, engine: Engine
) -> tuple[Delivery, Dose, float]:
    """Return the delivery with monitor units that meet the prescription, its dose, and the factor that did it."""
    request = case.request
    low, high = mu_bounds(request.machine, case.motion)
    total = 1.0
    for _ in range(_ROUNDS):
        dose = _dose(case, _delivery(case, beam_of, apertures), engine)
        how = request.objectives.normalisation.value
        factor = normalisation_factor(dose.volume, request.targets["ptv"], request.prescription, how)
        wanted = apertures.mu * factor
        kept = np.clip(wanted, low, high)
        apertures, total = replace(apertures, mu=kept), total * factor
        if np.array_equal(kept, wanted):
            return _delivery(case, beam_of, apertures), scaled(dose, factor), total
    raise PlanningError(
        f"the dose cannot be scaled to the prescription: monitor units meet the limits of {request.machine.title}"
    )


def _facts(case: _Case, found: Search, delivery: Delivery, dose: Dose) -> dict[str, float | str]:
    request = case.request
    how = request.objectives.normalisation.value
    largest = float(dose.volume.data[request.targets["ptv"].on(dose.volume.grid) > 0].max())
    areas = areas_mm2(found.apertures, leaf_borders_mm(request.machine))
    return {
        "objectives": request.objectives.name,
        "objective": found.objective,
        "evaluations": float(found.evaluations),
        "beams": float(len(delivery.beams)),
        "control_points": float(len(found.apertures.mu)),
        "points": float(len(case.samples.points_mm)),
        "monitor_units": float(sum(point.mu for beam in delivery.beams for point in beam.control_points)),
        "mean_aperture_mm2": float(np.average(areas, weights=found.apertures.mu)),
        "normalisation": f"{how.kind} {how.percent:g} %",
        "maximum_gy": largest,
        "isodose_percent": 100 * request.prescription.dose_gy / largest,
    }
