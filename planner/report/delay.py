"""What the time between image and treatment costs: delivered coverage of the true cavity by delay, case by case."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from planner.report.collect import Arm, Case, Findings
from planner.report.naming import Naming, figure
from planner.report.scales import Scale, around

# Half of the margin of the trials: on its edge 0.1 mm of normalisation decides. Else the rim itself.
COVERAGE = {
    "cavity.rim_1mm_percent": "surface 1 mm outside the rim of the true cavity that gets the prescription",
    "cavity.rim_0mm_percent": "rim of the true cavity that gets the prescription",
}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 348.0, 236.0, 40.0, 14.0, 12.0, 34.0
_LEAST_CASES = 5  # fewer tell no rank correlation


@dataclass(frozen=True)
class Treated:
    """One case between its planning image and its last treatment.

    Attributes
    ----------
    patient : str
    arm : Arm
    imaged_day, treated_day : float
        Days since surgery.
    imaged_cc, treated_cc : float
        True volume of the cavity on these days.
    planned, delivered : float
        Coverage, per cent.
    """

    patient: str
    arm: Arm
    imaged_day: float
    treated_day: float
    imaged_cc: float
    treated_cc: float
    planned: float
    delivered: float

    @property
    def delay(self) -> float:
        """Days from image to treatment."""
        return self.treated_day - self.imaged_day

    @property
    def change_cc(self) -> float:
        """Change of the cavity's volume over the delay."""
        return self.treated_cc - self.imaged_cc

    @property
    def lost(self) -> float:
        """Coverage that was planned and not delivered, percentage points."""
        return self.planned - self.delivered

    @property
    def told(self) -> str:
        """The case in words."""
        return (
            f"{self.patient}, {self.arm.title}: imaged day {self.imaged_day:.0f} ({figure(self.imaged_cc, 'cc')}), "
            f"treated day {self.treated_day:.0f} ({figure(self.change_cc, 'cc', sign=True)}); "
            f"planned {figure(self.planned, '%')}, delivered {figure(self.delivered, '%')}"
        )


@dataclass(frozen=True)
class Dot:
    """A case in a chart; `stem` is the place of the planned value where the chart shows it."""

    case: Treated
    x: float
    y: float
    stem: float | None


@dataclass(frozen=True)
class Chart:
    """One chart of all cases."""

    title: str
    unit: str
    along: str
    x: Scale
    y: Scale
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class ArmRow:
    """An arm in figures: medians and ranges as text."""

    arm: Arm
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Delay:
    """The section: charts, a row an arm, and how loss and change go together in words."""

    metric: str
    charts: tuple[Chart, ...]
    rows: tuple[ArmRow, ...]
    sentence: str


def delay(findings: Findings, naming: Naming) -> Delay | None:
    """Return the section, or None where no case tells coverage, image and treatment of a cavity."""
    key = next((k for k in COVERAGE if k in naming.units), "")
    cases = list(_treated(findings, key)) if key else []
    if not cases:
        return None
    coverage = [v for case in cases for v in (case.planned, case.delivered)]
    y = Scale(min(0.98 * min(coverage), 90.0), 101.5, HEIGHT - BOTTOM, TOP)
    days = [_chart(cases, title, "%", along, y, of) for title, along, of in _BY_DAY]
    lost = around([case.lost for case in cases] + [0.0], HEIGHT - BOTTOM, TOP)
    loss = _chart(cases, "Coverage lost, planned − delivered", "points", "change of cavity, cc", lost, _change)
    rows = tuple(_row(arm, [c for c in cases if c.arm == arm]) for arm in findings.shown_arms)
    return Delay(COVERAGE[key], (*days, loss), tuple(row for row in rows if row.cells), _together(cases))


_BY_DAY: Sequence[tuple[str, str, Callable[[Treated], float]]] = (
    ("Coverage by delay", "days from planning image to treatment", lambda case: case.delay),
    ("Coverage by day of treatment", "days from surgery to treatment", lambda case: case.treated_day),
)


def _change(case: Treated) -> float:
    return case.change_cc


def _treated(findings: Findings, key: str) -> Iterator[Treated]:
    structure, metric = key.split(".", 1)
    planned, delivered = (findings.values(structure, metric, phase) for phase in ("planned", "delivered"))
    for case in findings.cases:
        arm = next(arm for arm in findings.arms if arm.name == case.strategy)
        found = _between(case)
        told = [float(table[case.strategy][case.patient]) for table in (planned, delivered)]
        if found and np.isfinite(told).all():
            yield Treated(case.patient, arm, *found, told[0], told[1])


def _between(case: Case) -> tuple[float, float, float, float] | None:
    """Return days of the planning image and of the last treatment with the first plan, and the cavities then."""
    plans = [n for n, step in enumerate(case.steps) if step["step"] == "plan"]
    if not plans:
        return None
    until = plans[1] if len(plans) > 1 else len(case.steps)
    images = [step for step in case.steps[: plans[0]] if step["step"] == "image"]
    treats = [step for step in case.steps[plans[0] : until] if step["step"] == "treat"]
    if not images or not treats or images[-1]["cavity_cc"] is None or treats[-1]["cavity_cc"] is None:
        return None
    image, treat = images[-1], treats[-1]
    return float(image["day"]), float(treat["day"]), float(image["cavity_cc"]), float(treat["cavity_cc"])


def _chart(
    cases: Sequence[Treated], title: str, unit: str, along: str, y: Scale, of: Callable[[Treated], float]
) -> Chart:
    x = around([of(case) for case in cases] + [0.0], LEFT, WIDTH - RIGHT, 0.05)
    by_coverage = unit == "%"
    dots = tuple(
        Dot(
            case,
            x(of(case)),
            y(case.delivered if by_coverage else case.lost),
            y(case.planned) if by_coverage else None,
        )
        for case in cases
    )
    return Chart(title, unit, along, x, y, dots)


def _row(arm: Arm, cases: Sequence[Treated]) -> ArmRow:
    def middle(values: Sequence[float], unit: str = "", sign: bool = False) -> str:
        low, high = (figure(v, unit, sign=sign).removesuffix(f" {unit}") for v in (min(values), max(values)))
        return f"{figure(float(np.median(values)), unit, sign=sign)} [{low}, {high}]"

    if not cases:
        return ArmRow(arm, ())
    whole = [f"{np.median(v):.0f} [{min(v):.0f}, {max(v):.0f}]" for v in _days(cases)]
    changes = middle([c.change_cc for c in cases], "cc", sign=True)
    moved = sum(abs(c.change_cc) > 2.0 for c in cases)
    coverage = [middle([getattr(c, name) for c in cases], "%") for name in ("planned", "delivered")]
    return ArmRow(arm, (*whole, changes, f"{moved} of {len(cases)}", *coverage))


def _days(cases: Sequence[Treated]) -> tuple[list[float], list[float]]:
    return [c.delay for c in cases], [c.treated_day for c in cases]


def _together(cases: Sequence[Treated]) -> str:
    """Return how coverage lost goes with delay and with change of the cavity, over all cases."""
    if len(cases) < _LEAST_CASES:
        return ""
    lost = [case.lost for case in cases]
    told = []
    for name, values in (
        ("the days of delay", [case.delay for case in cases]),
        ("growth of the cavity", [case.change_cc for case in cases]),
        ("its change in either direction", [abs(case.change_cc) for case in cases]),
    ):
        if np.ptp(values) > 0 and np.ptp(lost) > 0:
            told.append(f"{float(spearmanr(values, lost).statistic):+.2f} with {name}".replace("-", "−"))
    if not told:
        return ""
    return (
        f"Rank correlation of the coverage lost, over {len(cases)} cases: {', '.join(told)}. Cases of one patient are "
        "not independent: exploratory, without a probability."
    )
