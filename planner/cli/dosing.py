"""The command ``dose``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Surround(StrEnum):
    """What lies around the volume."""

    VACUUM = "vacuum"
    AIR = "air"


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command("dose")(dose)


def dose(  # noqa: PLR0913, PLR0917 - every option of a command is a parameter
    beams: Annotated[Path, typer.Argument(help="TOML: a list of [[beam]].", show_default=False)],
    density: Annotated[
        Path, typer.Option("--density", help="Mass density (NIfTI, NRRD or MetaImage), g/cm3.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Dose to write (.nii.gz), Gy.", show_default=False)],
    engine: Annotated[str, typer.Option("--engine", help="Name of the engine.")] = "pencil",
    surround: Annotated[Surround, typer.Option("--surround", help="What lies around the volume.")] = Surround.VACUUM,
    ignore_field: Annotated[
        bool, typer.Option("--ignore-field", help="Compute as if there were no magnetic field; the result says so.")
    ] = False,
    histories: Annotated[
        int | None, typer.Option("--histories", min=1, help="Monte Carlo: photons to simulate.", show_default=False)
    ] = None,
    uncertainty_percent: Annotated[
        float,
        typer.Option("--uncertainty-percent", min=0.01, help="Monte Carlo: to be reached (1 sigma)."),
    ] = 1.0,
    region: Annotated[
        Path | None,
        typer.Option("--region", help="Mask where; else above half the maximum.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Monte Carlo: random seed.")] = 1,
    uncertainty_out: Annotated[
        Path | None, typer.Option("--uncertainty-out", help="Standard deviation to write, Gy.", show_default=False)
    ] = None,
    materials: Annotated[
        Path | None, typer.Option("--materials", help="Labels of materials; 0: by density.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Compute the dose of a list of open fields on a density volume.

    Each [[beam]] has machine (a name, or a .toml file beside the list), isocentre_mm, gantry_deg, couch_deg,
    collimator_deg (IEC 61217, head-first supine), one of field_mm = [x, y], radius_mm, [beam.leaves], and weight (MU;
    photons into the field for a point source).
    """
    from planner.cli.doses import Request, dose_of
    from planner.cli.measures import show

    request = Request(
        engine=engine,
        air=surround is Surround.AIR,
        ignore_field=ignore_field,
        histories=histories,
        uncertainty_percent=uncertainty_percent,
        region=region,
        seed=seed,
        uncertainty_out=uncertainty_out,
        materials=materials,
    )
    show(dose_of(beams, density, out, request), as_json)
