"""What is in the store is whole, checked and read back unchanged."""

import json

import numpy as np
import pytest

from planner.io.digest import sha256_of
from planner.study import store
from planner.treatment.errors import InputError

ROW = {"case": "c1", "patient": "p01", "strategy": "a", "phase": "delivered", "structure": "ptv"}


def result(case_id="c1", value=18.25):
    records = {**ROW, "case": case_id, "metric": "D98_gy", "value": value, "unit": "Gy", "uncertainty": 0.0}
    dvh = {**ROW, "case": case_id, "dose_gy": 1.0, "volume_percent": 99.0}
    return store.CaseResult(
        {"id": case_id, "patient": "p01", "strategy": "a", "wall_s": 1.0, "hashes": {"dose": "f00"}},
        {key: [entry] for key, entry in records.items()},
        {key: [entry] for key, entry in dvh.items()},
        {"steps": [], "by_day": []},
        {"image": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "dose_gy": np.ones((2, 3, 4), np.float16)},
    )


def written(tmp_path, *ids):
    store.open_study(tmp_path)
    store.write_json(tmp_path / "study.json", {"cases": list(ids)})
    for case_id in ids:
        store.write_case(tmp_path, result(case_id))
    return tmp_path


def test_a_case_comes_back_as_it_was_written(tmp_path):
    folder = store.folder_of(written(tmp_path, "c1"), "c1")
    assert store.read_case(folder)["hashes"]["dose"] == "f00"
    assert store.read_tables([folder], "records").iloc[0].to_dict() == {
        key: entry[0] for key, entry in result().records.items()
    }
    views = store.read_views(folder)
    assert np.array_equal(views["image"], result().views["image"])
    assert views["dose_gy"].dtype == np.float16
    assert sorted(path.name for path in tmp_path.glob("cases/*")) == ["c1"]


def test_writing_twice_gives_the_same_bytes(tmp_path):
    first = {f.name: f.read_bytes() for f in store.write_case(tmp_path / "a", result()).iterdir()}
    again = {f.name: f.read_bytes() for f in store.write_case(tmp_path / "b", result()).iterdir()}
    assert first == again


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    store.open_study(tmp_path)
    broken = store.CaseResult({"id": "c1"}, {"case": ["c1"]}, {}, {}, {})
    with pytest.raises(KeyError):
        store.write_case(tmp_path, broken)
    assert not list((tmp_path / "cases").iterdir())
    assert not store.is_done(tmp_path, "c1")


def test_not_a_number_in_json_is_refused(tmp_path):
    bad = store.CaseResult({**result().case, "wall_s": float("nan")}, result().records, result().dvh, {}, {})
    with pytest.raises(ValueError, match="JSON"):
        store.write_case(tmp_path, bad)
    assert not list((tmp_path / "cases").iterdir())


def test_leftovers_of_a_killed_run_are_swept_and_finished_cases_stay(tmp_path):
    written(tmp_path, "c1")
    (tmp_path / "cases" / ".writing-c2-x1").mkdir()
    store.open_study(tmp_path)
    assert [path.name for path in (tmp_path / "cases").iterdir()] == ["c1"]


def test_collect_compacts_in_the_order_of_the_study_and_lists_hashes(tmp_path):
    written(tmp_path, "c2", "c1")
    records = store.collect(tmp_path, {"failed": []})
    assert list(records["case"]) == ["c2", "c1"]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert list(manifest["cases"]) == ["c2", "c1"]
    assert manifest["hashes"]["records.parquet"] == sha256_of(tmp_path / "records.parquet")


def test_cases_of_another_run_of_the_study_are_left_out(tmp_path):
    written(tmp_path, "c1", "c2")
    store.write_json(tmp_path / "study.json", {"cases": ["c2"]})
    assert list(store.collect(tmp_path, {})["case"]) == ["c2"]
    assert store.is_done(tmp_path, "c1")


@pytest.mark.parametrize("name", store.CASE_FILES)
def test_a_changed_or_missing_file_is_named(tmp_path, name):
    file = store.folder_of(written(tmp_path, "c1"), "c1") / name
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match=name):
        store.collect(tmp_path, {})
    file.unlink()
    with pytest.raises(InputError, match=name):
        store.collect(tmp_path, {})


def test_pickles_in_views_are_refused(tmp_path):
    folder = store.folder_of(written(tmp_path, "c1"), "c1")
    np.savez(folder / "views.npz", image=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        store.read_views(folder)


def test_no_study_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"study\.json.*no such file"):
        store.case_folders(tmp_path)


def test_a_store_that_cannot_be_written_is_one_clear_error_and_leaves_nothing(tmp_path, monkeypatch):
    occupied = tmp_path / "file"
    occupied.touch()
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        store.open_study(occupied / "study")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    store.open_study(tmp_path)
    monkeypatch.setattr(store.json, "dumps", full)
    with pytest.raises(OSError, match="No space left"):
        store.write_json(tmp_path / "study.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases", "file"]
