"""Studies whose plans can be delivered: what is stored and told of them; their dose is that of the apertures."""

import json

import numpy as np
import pytest

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.engines.body import in_body
from planner.engines.registry import engine_named
from planner.evaluate.deliverability import machine_violations
from planner.evaluate.names import metric_names
from planner.evaluate.recompute import recomputed
from planner.report.collect import collect
from planner.report.page import render
from planner.study.batch import run_study
from planner.study.spec import load_study
from planner.study.store import APERTURES, folder_of, read_case, read_treatments
from planner.treatment.errors import InputError

TINY = """
[study]
name = "tiny"
seed = 5
strategies = ["own.toml"]
[cohort]
kind = "synthetic"
patients = 1
spacing_mm = 4.0
tumour_max_cc = 12.0
[settings]
apertures = {apertures}
engine = "pencil"
dose_grid_mm = 4.0
ignore_field = true
[compare]
endpoints = ["delivery.delivery_min"]
"""
OWN = """
name = "own"
title = "Three fractions on an MR-linac"
machine = "linac.toml"
technique = "coplanar-imrt"
objectives = "srs-marginal"
prescription = "hypofractionated-27-3"
margins = "ptv-2"
[[steps]]
step = "image"
day = { value = 2.0, source = "test", status = "assumed" }
[[steps]]
step = "plan"
"""
FRACTION = """
[[steps]]
step = "image"
after_days = { value = 5.0, source = "test", status = "assumed" }
[[steps]]
step = "treat"
same_session = true
adapt = "position"
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "linac.toml").write_text('like = "elekta-unity"\nname = "unity-2"\ntitle = "Unity on ward 2"\n')
    (folder / "own.toml").write_text(OWN + 3 * FRACTION)
    (folder / "tiny.toml").write_text(TINY.format(apertures="true"))
    return load_study(folder / "tiny.toml")


@pytest.fixture(scope="module")
def batch(study, tmp_path_factory):
    done = run_study(study, tmp_path_factory.mktemp("results"), 1, lambda outcome: None)
    assert done.failed == []
    return done


def test_apertures_are_stored_for_every_day_and_keep_the_limits_of_the_machine(study, batch):
    (case,) = study.cases()
    treatments = read_treatments(folder_of(batch.folder, case.id))
    assert [(t.day, t.adaptation) for t in treatments] == [(7.0, "position"), (12.0, "position"), (17.0, "position")]
    machine = study.arms[0].machine
    assert all(machine_violations(t.delivery, machine) == [] for t in treatments)
    shifts = [one["shift_mm"] for one in read_case(folder_of(batch.folder, case.id))["plan"]["adaptations"]]
    isocentres = [np.array(t.delivery.beams[0].isocentre_mm) for t in treatments]
    np.testing.assert_allclose(isocentres[1] - isocentres[0], np.subtract(shifts[1], shifts[0]), atol=2e-3)


def test_the_delivered_dose_is_that_of_the_stored_apertures(study, batch):
    (case,) = study.cases()
    folder = folder_of(batch.folder, case.id)
    anatomy, machine = case.cohort.anatomy(case.number, case.seed, None), study.arms[0].machine
    doses = []
    for treatment in read_treatments(folder):
        truth = anatomy.epoch(treatment.day, images=False)
        density = truth.volumes["density"]
        again = recomputed(treatment.delivery, machine, density, engine_named("pencil"), ignore_field=True)
        doses.append(in_body(again, truth.structures["external"], density).volume.data)
    with np.load(folder / "views.npz") as views:
        grid = Grid(views["image"].shape, tuple(views["spacing_mm"]), tuple(views["origin_mm"]))
        inside, stored = views["occupancy_ptv"] > 128, views["dose_gy"].astype(float)
    mean = Volume(density.grid, np.mean(doses, axis=0, dtype=np.float32), Quantity.DOSE)
    # Doses are stored in half precision, and leaf positions rounded to a tenth of a micrometre.
    np.testing.assert_allclose(mean.on(grid).data[inside], stored[inside], rtol=2e-3)


def test_every_metric_of_the_delivery_is_known_beforehand(study, batch):
    known = metric_names(study.spec.cohort.structures(None), {3}, apertures=True)["delivery"]
    told = batch.records[batch.records["structure"] == "delivery"].set_index("metric")
    assert list(told.index) == known and set(told["phase"]) == {"delivered"}
    assert told["value"]["machine_limits_violated"] == 0
    assert 0 < told["value"]["beam_on_min"] < told["value"]["delivery_min"]
    # 9 Gy a fraction.
    assert told["value"]["modulation_factor"] == pytest.approx(told["value"]["mu_per_fraction"] / 900)


def test_the_report_shows_apertures_and_says_what_the_plans_are(batch):
    page = render(collect(batch.folder))
    assert page.count('<figure class="delivery') == 1 and "Unity on ward 2" in page
    assert "modulation factor" in page and "monitor units a fraction" in page
    assert "Three fractions on an MR-linac: plans are apertures and monitor units" in page
    assert "Three fractions on an MR-linac: plans were adapted to the image of the day" in page
    assert "fluence is free" not in page


def test_changed_apertures_are_noticed(study, batch, tmp_path):
    (case,) = study.cases()
    copy = tmp_path / case.id
    copy.mkdir()
    for file in folder_of(batch.folder, case.id).iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    read_case(copy)
    held = json.loads((copy / APERTURES).read_text())
    held["treatments"][0]["beams"][0]["control_points"][0]["mu"] += 1
    (copy / APERTURES).write_text(json.dumps(held))
    with pytest.raises(InputError, match=r"apertures\.json.*changed"):
        read_case(copy)


def test_two_machines_of_one_name_are_refused(tmp_path):
    for file, angle in (("linac.toml", 90.0), ("other.toml", 0.0)):
        constant = f'value = {angle}\nsource = "test"\nstatus = "assumed"'
        (tmp_path / file).write_text(f'like = "elekta-unity"\nname = "unity-2"\n[collimator_deg]\n{constant}\n')
    (tmp_path / "own.toml").write_text(OWN + FRACTION)
    (tmp_path / "two.toml").write_text(OWN.replace("linac", "other").replace('"own"', '"two"') + FRACTION)
    text = TINY.format(apertures="true")
    (tmp_path / "tiny.toml").write_text(text.replace('["own.toml"]', '["own.toml", "two.toml"]'))
    with pytest.raises(InputError, match="two files as machine 'unity-2' that differ"):
        load_study(tmp_path / "tiny.toml")


def test_free_fluence_has_no_delivery_to_measure(tmp_path):
    (tmp_path / "own.toml").write_text(OWN.replace("linac.toml", "elekta-unity") + FRACTION)
    (tmp_path / "tiny.toml").write_text(TINY.format(apertures="false"))
    with pytest.raises(InputError, match="structure 'delivery'"):
        load_study(tmp_path / "tiny.toml")
