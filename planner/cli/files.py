"""The commands that work on files: ``import``, ``phantom``, ``margin``, ``dvh``, ``metrics``, ``gamma``."""

from pathlib import Path
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Label = Annotated[int | None, typer.Option("--label", help="Take this label of a label map as the structure.")]
Mask = Annotated[
    Path, typer.Argument(help="Mask (NIfTI, NRRD or MetaImage): occupancy 0 to 1, or binary.", show_default=False)
]
DoseFile = Annotated[Path, typer.Argument(help="Dose (NIfTI, NRRD or MetaImage), Gy.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    for name, command in (
        ("import", import_),
        ("phantom", phantom),
        ("margin", margin),
        ("dvh", dvh),
        ("metrics", metrics),
        ("gamma", gamma),
    ):
        app.command(name)(command)


def import_(
    folder: Annotated[
        Path,
        typer.Argument(
            help="DICOM MR series and structure sets; or mr.nii.gz (or t1gd, t1ce, t1c, t1) and masks by name; or "
            "sub-folders day_0, day_21, ... of these."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The case: a new folder.", show_default=False)],
    spacing_mm: Annotated[float, typer.Option("--spacing-mm", help="Voxel size of density and structures.")] = 1.0,
    series: Annotated[str | None, typer.Option("--series", help="SeriesInstanceUID, if there are several.")] = None,
    day: Annotated[float, typer.Option("--day", help="Day of the (first) image, from surgery.")] = 0.0,
    roi: Annotated[
        list[str] | None,
        typer.Option("--roi", help="STRUCTURE=NAME: what a region of a structure set is, beside library/rois. Repeat."),
    ] = None,
    same_frame: Annotated[
        bool, typer.Option("--same-frame", help="All days share one frame already: register nothing.")
    ] = False,
) -> None:
    """Import a real MRI, or those of several days, as a case.

    Reads DICOM structure sets, finds the outline of the head (without frame and fiducials), brain, skull and air, and
    assigns bulk density. Later days are registered rigidly to the first, unless they share its frame of reference.
    """
    from planner.io.atomic import refuse_existing
    from planner.io.case import write_case
    from planner.io.importing import Reading, import_folder

    refuse_existing(out)
    reading = Reading(_named_regions(roi or []), same_frame)
    imported = import_folder(folder, spacing_mm=spacing_mm, series=series, day=day, reading=reading)
    write_case(imported, out)
    for entry in (imported.record, *imported.record.get("later", [])):
        typer.echo(f"{out}: {imported.patient.id}, {_about_day(entry)}")
        for name, told in entry["structures"].items():
            typer.echo(f"  {name}: {told['volume_cc']:.1f} cc, {told['origin']}")


def _named_regions(given: list[str]) -> dict[str, str]:
    """Return structure by the name of a region, from STRUCTURE=NAME."""
    from planner.io.importing import is_name
    from planner.treatment.errors import InputError

    found = {}
    for one in given:
        structure, _, name = one.partition("=")
        if not name or not is_name(structure):
            raise InputError("--roi", "", f"'{one}' is not STRUCTURE=NAME, like cavity='GTV 1'")
        found[name] = structure
    return found


def _about_day(entry: dict[str, Any]) -> str:
    image, set_ = entry["image"], entry["source"].get("structure_set")
    told = f"day {entry['day']:g}, MR {image['shape']} voxels of {' x '.join(f'{s:g}' for s in image['spacing_mm'])} mm"
    if image["resampled"]:
        told += f"; oblique by {image['obliquity_deg']:.1f} deg, resampled once"
    if "angle_deg" in entry.get("registration", {}):
        told += f"; turned by {entry['registration']['angle_deg']:.1f} deg to the first day"
    if set_:
        told += f"; {set_['read']} of {set_['regions']} regions known by name"
        cut = ", ".join(f"{name} {100 * share:.1f} %" for name, share in set_["share_on_image"].items())
        told += f"; only partly on the images: {cut}" if cut else ""
        gaps = ", ".join(f"{name} {count}" for name, count in set_["planes_skipped"].items())
        told += f"; empty on planes without a contour between others: {gaps}" if gaps else ""
    return told


def phantom(
    spec: Annotated[Path, typer.Argument(help="TOML with a table [cohort] and its `days`.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="A new folder.", show_default=False)],
    deformation: Annotated[
        bool, typer.Option("--deformation", help="Write the true motion of tissue from each day to the next.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Child processes; 0: one a processor.")] = 0,
) -> None:
    """Write synthetic patients as NIfTI.

    The table [cohort] takes the keys of a synthetic cohort, `seed`, and `days`: volumes and structures of each day.
    Interrupted, the same command goes on from the patients that are finished.
    """
    from planner.cli.phantoms import write_cohort

    write_cohort(spec, out, deformation, workers)


def margin(
    mask: Mask,
    mm: Annotated[float, typer.Option("--mm", help="Margin; negative shrinks.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Occupancy to write (.nii.gz).", show_default=False)],
    label: Label = None,
    as_json: AsJson = False,
) -> None:
    """Expand a mask by a margin in mm.

    Measured from its sub-voxel surface; written as occupancy on the mask's own grid. If the margin leaves that grid,
    the output is on the same lattice with more voxels.
    """
    from planner.cli.measures import expanded, show

    show(expanded(mask, mm, out, label), as_json)


def dvh(
    dose: DoseFile,
    masks: Annotated[list[Path], typer.Argument(help="Masks (NIfTI, NRRD or MetaImage).", show_default=False)],
    label: Label = None,
    as_json: AsJson = False,
) -> None:
    """Dose-volume metrics of structures."""
    from planner.cli.measures import dvh_of, show, show_structures

    found = dvh_of(dose, masks, label)
    show(found, as_json, show_structures)


def metrics(
    dose: DoseFile,
    target: Annotated[Path, typer.Option("--target", help="Mask of the target.", show_default=False)],
    prescription_gy: Annotated[float, typer.Option("--prescription-gy", help="Gy.", show_default=False)],
    brain: Annotated[
        Path | None, typer.Option("--brain", help="Mask of the brain, for V5, V10, V12, V14, V20, V24.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan quality of one target.

    Coverage, conformity, gradient, homogeneity, and the brain volumes with and without the target.
    """
    from planner.cli.measures import metrics_of, show

    show(metrics_of(dose, target, prescription_gy, brain), as_json)


def gamma(
    reference: Annotated[
        Path, typer.Argument(help="Reference dose (NIfTI, NRRD or MetaImage), Gy.", show_default=False)
    ],
    evaluated: Annotated[
        Path, typer.Argument(help="Evaluated dose (NIfTI, NRRD or MetaImage), Gy.", show_default=False)
    ],
    dose_percent: Annotated[float, typer.Option("--dose-percent", help="Of the reference maximum.")] = 1.0,
    distance_mm: Annotated[float, typer.Option("--distance-mm", help="Distance to agreement.")] = 1.0,
    threshold_percent: Annotated[float, typer.Option("--threshold-percent", help="Leave out lower doses.")] = 10.0,
    local: Annotated[bool, typer.Option("--local", help="Percent of the local dose instead.")] = False,
    max_gamma: Annotated[float, typer.Option("--max-gamma", help="Larger gammas are told as this.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Gamma comparison of two doses.

    At the voxels of the reference, in the interpolated evaluated dose.
    """
    from planner.cli.measures import gamma_of, show

    criteria: dict[str, Any] = {
        "dose_percent": dose_percent,
        "distance_mm": distance_mm,
        "threshold_percent": threshold_percent,
        "local": local,
        "max_gamma": max_gamma,
    }
    show(gamma_of(reference, evaluated, criteria), as_json)
