"""Paired plots: every patient's value in every arm, joined, with the differences between the arms."""

import math
from dataclasses import dataclass
from textwrap import wrap

import pandas as pd

from planner.report.collect import Arm, Findings
from planner.report.naming import Naming, figure
from planner.report.scales import Scale, around, path

LEAST_LEVEL = 0.9  # an interval that attains less is shown, but no difference is called clear by it
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 268.0, 215.0, 40.0, 14.0, 10.0, 51.0


@dataclass(frozen=True)
class Line:
    """One patient: the path through the arms and the points on it."""

    patient: str
    path: str
    points: tuple[tuple[float, float, Arm], ...]
    told: str


@dataclass(frozen=True)
class Slopes:
    """One metric in all arms.

    Attributes
    ----------
    key : str
        ``structure.metric``.
    title, unit : str
    y : Scale
    columns : tuple of (float, list of str)
        Where each arm stands, and its name in at most three lines.
    lines : tuple of Line
    medians : tuple of (float, float, Arm, str)
        Place, place, arm and value of each median.
    differences : list of dict
        One a pair of arms: Hodges-Lehmann difference, interval, level and probabilities, as text.
    """

    key: str
    title: str
    unit: str
    y: Scale
    columns: tuple[tuple[float, list[str]], ...]
    lines: tuple[Line, ...]
    medians: tuple[tuple[float, float, Arm, str], ...]
    differences: list[dict[str, object]]


def slopes(findings: Findings, naming: Naming, keys: list[str]) -> list[Slopes]:
    """Return the paired plots of the delivered dose, for the metrics that at least two patients have in two arms.

    Where all values are one and the same, the table of arms tells as much.
    """
    charts = []
    for key in keys:
        structure, metric = key.split(".", 1)
        table = findings.values(structure, metric).dropna(axis="columns", how="all")
        if (table.notna().sum(axis="columns") >= 2).sum() >= 2 and table.stack().nunique() > 1:
            charts.append(_slopes(findings, naming, key, table))
    return charts


def _slopes(findings: Findings, naming: Naming, key: str, table: pd.DataFrame) -> Slopes:
    arms = [arm for arm in findings.shown_arms if arm.name in table]
    x = Scale(-0.3, len(arms) - 0.7, LEFT, WIDTH - RIGHT)
    y = around(table.to_numpy().ravel(), HEIGHT - BOTTOM, TOP)
    place = {arm.name: n for n, arm in enumerate(arms)}
    unit = naming.unit(key)
    lines = []
    for patient, row in table.iterrows():
        seen = [(float(place[arm.name]), float(row[arm.name]), arm) for arm in arms if math.isfinite(row[arm.name])]
        told = " → ".join(figure(value, unit) for _, value, _ in seen)
        points = tuple((x(a), y(b), arm) for a, b, arm in seen)
        lines.append(Line(str(patient), path(x, y, [(a, b) for a, b, _ in seen]), points, f"{patient}: {told}"))
    medians = tuple(
        (x(place[arm.name]), y(float(table[arm.name].median())), arm, figure(float(table[arm.name].median()), unit))
        for arm in arms
    )
    columns = tuple((x(place[arm.name]), wrap(arm.title.split(",")[0], 14, break_on_hyphens=False)[:3]) for arm in arms)
    return Slopes(key, naming.title(key), unit, y, columns, tuple(lines), medians, differences(findings, key, unit))


def differences(findings: Findings, key: str, unit: str) -> list[dict[str, object]]:
    """Return the paired differences of one metric of the delivered dose between all pairs of arms, as text."""
    pairs = findings.comparison.pairs
    named = (pairs["phase"] == "delivered") & (pairs["structure"] + "." + pairs["metric"] == key) & (pairs["n"] >= 2)
    arms = {arm.name: arm for arm in findings.arms}
    return [
        {
            "first": arms[row["first"]],
            "second": arms[row["second"]],
            "n": int(row["n"]),
            "difference": figure(row["difference"], unit, sign=True),
            "low": figure(row["low"], "", sign=True),
            "high": figure(row["high"], "", sign=True),
            "level": f"{100 * row['level']:.0f} %",
            "beyond_zero": bool(row["level"] >= LEAST_LEVEL and (row["low"] > 0 or row["high"] < 0)),
            "sure": bool(row["level"] >= LEAST_LEVEL),
            "p": probability(row["p"]),
            "p_holm": probability(row["p_holm"]) if row["in_family"] else "",
        }
        for row in pairs[named].to_dict("records")
    ]


def probability(p: float) -> str:
    """Return a probability as it is printed."""
    if not math.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
