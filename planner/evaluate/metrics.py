"""Metrics of a dose on structures: targets, margins of the cavity, brain, organs at risk, skin.

Formulas and references are in ``planner.evaluate.definitions``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from phantoms.distance import has_surface
from phantoms.structure import Role, Structure
from phantoms.volume import Volume
from planner import library
from planner.evaluate.coverage import rim_coverage, shell
from planner.evaluate.dvh import Dvh, Histograms, dvh, isodose_volume_cc
from planner.treatment.limits import EvaluationRules, Limit, Limits
from planner.treatment.prescription import Prescription

# Structures that bound others, large, and no dose to them is asked for.
BOUNDS = ("intracranial", "skull")
# Structures whose parallel surfaces are told, and those that are truth rather than drawn or organs.
RIMMED = ("cavity", "tumour")
TRUTHS = ("cavity", "residual", "tumour")
# What brain_minus_target leaves out: the first of these that was drawn.
_EXCLUDED = ("ctv", "gtv", "ptv")
NOT_ORGANS = ("brain", "external", "intracranial")
# Metrics of every structure with a histogram of its own, and those that a target has beside them, in their order.
_CURVE_NAMES = ("volume_cc", "D98_gy", "D95_gy", "D50_gy", "D2_gy", "D0.03cc_gy", "Dmin_gy", "Dmax_gy", "Dmean_gy")
DOSE_NAMES = (*_CURVE_NAMES, "V100_percent", "covered_fraction")
AIR_RIM_NAMES = ("volume_cc", "Dmean_gy", "D98_gy", "D50_gy", "D2_gy")
TARGET_NAMES = (
    "near_min_gy",
    "near_max_gy",
    "prescription_isodose_percent",
    "surface_min_gy",
    "piv_cc",
    "piv50_cc",
    "rtog_ci",
    "paddick_ci",
    "selectivity",
    "gi",
    "r50",
    "hi_rtog",
    "hi_icru83",
)


@dataclass(frozen=True)
class Metric:
    """One number about one structure.

    Attributes
    ----------
    structure, name : str
    value : float
        NaN where it is not defined.
    unit : str
        Empty for ratios and counts.
    uncertainty : float
        One sigma, in the same unit; 0 if not known or none.
    """

    structure: str
    name: str
    value: float
    unit: str
    uncertainty: float = 0.0


def rules() -> EvaluationRules:
    """Return the conventions of the evaluation."""
    return library.load("evaluation", "standard", EvaluationRules)


def limits_for(fractions: int) -> Limits | None:
    """Return the organ limits for a number of fractions, None if the library has none for it."""
    for name in library.names("limits"):
        found = library.load("limits", name, Limits)
        if found.fractions == fractions:
            return found
    return None


def quantity(curve: Dvh, name: str) -> float:
    """Return a quantity of a histogram by its name: ``D98_gy``, ``D0.03cc_gy``, ``V12_cc``, ``Dmean_gy`` ...

    Raises
    ------
    ValueError
        If the name is none of these.
    """
    plain = {"Dmin_gy": curve.min_gy, "Dmax_gy": curve.max_gy, "Dmean_gy": curve.mean_gy, "volume_cc": curve.volume_cc}
    if name in plain:
        return plain[name]
    if found := re.fullmatch(r"D([\d.]+)cc_gy", name):
        return curve.dose_at_volume_cc(float(found[1]))
    if found := re.fullmatch(r"D([\d.]+)_gy", name):
        return curve.dose_at_volume_percent(float(found[1]))
    if found := re.fullmatch(r"V([\d.]+)_cc", name):
        return curve.volume_at_dose_cc(float(found[1]))
    raise ValueError(f"unknown dose-volume quantity '{name}'")


def dose_metrics(curve: Dvh, prescription_gy: float) -> list[Metric]:
    """Return volume, D98, D95, D50, D2, D0.03cc, minimum, maximum, mean, and the share covered by the prescription."""
    found = [Metric(curve.structure, n, quantity(curve, n), "cc" if n == "volume_cc" else "Gy") for n in _CURVE_NAMES]
    found.append(Metric(curve.structure, "V100_percent", curve.volume_at_dose_percent(prescription_gy), "%"))
    found.append(Metric(curve.structure, "covered_fraction", curve.covered_fraction, ""))
    return found


def target_metrics(
    dose: Volume,
    target: Structure,
    prescription_gy: float,
    isodoses_cc: tuple[float, float] | None = None,
    curve: Dvh | None = None,
) -> list[Metric]:
    """Return the dose metrics, marginal dose, conformity, gradient and homogeneity of one target.

    Parameters
    ----------
    dose : Volume
    target : Structure
    prescription_gy : float
    isodoses_cc : tuple of 2 float, optional
        Volumes of the prescription isodose and of half of it, where the caller has them already.
    curve : Dvh, optional
        Of the target, likewise.

    Raises
    ------
    ValueError
        If the target is empty.
    """
    curve, name, rule = curve or dvh(dose, target), target.name, rules()
    d98, d50, d2 = (curve.dose_at_volume_percent(percent) for percent in (98, 50, 2))
    tv, covered = curve.volume_cc, curve.volume_at_dose_cc(prescription_gy)
    piv, piv50 = isodoses_cc or isodose_volumes_cc(dose, prescription_gy)
    near = rule.near_volume_cc.value
    large = tv >= rule.small_target_cc.value
    surface = rim_coverage(dose, target, prescription_gy)[0]
    rows = {
        "near_min_gy": (d98 if large else curve.dose_at_volume_cc(max(tv - near, 0.5 * tv)), "Gy"),
        "near_max_gy": (d2 if large else curve.dose_at_volume_cc(near), "Gy"),
        "prescription_isodose_percent": (100.0 * _ratio(prescription_gy, curve.max_gy), "%"),
        "surface_min_gy": (surface.min_gy, "Gy"),
        "piv_cc": (piv, "cc"),
        "piv50_cc": (piv50, "cc"),
        "rtog_ci": (_ratio(piv, tv), ""),
        "paddick_ci": (_ratio(covered**2, tv * piv), ""),
        "selectivity": (_ratio(covered, piv), ""),
        "gi": (_ratio(piv50, piv), ""),
        "r50": (_ratio(piv50, tv), ""),
        "hi_rtog": (_ratio(curve.max_gy, prescription_gy), ""),
        "hi_icru83": (_ratio(d2 - d98, d50), ""),
    }
    return dose_metrics(curve, prescription_gy) + [Metric(name, key, *rows[key]) for key in TARGET_NAMES]


def isodose_volumes_cc(dose: Volume, prescription_gy: float) -> tuple[float, float]:
    """Return the volumes of the whole dose grid with the prescription and with half of it: PIV and PIV50, cm3."""
    return isodose_volume_cc(dose, prescription_gy), isodose_volume_cc(dose, prescription_gy / 2)


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else float("nan")


def rim_metrics(
    dose: Volume, structure: Structure, prescription_gy: float, within: Structure | None = None
) -> list[Metric]:
    """Return the coverage by area of a structure's surface and of the surfaces 1, 2, 3 and 5 mm outside it."""
    margins = rules().rim_margins_mm.value
    found = []
    for rim in rim_coverage(dose, structure, prescription_gy, margins, within):
        covered, lowest = rim_names(rim.margin_mm)
        found.append(Metric(structure.name, covered, rim.covered_percent, "%"))
        found.append(Metric(structure.name, lowest, rim.min_gy, "Gy"))
    return found


def rim_names(margin_mm: float) -> tuple[str, str]:
    """Return the names of the covered share and of the lowest dose at a distance from a structure."""
    return f"rim_{margin_mm:g}mm_percent", f"rim_{margin_mm:g}mm_min_gy"


def brain_metrics(dose: Volume, brain: Structure, target: Structure | None = None) -> list[Metric]:
    """Return V5, V10, V12 ... of the brain as contoured, and of the brain without a target if one is given.

    Raises
    ------
    ValueError
        If the brain is empty.
    """
    return _brain_rows(dose, dvh(dose, brain), brain, target)


def _brain_rows(dose: Volume, whole: Dvh, brain: Structure, target: Structure | None) -> list[Metric]:
    found = _volumes("brain", whole, None)
    if target is not None:
        common = Structure("common", brain.role, target.grid, brain.on(target.grid) * target.occupancy)
        found += _volumes("brain_minus_target", whole, None if common.is_empty else dvh(dose, common))
    return found


def _volumes(name: str, whole: Dvh, without: Dvh | None) -> list[Metric]:
    """Return volume, V5, V10, V12 ... and mean dose of a structure, without a part of it if one is given."""
    volume, integral = whole.volume_cc, whole.mean_gy * whole.covered_fraction * whole.volume_cc
    covered = whole.covered_fraction * whole.volume_cc
    if without is not None:
        volume -= without.volume_cc
        covered -= without.covered_fraction * without.volume_cc
        integral -= without.mean_gy * without.covered_fraction * without.volume_cc
    found = [Metric(name, "volume_cc", volume, "cc")]
    for level in rules().brain_doses_gy.value:
        above = whole.volume_at_dose_cc(level) - (without.volume_at_dose_cc(level) if without is not None else 0.0)
        found.append(Metric(name, f"V{level:g}_cc", max(above, 0.0), "cc"))
    found.append(Metric(name, "Dmean_gy", _ratio(integral, covered), "Gy"))
    return found


def skin_near_dose(dose: Volume, external: Structure) -> Structure | None:
    """Return the skin (the outer layer of the external contour) where dose reaches the level of interest.

    Only a box around that dose is looked at, with enough room that the cut faces of the box, which are no skin, lie
    outside the dose. None if no dose reaches it.
    """
    rule = rules()
    thickness, level = rule.skin_thickness_mm.value, rule.skin_dose_gy.value
    hit = np.argwhere(dose.data >= level)
    if not len(hit):
        return None
    room = thickness + 3.0 * max(external.grid.spacing_mm + dose.grid.spacing_mm)
    low = external.grid.index_of(dose.grid.point_of(hit.min(axis=0)) - room)
    high = external.grid.index_of(dose.grid.point_of(hit.max(axis=0)) + room)
    window = external.grid.window(np.floor(low).astype(int).tolist(), (np.ceil(high) + 1).astype(int).tolist())
    part = Structure("skin", Role.ORGAN, window, external.on(window))
    return shell(part, -thickness, 0.0, "skin") if has_surface(part) else None


def air_rim_metrics(dose: Volume, structures: Mapping[str, Structure]) -> list[Metric]:
    """Return the dose of the tissue around air in the cavity: there electrons return to it in a magnetic field."""
    air, body = structures.get("air"), structures.get("intracranial", structures.get("brain"))
    if air is None or body is None or not has_surface(air):
        return []
    around = shell(air, 0.0, rules().air_rim_mm.value, "air_rim")
    tissue = Structure("air_rim", Role.SUPPORT, around.grid, around.occupancy * body.on(around.grid))
    if tissue.is_empty:
        return []
    curve = dvh(dose, tissue)
    return [Metric("air_rim", n, quantity(curve, n), "cc" if n == "volume_cc" else "Gy") for n in AIR_RIM_NAMES]


def organ_metrics(curves: Mapping[str, Dvh], limits: Limits | None) -> list[Metric]:
    """Return D0.03cc and mean dose of organs, how far each limit is exceeded, and how many mandatory ones are.

    Parameters
    ----------
    curves : mapping of str to Dvh
        By structure.
    limits : Limits or None
        None where there are none for the number of fractions: then nothing is told about limits.
    """
    found = []
    for name, curve in curves.items():
        if name not in NOT_ORGANS:
            found.append(Metric(name, "D0.03cc_gy", curve.dose_at_volume_cc(0.03), "Gy"))
            found.append(Metric(name, "Dmean_gy", curve.mean_gy, "Gy"))
    return found + (_limit_metrics(curves, limits) if limits is not None else [])


def limit_name(limit: Limit) -> str:
    """Return the name of the metric that tells how far a limit is exceeded."""
    return f"{limit.quantity}_over_{limit.level}_limit"


def _limit_metrics(curves: Mapping[str, Dvh], limits: Limits) -> list[Metric]:
    found, violated = [], dict.fromkeys(curves, 0)
    for limit in limits.limits:
        for name in limit.structures:
            if name not in curves:
                continue
            over = quantity(curves[name], limit.quantity) - limit.at_most.value
            unit = "cc" if limit.quantity.endswith("_cc") else "Gy"
            found.append(Metric(name, limit_name(limit), over, unit))
            violated[name] += limit.level == "mandatory" and over > 0
    limited = {name for limit in limits.limits for name in limit.structures}
    found += [Metric(name, "limits_violated", float(n), "") for name, n in violated.items() if name in limited]
    found.append(Metric("all", "limits_violated", float(sum(violated.values())), ""))
    return found


def plan_metrics(dose: Volume, target: Structure, prescription_gy: float, brain: Structure | None) -> list[Metric]:
    """Return the metrics of one target, and of the brain with and without it where one is given.

    Names are unique, as a flat table needs: those of the brain start with ``brain_`` or ``brain_minus_target_``.

    Raises
    ------
    ValueError
        If the target is empty.
    """
    found = target_metrics(dose, target, prescription_gy)
    found += rim_metrics(dose, target, prescription_gy)
    if brain is not None and not brain.is_empty:
        named = Structure("brain", brain.role, brain.grid, brain.occupancy)
        for row in brain_metrics(dose, named, target):
            found.append(Metric(row.structure, f"{row.structure}_{row.name}", row.value, row.unit))
    return found


def case_metrics(
    histograms: Histograms,
    structures: Mapping[str, Structure],
    targets: Mapping[str, Structure],
    prescription: Prescription,
) -> list[Metric]:
    """Return every metric of one dose on one anatomy: a study calls it for the planned and for the delivered dose.

    Parameters
    ----------
    histograms : Histograms
        Of the total dose, Gy.
    structures : mapping of str to Structure
        Anatomy, and lesion, cavity and residual tumour as they are (or as the planner believes them to be).
    targets : mapping of str to Structure
        ``gtv``, ``ctv``, ``ptv`` as drawn.
    prescription : Prescription
    """
    return list(_case_metrics(histograms, structures, targets, prescription))


def _case_metrics(
    histograms: Histograms,
    structures: Mapping[str, Structure],
    targets: Mapping[str, Structure],
    prescription: Prescription,
) -> Iterator[Metric]:
    dose, level = histograms.dose, prescription.dose_gy
    drawn = {name: target for name, target in targets.items() if has_surface(target)}
    isodoses = isodose_volumes_cc(dose, level)
    for target in drawn.values():
        yield from target_metrics(dose, target, level, isodoses, histograms.of(target))
    for name in TRUTHS:
        truth = structures.get(name)
        if truth is None or truth.is_empty:
            continue
        yield from dose_metrics(histograms.of(truth), level)
        if name in RIMMED and has_surface(truth):
            yield from rim_metrics(dose, truth, level, structures.get("intracranial"))
    organs = {n: s for n, s in structures.items() if s.role is Role.ORGAN and n not in BOUNDS and not s.is_empty}
    curves = {name: histograms.of(organ) for name, organ in organs.items()}
    brain = structures.get("brain")
    if brain is not None and not brain.is_empty:
        excluded = next((drawn[name] for name in _EXCLUDED if name in drawn), None)
        if "brain" not in curves:
            curves["brain"] = histograms.of(brain)
        yield from _brain_rows(dose, curves["brain"], brain, excluded)
    if "external" in structures:
        skin = skin_near_dose(dose, structures["external"])
        least, value = rules().skin_dose_gy.value, 0.0
        if skin is not None and not skin.is_empty:
            curves["skin"] = histograms.of(skin)
            value = curves["skin"].volume_at_dose_cc(least)
        yield Metric("skin", f"V{least:g}_cc", value, "cc")
    yield from air_rim_metrics(dose, structures)
    yield from organ_metrics(curves, limits_for(prescription.fractions))
