"""What the command ``plan`` computes: one case from files of any origin, planned and written as a folder."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

from planner import __version__, library
from planner.cli.measures import show_rows
from planner.cli.plan_inputs import PlanCase, PlanInputs, read_case
from planner.engines.base import Capability, Engine
from planner.engines.monte_carlo import MonteCarlo
from planner.engines.registry import engine_named, for_patient
from planner.evaluate.deliverability import Violation
from planner.evaluate.dvh import Histograms
from planner.evaluate.plan_quality import Planned, PlanQuality, plan_quality
from planner.io.plan_file import InputFile, PlanFile, Provenance, plain_facts
from planner.io.plan_folder import OwnFile, SavedPlan, plan_folder, refuse_foreign, write_metrics, write_plan
from planner.optimise.control_points import undeliverable
from planner.optimise.deliverable import make_deliverable
from planner.optimise.planning import Effort, PlanRequest
from planner.report.plan_page import Shown, write_plan_page
from planner.techniques.directions import directions
from planner.treatment.delivery import Delivery
from planner.treatment.dose import Dose
from planner.treatment.errors import InputError, PlanningError, unknown_name
from planner.treatment.machine import Machine
from planner.treatment.objective import ObjectiveTemplate
from planner.treatment.plan import Plan
from planner.treatment.prescription import Prescription
from planner.treatment.scenario import Robust
from planner.treatment.technique import TechniqueSpec

USUAL_ENGINE, ENGINE_IN_FIELD, OPTIMISER_ENGINE = "cone", "monte_carlo", "pencil"
# Inside the dose-correction loop a plan is still moving: twice the uncertainty costs a quarter of the time.
COARSER = 2.0
# Of the search after the correction, which is what the finished dose is judged by: each costs 0.1 s.
CORRECTION_EVALUATIONS = 40


@dataclass(frozen=True)
class Wanted:
    """What is asked of a plan.

    Attributes
    ----------
    machine, technique, template : str
        Names in the library, or paths of the user's own files, which end in ``.toml``.
    dose_gy : float
        Of the whole course.
    fractions : int
    engine : str or None
        None: the collapsed cone, or Monte Carlo in a magnetic field.
    uncertainty_percent : float
        Of Monte Carlo, in the target.
    seed : int
    ignore_field : bool
    robust : str
        ``none``, ``expected`` or ``worst``.
    """

    machine: str
    technique: str
    template: str
    dose_gy: float
    fractions: int
    engine: str | None = None
    uncertainty_percent: float = 1.0
    seed: int = 1
    ignore_field: bool = False
    robust: Robust = "none"


@dataclass(frozen=True, eq=False)
class _Resolved:
    """What the names of `Wanted` stand for."""

    machine: Machine
    technique: TechniqueSpec
    template: ObjectiveTemplate
    prescription: Prescription
    engine_name: str
    engine: Engine
    corrector: Engine
    fast: Engine
    ignore_field: bool
    own: tuple[OwnFile, ...]


def plan_case(inputs: PlanInputs, wanted: Wanted, out: Path) -> dict[str, Any]:
    """Plan a case, write its folder, and return what to tell.

    Raises
    ------
    InputError
        If a file, a name or a number is not usable, or `out` holds anything but a plan.
    PlanningError
        If no plan can be made for a stated reason.
    """
    began = time.monotonic()
    refuse_foreign(out)
    names = _resolved(wanted)
    case = read_case(inputs, reference=Capability.REFERENCE in names.engine.can)
    with _progress(f"{names.technique.name} on {names.machine.name}") as tell:
        plan, delivery = make_deliverable(
            _request(case, names, wanted.robust), names.engine, tell, fast=names.fast, corrector=names.corrector
        )
    asked = (names.machine, names.prescription, names.template)
    planned = Planned(delivery, *asked, plan.dose.volume, case.structures, case.targets)
    histograms = Histograms(plan.dose.volume)
    quality = plan_quality(planned, histograms, scenarios=True)
    wall_s = time.monotonic() - began
    saved = _saved(case, (plan, delivery), (inputs, wanted, names), wall_s)
    found = figures(quality, wanted.dose_gy, wanted.fractions)
    with plan_folder(out) as folder:
        write_plan(folder, saved)
        found["binds"] = plan.facts["binds"]
        write_metrics(folder, {**found, "provenance": saved.about.provenance.model_dump(mode="json")})
        write_plan_page(folder, Shown(saved, names.machine, quality, histograms))
    return {"folder": str(out), "wall_s": wall_s, **_told(quality, plan.dose)}


def figures(quality: PlanQuality, dose_gy: float, fractions: int) -> dict[str, Any]:
    """Return everything that is told of a plan as JSON can hold it: not finite becomes null."""
    structures: dict[str, dict[str, float | None]] = {}
    units: dict[str, str] = {}
    for metric in quality.metrics:
        structures.setdefault(metric.structure, {})[metric.name] = _finite(metric.value)
        units[metric.name] = metric.unit
    apertures, when = quality.apertures, quality.time
    found: dict[str, Any] = {
        "prescription": {"dose_gy": dose_gy, "fractions": fractions},
        "delivery": {
            "beams": apertures.beams,
            "control_points": apertures.control_points,
            "mu_per_fraction": apertures.mu,
            "modulation_factor_mu_per_cgy": apertures.modulation_factor,
            "aperture_mean_cm2": _finite(apertures.aperture_cm2),
            "beam_on_s": when.beam_on_s,
            "delivery_s": when.total_s,
            "couch_kicks": when.couch_kicks,
            "leaf_paced_percent": when.leaf_paced_percent,
        },
        "structures": structures,
        "units": units,
        "violations": _violations(quality),
        "organs_without_limits": list(quality.unlimited),
    }
    if quality.robustness is not None:
        found["robustness"] = robust_figures(quality)
    return found


def robust_figures(quality: PlanQuality) -> dict[str, Any]:
    """Return the coverage of the GTV under setup errors."""
    moved = quality.robustness
    assert moved is not None
    d98, v100 = moved.mean()
    told = {
        c.scenario: {"D98_gy": _finite(c.d98_gy), "V100_percent": c.v100_percent}
        for c in (moved.nominal, *moved.scenarios)
    }
    return {
        "structure": "gtv",
        "worst_scenario": moved.worst.scenario,
        "worst_D98_gy": _finite(min(c.d98_gy for c in moved.scenarios)),
        "worst_V100_percent": moved.worst.v100_percent,
        "mean_D98_gy": _finite(d98),
        "mean_V100_percent": v100,
        "scenarios": told,
    }


def show_plan(found: dict[str, Any]) -> None:
    """Print what `plan_case` tells, for a reader: figures, and below them every violated limit."""
    show_rows({key: value for key, value in found.items() if key != "violations"})
    show_violations(found["violations"])


def show_violations(violations: Mapping[str, Any]) -> None:
    """Print every violated limit of a plan, a line each."""
    for kind, title in (
        ("machine", "violated (machine)"),
        ("clinical", "violated (mandatory limit of dose)"),
        ("optimal_only", "not reached (optimal organ limit)"),
    ):
        for row in violations[kind]:
            typer.echo(f"{title}: {row['text']}")


def _violations(quality: PlanQuality) -> dict[str, list[dict[str, Any]]]:
    return {
        "machine": [_listed(v) for v in quality.machine],
        "clinical": [_listed(v) for v in quality.clinical],
        "optimal_only": [_listed(v) for v in quality.wished],
    }


def _listed(violation: Violation) -> dict[str, Any]:
    return {
        "limit": violation.limit,
        "where": violation.where,
        "value": _finite(violation.value),
        "allowed": _finite(violation.allowed),
        "unit": violation.unit,
        "text": violation.text,
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _dose_told(dose: Dose) -> dict[str, Any]:
    """Return what computed a dose, how certain it is and, where it was left out, that there is a magnetic field."""
    told: dict[str, Any] = {"engine": dose.engine}
    if dose.uncertainty > 0:
        told["uncertainty_percent"] = 100.0 * dose.uncertainty
    if dose.field_ignored:
        told["magnetic_field"] = "ignored"
    return told


def _told(quality: PlanQuality, dose: Dose) -> dict[str, Any]:
    """Return the figures that a reader looks for first."""
    moved = quality.robustness
    assert moved is not None
    told = {
        **_dose_told(dose),
        "V100_percent": quality.value("ptv", "V100_percent"),
        "D98_gy": quality.value("ptv", "D98_gy"),
        "paddick_ci": quality.value("ptv", "paddick_ci"),
        "gi": quality.value("ptv", "gi"),
        "max_percent": 100.0 * quality.value("ptv", "hi_rtog"),
        **{f"brain_V{dose:g}_cc": quality.value("brain", f"V{dose:g}_cc") for dose in quality.brain_gy},
        "mu_per_fraction": quality.apertures.mu,
        "modulation_factor": quality.apertures.modulation_factor,
        "beam_on_s": quality.time.beam_on_s,
        "delivery_s": quality.time.total_s,
        "worst_V100_percent": moved.worst.v100_percent,
        "machine_violations": len(quality.machine),
        "clinical_violations": len(quality.clinical),
        "violations": _violations(quality),
        "organs_without_limits": ", ".join(quality.unlimited) or "none",
    }
    return {**told, "units": {name: unit for name, unit in _UNITS.items() if name in told or name == "wall_s"}}


_UNITS = {
    "wall_s": "s",
    "uncertainty_percent": "%, PTV (1 sigma)",
    "V100_percent": "%, PTV",
    "D98_gy": "Gy, PTV",
    "max_percent": "% of the prescription",
    **{f"brain_V{dose}_cc": "cc" for dose in (12, 20, 24)},
    "mu_per_fraction": "MU",
    "modulation_factor": "MU/cGy",
    "beam_on_s": "s a fraction",
    "delivery_s": "s a fraction",
    "worst_V100_percent": "%, GTV, 1 mm and 1 deg",
}


def _resolved(wanted: Wanted) -> _Resolved:
    """Return what names stand for, all of them checked before any file is read."""
    machine = library.choose("machines", wanted.machine, Machine, "--machine")
    if machine.delivery is None:
        able = [n for n in library.names("machines") if library.load("machines", n, Machine).delivery is not None]
        raise InputError("--machine", "", f"'{machine.name}' delivers no plans; those that do: {', '.join(able)}")
    technique = library.choose("techniques", wanted.technique, TechniqueSpec, "--technique")
    if technique.apertures is None:
        specs = [library.load("techniques", n, TechniqueSpec) for n in library.names("techniques")]
        able = [spec.name for spec in specs if spec.apertures is not None]
        raise InputError("--technique", "", f"'{technique.name}' has no apertures; those that do: {', '.join(able)}")
    _check_deliverable(machine, technique)
    name = wanted.template
    if not name.endswith(library.OWN_SUFFIX) and name not in library.names("objectives"):
        raise InputError("--template", "", unknown_name("template", name, library.names("objectives")))
    template = library.choose("objectives", name, ObjectiveTemplate, "--template")
    if not (np.isfinite(wanted.dose_gy) and 0 < wanted.dose_gy <= 200):
        raise InputError("--prescription-gy", "", f"must lie above 0 and be at most 200, got {wanted.dose_gy:g}")
    has_field = machine.field_strength_t > 0
    ignored = wanted.ignore_field and has_field
    chosen = wanted.engine or (ENGINE_IN_FIELD if has_field and not ignored else USUAL_ENGINE)
    engine = engine_named(chosen, "--engine")
    if has_field and not ignored and Capability.BFIELD not in engine.can:
        problem = f"'{chosen}' cannot see the magnetic field of '{machine.name}': use monte_carlo, or --ignore-field"
        raise InputError("--engine", "", problem)
    return _Resolved(
        machine=machine,
        technique=technique,
        template=template,
        prescription=_prescription(wanted, template),
        engine_name=chosen,
        engine=_seeded(for_patient(engine, wanted.uncertainty_percent), wanted.seed),
        corrector=_seeded(for_patient(engine, COARSER * wanted.uncertainty_percent), wanted.seed + 1),
        fast=engine if Capability.INFLUENCE in engine.can else engine_named(OPTIMISER_ENGINE),
        ignore_field=ignored,
        own=_own(wanted, machine, technique, template),
    )


def _own(
    wanted: Wanted, machine: Machine, technique: TechniqueSpec, template: ObjectiveTemplate
) -> tuple[OwnFile, ...]:
    """Return what is not of the library, of machine, technique and template."""
    asked = (
        ("machines", machine.name, wanted.machine),
        ("techniques", technique.name, wanted.technique),
        ("objectives", template.name, wanted.template),
    )
    return tuple(
        OwnFile(kind, name, Path(path), Path(path).read_bytes())
        for kind, name, path in asked
        if path.endswith(library.OWN_SUFFIX)
    )


def _check_deliverable(machine: Machine, technique: TechniqueSpec) -> None:
    """Refuse a technique that the machine cannot deliver, or from directions in which it cannot stand."""
    why = undeliverable(machine, technique)
    if not why:
        try:
            directions(technique, machine)
        except PlanningError as error:
            why = str(error)
    if why:
        raise InputError("--technique", "", why)


def _prescription(wanted: Wanted, template: ObjectiveTemplate) -> Prescription:
    known = sorted({goal.fractions for goal in template.brain_volume.value})
    if wanted.fractions not in known and template.brain_volume_weight.value > 0:
        listed = ", ".join(map(str, known))
        raise InputError("--fractions", "", f"template '{template.name}' knows {listed} fractions")
    reason = f"{wanted.dose_gy:g} Gy in {wanted.fractions}"
    return Prescription(wanted.dose_gy, wanted.fractions, "fixed", reason)


def _seeded(engine: Engine, seed: int) -> Engine:
    return replace(engine, effort=replace(engine.effort, seed=seed)) if isinstance(engine, MonteCarlo) else engine


def _request(case: PlanCase, names: _Resolved, robust: Robust) -> PlanRequest:
    return PlanRequest(
        day=0.0,
        density=case.density,
        structures=case.structures,
        targets=case.targets,
        machine=names.machine,
        technique=names.technique,
        objectives=names.template,
        prescription=names.prescription,
        ignore_field=names.ignore_field,
        effort=Effort(
            corrections=0 if names.engine is names.fast else 1, correction_evaluations=CORRECTION_EVALUATIONS
        ),
        robust=robust,
    )


def _saved(
    case: PlanCase, made: tuple[Plan, Delivery], asked: tuple[PlanInputs, Wanted, _Resolved], wall_s: float
) -> SavedPlan:
    (plan, delivery), (inputs, wanted, names) = made, asked
    about = PlanFile(
        template=names.template.name,
        margin_mm=inputs.margin_mm,
        dose_gy=wanted.dose_gy,
        fractions=wanted.fractions,
        sad_mm=names.machine.sad_mm.value,
        leaf_borders_mm=tuple(round(float(y), 4) for y in names.machine.leaf_borders_mm),
        facts=plain_facts(plan.facts),
        provenance=Provenance(
            software=f"lacuna {__version__}",
            engine=plan.dose.engine,
            engine_name=names.engine_name,
            seed=wanted.seed,
            uncertainty=plan.dose.uncertainty,
            wall_s=round(wall_s, 3),
            field_ignored=plan.dose.field_ignored,
            grid_mm=case.density.grid.spacing_mm,
            inputs=case.files | {own.kind: _as_input(own) for own in names.own},
            derived=case.derived,
        ),
    )
    return SavedPlan(delivery, about, plan.dose.volume, case.density, case.structures, case.targets, names.own)


def _as_input(own: OwnFile) -> InputFile:
    return InputFile(path=own.path.as_posix(), sha256=hashlib.sha256(own.content).hexdigest())


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, float], None]]:
    """Give what tells evaluations and objective on standard error: live on a terminal, else once at the end."""
    from rich.console import Console

    console = Console(stderr=True)
    last = (0, float("nan"))
    if not console.is_terminal:
        typer.echo(f"planning {title}", err=True)

        def note(evaluation: int, value: float) -> None:
            nonlocal last
            last = (evaluation, value)

        yield note
        typer.echo(f"planned after {last[0]} evaluations, objective {last[1]:.4g}", err=True)
        return
    with console.status(f"planning {title}") as status:
        yield lambda evaluation, value: status.update(
            f"planning {title}: {evaluation} evaluations, objective {value:.4g}"
        )
