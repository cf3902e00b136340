"""Make a plan of free fluence: bixels that no leaves have to shape."""

from dataclasses import dataclass, replace

import numpy as np

from planner.engines.base import Engine, Influence
from planner.evaluate.dvh import dose_at
from planner.optimise.correction import Corrected
from planner.optimise.fluence import Fluence, Roughness, optimise_fluence, start_weights
from planner.optimise.minimise import Progress
from planner.optimise.normalisation import Normalised, normalisation_factor, scaled, searched_until_cool
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
from planner.optimise.sampling import Samples
from planner.techniques.beams import beams_on, bixel_slices
from planner.treatment.beam import Beam
from planner.treatment.dose import Dose
from planner.treatment.plan import Plan


@dataclass(frozen=True, eq=False)
class _Case:
    """What all steps of one plan share."""

    request: PlanRequest
    beams: tuple[Beam, ...]
    samples: Samples
    influence: Influence
    roughness: Roughness
    progress: Progress


def make_plan(
    request: PlanRequest,
    engine: Engine,
    progress: Progress = lambda evaluation, value: None,
    fast: Engine | None = None,
    corrector: Engine | None = None,
) -> Plan:
    """Return the plan that an engine finds for a request.

    Parameters
    ----------
    request : PlanRequest
    engine : Engine
        Of the dose of the plan.
    progress : callable
    fast : Engine, optional
        Engine inside the optimiser, with the capability INFLUENCE; `engine` itself if it has that.
    corrector : Engine, optional
        Engine of the dose-correction loop, as `engine` but with a larger uncertainty; `engine` itself if not given.

    Raises
    ------
    PlanningError
        If no engine with INFLUENCE is given, structures are missing or empty, the target lies outside the density or
        does not fit the machine, or no dose reaches it.
    """
    ptv, request = checked_target(request), eased(request)
    engines = (corrector or engine, fast or engine)
    beams, samples = beams_on(ptv, request.machine, request.technique), samples_of(request)
    rough = Roughness.of(beams, request.objectives.smoothness.value)
    case = _Case(request, beams, samples, influence_for(request, beams, samples, engines), rough, progress)
    fluence = _free(case)
    if is_corrected(request, engines):
        for _ in range(request.effort.corrections):
            fluence = _corrected(case, fluence, dose_for(request, engines[0], beams, _by_beam(case, fluence)))
    made = _normalised(case, fluence, engine)
    if is_corrected(request, engines):
        made = searched_until_cool(
            made, request, lambda last, factor: _normalised(case, _firmer(case, last, factor), engine)
        )
    fluence = made.found
    return Plan(
        day=request.day,
        machine=request.machine.name,
        technique=request.technique.name,
        prescription=request.prescription,
        targets=request.targets,
        beams=beams,
        weights=tuple(_by_beam(case, fluence)),
        dose=made.dose,
        facts={
            **facts_of(request, samples, made.dose.volume),
            "objective": fluence.objective,
            "evaluations": float(fluence.evaluations),
            "beams": float(len(beams)),
            "bixels": float(len(fluence.weights)),
            "normalisation_factor": made.factor,
        },
    )


def _by_beam(case: _Case, fluence: Fluence) -> list[np.ndarray]:
    return [fluence.weights[part] for part in bixel_slices(case.beams)]


def _free(case: _Case) -> Fluence:
    """Return the fluence that the fast engine finds."""
    request = case.request
    stages = [(objective_for(request, case.samples, width), most) for width, most in request.effort.stages]
    start = start_weights(case.influence, case.samples.target.index, start_gy(request))
    return optimise_fluence(case.influence, stages, start, roughness=case.roughness, progress=case.progress)


def _corrected(case: _Case, fluence: Fluence, dose: Dose) -> Fluence:
    """Return the fluence that is found from another one with what its accurate dose is more than the fast engine's."""
    request = case.request
    stage = objective_for(request, case.samples, request.effort.stages[-1][0]), request.effort.correction_evaluations
    offset = dose_at(dose.volume, case.samples.points_mm) - case.influence.forward(fluence.weights)
    seen = Corrected(case.influence, offset)
    again = optimise_fluence(seen, [stage], fluence.weights, roughness=case.roughness, progress=case.progress)
    return replace(again, evaluations=fluence.evaluations + again.evaluations)


def _firmer(case: _Case, last: Normalised[Fluence], factor: float) -> Fluence:
    """Return a fluence found with so much more weight on the target; its objective is told without."""
    request = case.request
    firm = replace(request, objectives=request.objectives.firmer(factor))
    again = _corrected(replace(case, request=firm), last.found, last.dose)
    value, _ = objective_for(request, case.samples, request.effort.stages[-1][0]).evaluate(again.dose_gy)
    return replace(again, objective=value)


def _normalised(case: _Case, fluence: Fluence, engine: Engine) -> Normalised[Fluence]:
    """Return a fluence that meets the prescription."""
    dose = dose_for(case.request, engine, case.beams, _by_beam(case, fluence))
    factor = normalisation_factor(dose.volume, case.request)
    return Normalised(replace(fluence, weights=fluence.weights * factor), scaled(dose, factor), factor)
