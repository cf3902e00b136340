"""The page of one plan: figures, pictures, violated limits, provenance; one file that asks nothing of any network."""

import base64
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from phantoms.structure import Structure
from planner import __version__
from planner.evaluate.dvh import Histograms
from planner.evaluate.plan_quality import PlanQuality
from planner.io.plan_folder import SavedPlan
from planner.report.plan_pictures import apertures_figure, arcs_figure, dose_figure, dvh_figure
from planner.report.templating import style, template
from planner.treatment.machine import Machine

PICTURES, PAGE, DPI = "pictures", "report.html", 110
_CAPTIONS = {
    "dose": "Dose on slices through the isocentre, all of the volume and near the target",
    "dvh": "Dose-volume histograms",
    "apertures": "Apertures in beam's-eye view, at the isocentre plane (grey leaves, sand jaws, red projected PTV), mm",
    "arcs": "Arc diagram",
}
# What a reader looks for first, and how it is told.
_TARGET_ROWS = (
    ("V100_percent", "Covered by the prescription (V100)", "%", 2),
    ("D98_gy", "D98", "Gy", 2),
    ("D2_gy", "D2", "Gy", 2),
    ("Dmax_gy", "Largest dose", "Gy", 2),
    ("prescription_isodose_percent", "Prescription isodose", "%", 1),
    ("paddick_ci", "Conformity (Paddick)", "", 3),
    ("gi", "Gradient index", "", 2),
)


@dataclass(frozen=True, eq=False)
class Shown:
    """What the page shows.

    Attributes
    ----------
    plan : SavedPlan
    machine : Machine
    quality : PlanQuality
    histograms : Histograms
        Of the dose.
    """

    plan: SavedPlan
    machine: Machine
    quality: PlanQuality
    histograms: Histograms


def write_plan_page(folder: Path, shown: Shown) -> None:
    """Write ``pictures/*.png`` and ``report.html`` into a folder that exists."""
    (folder / PICTURES).mkdir()
    pictures = []
    for name, figure in _figures(shown).items():
        path = folder / PICTURES / f"{name}.png"
        figure.set_dpi(DPI)
        # Drawn once (`savefig` draws a figure of constrained layout twice); no software name inside, so that equal
        # pictures are equal files.
        FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
        pictures.append((_CAPTIONS[name], base64.b64encode(path.read_bytes()).decode("ascii")))
    page = template("plan.html.j2").render(
        plan=shown.plan,
        machine=shown.machine,
        quality=shown.quality,
        rows=_rows(shown),
        pictures=pictures,
        style=style(),
        version=__version__,
    )
    (folder / PAGE).write_text(page, encoding="utf-8")


def _figures(shown: Shown) -> dict[str, Figure]:
    plan = shown.plan
    outlined = _outlined(plan)
    isocentre = plan.delivery.beams[0].isocentre_mm
    return {
        "dose": dose_figure(plan.dose, plan.density, outlined, isocentre, plan.about.dose_gy),
        "dvh": dvh_figure(shown.histograms, outlined, plan.about.dose_gy),
        "apertures": apertures_figure(plan.delivery, shown.machine, plan.targets["ptv"]),
        "arcs": arcs_figure(plan.delivery, shown.machine),
    }


def _outlined(plan: SavedPlan) -> dict[str, Structure]:
    """Return the structures of the pictures: the GTV only where it is another one than the PTV."""
    names = ("ptv", "gtv") if plan.about.margin_mm > 0 else ("ptv",)
    return {**{name: plan.targets[name] for name in names}, **plan.structures}


def _rows(shown: Shown) -> list[tuple[str, str]]:
    """Return the figures at the head of the page."""
    quality, plan = shown.quality, shown.plan
    rows = [("Target (PTV)", f"{quality.value('ptv', 'volume_cc'):.2f} cc")]
    rows += [(told, f"{quality.value('ptv', key):.{n}f} {unit}") for key, told, unit, n in _TARGET_ROWS]
    rows += [
        (f"Brain above {dose:g} Gy", f"{quality.value('brain', f'V{dose:g}_cc'):.2f} cc") for dose in quality.brain_gy
    ]
    made, when = quality.apertures, quality.time
    rows += [
        ("Beams, control points", f"{made.beams}, {made.control_points}"),
        ("Monitor units a fraction", f"{made.mu:.0f}"),
        ("Modulation factor", f"{made.modulation_factor:.2f} MU/cGy"),
        ("Mean aperture by monitor units", f"{made.aperture_cm2:.2f} cm²"),
        ("Beam on, all of a fraction", f"{when.beam_on_s / 60:.1f} min, {when.total_s / 60:.1f} min"),
    ]
    if quality.robustness is not None:
        worst, (d98, v100) = quality.robustness.worst, quality.robustness.mean()
        rows += [
            ("GTV coverage under setup errors, worst", f"V100 {worst.v100_percent:.1f} % ({worst.scenario})"),
            ("GTV coverage under setup errors, mean", f"V100 {v100:.1f} %, D98 {d98:.2f} Gy"),
        ]
    if plan.about.provenance.uncertainty > 0:
        rows.append(("Statistical uncertainty", f"{100 * plan.about.provenance.uncertainty:.2f} %"))
    return rows
