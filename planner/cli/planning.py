"""The commands ``plan`` and ``plan-check``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class RobustChoice(StrEnum):
    """What a plan is optimised for; see `planner.treatment.scenario`."""

    NONE = "none"
    EXPECTED = "expected"
    WORST = "worst"


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command("plan")(plan)
    app.command("plan-check")(plan_check)


def plan(  # noqa: PLR0913, PLR0917 - every option of a command is a parameter
    density: Annotated[
        Path, typer.Argument(help="Mass density (NIfTI, NRRD or MetaImage), g/cm3.", show_default=False)
    ],
    target: Annotated[Path, typer.Option("--target", help="Mask of the target, on any grid.", show_default=False)],
    machine: Annotated[
        str, typer.Option("--machine", help="See `lacuna machine list`; or a .toml file.", show_default=False)
    ],
    technique: Annotated[
        str,
        typer.Option(
            "--technique", help="ncvmat, ncvmat-eight, dca, imrt, conformal; or a .toml file.", show_default=False
        ),
    ],
    prescription_gy: Annotated[
        float, typer.Option("--prescription-gy", help="Gy of the whole course.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder: new, or of an older plan.", show_default=False)],
    fractions: Annotated[int, typer.Option("--fractions", min=1, help="Fractions.")] = 1,
    template: Annotated[
        str, typer.Option("--template", help="Objectives of the library; or a .toml file.")
    ] = "srs-marginal",
    organ: Annotated[
        list[str] | None, typer.Option("--organ", help="NAME=MASK (repeatable).", show_default=False)
    ] = None,
    external: Annotated[
        Path | None, typer.Option("--external", help="Mask of the body; else found in the density.", show_default=False)
    ] = None,
    brain: Annotated[
        Path | None, typer.Option("--brain", help="Mask of the brain; else what bone surrounds.", show_default=False)
    ] = None,
    margin_mm: Annotated[float, typer.Option("--margin-mm", help="From the target to the PTV.")] = 0.0,
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="cone, monte_carlo or pencil; else cone, in a magnetic field monte_carlo."),
    ] = None,
    uncertainty_percent: Annotated[
        float, typer.Option("--uncertainty-percent", min=0.1, help="Monte Carlo: in the target (1 sigma).")
    ] = 1.0,
    grid_mm: Annotated[
        float | None,
        typer.Option(
            "--grid-mm", help="Dose grid; else about 2 mm, 1 below 3 cc (Monte Carlo: 1.5, and 1 below 0.4 cc)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Monte Carlo: random seed.")] = 1,
    ignore_field: Annotated[
        bool, typer.Option("--ignore-field", help="Plan as if there were no magnetic field; the plan says so.")
    ] = False,
    robust: Annotated[
        RobustChoice, typer.Option("--robust", help="Optimise coverage over setup scenarios: their mean or the worst.")
    ] = RobustChoice.NONE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Plan one case from files of any origin: a delivery that the machine can carry out, its dose, metrics, pictures.

    Writes plan.json, dose.nii.gz, density.nii.gz, structures/, metrics.json, pictures/ and report.html.
    """
    from planner.cli.measures import show
    from planner.cli.plan_inputs import PlanInputs, named_organs
    from planner.cli.plans import Wanted, plan_case, show_plan

    inputs = PlanInputs(
        density=density,
        target=target,
        external=external,
        brain=brain,
        organs=named_organs(organ or []),
        margin_mm=margin_mm,
        grid_mm=grid_mm,
    )
    wanted = Wanted(
        machine=machine,
        technique=technique,
        template=template,
        dose_gy=prescription_gy,
        fractions=fractions,
        engine=engine,
        uncertainty_percent=uncertainty_percent,
        seed=seed,
        ignore_field=ignore_field,
        robust=robust.value,
    )
    show(plan_case(inputs, wanted, out), as_json, show_plan)


def plan_check(
    folder: Annotated[Path, typer.Argument(help="Folder that `lacuna plan` wrote.", show_default=False)],
    dose: Annotated[bool, typer.Option("--dose/--no-dose", help="Recompute the dose from apertures and MU.")] = True,
    robust: Annotated[bool, typer.Option("--robust", help="Coverage under shifts and rotations.")] = False,
    engine: Annotated[
        str | None, typer.Option("--engine", help="Of the recomputed dose; else the plan's.", show_default=False)
    ] = None,
    density: Annotated[
        Path | None, typer.Option("--density", help="Recompute on this density instead.", show_default=False)
    ] = None,
    arc_step_deg: Annotated[
        float, typer.Option("--arc-step-deg", min=0.1, help="How finely arcs are sampled as they turn.")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Check a plan against the limits of its machine and of organs, and its dose against its apertures.

    Exit status 1 if a mandatory limit is violated or the recomputed dose is not the stated one.
    """
    from planner.cli.measures import show as as_text
    from planner.cli.plan_checks import CheckRequest, check_plan, show

    request = CheckRequest(dose=dose, robust=robust, engine=engine, density=density, arc_step_deg=arc_step_deg)
    found = check_plan(folder, request)
    as_text(found, as_json, show)
    if not found["passed"]:
        raise typer.Exit(1)
