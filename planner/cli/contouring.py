"""``lacuna segment``: the cavity in an MR image, from a point inside it."""

import math
from pathlib import Path
from typing import Annotated

import typer

from planner.cli.files import AsJson


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command("segment")(segment)


def segment(
    image: Annotated[
        Path,
        typer.Argument(help="MR image (NIfTI, NRRD or MetaImage): T1-weighted after gadolinium.", show_default=False),
    ],
    seed_mm: Annotated[
        tuple[float, float, float],
        typer.Option("--seed-mm", help="A point in the fluid of the cavity, LPS mm.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", help="Occupancy to write (.nii.gz).", show_default=False)],
    also: Annotated[
        list[Path] | None, typer.Option("--also", help="T2-weighted image of the same frame (repeatable).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the resection cavity around a point, with its edge between the voxels.

    Written as occupancy on the grid of IMAGE. Fluid is found, air before it and, with a T2-weighted image, blood that
    settled behind it; clots on the wall are not, so that cavities of the first days come out somewhat too small.
    """
    from phantoms.volume import Quantity
    from planner import __version__
    from planner.cli.measures import show
    from planner.contouring.segmentation import segment_cavity
    from planner.io.digest import sha256_of
    from planner.io.nifti import read_volume, write_structure
    from planner.treatment.errors import InputError, PlanningError

    if not all(math.isfinite(x) for x in seed_mm):
        raise InputError("--seed-mm", "", f"must be three finite numbers, got {seed_mm}")
    files = [image, *(also or [])]
    volumes = [read_volume(file, Quantity.MR_SIGNAL) for file in files]
    try:
        found = segment_cavity(volumes, seed_mm)
    except PlanningError as error:
        raise InputError("--seed-mm", "", str(error)) from None
    write_structure(out, found, volumes[0].grid)
    result = {
        "out": str(out),
        "volume_cc": found.volume_cc,
        "centroid_mm": [float(x) for x in found.centroid_mm],
        "seed_mm": list(seed_mm),
        "provenance": {
            "software": f"lacuna {__version__}",
            "files": {str(file): sha256_of(file) for file in files},
        },
    }
    show(result, as_json)
