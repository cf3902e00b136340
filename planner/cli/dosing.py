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


def dose(
    beams: Annotated[Path, typer.Argument(help="TOML: a list of [[beam]].", show_default=False)],
    density: Annotated[Path, typer.Option("--density", help="Mass density (NIfTI), g/cm3.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Dose to write (.nii.gz), Gy.", show_default=False)],
    engine: Annotated[str, typer.Option("--engine", help="Name of the engine.")] = "pencil",
    surround: Annotated[Surround, typer.Option("--surround", help="What lies around the volume.")] = Surround.VACUUM,
    ignore_field: Annotated[
        bool, typer.Option("--ignore-field", help="Compute as if there were no magnetic field; the result says so.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Compute the dose of a list of open fields on a density volume.

    Each [[beam]] has machine, isocentre_mm, gantry_deg, couch_deg, collimator_deg (IEC 61217, head-first supine),
    one of field_mm = [x, y], radius_mm, [beam.leaves], and weight (MU; photons into the field for a point source).
    """
    from planner.cli.doses import dose_of
    from planner.cli.measures import show

    options = {"air": surround is Surround.AIR, "ignore_field": ignore_field}
    show(dose_of(beams, density, out, engine, options), as_json)
