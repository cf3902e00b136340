"""A raw folder as --data is imported once a study: by no child, by no later run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from images_real import HEAD_CENTRE, circle, head_image, structure_set, write_series

from planner.io.case import is_case, read_case
from planner.study import batch, imports
from planner.study.imports import hashes_of, import_once, known_import, raw_import
from planner.study.spec import load_study
from planner.treatment.errors import InputError

STUDY = """
[study]
name = "real"
seed = 1
strategies = ["delayed", "direct_postop"]
[cohort]
kind = "imported"
[[cohort.lesions]]
centre_mm = [{}, {}, {}]
tumour_volume_cc = 4.0
"""


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    image, affine = head_image(3.0)
    write_series(folder, np.rint(image).astype(np.uint16), affine)
    return folder


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("study") / "real.toml"
    path.write_text(STUDY.format(*(HEAD_CENTRE + np.array([30.0, 0.0, 10.0]))))
    return path


@pytest.fixture(scope="module")
def ran(file, series, tmp_path_factory):
    """Return the folder of all results after a run that got as far as its cases, and those cases."""
    results, seen = tmp_path_factory.mktemp("results"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "run_cases", lambda cases, *rest: seen.extend(cases) or [])
        patch.setattr(batch, "collect", lambda *rest: pd.DataFrame())
        batch.run_study(load_study(file, series, results), results / "real", 1, lambda outcome: None)
    return results, seen


def test_every_case_reads_the_one_import(file, series, ran):
    results, cases = ran
    (place,) = (results / "real" / "imported").iterdir()
    assert {case.data for case in cases} == {place / "case"} and len(cases) == 2
    assert json.loads((place / "files.json").read_text()) == hashes_of(place / "case")
    # The identity of a case is that of the folder which the user gave, whether it was imported yet or not.
    assert [case.id for case in cases] == [case.id for case in load_study(file, series).cases()]
    told, read = raw_import(series).patient.epochs[0], read_case(place / "case").epochs[0]
    assert np.allclose(told.volumes["density"].data, read.volumes["density"].data, atol=1e-3)


def test_a_later_run_does_not_import_again(file, series, ran, monkeypatch):
    results, cases = ran
    monkeypatch.setattr(imports, "raw_import", lambda data: pytest.fail("imported again"))
    monkeypatch.setattr("planner.study.cohort.raw_import", lambda data: pytest.fail("imported again"))
    again = load_study(file, series, results)
    assert again.data == cases[0].data
    assert [case.id for case in again.cases()] == [case.id for case in cases]
    assert import_once(series, again.data_sha256, results / "real") == cases[0].data
    assert import_once(again.data, {}, results / "other") == again.data


def test_other_files_or_other_code_are_another_import(series, ran, monkeypatch):
    study = ran[0] / "real"
    hashes = hashes_of(series)
    assert is_case(known_import(series, hashes, study))
    name = next(iter(hashes))
    assert known_import(series, {**hashes, name: "0" * 64}, study) == series
    monkeypatch.setattr(imports, "code_sha256", lambda: "other")
    assert known_import(series, hashes, study) == series


def test_nothing_half_written_is_taken_and_a_changed_import_is_refused(series, tmp_path, ran, monkeypatch):
    hashes = hashes_of(series)

    def broken(imported, out):
        (out / "structures").mkdir(parents=True)
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(imports, "write_case", broken)
        with pytest.raises(OSError, match="no space"):
            import_once(series, hashes, tmp_path)
    assert list((tmp_path / "imported").iterdir()) == []
    case = import_once(series, hashes, tmp_path)
    (case / "structures" / "brain.nii.gz").unlink()
    with pytest.raises(InputError, match="changed after the import"):
        known_import(series, hashes, tmp_path)


def test_a_lesion_that_does_not_fit_writes_nothing(series, tmp_path):
    file = tmp_path / "real.toml"
    file.write_text(STUDY.format(500, 0, 0))
    with pytest.raises(InputError, match=r"cohort\.lesions\.0\.centre_mm"):
        load_study(file, series, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_real_patient_with_contours_needs_no_lesion(file, series, tmp_path):
    alone = tmp_path / "alone.toml"
    alone.write_text(STUDY[: STUDY.index("[[cohort")])
    with pytest.raises(InputError, match=r"cohort\.lesions.*no day has a contour of the cavity"):
        load_study(alone, series)
    folder, centre = tmp_path / "contoured", HEAD_CENTRE + np.array([30.0, 0.0, 10.0])
    shutil.copytree(series, folder)
    heights = (centre[2] // 3.0 + np.arange(-3, 4)) * 3.0 + 0.5
    rings = [circle(np.sqrt(144.0 - (z - heights[3]) ** 2), (centre[0], centre[1], z)) for z in heights]
    structure_set({"Surgical cavity": rings}).save_as(folder / "rs.dcm", enforce_file_format=True)
    study = load_study(alone, folder)
    assert [case.number for case in study.cases()] == [0, 0]
    anatomy = study.spec.cohort.anatomy(0, 1, folder)
    assert anatomy.epoch(0.0, images=False).structures["cavity"].volume_cc == pytest.approx(
        np.pi * 3.0 * sum(144.0 - (heights - heights[3]) ** 2) / 1000, rel=0.01
    )
    assert anatomy.facts["days"] == "0" and "histology" not in anatomy.facts
