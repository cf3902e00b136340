"""Who the patients are: a table and pictures of what was drawn, before any result."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.report.cohort_literature import Beside, Published, literature, published
from planner.report.collect import Findings, grid_of
from planner.report.naming import figure
from planner.report.projections import Head, Projections, projections
from planner.report.scales import Scale, path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 540.0, 292.0, 44.0, 14.0, 14.0, 34.0
SIZES_HEIGHT = 132.0
_LOWEST, _HIGHEST = -100.0, 180.0  # per cent, where the chart ends
_LAST_DAY = 70.0
# Facts of a patient in the order of the table: key, heading, unit.
_COLUMNS = (
    ("site", "Site", ""),
    ("depth", "Depth", ""),
    ("dural_contact", "Dural contact", ""),
    ("eloquence_grade", "Eloquence", "grade"),
    ("histology", "Histology", ""),
    ("source", "From", ""),
    ("days", "Days imaged", ""),
    ("measured", "Contoured", ""),
    ("tumour_volume_cc", "Tumour", "cc"),
    ("cavity_initial_cc", "Cavity, day 0", "cc"),
    ("cavity_day20_cc", "Cavity, day 20", "cc"),
    ("residual_initial_cc", "Residual, day 0", "cc"),
    ("residual_doubling_day", "Doubles in", "d"),
)


@dataclass(frozen=True)
class Row:
    """One patient: what was drawn, and what each arm prescribed, as text."""

    patient: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """One property of the patients beside the distribution that it was drawn from."""

    name: str
    drawn: str
    distribution: str
    source: str
    status: str


@dataclass(frozen=True)
class Change:
    """The chart of volumes against day 1: a path a patient, the median of all, published changes."""

    x: Scale
    y: Scale
    paths: tuple[tuple[str, str], ...]
    median: str
    published: tuple[Published, ...]


@dataclass(frozen=True)
class Sizes:
    """Volumes of the tumours on the density that they were drawn from: a dot a patient (place, place, what it is)."""

    x: Scale
    density: str
    dots: tuple[tuple[str, float, float, str], ...]


@dataclass(frozen=True)
class Cohort:
    """The section.

    Attributes
    ----------
    headings : tuple of str
    rows : tuple of Row
    drawn : tuple of Drawn
    beside : tuple of Beside
        Statistics of published series beside the same of this cohort.
    places : Projections or None
    sizes : Sizes or None
    change : Change or None
    """

    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    drawn: tuple[Drawn, ...]
    beside: tuple[Beside, ...]
    places: Projections | None
    sizes: Sizes | None
    change: Change | None


@dataclass(frozen=True, eq=False)
class Patients:
    """What the section is made of.

    Attributes
    ----------
    spec : mapping
        The table ``[cohort]`` that they were drawn from.
    constants : sequence of mapping
        ``name, value, source, status`` of what patients are made from.
    facts : mapping of str to mapping
        What was drawn, by patient.
    courses : mapping of str to (days, volumes)
        Of the cavity of every patient that has one.
    head : Head
    prescribed : mapping of str to str
        By patient; empty where nothing was planned.
    """

    spec: Mapping[str, Any]
    constants: Sequence[Mapping[str, str]]
    facts: Mapping[str, Mapping[str, float | str]]
    courses: Mapping[str, tuple[np.ndarray, np.ndarray]]
    head: Head
    prescribed: Mapping[str, str]


def cohort(patients: Patients) -> Cohort:
    """Return who the patients are."""
    facts = patients.facts
    columns = [c for c in _COLUMNS if any(c[0] in known for known in facts.values())]
    headings = tuple(heading for _, heading, _ in columns)
    cells = {patient: [_cell(known.get(key), unit) for key, _, unit in columns] for patient, known in facts.items()}
    if patients.prescribed:
        headings = (*headings, "Prescribed, by arm")
        cells = {patient: [*row, patients.prescribed[patient]] for patient, row in cells.items()}
    tumours = [float(known.get("tumour_volume_cc", np.nan)) for known in facts.values()]
    return Cohort(
        headings=headings,
        rows=tuple(Row(patient, tuple(row)) for patient, row in cells.items()),
        drawn=tuple(_drawn(patients)),
        beside=literature(patients.courses, np.array(tumours)) if len(patients.courses) > 1 else (),
        places=projections(patients.head, facts),
        sizes=_sizes(patients.spec, facts),
        change=_change(patients.courses),
    )


def patients_of(findings: Findings) -> Patients:
    """Return the patients of a study; the head that is shown is that of the first."""
    first = findings.cases[0]
    seen = first.views()
    skin = seen["occupancy_external"]
    head = Head(first.patient, grid_of(seen), skin, seen.get("occupancy_brain", np.zeros_like(skin)))
    return Patients(
        spec=findings.study["spec"]["cohort"],
        constants=findings.constants,
        facts={patient: _facts(findings, patient) for patient in findings.patients},
        courses=_courses(findings),
        head=head,
        prescribed={patient: _prescribed(findings, patient) for patient in findings.patients},
    )


def _facts(findings: Findings, patient: str) -> Mapping[str, float | str]:
    return next(case.facts.get("facts", {}) for case in findings.cases if case.patient == patient)


def _cell(value: float | str | None, unit: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if unit == "grade":
        return f"grade {value:g}"
    return "none" if value == 0 else figure(float(value), unit)


def _prescribed(findings: Findings, patient: str) -> str:
    """Return the prescription of every arm in the order of the study, once if they agree."""
    told = []
    for arm in findings.shown_arms:
        case = findings.case(patient, arm)
        dose = None if case is None else case.prescription_gy
        fractions = 1 if case is None else int(case.facts.get("plan", {}).get("fractions", 1))
        told.append("–" if dose is None else f"{dose:g} Gy" + (f" / {fractions}" if fractions > 1 else ""))
    return told[0] if len(set(told)) == 1 else " · ".join(told)


def _courses(findings: Findings) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return days and volumes of the cavity of every patient that has one, from the longest timeline."""
    found = {}
    for patient in findings.patients:
        longest = max((case.by_day for case in findings.cases if case.patient == patient), key=len)
        told = [(r["day"], r["cavity_cc"]) for r in longest if r["day"] >= 0 and r["cavity_cc"]]
        if len(told) > 1:
            days, volumes = np.array(told, float).T
            found[patient] = (days, volumes)
    return found


def _change(courses: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Change | None:
    """Return the chart: published series compare with the first post-operative days, and so does it."""
    if not courses:
        return None
    last = min(_LAST_DAY, *(float(days[-1]) for days, _ in courses.values()))
    days = np.linspace(0.0, last, 85)
    x, y = Scale(0.0, last, LEFT, WIDTH - RIGHT), Scale(_LOWEST, _HIGHEST, HEIGHT - BOTTOM, TOP)
    percent = {
        patient: 100.0 * (np.interp(days, *course) / np.interp(1.0, *course) - 1.0)
        for patient, course in courses.items()
    }

    def drawn(values: np.ndarray) -> str:
        shown = np.where(values <= _HIGHEST, values, np.nan)
        return path(x, y, zip(days.tolist(), shown.tolist(), strict=True))

    median = drawn(np.median(list(percent.values()), axis=0)) if len(percent) > 2 else ""
    return Change(x, y, tuple((p, drawn(v)) for p, v in percent.items()), median, published(x, y))


def _sizes(spec: Mapping[str, float], facts: Mapping[str, Mapping[str, float | str]]) -> Sizes | None:
    """Return the chart of tumour volumes, for cohorts that were drawn from a lognormal distribution."""
    volumes = {p: float(known["tumour_volume_cc"]) for p, known in facts.items() if "tumour_volume_cc" in known}
    if not volumes or "tumour_sigma" not in spec:
        return None
    x = Scale(0.0, 1.04 * spec["tumour_max_cc"], LEFT, WIDTH - RIGHT)
    y = Scale(0.0, 1.0, SIZES_HEIGHT - BOTTOM, TOP)
    at = np.linspace(spec["tumour_min_cc"], spec["tumour_max_cc"], 160)
    density = np.exp(-0.5 * (np.log(at / spec["tumour_median_cc"]) / spec["tumour_sigma"]) ** 2) / at
    curve = [(at[0], 0.0), *zip(at.tolist(), (density / density.max()).tolist(), strict=True), (at[-1], 0.0)]
    dots = tuple((p, x(v), y(0.09), f"{p}: {figure(v, 'cc')}") for p, v in volumes.items())
    return Sizes(x, path(x, y, curve), dots)


def _drawn(patients: Patients) -> Iterator[Drawn]:
    """Yield what was drawn beside the distributions, for cohorts that were drawn."""
    spec, facts = patients.spec, list(patients.facts.values())
    known = {constant["name"]: constant for constant in patients.constants}
    median = known.get("patient.lesion.volume_median_cc")
    volumes = [float(f["tumour_volume_cc"]) for f in facts if "tumour_volume_cc" in f]
    if median and volumes and "tumour_median_cc" in spec:
        told = f"lognormal, median {spec['tumour_median_cc']:g} cc, spread {spec['tumour_sigma']:g}, "
        told += f"{spec['tumour_min_cc']:g} to {spec['tumour_max_cc']:g} cc"
        own = f"{spec['tumour_median_cc']:g}" != median["value"]
        source, status = ("the specification", "assumed") if own else (median["source"], median["status"])
        yield Drawn("Tumour volume", f"{_middle(volumes)} cc", told, source, status)
    yield from _shares(facts, known)
    for name, key, of in (
        ("Below the tentorium", "cerebellar_fraction", lambda f: str(f.get("site", "")).startswith("cerebellar")),
        ("Tumour left behind", "residual_fraction", lambda f: float(f.get("residual_initial_cc", 0.0)) > 0),
    ):
        cited = known.get(f"patient.cohort.{key}")
        if cited and key in spec:
            own = f"{spec[key]:g}" != cited["value"]
            source, status = ("the specification", "assumed") if own else (cited["source"], cited["status"])
            count = sum(bool(of(f)) for f in facts)
            yield Drawn(name, f"{count} of {len(facts)}", f"{100 * spec[key]:.0f} %", source, status)


def _shares(facts: Sequence[Mapping[str, float | str]], known: Mapping[str, Mapping[str, str]]) -> Iterator[Drawn]:
    weights = {
        name.rsplit(".", 1)[1]: constant
        for name, constant in known.items()
        if name.startswith("patient.lesion.histology_weight.")
    }
    told = [str(f["histology"]) for f in facts if "histology" in f]
    if weights and told:
        counted = ", ".join(f"{name} {told.count(name)}" for name in weights if name in told)
        shares = ", ".join(f"{name} {100 * float(c['value']):.0f} %" for name, c in weights.items())
        sources = "; ".join(dict.fromkeys(c["source"] for c in weights.values()))
        yield Drawn("Primary", counted, shares, sources, next(iter(weights.values()))["status"])


def _middle(values: Sequence[float]) -> str:
    return f"{np.median(values):.1f} [{min(values):.1f}, {max(values):.1f}]"
