"""The course of each patient: volumes of cavity and residual tumour by day, and what each arm did when."""

import math
from dataclasses import dataclass
from typing import Any

from planner.report.collect import Arm, Case, Findings
from planner.report.scales import Scale, path

WIDTH, LEFT, RIGHT, TOP, PLOT, LANE = 348.0, 38.0, 12.0, 12.0, 112.0, 15.0
VOLUMES = (("cavity_cc", "cavity"), ("tumour_cc", "tumour"), ("residual_cc", "residual"))


@dataclass(frozen=True)
class Lane:
    """What one arm did: marks in time, joined from the first image to the last treatment."""

    arm: Arm
    y: float
    marks: tuple[tuple[float, str, str], ...]


@dataclass(frozen=True)
class Course:
    """One patient."""

    patient: str
    x: Scale
    y: Scale
    height: float
    volumes: tuple[tuple[str, str], ...]
    lanes: tuple[Lane, ...]


def courses(findings: Findings) -> list[Course]:
    """Return the course of every patient. Days and volumes have one scale for all, so that patients compare."""
    days = [float(row["day"]) for case in findings.cases for row in [*case.by_day, *_shown(case)]]
    latest = max((float(s["day"]) for case in findings.cases for s in case.steps if s["step"] == "treat"), default=1.0)
    last = min(max(days, default=1.0), max(1.6 * latest, 14.0))
    x = Scale(min([0.0, *days]), max(last, 1.0), LEFT, WIDTH - RIGHT)
    most = max((_number(row, key) for case in findings.cases for row in case.by_day for key, _ in VOLUMES), default=1)
    y = Scale(0.0, 1.08 * max(most, 0.1), TOP + PLOT, TOP)
    return [_course(findings, patient, x, y) for patient in findings.patients]


def _course(findings: Findings, patient: str, x: Scale, y: Scale) -> Course:
    cases = [(arm, findings.case(patient, arm)) for arm in findings.shown_arms]
    longest = max((case.by_day for _, case in cases if case), key=len)
    rows = [row for row in longest if float(row["day"]) <= x.high]
    volumes = [
        (name, path(x, y, [(float(row["day"]), _number(row, key, math.nan)) for row in rows]))
        for key, name in VOLUMES
        if any(_number(row, key) > 0 for row in rows)
    ]
    lanes = []
    for n, (arm, case) in enumerate((arm, case) for arm, case in cases if case):
        marks = tuple(
            (x(float(s["day"])), str(s["step"]), f"{arm.title}: {s['label']}, day {s['day']:g}")
            for s in _shown(case)
            if float(s["day"]) <= x.high
        )
        lanes.append(Lane(arm, TOP + PLOT + 34 + n * LANE, marks))
    return Course(patient, x, y, TOP + PLOT + 34 + len(lanes) * LANE, tuple(volumes), tuple(lanes))


def _shown(case: Case) -> list[dict[str, Any]]:
    return [step for step in case.steps if step["step"] in ("resect", "image", "plan", "treat", "recur")]


def _number(row: dict[str, Any], key: str, missing: float = 0.0) -> float:
    value = row.get(key)
    return missing if value is None else float(value)
