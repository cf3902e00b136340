"""Study files: what is accepted, what is refused and how that is told."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import phantoms
from phantoms.cited import Cited
from phantoms.structure import Role
from planner.study.cohort import SyntheticCohort, cited_constants
from planner.study.spec import load_study
from planner.treatment.errors import InputError

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "timing.toml"
GOOD = """
[study]
name = "tiny"
seed = 5
strategies = ["delayed", "mr_linac"]
[cohort]
kind = "synthetic"
patients = 2
spacing_mm = 3.0
[settings]
dose_grid_mm = 4.0
ignore_field = true
"""


ENDPOINTS = 'ignore_field = true\n[compare]\nendpoints = ["{}", "{}"]'


def study_of(tmp_path, text, name="study.toml"):
    file = tmp_path / name
    file.write_text(text)
    return load_study(file)


def test_cases_are_patients_times_strategies(tmp_path):
    cases = study_of(tmp_path, GOOD).cases()
    assert [(case.patient, case.arm.name) for case in cases] == [
        ("p01", "delayed"), ("p01", "mr_linac"), ("p02", "delayed"), ("p02", "mr_linac"),
    ]  # fmt: skip
    assert len({case.id for case in cases}) == 4


def ids(tmp_path, text):
    return {(case.patient, case.arm.name): case.id for case in study_of(tmp_path, text).cases()}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("patients = 2", "patients = 3"),
        ('["delayed", "mr_linac"]', '["mr_linac", "direct_postop", "delayed"]'),
        ('name = "tiny"', 'name = "other"\ntitle = "Other"'),
        ("ignore_field = true", 'ignore_field = true\n[compare]\nendpoints = ["ptv.D98_gy"]'),
    ],
)
def test_a_case_keeps_its_id_when_other_patients_arms_and_words_change(tmp_path, old, new):
    before, after = ids(tmp_path, GOOD), ids(tmp_path, GOOD.replace(old, new))
    assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed = 5", "seed = 6"),
        ("spacing_mm = 3.0", "spacing_mm = 2.5"),
        ("dose_grid_mm = 4.0", "dose_grid_mm = 3.0"),
        ("ignore_field = true", "ignore_field = true\nobserver_sd_mm = 0.1"),
    ],
)
def test_a_case_gets_another_id_when_what_it_depends_on_changes(tmp_path, old, new):
    before, after = ids(tmp_path, GOOD), ids(tmp_path, GOOD.replace(old, new))
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


@pytest.mark.parametrize(
    ("old", "new", "where", "told"),
    [
        ("patients = 2", "patient = 2", "cohort", "Did you mean 'patients'"),
        ("seed = 5", "seeds = 5", "study", "seed"),
        ("seed = 5", "seed = nan", "study.seed", ""),
        ("seed = 5", 'seed = "x"', "study.seed", "integer"),
        ("ignore_field = true", ENDPOINTS.format("ptv.gi", "ptv.gi"), "compare.endpoints", "named twice"),
        ('"delayed", ', '"delayd", ', "study.strategies.0", "unknown strategy 'delayd'. Did you mean 'delayed'"),
        ('"delayed", ', '"mr_linac", ', "study.strategies", "strategies: a strategy is named twice"),
        ('name = "tiny"', 'name = "../evil"', "study.name", "pattern"),
        ("patients = 2", "patients = 0", "cohort", "patients"),
        ("patients = 2", "patients = 1000000000", "cohort", "patients"),
        ("spacing_mm = 3.0", "spacing_mm = nan", "cohort", "finite"),
        ("seed = 5", "seed = true", "study.seed", "valid integer"),
        ("seed = 5", 'seed = "5"', "study.seed", "valid integer"),
        ("seed = 5", "seed = 5\ntitle = 2026-01-01", "study.title", "valid string"),
        ("spacing_mm = 3.0", "spacing_mm = true", "cohort.synthetic.spacing_mm", "valid number"),
        ("ignore_field = true", 'ignore_field = true\napertures = "yes"', "settings.apertures", "valid boolean"),
        ("ignore_field = true", "ignore_field = 1", "settings.ignore_field", "valid boolean"),
        ("spacing_mm = 3.0", "spacing_mm = -1.0", "cohort", "spacing_mm"),
        ('kind = "synthetic"', 'kind = "synthetick"', "cohort", "synthetic"),
        ("dose_grid_mm = 4.0", "dose_grid_mm = inf", "settings.dose_grid_mm", "finite"),
        ("dose_grid_mm = 4.0", 'engine = "pensil"', "settings.engine", "Did you mean 'pencil'"),
        ("ignore_field = true", 'ignore_field = true\nobserver = "expret"', "settings.observer", "mean 'expert'"),
        ("ignore_field = true", 'observer = "expert"\nobserver_sd_mm = 0.5', "settings", "would not be used"),
        ("ignore_field = true", 'margins = "soliman-2019"', "settings.margins", "Did you mean 'soliman-2018'"),
        ("ignore_field = true", '[compare]\nendpoints = ["ptv"]', "compare.endpoints", "structure.metric"),
        ("ignore_field = true", ENDPOINTS.format("ptv.D98_gy", "ptvv.D98_gy"), "compare.endpoints.1", "mean 'ptv'"),
        ("ignore_field = true", ENDPOINTS.format("ptv.D98", "ptv.gi"), "compare.endpoints.0", "mean 'D98_gy'"),
        ("ignore_field = true", ENDPOINTS.format("cavity.gi", "ptv.gi"), "compare.endpoints.0", "rim_2mm_percent"),
        ("ignore_field = true", ENDPOINTS.format("skin.V3_cc", "skin.V4_cc"), "compare.endpoints.1", "V3_cc"),
    ],
)
def test_mistakes_are_told_with_file_and_key(tmp_path, old, new, where, told):
    assert old in GOOD
    with pytest.raises(InputError) as raised:
        study_of(tmp_path, GOOD.replace(old, new))
    assert raised.value.source == str(tmp_path / "study.toml")
    assert raised.value.where.startswith(where)
    assert told in str(raised.value)


def test_a_study_may_choose_observer_and_margins_of_all_strategies(tmp_path):
    chosen = GOOD.replace("ignore_field = true", 'ignore_field = true\nobserver = "expert"\nmargins = "soliman-2018"')
    study = study_of(tmp_path, chosen)
    assert {arm.margins.name for arm in study.arms} == {"soliman-2018"}
    named = {row["name"] for row in study.constants()}
    assert {"observer.expert.hand.clear_sd_mm", "margins.soliman-2018.extensions[0].touched_mm"} <= named


def test_margins_that_a_study_asks_for_need_their_structures(tmp_path, monkeypatch):
    monkeypatch.setattr(SyntheticCohort, "structures", lambda self, data: {"brain": Role.ORGAN, "tract": Role.SUPPORT})
    chosen = GOOD.replace("ignore_field = true", 'ignore_field = true\nmargins = "soliman-2018"')
    chosen = chosen[: chosen.index("[compare]")] if "[compare]" in chosen else chosen
    with pytest.raises(InputError, match="'bone_flap', which the patients do not have") as raised:
        study_of(tmp_path, chosen)
    assert raised.value.where == "settings.margins"


def test_missing_file_and_bad_toml(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_study(tmp_path / "none.toml")
    with pytest.raises(InputError, match="not valid TOML"):
        study_of(tmp_path, "[study\n")


def own_strategy(tmp_path, old="", new=""):
    library = Path(__file__).resolve().parent.parent / "planner" / "library" / "strategies" / "delayed.toml"
    text = library.read_text().replace('name = "delayed"', 'name = "mine"').replace(old, new)
    (tmp_path / "mine.toml").write_text(text)
    return study_of(tmp_path, GOOD.replace('"delayed"', '"mine.toml"'))


@pytest.mark.parametrize("said", ["ignore_field = false", ""])
def test_a_field_that_the_engine_cannot_see_is_refused(tmp_path, said):
    library = Path(__file__).resolve().parent.parent / "planner" / "library" / "strategies" / "mr_linac.toml"
    text = GOOD.replace('"delayed", "mr_linac"', '"mine.toml"').replace("ignore_field = true", said)
    # The strategy names an engine that sees the field; without it the one of the settings computes, the cone.
    named = library.read_text().replace('name = "mr_linac"', 'name = "mine"')
    (tmp_path / "mine.toml").write_text(named)
    assert study_of(tmp_path, text).arms[0].has_field
    (tmp_path / "mine.toml").write_text(re.sub(r"(?m)^(engine|corrections) = .*\n", "", named))
    with pytest.raises(InputError, match=r"settings\.ignore_field: .*elekta-unity.*ignore_field = true"):
        study_of(tmp_path, text)


def test_a_strategy_of_ones_own_lies_beside_the_study(tmp_path):
    assert own_strategy(tmp_path).arms[0].name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "where", "told"),
    [
        ("truebeam-stx", "truebeam", "machine", "Did you mean 'truebeam-stx'"),
        ('prescription = "n107c"', 'prescription = "n107"', "prescription", "n107c"),
        ('"ncvmat"', '"ncvamt"', "technique", "ncvmat"),
        ('step = "treat"', 'step = "cure"', "steps", "cure"),
        ("value = [14.0, 28.0]", "value = [14.0, nan]", "steps", "finite"),
        ("value = [14.0, 28.0]", "value = [14.0, true]", "steps", "valid number"),
        ("value = [14.0, 28.0]", "value = true", "steps", "valid number"),
    ],
)
def test_mistakes_in_it_are_told_with_its_file_and_key(tmp_path, old, new, where, told):
    with pytest.raises(InputError) as raised:
        own_strategy(tmp_path, old, new)
    assert raised.value.source == str(tmp_path / "mine.toml")
    assert raised.value.where.startswith(where)
    assert told in str(raised.value)


def test_imported_cohorts_need_their_folder(tmp_path):
    head = '[study]\nname = "real"\nseed = 1\nstrategies = ["delayed"]\n[cohort]\nkind = "imported"\n'
    text = head + "[[cohort.lesions]]\ncentre_mm = [30, 0, 40]\ntumour_volume_cc = 8.0\n"
    with pytest.raises(InputError, match="--data"):
        study_of(tmp_path, text)
    with pytest.raises(InputError, match=r"cohort\.kind"):
        load_study(EXAMPLE, tmp_path)
    with pytest.raises(InputError, match="--data"):
        study_of(tmp_path, head)


def test_constants_are_listed_once_with_source_and_status(tmp_path):
    rows = study_of(tmp_path, GOOD).constants()
    assert len({row["name"] for row in rows}) == len(rows) > 100
    assert all(row["source"] and row["status"] in {"published", "fitted", "assumed"} for row in rows)
    fitted = {row["name"] for row in rows if row["status"] == "fitted"}
    assert {"engine.cone.range_scale", "engine.cone.range_power", "engine.cone.open_air"} <= fitted
    # Not one of them belongs to a strategy that the study does not name.
    assert not any("direct_postop" in row["name"] for row in rows)


def test_no_constant_of_the_patients_is_left_out():
    told = {(row["value"], row["source"], row["status"]) for row in cited_constants()}
    for found in pkgutil.iter_modules(phantoms.__path__):
        for value in vars(importlib.import_module(f"phantoms.{found.name}")).values():
            for cited in value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,):
                if isinstance(cited, Cited):
                    assert (f"{cited.value:g}", cited.source, cited.status) in told, (found.name, cited)


def test_the_example_is_sound():
    study = load_study(EXAMPLE)
    assert len(study.cases()) >= 18
    assert len(study.arms) == 3


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parent.parent / "examples").glob("*.toml")), ids=lambda f: f.stem
)
def test_examples_are_sound(file):
    if 'kind = "imported"' in file.read_text():
        with pytest.raises(InputError, match="--data"):
            load_study(file)
        return
    study = load_study(file)
    assert study.spec.study.name == file.stem and len(study.cases()) == study.spec.cohort.count * len(study.arms)
