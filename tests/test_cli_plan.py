"""`lacuna plan` and `lacuna plan-check` end to end on a ball of water, and one line for every bad input."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from ball_patients import BRAIN_MM, CENTRE_MM, HEAD_MM, ball

from phantoms.grid import Grid
from phantoms.structure import Role
from phantoms.volume import Quantity, Volume
from planner.cli.app import _status
from planner.cli.plan_inputs import PlanInputs, read_case
from planner.cli.plans import show_plan
from planner.io.nifti import read_volume, write_structure, write_volume
from planner.io.plan_folder import plan_folder
from planner.treatment.errors import InputError

GRID = Grid.covering((-66,) * 3, (66,) * 3, 4.0)
FINE = Grid.covering((-10, -40, -25), (50, 20, 35), 2.0)


def lacuna(capsys, *words) -> tuple[int, str, str]:
    status = _status([str(word) for word in words], debug=False)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A head of water, a target on a finer grid of its own, an organ."""
    out = tmp_path_factory.mktemp("inputs")
    head = ball("external", Role.EXTERNAL, GRID, (0, 0, 0), HEAD_MM)
    write_volume(out / "density.nii.gz", Volume(GRID, head.occupancy, Quantity.DENSITY))
    write_structure(out / "target.nii.gz", ball("t", Role.TARGET, FINE, CENTRE_MM, 11.0))
    write_structure(out / "brainstem.nii.gz", ball("b", Role.ORGAN, GRID, (-20, 10, -10), 12.0))
    write_structure(out / "brain.nii.gz", ball("b", Role.ORGAN, GRID, (0, 0, 0), BRAIN_MM))
    write_structure(
        out / "far.nii.gz", ball("t", Role.TARGET, Grid.covering((200,) * 3, (240,) * 3, 2.0), (220,) * 3, 9)
    )
    write_structure(out / "air.nii.gz", ball("t", Role.TARGET, GRID, (58, 58, 58), 6.0))
    write_structure(out / "edge.nii.gz", ball("t", Role.TARGET, Grid.covering((40,) * 3, (90,) * 3, 2.0), (64,) * 3, 9))
    empty = Volume(GRID, np.zeros(GRID.shape), Quantity.OCCUPANCY)
    write_volume(out / "empty.nii.gz", empty)
    units = Volume(GRID, 1000 * head.occupancy - 1000, Quantity.MR_SIGNAL)
    write_volume(out / "hounsfield.nii.gz", units)
    write_volume(out / "thousand.nii.gz", Volume(GRID, 1000 * head.occupancy, Quantity.DENSITY))
    return out


def words(files: Path, out: Path, **changes) -> list[str]:
    given = {
        "target": files / "target.nii.gz",
        "machine": "truebeam-stx",
        "technique": "conformal",
        "prescription-gy": 18,
        "engine": "pencil",
        "grid-mm": 4,
        "out": out,
        **{key.replace("_", "-"): value for key, value in changes.items()},
    }
    density = given.pop("density", files / "density.nii.gz")
    flat = [str(part) for key, value in given.items() if value is not None for part in (f"--{key}", value)]
    return ["plan", str(density), *flat]


@pytest.fixture(scope="module")
def planned(files, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("plans") / "deep" / "plan"
    brainstem = f"brainstem={files / 'brainstem.nii.gz'}"
    assert _status([*words(files, out, margin_mm=1), "--organ", brainstem, "--json"], debug=True) == 0
    return out


def test_a_plan_leaves_all_that_it_promises(planned, files):
    left = {str(path.relative_to(planned)) for path in planned.rglob("*") if path.is_file()}
    assert left == {
        "plan.json", "dose.nii.gz", "density.nii.gz", "metrics.json", "report.html",
        "pictures/dose.png", "pictures/dvh.png", "pictures/apertures.png", "pictures/arcs.png",
        *(f"structures/{n}.nii.gz" for n in ("gtv", "ptv", "external", "brain", "brainstem")),
    }  # fmt: skip
    assert [path.name for path in planned.parent.iterdir()] == ["plan"]
    plan = json.loads((planned / "plan.json").read_text())
    assert plan["machine"] == "truebeam-stx" and plan["prescription"] == {"dose_gy": 18.0, "fractions": 1}
    assert plan["isocentre_mm"] == pytest.approx(CENTRE_MM, abs=0.3)
    made = plan["provenance"]
    assert made["engine_name"] == "pencil" and made["wall_s"] > 0 and "brain" in made["derived"]
    assert made["inputs"]["target"]["path"] == str(files / "target.nii.gz")
    page = (planned / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4 and "://" not in page


def test_a_plan_names_its_inputs_as_they_were_given(files, monkeypatch):
    monkeypatch.chdir(files)
    case = read_case(PlanInputs(density=Path("density.nii.gz"), target=Path("target.nii.gz")), reference=False)
    assert {name: file.path for name, file in case.files.items()} == {
        "density": "density.nii.gz", "target": "target.nii.gz"
    }  # fmt: skip
    assert case.files["target"].sha256 == hashlib.sha256((files / "target.nii.gz").read_bytes()).hexdigest()


def test_small_targets_have_a_finer_dose_grid_where_none_is_asked_for(files, tmp_path):
    for name, radius_mm in (("small", 8.0), ("smaller", 5.0), ("smallest", 4.4)):
        write_structure(tmp_path / f"{name}.nii.gz", ball("t", Role.TARGET, FINE, CENTRE_MM, radius_mm))
    for target, given, expected, with_monte_carlo in (
        (tmp_path / "smallest.nii.gz", None, 1.0, 1.0),
        (tmp_path / "smaller.nii.gz", None, 1.0, 1.5),
        (tmp_path / "small.nii.gz", None, 1.0, 1.5),
        (tmp_path / "small.nii.gz", 3.0, 3.0, 3.0),
        (files / "target.nii.gz", None, 2.0, 2.0),
    ):
        inputs = PlanInputs(files / "density.nii.gz", target, grid_mm=given, brain=files / "brain.nii.gz")
        assert read_case(inputs, reference=False).density.grid.spacing_mm == (expected,) * 3
        assert read_case(inputs, reference=True).density.grid.spacing_mm == (with_monte_carlo,) * 3


def test_a_small_target_in_a_large_volume_has_wider_voxels_rather_than_too_many(files, tmp_path, monkeypatch):
    write_structure(tmp_path / "small.nii.gz", ball("t", Role.TARGET, FINE, CENTRE_MM, 8.0))
    inputs = PlanInputs(files / "density.nii.gz", tmp_path / "small.nii.gz", brain=files / "brain.nii.gz")
    grid = read_volume(files / "density.nii.gz", Quantity.DENSITY).grid
    cubic_mm = 1000.0 * grid.voxel_cc * float(np.prod(grid.shape))
    for most, expected in ((cubic_mm + 1.0, 1.0), (0.5 * cubic_mm, 1.5), (0.2 * cubic_mm, 2.0)):
        monkeypatch.setattr("planner.cli.plan_inputs.MOST_VOXELS", most)
        assert read_case(inputs, reference=False).density.grid.spacing_mm == (expected,) * 3


def test_its_metrics_are_those_of_its_dose(planned, capsys):
    found = json.loads((planned / "metrics.json").read_text())
    rows = ["metrics", planned / "dose.nii.gz", "--target", planned / "structures" / "ptv.nii.gz"]
    status, out, _ = lacuna(capsys, *rows, "--prescription-gy", 18, "--json")
    again = json.loads(out)
    assert status == 0
    for name in ("V100_percent", "D98_gy", "paddick_ci", "gi"):
        assert found["structures"]["ptv"][name] == pytest.approx(again[name], rel=1e-3), name
    assert found["structures"]["ptv"]["V100_percent"] >= 98.0
    made = found["delivery"]
    plan = json.loads((planned / "plan.json").read_text())
    assert made["mu_per_fraction"] == pytest.approx(sum(beam["mu"] for beam in plan["beams"]), rel=1e-5)
    assert made["modulation_factor_mu_per_cgy"] == pytest.approx(made["mu_per_fraction"] / 1800)
    assert made["delivery_s"] > made["beam_on_s"] > 0 and made["aperture_mean_cm2"] > 1
    moved = found["robustness"]
    assert len(moved["scenarios"]) == 15
    assert "target" in found["binds"] or "conformity" in found["binds"]
    assert moved["worst_V100_percent"] <= moved["mean_V100_percent"]
    assert {"brain", "brainstem", "gtv", "ptv", "skin"} <= set(found["structures"])


def test_the_volume_of_brain_that_is_told_belongs_to_the_fractions(files, tmp_path, capsys):
    """V12 predicts necrosis in one fraction, V24 in five; the page, the figures and metrics.json agree."""
    given = words(files, tmp_path / "five", fractions=5, prescription_gy=30, brain=files / "brain.nii.gz")
    status, out, _ = lacuna(capsys, *given, "--json")
    told = json.loads(out)
    kept = json.loads((tmp_path / "five" / "metrics.json").read_text())["structures"]["brain"]
    assert status == 0 and "brain_V20_cc" not in told and told["units"]["brain_V24_cc"] == "cc"
    assert 0 < told["brain_V24_cc"] == kept["V24_cc"] < told["brain_V12_cc"] == kept["V12_cc"]
    assert f"{kept['V24_cc']:.2f} cc" in (tmp_path / "five" / "report.html").read_text()


def test_what_was_left_out_of_a_dose_is_told(files, tmp_path, capsys):
    given = words(files, tmp_path / "plan", machine="elekta-unity", technique="imrt", brain=files / "brain.nii.gz")
    status, out, _ = lacuna(capsys, *given, "--ignore-field")
    assert status == 0 and re.search(r"magnetic_field +│ ignored", out) and re.search(r"engine +│ pencil", out)


def test_a_plan_tells_which_limits_it_violates(files, tmp_path, capsys):
    """An organ that holds the target: as a list in JSON, as lines for a reader, as the check has them."""
    write_structure(tmp_path / "organ.nii.gz", ball("o", Role.ORGAN, GRID, CENTRE_MM, 14.0))
    rows = [*words(files, tmp_path / "plan"), "--organ", f"brainstem={tmp_path / 'organ.nii.gz'}"]
    status, out, _ = lacuna(capsys, *rows, "--json")
    told = json.loads(out)
    listed = told["violations"]["clinical"]
    assert status == 0 and told["clinical_violations"] == len(listed) > 0 and told["violations"]["machine"] == []
    assert any(row["where"] == "brainstem" and row["value"] > row["allowed"] for row in listed)
    show_plan(told)
    out, _ = capsys.readouterr()
    lines = [line for line in out.splitlines() if line.startswith("violated (mandatory limit of dose): ")]
    assert [line.partition("): ")[2] for line in lines] == [row["text"] for row in listed]
    _, out, _ = lacuna(capsys, "plan-check", tmp_path / "plan", "--no-dose")
    assert set(lines) <= set(out.splitlines())


def test_the_check_passes_wherever_the_folder_is_moved(planned, tmp_path, capsys):
    shutil.copytree(planned, tmp_path / "elsewhere")
    status, out, _ = lacuna(capsys, "plan-check", tmp_path / "elsewhere", "--robust", "--json")
    found = json.loads(out)
    assert status == 0 and found["passed"] and found["violations"]["machine"] == []
    assert found["dose"]["agrees"] and found["dose"]["gamma_percent"] > 99.5
    assert found["robustness"]["worst_V100_percent"] > 50
    status, out, _ = lacuna(capsys, "plan-check", tmp_path / "elsewhere", "--no-dose")
    assert status == 0 and "passed" in out and "recomputed" not in out


def test_an_organ_under_a_name_that_no_limit_knows_is_told(planned, tmp_path, capsys):
    assert json.loads((planned / "metrics.json").read_text())["organs_without_limits"] == []
    shutil.copytree(planned, tmp_path / "named")
    organ = tmp_path / "named" / "structures" / "brainstem.nii.gz"
    organ.rename(organ.with_name("brain_stem.nii.gz"))
    status, out, _ = lacuna(capsys, "plan-check", tmp_path / "named", "--no-dose")
    assert status == 0 and "not judged: no limit for this number of fractions knows an organ 'brain_stem'" in out


def test_the_check_fails_where_a_limit_or_the_dose_does_not_hold(planned, tmp_path, capsys):
    spoilt = tmp_path / "spoilt"
    shutil.copytree(planned, spoilt)
    plan = json.loads((spoilt / "plan.json").read_text())
    plan["beams"][0]["control_points"][0]["couch_deg"] = 120.0
    (spoilt / "plan.json").write_text(json.dumps(plan))
    status, out, _ = lacuna(capsys, "plan-check", spoilt, "--no-dose")
    assert status == 1 and "couch" in out and "NOT PASSED" in out
    shutil.copy(planned / "plan.json", spoilt)
    dose = read_volume(spoilt / "dose.nii.gz", Quantity.DOSE)
    write_volume(spoilt / "dose.nii.gz", Volume(dose.grid, 1.05 * dose.data, Quantity.DOSE))
    status, out, _ = lacuna(capsys, "plan-check", spoilt)
    assert status == 1 and "DIFFERS" in out
    write_volume(spoilt / "dose.nii.gz", Volume(dose.grid, 1.3 * dose.data, Quantity.DOSE))
    status, out, _ = lacuna(capsys, "plan-check", spoilt, "--no-dose")
    assert status == 1 and "template 'srs-marginal' allows 145 %" in out and "1 clinical limits violated" in out
    hot = Volume(dose.grid, dose.data + 20.0, Quantity.DOSE)
    write_volume(spoilt / "dose.nii.gz", hot)
    status, out, _ = lacuna(capsys, "plan-check", spoilt, "--no-dose", "--json")
    assert status == 1 and json.loads(out)["violations"]["clinical"]


def test_the_check_fails_for_another_prescription_and_refuses_another_technique(planned, tmp_path, capsys):
    spoilt = tmp_path / "spoilt"
    shutil.copytree(planned, spoilt)
    plan = json.loads((planned / "plan.json").read_text())
    higher = {**plan, "prescription": {**plan["prescription"], "dose_gy": 1.25 * plan["prescription"]["dose_gy"]}}
    (spoilt / "plan.json").write_text(json.dumps(higher))
    status, out, _ = lacuna(capsys, "plan-check", spoilt, "--no-dose")
    assert status == 1 and "V100_percent" in out and "asks for 95 %" in out
    assert plan["sad_mm"] == 1000 and np.diff(plan["leaf_borders_mm"]).tolist() == [5.0] * 14 + [2.5] * 32 + [5.0] * 14
    for changed in ({"machine": "synergy-agility"}, {"leaf_borders_mm": [*plan["leaf_borders_mm"][:-1], 111.0]}):
        (spoilt / "plan.json").write_text(json.dumps({**plan, **changed}))
        status, _, err = lacuna(capsys, "plan-check", spoilt, "--no-dose")
        assert status == 4 and "plan.json: leaf_borders_mm: is not that of machine" in err
    for name, told in (("dca", "has beams of kind 'arc'"), ("vmat", "unknown technique 'vmat'")):
        (spoilt / "plan.json").write_text(json.dumps({**plan, "technique": name}))
        status, _, err = lacuna(capsys, "plan-check", spoilt, "--no-dose")
        assert status == 4 and "plan.json: technique: " in err and told in err


def test_an_older_plan_is_replaced_and_a_foreign_folder_is_not(planned, files, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    status, _, err = lacuna(capsys, *words(files, tmp_path / "mine"))
    assert status == 4 and "exists already" in err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_place_that_cannot_be_written_is_refused_before_planning(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("planner.cli.plans.make_deliverable", lambda *_, **__: pytest.fail("planned in vain"))
    (tmp_path / "file").write_text("keep")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out in (tmp_path / "file" / "plan", tmp_path / "file" / "deep" / "plan", Path("/proc/none/plan"), Path()):
        status, _, err = lacuna(capsys, *words(files, out))
        assert status == 4 and f"{out}: cannot be written" in err and err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "here"]


def test_a_plan_goes_where_a_link_points_and_never_over_what_came_meanwhile(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there")
    with plan_folder(link) as temporary:
        (temporary / "plan.json").write_text("{}")
    assert link.is_symlink() and [path.name for path in (tmp_path / "there").iterdir()] == ["plan.json"]
    with pytest.raises(InputError, match="another run"), plan_folder(tmp_path / "late") as temporary:
        (temporary / "plan.json").write_text("{}")
        (tmp_path / "late").mkdir()
        (tmp_path / "late" / "plan.json").write_text("other")
    assert [path.read_text() for path in (tmp_path / "late").iterdir()] == ["other"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["late", "link", "there"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"target": "empty.nii.gz"}, "the mask is empty"),
        ({"target": "far.nii.gz"}, "does not overlap density.nii.gz"),
        ({"target": "edge.nii.gz"}, "% of the target lie inside density.nii.gz"),
        ({"target": "air.nii.gz"}, "lie inside the body"),
        ({"target": "none.nii.gz"}, "no such file"),
        ({"density": "hounsfield.nii.gz"}, "densities must not be negative"),
        ({"density": "thousand.nii.gz"}, "are no densities"),
        ({"density": "empty.nii.gz"}, "no body"),
        ({"brain": "far.nii.gz"}, "does not overlap"),
        ({"machine": "truebeam"}, "Did you mean 'truebeam-stx'?"),
        ({"machine": "point-6mv"}, "delivers no plans; those that do: "),
        ({"technique": "vmat"}, "unknown technique 'vmat'"),
        ({"machine": "elekta-unity", "technique": "ncvmat"}, "does not turn its gantry with the beam on"),
        ({"machine": "elekta-unity", "technique": "conformal"}, "turns the couch to"),
        ({"template": "srs"}, "unknown template 'srs'"),
        ({"engine": "cones"}, "unknown engine 'cones'"),
        ({"machine": "elekta-unity", "technique": "imrt", "engine": "cone"}, "cannot see the magnetic field"),
        ({"prescription_gy": "nan"}, "--prescription-gy"),
        ({"prescription_gy": -2}, "--prescription-gy"),
        ({"fractions": 2}, "knows 1, 3, 5 fractions"),
        ({"margin_mm": -1}, "--margin-mm"),
        ({"grid_mm": 0.01}, "--grid-mm"),
        ({"organ": "brainstem"}, "NAME=MASK"),
        ({"organ": "ptv=brain.nii.gz"}, "this name is not free"),
    ],
)
def test_one_line_and_nothing_written(files, tmp_path, capsys, change, told):
    named = {"target", "density", "brain"}
    given = {key: files / value if key in named else value for key, value in change.items()}
    status, out, err = lacuna(capsys, *words(files, tmp_path / "plan", **given))
    assert status == 4 and out == "" and told in err
    assert len([line for line in err.splitlines() if line.startswith("lacuna:")]) == 1
    assert not any(tmp_path.iterdir())


OWN_MACHINE = """like = "truebeam-stx"
name = "ward-3"
[delivery.minimum_segment_area_mm2]
value = 77.0
source = "test"
status = "assumed"
"""
AREA = "delivery.minimum_segment_area_mm2"
OWN_TEMPLATE = """like = "srs-homogeneous"
name = "ours"
[maximum_dose]
value = 1.7
source = "test"
status = "assumed"
"""
OWN_TECHNIQUE = """like = "conformal"
name = "crossfire"
[fields]
source = "test"
status = "assumed"
value = [{ gantry_deg = 40.0, couch_deg = 0.0 }, { gantry_deg = 140.0, couch_deg = 0.0 },
  { gantry_deg = 250.0, couch_deg = 0.0 }, { gantry_deg = 310.0, couch_deg = 0.0 }]
"""


def test_machine_technique_and_template_may_be_files_of_ones_own(files, tmp_path, capsys):
    """The folder holds them, and is checked by them; without them it cannot be."""
    given = {
        "machine": ("linac.toml", OWN_MACHINE),
        "technique": ("t.toml", OWN_TECHNIQUE),
        "template": ("o.toml", OWN_TEMPLATE),
    }
    for name, text in given.values():
        (tmp_path / name).write_text(text)
    paths = {option: tmp_path / name for option, (name, _) in given.items()}
    shown = json.loads(lacuna(capsys, "machine", "show", paths["machine"], "--json")[1])
    assert shown["delivery"]["minimum_segment_area_mm2"]["value"] == 77.0
    assert shown["delivery"]["leaf_speed_mm_s"]["source"] and shown["sad_mm"]["value"] == 1000.0
    status, _, err = lacuna(capsys, *words(files, tmp_path / "plan", **paths))
    assert status == 0 and "planning crossfire on ward-3" in err
    plan = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert (plan["machine"], plan["technique"], plan["template"]) == ("ward-3", "crossfire", "ours")
    assert len(plan["beams"]) == 4
    kept = {
        path.relative_to(tmp_path / "plan" / "own").as_posix() for path in (tmp_path / "plan" / "own").rglob("*.toml")
    }
    assert kept == {"machines/ward-3.toml", "techniques/crossfire.toml", "objectives/ours.toml"}
    told = plan["provenance"]["inputs"]["objectives"]
    assert told == {"path": paths["template"].as_posix(), "sha256": hashlib.sha256(OWN_TEMPLATE.encode()).hexdigest()}
    for path in paths.values():
        path.unlink()
    assert lacuna(capsys, "plan-check", tmp_path / "plan")[0] == 0
    shutil.rmtree(tmp_path / "plan" / "own" / "techniques")
    status, _, err = lacuna(capsys, "plan-check", tmp_path / "plan", "--no-dose")
    assert status == 4 and "crossfire.toml: no such file" in err


def test_a_check_takes_the_very_file_that_a_plan_was_made_from(planned, tmp_path, files, capsys):
    """Nothing that is put into a folder afterwards makes its plan pass."""
    strict = OWN_TEMPLATE.replace("1.7", "1.061")
    (tmp_path / "strict.toml").write_text(strict)
    assert lacuna(capsys, *words(files, tmp_path / "plan", template=tmp_path / "strict.toml"))[0] == 0
    status, out, _ = lacuna(capsys, "plan-check", tmp_path / "plan", "--no-dose")
    assert status == 1 and "template 'ours' allows 106.1 %" in out
    own = tmp_path / "plan" / "own" / "objectives" / "ours.toml"
    own.write_text(OWN_TEMPLATE)
    status, _, err = lacuna(capsys, "plan-check", tmp_path / "plan", "--no-dose")
    assert status == 4 and "ours.toml: is not the file that the plan was made from" in err
    plan = json.loads((tmp_path / "plan" / "plan.json").read_text()) | {"template": "../../ours"}
    (tmp_path / "plan" / "plan.json").write_text(json.dumps(plan))
    status, _, err = lacuna(capsys, "plan-check", tmp_path / "plan", "--no-dose")
    assert status == 4 and "plan.json: template: '../../ours' is no name" in err
    other = shutil.copytree(planned, tmp_path / "other")
    (other / "own" / "objectives").mkdir(parents=True)
    (other / "own" / "objectives" / "srs-marginal.toml").write_text("nothing of a template")
    assert lacuna(capsys, "plan-check", other, "--no-dose")[0] == lacuna(capsys, "plan-check", planned, "--no-dose")[0]


def test_a_list_of_beams_may_name_a_machine_beside_it(files, tmp_path, capsys):
    beam = "isocentre_mm = [0, 0, 0]\ngantry_deg = 30.0\nfield_mm = [20, 20]\nweight = 100\n"
    doses = []
    for machine in ("truebeam-stx", "linac.toml"):
        (tmp_path / "linac.toml").write_text(OWN_MACHINE)
        (tmp_path / "beams.toml").write_text(f'[[beam]]\nmachine = "{machine}"\n{beam}')
        given = ("dose", tmp_path / "beams.toml", "--density", files / "density.nii.gz", "--engine", "pencil")
        assert lacuna(capsys, *given, "--out", tmp_path / "dose.nii.gz")[0] == 0
        doses.append(read_volume(tmp_path / "dose.nii.gz", Quantity.DOSE).data)
    assert doses[0].max() > 0.5 and np.array_equal(*doses)
    (tmp_path / "linac.toml").unlink()
    status, _, err = lacuna(capsys, *given, "--out", tmp_path / "other.nii.gz")
    assert status == 4 and "linac.toml: no such file" in err


@pytest.mark.parametrize(
    ("option", "text", "told"),
    [
        ("machine", None, "no such file"),
        ("machine", "name = ", "is not valid TOML"),
        ("template", OWN_TEMPLATE.replace("ours", "srs-steep"), "name: 'srs-steep' is one of the library's objectives"),
        ("template", OWN_TEMPLATE.replace("ours", "../ours"), "name: must be at most 64 letters"),
        ("template", OWN_TEMPLATE.replace("ours", 300 * "a"), "name: must be at most 64 letters"),
        ("template", OWN_TEMPLATE.replace("1.7", 5000 * "1"), "is not valid TOML"),
        ("template", OWN_TEMPLATE + "x = " + 3000 * "[", "is not valid TOML"),
        ("machine", OWN_MACHINE.replace("77.0", "-1.0"), "delivery.minimum_segment_area_mm2.value"),
        ("machine", OWN_MACHINE.replace(AREA, "sad_mm").replace("77.0", "0.0"), "sad_mm.value"),
        ("machine", OWN_MACHINE.replace(AREA, "leaf_width_mm").replace("77.0", "[]"), "leaf_width_mm.value"),
        ("machine", 'kind = "point"\n' + OWN_MACHINE, "machines of kind 'linac'"),
        ("technique", OWN_TECHNIQUE.split("value", maxsplit=1)[0] + "value = []", "fields.value"),
        ("template", OWN_TEMPLATE.replace("srs-homogeneous", "srs-homogenous"), "Did you mean 'srs-homogeneous'?"),
        ("template", OWN_TEMPLATE.replace("maximum_dose", "maximum"), "Did you mean 'maximum_dose'?"),
        ("technique", OWN_TECHNIQUE.replace('source = "test"\n', ""), "fields.source"),
        ("technique", OWN_TECHNIQUE.replace("couch_deg = 0.0", "couch_deg = 120.0"), "couch"),
    ],
)
def test_a_file_of_ones_own_that_is_not_usable_is_told_in_one_line(files, tmp_path, capsys, option, text, told):
    path = tmp_path / "own.toml"
    if text is not None:
        path.write_text(text)
    status, out, err = lacuna(capsys, *words(files, tmp_path / "plan", **{option: path}))
    assert status == 4 and out == "" and told in err
    assert len([line for line in err.splitlines() if line.startswith("lacuna:")]) == 1
    assert not (tmp_path / "plan").exists()


def test_a_density_with_holes_is_refused(files, tmp_path, capsys):
    import SimpleITK

    image = SimpleITK.ReadImage(str(files / "density.nii.gz"))
    array = SimpleITK.GetArrayFromImage(image)
    array[0, 0, 0] = np.nan
    bad = SimpleITK.GetImageFromArray(array)
    bad.CopyInformation(image)
    SimpleITK.WriteImage(bad, str(tmp_path / "nan.nii.gz"))
    status, _, err = lacuna(capsys, *words(files, tmp_path / "plan", density=tmp_path / "nan.nii.gz"))
    assert status == 4 and "NaN" in err and not (tmp_path / "plan").exists()


def test_a_folder_that_is_no_plan_is_refused(tmp_path, capsys):
    status, _, err = lacuna(capsys, "plan-check", tmp_path)
    assert status == 4 and "plan.json" in err


def test_a_robust_plan_covers_the_target_in_the_worst_scenario(files, tmp_path, capsys):
    told = {}
    for robust in ("none", "worst"):
        status, out, _ = lacuna(capsys, *words(files, tmp_path / robust, robust=robust), "--json")
        assert status == 0
        told[robust] = json.loads(out)
        assert json.loads((tmp_path / robust / "plan.json").read_text())["facts"]["robust"] == robust
    assert told["none"]["worst_V100_percent"] < 98 < told["worst"]["worst_V100_percent"]
    assert told["none"]["brain_V12_cc"] < told["worst"]["brain_V12_cc"]
    assert lacuna(capsys, *words(files, tmp_path / "other", robust="somewhat"))[0] == 2
