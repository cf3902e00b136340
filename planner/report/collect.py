"""What the report shows, read from the store of a study and from nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phantoms.grid import Grid
from planner.library import load, parse
from planner.study.compare import Comparison, compare
from planner.study.store import case_folders, read_case, read_json, read_tables, read_views
from planner.treatment.errors import InputError
from planner.treatment.machine import Machine

# Okabe and Ito's colours that keep apart under every colour blindness, in the order in which arms take them, as seen on
# white; the second of each pair is for dark pages.
COLOURS = (
    ("#0072b2", "#56a8e0"),
    ("#c44e00", "#f0924a"),
    ("#00795a", "#3fc79a"),
    ("#a8528a", "#e08fc0"),
    ("#7a6a00", "#e3cf4d"),
    ("#4b5563", "#b6bfcc"),
)
MARKERS = ("circle", "square", "triangle", "diamond", "cross", "bar")


@dataclass(frozen=True)
class Arm:
    """One strategy of the study, as the report draws it.

    Attributes
    ----------
    name, title, summary : str
    number : int
        Place in the study; it gives colour and marker.
    """

    name: str
    title: str
    summary: str
    number: int

    @property
    def css(self) -> str:
        """Class that sets the arm's colour."""
        return f"arm-{self.number % len(COLOURS)}"

    @property
    def marker(self) -> str:
        """Shape of the arm's points: arms differ by more than colour."""
        return MARKERS[self.number % len(MARKERS)]


@dataclass(frozen=True, eq=False)
class Case:
    """One patient under one strategy.

    Attributes
    ----------
    id, patient, strategy : str
    facts : mapping
        The content of ``case.json``.
    steps, by_day : list of dict
        The timeline: what was done, and the true volumes by day.
    folder : Path
    """

    id: str
    patient: str
    strategy: str
    facts: Mapping[str, Any]
    steps: list[dict[str, Any]]
    by_day: list[dict[str, Any]]
    folder: Path

    @property
    def prescription_gy(self) -> float | None:
        """Prescribed dose of the course, or None where the case does not tell."""
        value = self.facts.get("plan", {}).get("prescription_gy")
        return None if value is None else float(value)

    def views(self) -> dict[str, np.ndarray]:
        """Return the arrays of ``views.npz``."""
        return read_views(self.folder)


def grid_of(views: Mapping[str, np.ndarray]) -> Grid:
    """Return the grid of the arrays of ``views.npz``."""
    return Grid(tuple(views["image"].shape), tuple(views["spacing_mm"]), tuple(views["origin_mm"]))


@dataclass(frozen=True, eq=False)
class Findings:
    """A study as it lies in the store.

    Attributes
    ----------
    study : mapping
        The content of ``study.json``.
    manifest : mapping
        The content of ``manifest.json``; empty while a study is under way.
    arms : tuple of Arm
    cases : tuple of Case
        Sorted by patient, then arm.
    records, dvh : DataFrame
    """

    study: Mapping[str, Any]
    manifest: Mapping[str, Any]
    arms: tuple[Arm, ...]
    cases: tuple[Case, ...]
    records: pd.DataFrame
    dvh: pd.DataFrame

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Patients with at least one finished case, in order."""
        return tuple(dict.fromkeys(case.patient for case in self.cases))

    @cached_property
    def shown_arms(self) -> tuple[Arm, ...]:
        """Arms with at least one finished case."""
        finished = {case.strategy for case in self.cases}
        return tuple(arm for arm in self.arms if arm.name in finished)

    @cached_property
    def comparison(self) -> Comparison:
        """Medians of the arms and paired differences between them."""
        confidence = float(self.study["spec"].get("compare", {}).get("confidence", 0.95))
        return compare(self.records, [arm.name for arm in self.arms], self.endpoints, confidence)

    def machine(self, strategy: str, name: str) -> Machine:
        """Return the machine of a strategy as the study knew it; of an older version's study, as the library does."""
        known = self.study.get("arms", {}).get(strategy)
        return load("machines", name, Machine) if known is None else parse(Machine, known["machine"], "study.json")

    @property
    def endpoints(self) -> list[str]:
        """The endpoints named by the study, ``structure.metric``: the family of the Holm correction."""
        return list(self.study["spec"].get("compare", {}).get("endpoints", []))

    @property
    def failed(self) -> list[dict[str, str]]:
        """Cases that were tried and gave an error: ``case, patient, strategy, error``."""
        return list(self.manifest.get("failed", []))

    @property
    def constants(self) -> list[dict[str, str]]:
        """Constants with source and status: assumed first, then fitted, then published."""
        order = {"assumed": 0, "fitted": 1, "published": 2}
        return sorted(self.study.get("constants", []), key=lambda c: (order.get(c["status"], 0), c["name"]))

    @property
    def deliverable(self) -> tuple[Arm, ...]:
        """Arms whose plans are apertures and monitor units; fluence is free in the others."""
        shaped = {case.strategy for case in self.cases if case.facts.get("plan", {}).get("apertures", False)}
        return tuple(arm for arm in self.shown_arms if arm.name in shaped)

    @property
    def free_fluence(self) -> tuple[Arm, ...]:
        """Arms whose plans are free fluence, which no leaf could shape."""
        return tuple(arm for arm in self.shown_arms if arm not in self.deliverable)

    @property
    def adapted(self) -> tuple[Arm, ...]:
        """Arms in which a plan was adapted to the image of the day."""
        changed = {
            case.strategy
            for case in self.cases
            if any(one["how"] != "none" for one in case.facts.get("plan", {}).get("adaptations", []))
        }
        return tuple(arm for arm in self.shown_arms if arm.name in changed)

    @property
    def margins_left_out(self) -> tuple[str, ...]:
        """What margin rules asked for and the patients of some cases do not have, each once."""
        told = (case.facts.get("plan", {}).get("margins_left_out", "") for case in self.cases)
        return tuple(dict.fromkeys(part for parts in told for part in parts.split("; ") if part))

    @property
    def observer(self) -> tuple[str, float]:
        """Who drew the target, and the standard deviation, mm, of the uniform observer."""
        settings = self.study["spec"].get("settings", {})
        return settings.get("observer", "uniform"), settings.get("observer_sd_mm", 0.5)

    @property
    def field_ignored(self) -> tuple[Arm, ...]:
        """Arms in which a magnetic field was left out of the dose on the user's word."""
        names = {case.strategy for case in self.cases if case.facts.get("field_ignored")}
        return tuple(arm for arm in self.arms if arm.name in names)

    @property
    def resected(self) -> bool:
        """Whether surgery is a step of any case."""
        return any(step["step"] == "resect" for case in self.cases for step in case.steps)

    @property
    def several_deliveries(self) -> tuple[Arm, ...]:
        """Arms in which a plan was delivered on several days."""
        names = {case.strategy for case in self.cases if case.facts.get("plan", {}).get("deliveries", 1) > 1}
        return tuple(arm for arm in self.arms if arm.name in names)

    def values(self, structure: str, metric: str, phase: str = "delivered") -> pd.DataFrame:
        """Return the values of one metric: a row a patient, a column an arm, NaN where there is none."""
        r = self.records
        rows = r[(r["structure"] == structure) & (r["metric"] == metric) & (r["phase"] == phase)]
        table = rows.pivot_table(index="patient", columns="strategy", values="value", aggfunc="first")
        return table.reindex(index=list(self.patients), columns=[arm.name for arm in self.shown_arms])

    def case(self, patient: str, arm: Arm) -> Case | None:
        """Return the case of a patient in an arm, or None where there is none."""
        return next((c for c in self.cases if (c.patient, c.strategy) == (patient, arm.name)), None)


def collect(folder: Path) -> Findings:
    """Return what lies in the store of a study.

    Parameters
    ----------
    folder : Path
        ``results/<study>``; a study under way may be read as well.

    Raises
    ------
    InputError
        If it is no store, or no case of it is finished, or a file of it is damaged.
    """
    study = read_json(folder / "study.json")
    manifest = read_json(folder / "manifest.json") if (folder / "manifest.json").exists() else {}
    arms = tuple(
        Arm(s["name"], s.get("title") or s["name"], s.get("summary", ""), number)
        for number, s in enumerate(study["strategies"])
    )
    place = {arm.name: arm.number for arm in arms}
    folders = case_folders(folder)
    if not folders:
        raise InputError(folder, "cases", "no case is finished: there is nothing to report")
    cases = sorted((_case(home) for home in folders), key=lambda c: (c.patient, place[c.strategy]))
    records, dvh = (read_tables([case.folder for case in cases], name) for name in ("records", "dvh"))
    return Findings(study, manifest, arms, tuple(cases), records, dvh)


def _case(folder: Path) -> Case:
    facts, timeline = read_case(folder), read_json(folder / "timeline.json")
    return Case(facts["id"], facts["patient"], facts["strategy"], facts, timeline["steps"], timeline["by_day"], folder)
