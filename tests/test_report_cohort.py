"""The patients of a study before its results, and coverage by delay: what the charts say is what the store holds."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_stores import CENTRE, write_store

from planner.report.cohort import Cohort, cohort, patients_of
from planner.report.cohort_literature import literature, published
from planner.report.collect import Findings, collect
from planner.report.delay import Delay, delay
from planner.report.naming import naming_of
from planner.report.page import render, write_report
from planner.report.scales import Scale
from planner.validation.cavity import all_series


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("study") / "timing", patients=4, spacing_mm=8.0)


@pytest.fixture(scope="module")
def findings(store: Path) -> Findings:
    return collect(store)


@pytest.fixture(scope="module")
def shown(findings: Findings) -> Cohort:
    return cohort(patients_of(findings))


def test_patients_come_before_results(store: Path) -> None:
    html = write_report(store).read_text(encoding="utf-8")
    places = [html.index(f'<section id="{name}"') for name in ("summary", "cohort", "arms", "delay", "slices")]
    assert places == sorted(places)


def test_every_patient_has_a_row_with_what_was_drawn_and_prescribed(shown: Cohort) -> None:
    assert [row.patient for row in shown.rows] == ["p01", "p02", "p03", "p04"]
    first = dict(zip(shown.headings, shown.rows[0].cells, strict=True))
    assert first["Site"] == "supratentorial left"
    assert first["Eloquence"] == "grade 2"
    assert first["Tumour"] == "9.00 cc"
    assert first["Prescribed, by arm"] == "18 Gy"


def test_tumours_stand_in_their_place_and_size(shown: Cohort) -> None:
    assert shown.places is not None
    spots = {view.name: {s.patient: s for s in view.spots} for view in shown.places.views}
    below, front, left = (spots[name] for name in ("from below", "from the front", "from the left"))
    # From below: x to the right (the patient's left), y downwards (to the back); from the front and the left z upwards.
    assert (below["p03"].x - below["p01"].x, below["p03"].y - below["p01"].y) == pytest.approx((2.0, 2.0), abs=0.11)
    assert (front["p03"].x - front["p01"].x, front["p03"].y - front["p01"].y) == pytest.approx((2.0, -2.0), abs=0.11)
    assert (left["p03"].x - left["p01"].x, left["p03"].y - left["p01"].y) == pytest.approx((2.0, -2.0), abs=0.11)
    assert 4 / 3 * math.pi * (below["p02"].r / 10) ** 3 == pytest.approx(10.0, rel=0.02)


def test_outlines_hold_the_tumours(shown: Cohort) -> None:
    assert shown.places is not None
    for view in shown.places.views:
        skin = [float(v) for v in dict(view.outlines)["skin"].replace("M", "L").replace("Z", "").split("L")[1].split()]
        assert view.left - 1 <= skin[0] <= view.left + view.width + 1
        assert CENTRE.size == 3 and all(view.left < s.x < view.left + view.width for s in view.spots)


def test_a_cohort_that_behaves_as_published_shows_the_published_figure() -> None:
    days = np.arange(0.0, 61.0)
    grown = {f"p{n:02d}": (days, (6.0 + n) * np.where(days > 10, 1.28, 1.0)) for n in range(9)}
    rows = {(b.series, b.statistic): b for b in literature(grown, np.full(9, 10.0))}
    assert rows["Patel 2018", "median change, %"].ours == "28"
    assert rows["Patel 2018", "median change, %"].published.startswith("28 [")
    assert rows["Patel 2018", "shrunk by > 2 cc, %"].ours == "0"
    low, high = map(float, rows["Patel 2018", "median change, %"].expected.split(" to "))
    assert low < 28 < high


def test_series_that_begin_later_than_the_timeline_are_left_out() -> None:
    days = np.arange(0.0, 23.0)
    rows = literature({"p01": (days, days + 8.0), "p02": (days, days + 5.0)}, np.array([10.0, 12.0]))
    assert {b.series for b in rows} == {"Atalar 2013", "Patel 2018", "Seravalli 2022"}


def test_published_changes_stand_at_their_day_and_value() -> None:
    x, y = Scale(0.0, 70.0, 0.0, 700.0), Scale(-100.0, 180.0, 280.0, 0.0)
    points = {p.told.split(",")[0] + p.told.split(",")[2]: p for p in published(x, y)}
    patel = points["Patel 2018 day 20"]
    known = next(f for f in all_series()["patel-2018"].comparison[0].figures if f.statistic == "median_change")
    assert (patel.x, patel.y) == (200.0, pytest.approx(180.0 - known.value))
    assert patel.low > patel.y > patel.high  # downwards in the picture


def told(findings: Findings) -> Delay:
    found = delay(findings, naming_of(findings))
    assert found is not None
    return found


def test_coverage_by_delay_is_what_was_recorded(findings: Findings) -> None:
    by_delay, by_day, loss = told(findings).charts
    recorded = findings.values("cavity", "rim_1mm_percent")
    planned = findings.values("cavity", "rim_1mm_percent", "planned")
    assert len(by_delay.dots) == len(findings.cases) == 12
    for dot, late, lost in zip(by_delay.dots, by_day.dots, loss.dots, strict=True):
        case = dot.case
        assert case.delivered == recorded[case.arm.name][case.patient]
        assert dot.y == by_delay.y(case.delivered)
        assert dot.stem == by_delay.y(planned[case.arm.name][case.patient])
        assert case.delay == {"direct_postop": 3, "mr_linac": 0, "delayed": 6}[case.arm.name]
        assert dot.x == by_delay.x(case.delay) and late.x == by_day.x(case.treated_day)
        assert lost.x == loss.x(case.change_cc) and lost.stem is None


def test_the_delay_ends_with_the_last_treatment_of_the_first_plan(findings: Findings) -> None:
    case = next(c for c in findings.cases if c.strategy == "direct_postop")
    marks = [("image", 1, 5.0), ("image", 8, 6.0), ("plan", 9, 6.2), ("treat", 10, 7.0), ("treat", 12, 8.0),
             ("image", 30, 4.0), ("plan", 31, 4.0), ("treat", 33, 3.0)]  # fmt: skip
    steps = [{"step": step, "day": day, "cavity_cc": cc, "label": ""} for step, day, cc in marks]
    found = told(replace(findings, cases=(replace(case, steps=steps),))).charts[0].dots[0].case
    assert (found.imaged_day, found.treated_day, found.change_cc) == (8, 12, 2.0)


def test_without_a_cavity_there_is_no_section(findings: Findings) -> None:
    steps = [{"step": "image", "day": -3, "cavity_cc": None}, {"step": "plan", "day": -3}, {"step": "treat", "day": -1}]
    assert (
        delay(replace(findings, cases=tuple(replace(c, steps=steps) for c in findings.cases)), naming_of(findings))
        is None
    )


def test_a_real_patient_tells_what_was_imaged_and_draws_nothing(findings: Findings) -> None:
    told = {"source": "imported images", "site": "left", "days": "1, 22", "measured": "7.62 cc on day 1",
            "cavity_initial_cc": 7.6, **{f"tumour_{axis}_mm": 9.0 for axis in "xyz"}}  # fmt: skip
    real = tuple(replace(c, facts={**c.facts, "facts": told}) for c in findings.cases if c.patient == "p01")
    study = {**findings.study, "spec": {**findings.study["spec"], "cohort": {"kind": "imported", "lesions": []}}}
    alone = replace(findings, study=study, cases=real)
    shown = cohort(patients_of(alone))
    assert dict(zip(shown.headings, shown.rows[0].cells, strict=True))["Days imaged"] == "1, 22"
    assert (shown.sizes, shown.drawn, shown.beside) == (None, (), ())
    assert shown.places is not None and len(shown.rows) == 1
    assert "One real patient as imported" in render(alone)
