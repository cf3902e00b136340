"""Dose-volume curves of all patients and arms, one panel a structure."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from planner.report.collect import Arm, Findings
from planner.report.naming import SHELLS, structure_title
from planner.report.scales import Scale, path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 348.0, 222.0, 34.0, 10.0, 10.0, 32.0
POINTS = 161
OPEN = 9  # panels that are shown; the others fold away
ORDER = ("cavity", "residual", "tumour", "ptv", "ctv", "gtv", "brain")
MANY_PATIENTS = 12  # beyond that only targets show single patients; single planned curves are of targets only


@dataclass(frozen=True)
class Curve:
    """One line: a patient, or (with an empty patient) the median of an arm."""

    arm: Arm
    patient: str
    phase: str
    path: str


@dataclass(frozen=True)
class Panel:
    """The curves of one structure."""

    structure: str
    title: str
    x: Scale
    y: Scale
    curves: tuple[Curve, ...]
    marks: tuple[tuple[float, str], ...]


def panels(findings: Findings) -> list[Panel]:
    """Return the panels of all that was evaluated: targets first, then brain, then organs by the dose they receive."""
    evaluated, table = set(findings.records["structure"]) - SHELLS, findings.dvh
    reached = table[table["volume_percent"] >= 2.0].groupby("structure")["dose_gy"].max()
    found = [str(name) for name in reached.sort_values(ascending=False, kind="stable").index if name in evaluated]
    order = [*(n for n in ORDER if n in found), *(n for n in found if n not in ORDER)]
    return [_panel(findings, name) for name in order]


def _panel(findings: Findings, structure: str) -> Panel:
    table = findings.dvh[findings.dvh["structure"] == structure]
    beyond = table.loc[table["volume_percent"] > 0.05, "dose_gy"]
    top = max(float(beyond.max()) if len(beyond) else 1.0, 0.5) * 1.04
    x, y = Scale(0.0, top, LEFT, WIDTH - RIGHT), Scale(0.0, 100.0, HEIGHT - BOTTOM, TOP)
    at = np.linspace(0.0, top, POINTS)
    groups = table.groupby(["strategy", "phase", "patient"], sort=True)
    sampled = {tuple(map(str, key)): _sampled(rows, at) for key, rows in groups}
    curves, target = [], structure in ORDER
    for arm in findings.shown_arms:
        for phase in ("planned", "delivered"):
            single = {p: v for (s, f, p), v in sampled.items() if (s, f) == (arm.name, phase)}
            if not single:
                continue
            if len(single) <= (MANY_PATIENTS if phase == "delivered" or target else 1) or (
                target and phase == "delivered"
            ):
                curves += [Curve(arm, p, phase, path(x, y, zip(at, v, strict=True))) for p, v in single.items()]
            if len(single) > 1:
                middle = np.median(list(single.values()), axis=0)
                curves.append(Curve(arm, "", phase, path(x, y, zip(at, middle, strict=True))))
    doses = sorted({case.prescription_gy for case in findings.cases if case.prescription_gy})
    marks = tuple((x(d), f"{d:g}") for d in doses if d < top)
    return Panel(structure, structure_title(structure), x, y, tuple(curves), marks)


def _sampled(rows: pd.DataFrame, at: np.ndarray) -> np.ndarray:
    """Return a curve's volumes at other doses: 100 % before its first dose, nothing after its last."""
    ordered = rows.sort_values("dose_gy")
    return np.interp(at, ordered["dose_gy"], ordered["volume_percent"], left=100.0, right=0.0)
