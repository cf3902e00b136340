"""What every search of a plan starts from: the request, points, influence, dose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Volume
from planner.engines.base import Capability, Engine, Influence
from planner.engines.body import in_body
from planner.engines.media import is_gas
from planner.evaluate.dvh import dose_at
from planner.optimise.correction import drifted
from planner.optimise.goals import limit_of, objective_of
from planner.optimise.objectives import Objective
from planner.optimise.sampling import Budget, Samples, sample, voxel_of
from planner.optimise.scenarios import with_scenarios
from planner.treatment.beam import Beam
from planner.treatment.dose import Dose
from planner.treatment.errors import PlanningError
from planner.treatment.machine import Machine
from planner.treatment.objective import ObjectiveTemplate
from planner.treatment.prescription import Prescription
from planner.treatment.scenario import Robust
from planner.treatment.technique import TechniqueSpec


@dataclass(frozen=True)
class Effort:
    """How hard to optimise.

    Attributes
    ----------
    stages : tuple of (float, int)
        Width of the brain volume's sigmoid (Gy) and the most evaluations with it; annealed in this order.
    budget : Budget
        Points.
    corrections : int
        Rounds of the dose-correction loop, where the final dose is that of another engine.
    correction_evaluations : int
        The most evaluations in each of them.
    """

    stages: tuple[tuple[float, int], ...] = ((2.0, 20), (1.0, 40))
    budget: Budget = field(default_factory=Budget)
    corrections: int = 0
    correction_evaluations: int = 20


@dataclass(frozen=True, eq=False)
class PlanRequest:
    """Everything that a plan is made from: what the planner believes, the machine, and what is wanted.

    Attributes
    ----------
    day : float
        Of the image.
    density : Volume
        The dose is computed on its grid.
    structures : mapping of str to Structure
        ``external`` and ``brain``, and organs with a limit.
    targets : mapping of str to Structure
        ``gtv``, ``ctv``, ``ptv``.
    machine : Machine
    technique : TechniqueSpec
    objectives : ObjectiveTemplate
    prescription : Prescription
    ignore_field : bool
        Plan without the machine's magnetic field where the engine cannot see it.
    effort : Effort
    robust : str
        Whether coverage is optimised, and normalised, over setup scenarios: ``none``, ``expected`` or ``worst``.
    """

    day: float
    density: Volume
    structures: Mapping[str, Structure]
    targets: Mapping[str, Structure]
    machine: Machine
    technique: TechniqueSpec
    objectives: ObjectiveTemplate
    prescription: Prescription
    ignore_field: bool = False
    effort: Effort = field(default_factory=Effort)
    robust: Robust = "none"


def eased(request: PlanRequest) -> PlanRequest:
    """Return a request whose objectives weigh as its technique says; see ``planner.treatment.technique.Apertures``."""
    shaping = request.technique.apertures
    if shaping is None:
        return request
    return replace(request, objectives=request.objectives.eased(shaping.value.fall_off))


def samples_of(request: PlanRequest) -> Samples:
    """Return the points at which a plan is optimised."""
    ptv, budget = request.targets["ptv"], request.effort.budget
    goals = (goal_organs(request), request.objectives.skin.value.thickness_mm)
    nominal = sample(request.density.grid, ptv, request.structures, goals, budget)
    target = in_matter(request, nominal.points_mm[nominal.target.index])
    nominal = replace(nominal, target=nominal.target.only(target))
    return with_scenarios(nominal, ptv, request.robust, budget.seed)


def dose_for(request: PlanRequest, engine: Engine, beams: Sequence[Beam], weights: Sequence[np.ndarray]) -> Dose:
    """Return the dose that an engine gives the body for a request; see `planner.engines.body.in_body`."""
    dose = engine.dose(
        request.density,
        beams,
        weights,
        request.machine,
        ignore_field=request.ignore_field,
        region=request.targets["ptv"],
    )
    return in_body(dose, request.structures["external"], request.density)


def objective_for(request: PlanRequest, samples: Samples, sigmoid_gy: float) -> Objective:
    """Return the objective of a plan; see `planner.optimise.goals.objective_of`."""
    return objective_of(samples, request.objectives, request.prescription, sigmoid_gy, request.robust)


def binding(request: PlanRequest, samples: Samples, dose: Volume) -> str:
    """Return which terms of the objective a finished dose pays for; organs among them are at their limits.

    That is the last objective at the normalised dose of the accurate engine, at the points of the optimisation.
    """
    last = request.effort.stages[-1][0]
    return objective_for(request, samples, last).binding(dose_at(dose, samples.points_mm))


def start_gy(request: PlanRequest) -> float:
    """Return the mean dose of the target that a search starts from, half-way between its goals."""
    low, high = request.objectives.target_minimum.value.level, request.objectives.target_maximum.value.level
    return 0.5 * (low + high) * request.prescription.dose_gy


def facts_of(request: PlanRequest, samples: Samples, dose: Volume) -> dict[str, float | str]:
    """Return what every finished plan tells of itself, however it was searched for."""
    how = request.objectives.normalisation.value
    largest = float(dose.data[request.targets["ptv"].on(dose.grid) > 0].max())
    return {
        "objectives": request.objectives.name,
        "binds": binding(request, samples, dose),
        "points": float(len(samples.points_mm)),
        "normalisation": f"{how.kind} {how.percent:g} %",
        "robust": request.robust,
        "maximum_gy": largest,
        "isodose_percent": 100 * request.prescription.dose_gy / largest,
    }


def in_matter(request: PlanRequest, points_mm: np.ndarray) -> np.ndarray:
    """Tell which points of a target count: those in gas do not, unless there are no others.

    The dose to gas is nobody's, and one asked for in it is paid for by the tissue around: a PTV that extends into air
    is planned by the part that does not (ICRU 83, cited from memory).
    """
    gas = is_gas(request.density.data).ravel()[voxel_of(request.density.grid, points_mm)]
    return np.ones(len(gas), bool) if gas.all() else ~gas


def checked_target(request: PlanRequest) -> Structure:
    """Return the PTV.

    Raises
    ------
    PlanningError
        If structures are missing or empty, or the PTV lies outside the density.
    """
    for name in ("external", "brain"):
        if name not in request.structures:
            raise PlanningError(f"planning needs the structure '{name}', which is not drawn")
    ptv = request.targets["ptv"]
    if ptv.is_empty:
        raise PlanningError("structure 'ptv' is empty: there is nothing to aim at")
    held = _volume_inside(ptv, request.density.grid)
    if held < 0.99 * ptv.volume_cc:
        raise PlanningError(f"only {held:.2f} of the {ptv.volume_cc:.2f} cc of the PTV lie inside the density")
    return ptv


def _volume_inside(structure: Structure, grid: Grid) -> float:
    """Return the volume, cm3, of the structure's own voxels that have their centre in the box of a grid."""
    box = zip(structure.grid.axes_mm(), grid.low_mm, grid.high_mm, strict=True)
    inside = np.ix_(*[(axis >= low) & (axis <= high) for axis, low, high in box])
    return float(structure.occupancy[inside].sum(dtype=float)) * structure.grid.voxel_cc


def goal_organs(request: PlanRequest) -> tuple[str, ...]:
    """Return the structures with a goal of their own, in order of name."""
    fractions = request.prescription.fractions
    named = [n for n in request.structures if limit_of(n, request.objectives, fractions) is not None]
    return tuple(sorted(named))


def is_corrected(request: PlanRequest, engines: tuple[Engine, Engine]) -> bool:
    """Return whether the dose of the first engine corrects what the second, the fast one, finds."""
    accurate, fast = engines
    return accurate is not fast and request.effort.corrections > 0


def influence_for(
    request: PlanRequest, beams: tuple[Beam, ...], samples: Samples, engines: tuple[Engine, Engine]
) -> Influence:
    """Return the dose of single bixels at the points of the optimisation, by the fast of an accurate and a fast engine.

    Where the accurate one corrects it, the fast one may leave a magnetic field out: it sees the beams where the field
    moves their dose, and the rest of its error is part of the correction.

    Raises
    ------
    PlanningError
        If the fast engine has no influence.
    """
    _, fast = engines
    if Capability.INFLUENCE not in fast.can:
        raise PlanningError(f"engine '{fast.name}' has no influence of single bixels: a fast engine is needed as well")
    corrected = is_corrected(request, engines)
    seen = drifted(beams, request.machine) if corrected and not request.ignore_field else beams
    ignore = request.ignore_field or corrected
    return fast.influence(request.density, seen, request.machine, samples.points_mm, ignore_field=ignore)
