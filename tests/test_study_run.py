"""Whole cases of a tiny study: the same whatever runs them, resumed where they stopped, paired across strategies."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ball_patients import BallAnatomy

from planner.contouring.observer import Uniform
from planner.engines.registry import engine_named
from planner.evaluate.names import metric_names
from planner.study.batch import chosen, compare_study, run_study
from planner.study.cohort import ImportedCohort, VirtualLesion
from planner.study.execute import run_cases
from planner.study.spec import load_study
from planner.study.store import CASE_FILES, folder_of, is_done
from planner.timeline.arm import load_arm
from planner.timeline.practice import Practice
from planner.timeline.state import State
from planner.treatment.errors import InputError

TINY = """
[study]
name = "tiny"
seed = 5
strategies = ["mr_linac"]
[cohort]
kind = "synthetic"
patients = 2
spacing_mm = 4.0
tumour_max_cc = 12.0
[settings]
dose_grid_mm = 4.0
ignore_field = true
[compare]
endpoints = ["cavity.rim_2mm_percent"]
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    file = tmp_path_factory.mktemp("study") / "tiny.toml"
    file.write_text(TINY)
    return load_study(file)


@pytest.fixture(scope="module")
def serial(study, tmp_path_factory):
    """Return the batch of one worker with two threads."""
    return run_study(study, tmp_path_factory.mktemp("serial"), 1, lambda outcome: None)


def test_a_study_leaves_what_the_report_reads(study, serial):
    assert serial.failed == []
    assert {"planned", "delivered"} == set(serial.records["phase"])
    content = json.loads((serial.folder / "study.json").read_text())
    assert content["patients"] == ["p01", "p02"]
    for case_id in content["cases"]:
        case = json.loads((folder_of(serial.folder, case_id) / "case.json").read_text())
        assert case["field_ignored"] is True
        assert set(case["hashes"]) == {"planned_dose", "delivered_dose", *CASE_FILES}
        with np.load(folder_of(serial.folder, case_id) / "views.npz", allow_pickle=False) as views:
            assert max(views["spacing_mm"]) <= 1.5
            shape = views["image"].shape
            assert {views[name].shape for name in views.files if not name.endswith("_mm")} == {shape}
    manifest = (serial.folder / "manifest.json").read_text() + (serial.folder / "study.json").read_text()
    assert str(Path.home()) not in manifest


def test_every_metric_of_a_run_is_known_beforehand_and_none_is_known_that_is_not_told(study, serial):
    known = metric_names(study.spec.cohort.structures(None), {1})
    told = set(zip(serial.records["structure"], serial.records["metric"], strict=True))
    listed = {(structure, metric) for structure, metrics in known.items() for metric in metrics}
    assert told <= listed
    # Treated after surgery there is no tumour, and residual tumour in some patients only.
    assert {structure for structure, _ in listed - told} <= {"tumour", "residual"}


def test_planned_and_delivered_are_of_one_prescription_but_not_one_dose(serial):
    """Belief is the observer's drawing even within a session: the PTV is covered as planned, the truth as it falls."""
    records = serial.records.set_index(["patient", "phase", "structure", "metric"])["value"]
    for patient in ("p01", "p02"):
        assert records[patient, "planned", "ptv", "V100_percent"] > 95
        believed, true = (records[patient, phase, "cavity", "volume_cc"] for phase in ("planned", "delivered"))
        assert believed != true
        assert abs(believed / true - 1) < 0.2


def test_one_or_two_workers_and_one_or_two_threads_give_the_same_bits(study, serial, tmp_path, monkeypatch):
    monkeypatch.setattr("planner.study.execute.cores", lambda: 2)
    cases = study.cases()
    assert [outcome.error for outcome in run_cases(cases, tmp_path, 2, lambda outcome: None)] == ["", ""]
    for case in cases:
        one, other = folder_of(serial.folder, case.id), folder_of(tmp_path, case.id)
        for name in CASE_FILES:
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
        first, second = (json.loads((folder / "case.json").read_text()) for folder in (one, other))
        assert {**first, "wall_s": 0} == {**second, "wall_s": 0}


def test_finished_cases_are_not_run_again_and_a_lost_one_is(study, serial):
    before = {case.id: (folder_of(serial.folder, case.id) / "case.json").stat().st_mtime_ns for case in study.cases()}
    again = run_study(study, serial.folder, 2, lambda outcome: pytest.fail("nothing was left to do"))
    assert (again.skipped, again.outcomes) == (2, [])
    assert again.records.equals(serial.records)
    for case_id, written in before.items():
        assert (folder_of(serial.folder, case_id) / "case.json").stat().st_mtime_ns == written


def test_a_failing_case_is_told_and_the_others_are_collected(study, tmp_path):
    """A real head whose folder is gone by the time that the case runs."""
    lesion = VirtualLesion(centre_mm=(30.0, 0.0, 40.0), tumour_volume_cc=8.0)
    gone = ImportedCohort(kind="imported", lesions=(lesion,))
    broken = replace(study, spec=study.spec.model_copy(update={"cohort": gone}), data=tmp_path / "gone")
    batch = run_study(broken, tmp_path / "results", 1, lambda outcome: None)
    (failed,) = batch.failed
    assert failed.case.patient == "p01"
    assert failed.error.startswith("InputError")
    manifest = json.loads((tmp_path / "results" / "manifest.json").read_text())
    assert (manifest["cases"], [row["patient"] for row in manifest["failed"]]) == ({}, ["p01"])
    assert not is_done(tmp_path / "results", failed.case.id)


def test_comparison_reads_the_store_only(serial):
    comparison = compare_study(serial.folder)
    assert set(comparison.arms["strategy"]) == {"mr_linac"}
    assert comparison.pairs.empty


def test_only_restricts_and_unknown_names_are_refused(study):
    cases = study.cases()
    assert chosen(cases, ["p02"], study.source) == cases[1:]
    assert chosen(cases, [cases[0].id], study.source) == cases[:1]
    assert chosen(cases, [], study.source) == cases
    with pytest.raises(InputError, match="p03"):
        chosen(cases, ["p03"], study.source)


def practice(name, patient, seed=5):
    arm = load_arm(name, Path("study.toml"), "study.strategies")
    return Practice(arm, engine_named("pencil"), 4.0, True, Uniform(0.8, 10.0), seed, patient)


def test_patients_are_drawn_the_same_way_in_every_strategy():
    truth = BallAnatomy().epoch(3.0)
    drawn = [practice(name, 1).contoured(truth, 0).structures["cavity"] for name in ("delayed", "mr_linac")]
    assert np.array_equal(drawn[0].occupancy, drawn[1].occupancy)
    other = practice("delayed", 2).contoured(truth, 0).structures["cavity"]
    assert other.occupancy.shape != drawn[0].occupancy.shape or not np.array_equal(other.occupancy, drawn[0].occupancy)
    assert truth.structures["brain"] is practice("delayed", 1).contoured(truth, 0).structures["brain"]


@pytest.mark.parametrize(("apertures", "maker"), [(False, "make_plan"), (True, "make_deliverable")])
def test_a_strategy_may_ask_for_robust_plans(monkeypatch, apertures, maker):
    class Asked(Exception):  # noqa: N818 - carries what was asked, and is no error
        pass

    def made(request, *_, **__):
        raise Asked(request.robust)

    monkeypatch.setattr(f"planner.timeline.practice.{maker}", made)
    usual = practice("delayed", 1)
    strategy = usual.arm.strategy.model_copy(update={"robust": "worst"})
    robust = replace(usual, arm=replace(usual.arm, strategy=strategy))
    belief = BallAnatomy().epoch(3.0)
    for one, asked in ((usual, "none"), (robust, "worst")):
        with pytest.raises(Asked, match=asked):
            replace(one, apertures=apertures).plan_on(belief)


def test_dates_of_a_patient_have_the_same_place_in_their_ranges():
    """The quantile is the patient's own: who comes early to one image comes early to the other."""
    state = State(day=0.0, anatomy=BallAnatomy())
    early, late = practice("mr_linac", 0), practice("delayed", 0)
    for patient in range(40):
        days = [
            replace(p, patient=patient).day_of(next(s for s in p.arm.strategy.steps if s.step == "image"), state)
            for p in (early, late)
        ]
        assert int((days[1] - 14) / 15 * 3) == days[0] - 1


def test_an_observer_without_error_draws_the_truth():
    truth = BallAnatomy().epoch(3.0)
    exact = replace(practice("delayed", 0), observer=Uniform(0.0, 10.0))
    assert exact.contoured(truth, 0) is truth
