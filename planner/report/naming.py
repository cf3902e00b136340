"""How metrics and structures are called in the report, and how figures are written."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from planner.evaluate.definitions import DEFINITIONS, Definition
from planner.report.collect import Findings

STRUCTURES = {
    "ptv": "PTV",
    "ctv": "CTV",
    "gtv": "GTV",
    "residual": "Residual tumour",
    "all": "All organs",
    "air_rim": "Tissue beside air in the cavity",
}
# Layers: measured, but no organ to look at in a picture.
SHELLS = {"skin", "skull", "intracranial", "scalp", "air_rim"}
# Names of metrics in words; the first pattern that fits the whole name counts.
LABELS = (
    (r"rim_0mm_percent", "rim covered by the prescription"),
    (r"rim_(.+)mm_percent", r"covered \1 mm outside the rim"),
    (r"rim_0mm_min_gy", "marginal dose (lowest on the rim)"),
    (r"rim_(.+)mm_min_gy", r"lowest dose \1 mm outside the rim"),
    (r"surface_min_gy", "marginal dose (lowest on the surface)"),
    (r"prescription_isodose_percent", "prescription isodose"),
    (r"paddick_ci", "Paddick conformity index"),
    (r"rtog_ci", "RTOG conformity index"),
    (r"gi", "gradient index"),
    (r"r50", "R50"),
    (r"hi_rtog", "homogeneity index (RTOG)"),
    (r"hi_icru83", "homogeneity index (ICRU 83)"),
    (r"piv_cc", "volume of the prescription isodose"),
    (r"piv50_cc", "volume of half the prescription"),
    (r"near_(min|max)_gy", r"near-\1imum dose (ICRU 91)"),
    (r"D(min|max)_gy", r"\1imum dose"),
    (r"Dmean_gy", "mean dose"),
    (r"V([\d.]+)_percent", r"V\1%"),
    (r"V([\d.]+)_cc", r"V\1Gy"),
    (r"D([\d.]+)_gy", r"D\1%"),
    (r"D([\d.]+)cc_gy", r"D\1cc"),
    (r"covered_fraction", "part inside the dose grid"),
    (r"limits_violated", "mandatory limits exceeded"),
    (r"setup_worst_V100_percent", "V100 in the worst setup scenario"),
    (r"setup_mean_V100_percent", "V100, mean over setup scenarios"),
    (r"setup_worst_D98_gy", "D98 in the worst setup scenario"),
    (r"mu_per_fraction", "monitor units a fraction"),
    (r"aperture_mean_cm2", "mean aperture, by monitor units"),
    (r"beam_on_min", "beam-on time of a fraction"),
    (r"delivery_min", "time of a fraction, setup apart"),
    (r"machine_limits_violated", "limits of the machine violated"),
    (r"(.+?)(?:_gy|_cc)?_over_(.+)_limit", r"\1 over its \2 limit"),
)
# What a physicist looks at first, in that order, after the endpoints that the study names itself.
LEADING = (
    "cavity.rim_0mm_percent",
    "cavity.rim_1mm_percent",
    "cavity.rim_2mm_percent",
    "cavity.rim_0mm_min_gy",
    "residual.V100_percent",
    "ptv.V100_percent",
    "ptv.D98_gy",
    "ptv.surface_min_gy",
    "ptv.paddick_ci",
    "ptv.gi",
    "brain_minus_target.V12_cc",
    "brain.V12_cc",
    "skin.V3_cc",
    "all.limits_violated",
    "gtv.setup_worst_V100_percent",
    "delivery.mu_per_fraction",
    "delivery.modulation_factor",
    "delivery.aperture_mean_cm2",
    "delivery.beam_on_min",
    "delivery.delivery_min",
    "delivery.machine_limits_violated",
    "ptv.volume_cc",
    "cavity.volume_cc",
)

# Where the electron return effect shows.
INTEREST = ("skin.D0.03cc_gy", "skin.Dmean_gy", "skin.V3_cc", "air_rim.Dmean_gy", "air_rim.D2_gy", "air_rim.D98_gy")


@dataclass(frozen=True)
class Naming:
    """The names of what was measured.

    Attributes
    ----------
    units : mapping of str to str
        By ``structure.metric``, as recorded.
    definitions : mapping of str to Definition
        Of the metrics that were recorded, by their name or, where it holds a number, by the pattern of it.
    """

    units: Mapping[str, str]
    definitions: Mapping[str, Definition]

    def unit(self, key: str) -> str:
        """Return the unit of ``structure.metric``."""
        return self.units.get(key, "")

    def title(self, key: str) -> str:
        """Return ``structure.metric`` in words."""
        structure, metric = key.split(".", 1)
        return f"{structure_title(structure)}: {metric_label(metric)}"


def naming_of(findings: Findings) -> Naming:
    """Return the names of all that was measured in a study."""
    records = findings.records
    units = dict(zip(records["structure"] + "." + records["metric"], records["unit"].astype(str), strict=True))
    return Naming(units, _definitions(dict.fromkeys(records["metric"])))


def key_metrics(findings: Findings) -> tuple[list[str], list[str]]:
    """Return the ``structure.metric`` keys that lead, and the others in the order in which they were recorded."""
    records = findings.records
    recorded = list(dict.fromkeys(records["structure"] + "." + records["metric"]))
    first = [key for key in dict.fromkeys([*findings.endpoints, *LEADING]) if key in recorded] or recorded[:10]
    return first, [key for key in recorded if key not in first]


def _definitions(metrics: Iterable[str]) -> dict[str, Definition]:
    found = {}
    for metric in metrics:
        patterns = (metric, re.sub(r"[\d.]+", "x", metric), "over_limit" if "_over_" in metric else "")
        name = next((p for p in patterns if p in DEFINITIONS), None)
        if name is not None:
            found[name] = DEFINITIONS[name]
    return {name: found[name] for name in DEFINITIONS if name in found}


def structure_title(name: str) -> str:
    """Return the name of a structure in words."""
    words = STRUCTURES.get(name) or name.replace("_", " ")
    return words[0].upper() + words[1:]


def metric_label(metric: str) -> str:
    """Return the name of a metric in words."""
    for pattern, label in LABELS:
        found = re.fullmatch(pattern, metric)
        if found:
            return found.expand(label)
    return re.sub(r"_(gy|cc|percent|mm)$", "", metric).replace("_", " ")


def figure(value: float, unit: str = "", *, sign: bool = False) -> str:
    """Return a number with three figures that count and its unit; ``–`` where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    places = 0 if abs(value) >= 1000 else 1 if abs(value) >= 99.95 else 2 if abs(value) >= 1 else 3
    if unit == "%":
        places = 1
    if value == 0:
        places = 0
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    text = text.replace("-", "−")
    if float(text.replace("−", "-")) == 0:
        text = text.lstrip("+−")
    return f"{text} {unit}" if unit and unit != "1" else text
