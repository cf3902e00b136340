"""The page of a synthetic cohort: what was drawn, beside the literature, and what it looks like."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imsave

from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.io.nifti import read_structure, read_volume
from planner.report import cohort
from planner.report.projections import Head
from planner.report.templating import style, template

MOST_PATIENTS = 12
"""Whose images are shown."""
_WIDE = 268  # pixels of the page
_WHITE = 99.7  # per cent of the voxels of a slice that are not brighter than white


@dataclass(frozen=True)
class Picture:
    """One day of one patient: PNG in base 64, and the height that it has on the page."""

    day: str
    told: str
    png: str
    width: int
    height: int


@dataclass(frozen=True)
class Strip:
    """The pictures of one patient."""

    patient: str
    pictures: tuple[Picture, ...]


def write_cohort_page(
    folder: Path, spec: Mapping[str, Any], records: Sequence[Mapping[str, Any]], constants: Sequence[Mapping[str, str]]
) -> None:
    """Write ``cohort.html`` into the folder of a cohort.

    Parameters
    ----------
    folder : Path
        With the volumes of all patients (``planner.io.cohort_folder``).
    spec : mapping
        The table ``[cohort]``, complete.
    records : sequence of mapping
        ``patient.json`` of each, at least one.
    constants : sequence of mapping
        ``name, value, source, status`` of what patients are made from.
    """
    image = spec["images"][0]
    patients = cohort.Patients(
        spec=spec,
        constants=constants,
        facts={_short(record): record["facts"] for record in records},
        courses={_short(r): (np.array(r["course"]["day"]), np.array(r["course"]["cavity_cc"])) for r in records},
        head=_head(folder, records[0]),
        prescribed={},
    )
    page = template("cohort.html.j2").render(
        table=spec,
        arms=(),
        cohort=cohort.cohort(patients),
        sizes={"cohort": cohort},
        image=image,
        strips=[_strip(folder, record, image) for record in records[:MOST_PATIENTS]],
        style=style(),
        version=__version__,
    )
    (folder / "cohort.html").write_text(page, encoding="utf-8")


def _short(record: Mapping[str, Any]) -> str:
    """Return what tells a patient from the others of the cohort: the last part of the name."""
    return str(record["id"]).rsplit("-", 1)[-1]


def _head(folder: Path, record: Mapping[str, Any]) -> Head:
    parts = folder / record["epochs"][0]["folder"] / "structures"
    skin, brain = (read_structure(parts / f"{name}.nii.gz") for name in ("external", "brain"))
    return Head(_short(record), skin.grid, 255.0 * skin.occupancy, 255.0 * brain.on(skin.grid))


def _strip(folder: Path, record: Mapping[str, Any], image: str) -> Strip:
    height = float(record["facts"]["tumour_z_mm"])
    pictures = []
    for epoch in record["epochs"]:
        body = "tumour" if epoch["day"] < 0 else "cavity"
        volume = read_volume(folder / epoch["folder"] / f"{image}.nii.gz", Quantity.MR_SIGNAL)
        told = f"{body} {epoch['volume_cc'].get(body, 0.0):.1f} cc"
        pictures.append(_picture(volume, height, f"{epoch['day']:g}", told))
    return Strip(_short(record), tuple(pictures))


def _picture(volume: Volume, height_mm: float, day: str, told: str) -> Picture:
    """Return the axial slice nearest to a height, as it is looked at: from below, the front upwards."""
    axis = volume.grid.axes_mm()[2]
    shown = volume.data[:, :, int(np.argmin(np.abs(axis - height_mm)))].T
    drawn = io.BytesIO()
    white = max(float(np.percentile(shown, _WHITE)), 1e-6)
    imsave(drawn, shown, cmap="gray", vmin=0.0, vmax=white, format="png")
    x, y, _ = volume.grid.spacing_mm
    tall = round(_WIDE * shown.shape[0] * y / (shown.shape[1] * x))
    return Picture(day, told, base64.b64encode(drawn.getvalue()).decode("ascii"), _WIDE, tall)
