"""What the slice viewer needs of each case, packed small enough that the whole report stays below its limit."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.report.collect import Case, Findings, grid_of
from planner.report.isodoses import ORGAN_COLOURS, isodoses
from planner.report.naming import SHELLS
from planner.report.volumes import Packed, crop, cropped, pack_change, pack_exact, pack_picture

# Colours on the black of an image. What was drawn is dashed, what was there is solid, as in the other figures.
TARGETS = {
    "ptv": ("PTV, as drawn", "#ff6b6b", True),
    "ctv": ("CTV, as drawn", "#ffb454", True),
    "gtv": ("GTV, as drawn", "#ffe08a", True),
    "cavity": ("Cavity, on the day of treatment", "#58e07a", False),
    "residual": ("Residual tumour, on the day", "#ff7af0", False),
    "tumour": ("Tumour, on the day", "#58e07a", False),
    "believed_cavity": ("Cavity, as drawn", "#c9f27a", True),
}
HIDDEN = {"external"}  # drawn on request only: it follows what the image shows
LARGE_VOXELS, LARGE_MM, HIDDEN_MM = 300_000, 2.5, 3.5  # larger structures are stored on coarser voxels
LEAST_DOSE = 0.1  # of the prescription: less is stored as none


@dataclass(frozen=True)
class Rung:
    """How finely a case is shown.

    Attributes
    ----------
    quality : int
        Of the images (WebP).
    belief : bool
        Whether the planner's image is shown beside that of the day of treatment.
    spacing_mm : float
        Finest voxel of images and doses; 0 leaves them as they are.
    step_gy : float
        Step of the doses.
    calm_mm : float
        Smoothing of the images far from the target, where noise would take most of the room; 0 leaves them.
    """

    quality: int
    belief: bool
    spacing_mm: float
    step_gy: float
    calm_mm: float


LADDER = (
    Rung(60, True, 0.0, 0.02, 0.0),
    Rung(45, True, 1.5, 0.05, 0.0),
    Rung(38, True, 1.5, 0.1, 0.7),
    Rung(30, True, 1.5, 0.1, 1.0),
    Rung(38, True, 1.5, 0.1, 1.5),
    Rung(35, False, 1.5, 0.1, 1.5),
    Rung(30, False, 2.0, 0.1, 2.0),
)
CASE_BYTES, STUDY_BYTES = 2_600_000, 8_600_000  # base64; a report may have 3 MB a case and 10 MB a study
SHARP_MM = (35.0, 55.0)  # distance from the target where smoothing begins and where it is full


@dataclass
class Gallery:
    """The volumes of all cases that are shown, each once.

    Attributes
    ----------
    blobs : dict of str to str
        Base64 WebP by the hash of its content: arms of a patient often share a volume.
    cases : list of dict
        What the page's script reads.
    patients : list of str
        Those shown, in order; the others did not fit.
    rung : Rung
    """

    rung: Rung
    blobs: dict[str, str] = field(default_factory=dict)
    cases: list[dict[str, Any]] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all volumes."""
        return sum(len(blob) for blob in self.blobs.values())

    def keep(self, packed: Packed) -> dict[str, object]:
        """Return the description of a volume, its mosaic kept under the hash that the description names."""
        name = hashlib.sha256(packed.webp.encode("ascii")).hexdigest()[:16]
        self.blobs[name] = packed.webp
        return {**packed.described(), "blob": name}


def gallery(findings: Findings) -> Gallery:
    """Return the volumes for the viewer: as fine as fits, and if even the coarsest do not, the first patients."""
    shown = Gallery(LADDER[-1])
    for rung in LADDER:
        shown = _filled(findings, rung)
        if shown.patients == list(findings.patients):
            break
    return shown


def _filled(findings: Findings, rung: Rung) -> Gallery:
    """Return the gallery at one rung, with as many patients as fit; on all but the last rung it soon gives up."""
    shown, share = Gallery(rung), STUDY_BYTES / len(findings.patients)
    for patient in findings.patients:
        more = _with_patient(findings, shown, patient)
        cases, last = len(more.cases), rung is LADDER[-1]
        if more.size > STUDY_BYTES or (not last and more.size > CASE_BYTES * cases):
            return shown
        shown = more
        if not last and len(shown.patients) == 1 and shown.size > 0.97 * share:
            return Gallery(rung) if len(findings.patients) > 1 else shown
    return shown


def _with_patient(findings: Findings, shown: Gallery, patient: str) -> Gallery:
    """Return the gallery with one more patient."""
    more = Gallery(shown.rung, dict(shown.blobs), list(shown.cases), [*shown.patients, patient])
    cases = [case for case in findings.cases if case.patient == patient]
    with ThreadPoolExecutor() as pool:  # the compressor leaves the interpreter free
        more.cases += pool.map(lambda case: shown_case(findings, case, more), cases)
    return more


def shown_case(findings: Findings, case: Case, shown: Gallery) -> dict[str, Any]:
    """Return one case as the page's script reads it, its volumes kept in `shown`."""
    views, rung = case.views(), shown.rung
    grid = grid_of(views)
    coarse = _coarser(grid, rung.spacing_mm)
    images = {"image": views["image"]} | ({"belief_image": views["belief_image"]} if rung.belief else {})
    top = float(np.nanmax(views["dose_gy"])) if views["dose_gy"].size else 0.0
    entry: dict[str, Any] = {
        "patient": case.patient,
        "arm": case.strategy,
        "rx": case.prescription_gy,
        "top": round(top, 2),
        "focus": [round(x, 2) for x in _focus(views, grid)],
        "isodoses": isodoses(case.prescription_gy or top),
        "facts": _facts(case),
        "belief_image": None,
    }
    for name, values in images.items():
        calm = _calmed(coarse, _on(grid, values, coarse), entry["focus"], rung.calm_mm)
        entry[name] = shown.keep(pack_picture(coarse, calm, rung.quality))
    least = LEAST_DOSE * (case.prescription_gy or top)
    delivered, planned = (_floored(_on(grid, views[key], coarse), least) for key in ("dose_gy", "planned_gy"))
    part, window = crop(coarse, np.maximum(delivered, planned) > 0)
    entry["delivered"] = shown.keep(pack_exact(part, delivered[window], rung.step_gy))
    change = shown.keep(pack_change(part, planned[window], delivered[window], rung.step_gy))
    entry["planned"] = {**change, "base": entry["delivered"]["blob"]}
    entry["structures"] = [_structure(*item, grid, shown) for item in enumerate(_structures(findings, views).items())]
    return entry


def _structures(findings: Findings, views: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the occupancies by name, targets first, of all that was evaluated: tissue classes would only take room."""
    evaluated = {*findings.records["structure"], *findings.dvh["structure"], *TARGETS, *HIDDEN, "brain"} - SHELLS
    found = {key.removeprefix("occupancy_"): a for key, a in views.items() if key.startswith("occupancy_")}
    found = {name: occupancy for name, occupancy in found.items() if name in evaluated}
    order = [*(n for n in TARGETS if n in found), *sorted(n for n in found if n not in TARGETS)]
    return {name: found[name] for name in order if found[name].any()}


def _structure(number: int, item: tuple[str, np.ndarray], grid: Grid, shown: Gallery) -> dict[str, Any]:
    name, occupancy = item
    plain = name.replace("_", " ")
    label, colour, dash = TARGETS.get(
        name, (plain[0].upper() + plain[1:], ORGAN_COLOURS[number % len(ORGAN_COLOURS)], False)
    )
    part, inner = cropped(grid, occupancy)
    if inner.size > LARGE_VOXELS:
        coarse = _coarser(part, HIDDEN_MM if name in HIDDEN else LARGE_MM)
        part, inner = coarse, _on(part, inner, coarse)
    return {
        "name": name,
        "label": label,
        "colour": colour,
        "dash": dash,
        "width": 1.8 if name in TARGETS else 1.1,
        "hidden": name in HIDDEN,
        "volume": shown.keep(pack_exact(part, inner, 1.0)),
    }


def _coarser(grid: Grid, finest_mm: float) -> Grid:
    """Return the grid of the same box with voxels of at least `finest_mm`, or the grid itself."""
    spacing = [max(s, finest_mm) for s in grid.spacing_mm]
    if tuple(spacing) == grid.spacing_mm:
        return grid
    return Grid.covering(tuple(grid.low_mm), tuple(grid.high_mm), spacing)


def _floored(dose: np.ndarray, least_gy: float) -> np.ndarray:
    return np.where(dose >= least_gy, dose, 0).astype(np.float32)


def _on(grid: Grid, values: np.ndarray, other: Grid) -> np.ndarray:
    if other == grid:
        return values
    return Volume(grid, values.astype(np.float32), Quantity.DOSE).on(other).data


def _calmed(grid: Grid, image: np.ndarray, focus: list[float], smooth_mm: float) -> np.ndarray:
    """Return an image smoothed away from the target: as it is near by, and gradually smoother further out."""
    if smooth_mm == 0:
        return image
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij", sparse=True)
    away = np.sqrt((x - focus[0]) ** 2 + (y - focus[1]) ** 2 + (z - focus[2]) ** 2)
    weight = np.clip((away - SHARP_MM[0]) / (SHARP_MM[1] - SHARP_MM[0]), 0, 1).astype(np.float32)
    sharp = image.astype(np.float32)
    smooth = gaussian_filter(sharp, [smooth_mm / s for s in grid.spacing_mm])
    return np.rint(sharp + weight * (smooth - sharp)).astype(np.uint8)


def _focus(views: Mapping[str, np.ndarray], grid: Grid) -> np.ndarray:
    """Return the middle of what is treated: of the PTV, else of the cavity, else of the high dose."""
    weight = views["dose_gy"].astype(np.float32) > 0.8 * float(views["dose_gy"].max(initial=0))
    for name in ("ptv", "gtv", "cavity"):
        if f"occupancy_{name}" in views and views[f"occupancy_{name}"].any():
            weight = views[f"occupancy_{name}"].astype(np.float64)
            break
    total = weight.sum(dtype=np.float64)
    sums = [weight.sum(axis=tuple({0, 1, 2} - {a}), dtype=np.float64) for a in range(3)]
    return np.array([s @ x / total for s, x in zip(sums, grid.axes_mm(), strict=True)])


def _facts(case: Case) -> str:
    """Return one line on the case for the viewer."""
    rx, plan = case.prescription_gy, case.facts.get("plan", {})
    fractions = plan.get("fractions")
    parts = [] if rx is None else [f"Prescribed {rx:g} Gy" + (f" in {fractions:g}" if fractions else "")]
    parts += [f"{step['step']} day {step['day']:g}" for step in case.steps if step["step"] in ("image", "treat")]
    return " · ".join(parts)
