"""How metrics and structures are called in the report, and how figures are written."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

STRUCTURES = {
    "ptv": "PTV",
    "ctv": "CTV",
    "gtv": "GTV",
    "cavity": "True cavity",
    "believed_cavity": "Drawn cavity",
    "brain_minus_target": "Brain minus target",
    "residual": "Residual tumour",
}


@dataclass(frozen=True)
class Definition:
    """What a metric is.

    Attributes
    ----------
    label, unit, text, formula, source : str
    """

    label: str
    unit: str
    text: str
    formula: str = ""
    source: str = ""


@dataclass(frozen=True)
class Naming:
    """The names of what was measured.

    Attributes
    ----------
    definitions : mapping of str to Definition
        By name of the metric, from the registry of `planner.evaluate.metrics`.
    units : mapping of str to str
        By ``structure.metric``, as recorded.
    """

    definitions: Mapping[str, Definition]
    units: Mapping[str, str]

    def unit(self, key: str) -> str:
        """Return the unit of ``structure.metric``."""
        return self.units.get(key, "")

    def title(self, key: str) -> str:
        """Return ``structure.metric`` in words."""
        structure, metric = key.split(".", 1)
        known = self.definitions.get(metric)
        return f"{structure_title(structure)}: {known.label if known else plain(metric)}"


def structure_title(name: str) -> str:
    """Return the name of a structure in words."""
    words = STRUCTURES.get(name) or name.replace("_", " ")
    return words[0].upper() + words[1:]


def plain(metric: str) -> str:
    """Return the name of a metric without its unit and underscores."""
    return re.sub(r"_(gy|cc|percent|mm|fraction)$", "", metric).replace("_", " ")


def figure(value: float, unit: str = "", *, sign: bool = False) -> str:
    """Return a number with three figures that count and its unit; ``–`` where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    places = 0 if abs(value) >= 1000 else 1 if abs(value) >= 99.95 else 2 if abs(value) >= 1 else 3
    if unit == "%":
        places = 1
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    text = text.replace("-", "−")
    if float(text.replace("−", "-")) == 0:
        text = text.lstrip("+−")
    return f"{text} {unit}" if unit and unit != "1" else text
