"""What the command ``plan-check`` finds: a plan tested from its folder, without the optimiser that made it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

from phantoms.volume import Quantity, Volume
from planner import library
from planner.cli.plans import figures, show_violations
from planner.engines.body import in_body
from planner.engines.monte_carlo import MonteCarlo
from planner.engines.registry import engine_named, for_patient
from planner.evaluate.dvh import Histograms
from planner.evaluate.plan_quality import Planned, PlanQuality, plan_quality
from planner.evaluate.recompute import CHECK_STEP_DEG, DoseDifference, dose_difference, recomputed
from planner.io.nifti import read_volume
from planner.io.plan_folder import SavedPlan, own_or_library, read_plan
from planner.treatment.dose import Dose
from planner.treatment.errors import InputError
from planner.treatment.limits import DoseAgreement
from planner.treatment.machine import Machine
from planner.treatment.objective import ObjectiveTemplate
from planner.treatment.technique import TechniqueSpec


@dataclass(frozen=True)
class CheckRequest:
    """What is to be checked beside limits.

    Attributes
    ----------
    dose : bool
        Recompute the dose.
    robust : bool
        Evaluate setup errors.
    engine : str or None
        Of the recomputed dose; None: the one that the plan states.
    density : Path or None
        Compute on this density instead of the one in the folder.
    arc_step_deg : float
        Sample arcs as finely as this while the gantry turns.
    """

    dose: bool = True
    robust: bool = False
    engine: str | None = None
    density: Path | None = None
    arc_step_deg: float = CHECK_STEP_DEG


def check_plan(folder: Path, request: CheckRequest) -> dict[str, Any]:
    """Return every violated limit of a plan, and what else was asked for; ``passed`` says whether there is none.

    Raises
    ------
    InputError
        If a file of the folder, the machine or an option is not usable.
    CapabilityError
        If the engine cannot compute in the field of the machine.
    """
    plan = read_plan(folder)
    machine = own_or_library(folder, plan.about, "machines", ("machine", plan.delivery.machine), Machine)
    _check_machine(plan, machine, folder / "plan.json")
    _check_technique(plan, folder)
    quality = _quality(plan, machine, folder, request)
    told = figures(quality, plan.about.dose_gy, plan.about.fractions)
    found: dict[str, Any] = {
        "folder": str(folder),
        "machine": machine.name,
        "technique": plan.delivery.technique,
        "violations": told["violations"],
        "organs_without_limits": told["organs_without_limits"],
        "delivery": told["delivery"],
    }
    if request.robust:
        found["robustness"] = told["robustness"]
    passed = not quality.machine and not quality.clinical
    if request.dose:
        difference = _recomputed(plan, machine, folder, request)
        found["dose"] = asdict(difference)
        passed = passed and difference.agrees
    return {**found, "passed": passed}


def _check_machine(plan: SavedPlan, machine: Machine, file: Path) -> None:
    """Refuse a plan that states another geometry than its machine has, in the library of today or as its own file."""
    about, borders = plan.about, machine.leaf_borders_mm
    same_leaves = len(about.leaf_borders_mm) == len(borders) and np.allclose(about.leaf_borders_mm, borders, atol=1e-3)
    for key, same in (("leaf_borders_mm", same_leaves), ("sad_mm", np.isclose(about.sad_mm, machine.sad_mm.value))):
        if not same:
            raise InputError(file, key, f"is not that of machine '{machine.name}'")


def _check_technique(plan: SavedPlan, folder: Path) -> None:
    """Refuse a plan whose beams are not of the technique that it states."""
    called = ("technique", plan.delivery.technique)
    technique = own_or_library(folder, plan.about, "techniques", called, TechniqueSpec)
    kind = "static" if technique.arcs is None else "arc"
    for beam in plan.delivery.beams:
        if beam.kind != kind:
            problem = f"'{technique.name}' has beams of kind '{kind}', but '{beam.label}' is of kind '{beam.kind}'"
            raise InputError(folder / "plan.json", "technique", problem)


def show(found: Mapping[str, Any]) -> None:
    """Print the result of a check for a reader."""
    violations = found["violations"]
    show_violations(violations)
    for organ in found["organs_without_limits"]:
        typer.echo(f"not judged: no limit for this number of fractions knows an organ '{organ}'")
    if "dose" in found:
        dose = found["dose"]
        typer.echo(
            f"recomputed dose: gamma {dose['gamma_percent']:.2f} % pass, mean difference {dose['mean_percent']:.3f} %, "
            f"bias {dose['bias_percent']:+.3f} %, "
            f"largest {dose['largest_percent']:.2f} % of the prescription: "
            + ("agrees" if dose["agrees"] else "DIFFERS")
        )
    if "robustness" in found:
        moved = found["robustness"]
        typer.echo(
            f"setup errors: GTV V100 {moved['worst_V100_percent']:.2f} % at worst ({moved['worst_scenario']}), "
            f"{moved['mean_V100_percent']:.2f} % on average; D98 {moved['worst_D98_gy']:.2f} and "
            f"{moved['mean_D98_gy']:.2f} Gy"
        )
    made = found["delivery"]
    typer.echo(
        f"delivery: {made['mu_per_fraction']:.0f} MU, beam on {made['beam_on_s']:.0f} s, in all "
        f"{made['delivery_s']:.0f} s a fraction"
    )
    misses = [f"{len(violations[kind])} {kind} limits violated" for kind in ("machine", "clinical") if violations[kind]]
    if "dose" in found and not found["dose"]["agrees"]:
        misses.append("the dose is not that of the apertures")
    typer.echo(f"{found['folder']}: " + ("passed" if found["passed"] else f"NOT PASSED, {', '.join(misses)}"))


def _quality(plan: SavedPlan, machine: Machine, folder: Path, request: CheckRequest) -> PlanQuality:
    about = plan.about
    template = own_or_library(folder, about, "objectives", ("template", about.template), ObjectiveTemplate)
    planned = Planned(plan.delivery, machine, about.prescription, template, plan.dose, plan.structures, plan.targets)
    try:
        return plan_quality(planned, Histograms(plan.dose), scenarios=request.robust)
    except ValueError as error:
        raise InputError(folder / "plan.json", "", str(error)) from None


def _recomputed(plan: SavedPlan, machine: Machine, folder: Path, request: CheckRequest) -> DoseDifference:
    made = plan.about.provenance
    engine = engine_named(request.engine or made.engine_name, "--engine")
    if isinstance(engine, MonteCarlo):
        engine = for_patient(engine, max(100.0 * made.uncertainty, 0.5))
        assert isinstance(engine, MonteCarlo)
        # Other random numbers than the plan's, so that noise does not agree with itself.
        engine = replace(engine, effort=replace(engine.effort, seed=made.seed + 1000))
    typer.echo(f"recomputing the dose with {engine.name}", err=True)
    density = _density(plan, request)
    try:
        again = recomputed(
            plan.delivery,
            machine,
            density,
            engine,
            ignore_field=made.field_ignored,
            region=plan.targets["ptv"],
            arc_step_deg=request.arc_step_deg,
        )
    except ValueError as error:
        raise InputError(folder / "plan.json", "beams", str(error)) from None
    again = in_body(again, plan.structures["external"], density)
    stated = Dose(plan.dose, made.engine, made.field_ignored, made.uncertainty)
    rules = library.load("evaluation", "dose-agreement", DoseAgreement)
    return dose_difference(stated, again, plan.about.dose_gy, rules)


def _density(plan: SavedPlan, request: CheckRequest) -> Volume:
    if request.density is None:
        return plan.density
    return read_volume(request.density, Quantity.DENSITY).on(plan.density.grid)
