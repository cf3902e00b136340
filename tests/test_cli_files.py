"""The file commands end to end: results on standard output, one line and exit status 4 for a bad input."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.cli.app import _status
from planner.cli.phantoms import _checked
from planner.io import nifti_file
from planner.io.nifti import read_structure, read_volume, write_structure, write_volume

GRID = Grid((44, 46, 48), (1.0, 1.0, 1.0), (-21.5, -22.5, -23.5))
RADIUS = 9.0


def ball(grid: Grid, radius: float, centre=(0.0, 0.0, 0.0)) -> np.ndarray:
    n = 4
    sub = (np.arange(n) + 0.5) / n - 0.5
    total = np.zeros(grid.shape)
    for a in sub:
        for b in sub:
            for c in sub:
                shift = np.array([a, b, c]) * grid.spacing_mm - centre
                x, y, z = (axis + d for axis, d in zip(grid.axes_mm(), shift, strict=True))
                total += x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2 < radius**2
    return total / n**3


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A ball in a dose that falls linearly along x, and a second dose a per cent higher."""
    out = tmp_path_factory.mktemp("files")
    x = GRID.axes_mm()[0]
    dose = np.broadcast_to((20.0 - 0.2 * x)[:, None, None], GRID.shape)
    write_volume(out / "dose.nii.gz", Volume(GRID, dose, Quantity.DOSE))
    write_volume(out / "higher.nii.gz", Volume(GRID, dose * 1.005, Quantity.DOSE))
    write_structure(out / "target.nii.gz", Structure("t", Role.TARGET, GRID, ball(GRID, RADIUS)))
    write_structure(out / "brain.nii.gz", Structure("b", Role.ORGAN, GRID, ball(GRID, 20.0)))
    return out


def lacuna(capsys, *words) -> tuple[int, str, str]:
    status = _status([str(word) for word in words], debug=False)
    out, err = capsys.readouterr()
    return status, out, err


def test_dvh_of_a_linear_dose(folder: Path, capsys):
    status, out, err = lacuna(capsys, "dvh", folder / "dose.nii.gz", folder / "target.nii.gz", "--json")
    found = json.loads(out)["structures"]["target"]
    assert status == 0 and err == ""
    assert found["volume_cc"] == pytest.approx(4 / 3 * np.pi * RADIUS**3 / 1000, rel=2e-3)
    assert found["D50_gy"] == pytest.approx(20.0, rel=1e-3)
    assert found["Dmean_gy"] == pytest.approx(20.0, rel=1e-3)
    # Share of a ball beyond a plane at height t: (2 - 3 t + t^3) / 4 of its radius.
    t = np.roots([1, 0, -3, 2 - 4 * 0.02]).real
    height = RADIUS * t[(t > 0) & (t < 1)][0]
    assert found["D2_gy"] == pytest.approx(20 + 0.2 * height, rel=1e-3)
    assert found["D98_gy"] == pytest.approx(20 - 0.2 * height, rel=1e-3)
    assert found["covered_fraction"] == pytest.approx(1.0)
    assert set(found) >= {"D95_gy", "D0.03cc_gy", "Dmin_gy", "Dmax_gy"}


def test_odd_doses_are_told_beside_the_result(folder: Path, tmp_path: Path, capsys):
    dose = read_volume(folder / "dose.nii.gz", Quantity.DOSE)
    for name, values, told in (("low", dose.data - 20, "below 0 count as 0"), ("cgy", 100 * dose.data, "in cGy?")):
        write_volume(tmp_path / f"{name}.nii.gz", Volume(GRID, values, Quantity.DOSE))
        status, out, err = lacuna(capsys, "dvh", tmp_path / f"{name}.nii.gz", folder / "target.nii.gz", "--json")
        assert status == 0 and told in err and "D50_gy" in json.loads(out)["structures"]["target"]


def test_dvh_for_a_reader_is_a_table(folder: Path, capsys):
    status, out, _ = lacuna(capsys, "dvh", folder / "dose.nii.gz", folder / "target.nii.gz", folder / "brain.nii.gz")
    assert status == 0 and "D98_gy" in out and "target" in out and "brain" in out


def test_metrics_are_flat_with_units(folder: Path, capsys):
    words = ["metrics", folder / "dose.nii.gz", "--target", folder / "target.nii.gz", "--prescription-gy", 18]
    status, out, _ = lacuna(capsys, *words, "--brain", folder / "brain.nii.gz", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["V100_percent"] == pytest.approx(100.0, abs=0.3)
    assert found["brain_V12_cc"] == pytest.approx(4 / 3 * np.pi * 20**3 / 1000, rel=3e-3)
    assert found["brain_minus_target_V12_cc"] == pytest.approx(found["brain_V12_cc"] - found["volume_cc"], rel=3e-3)
    assert {"paddick_ci", "rtog_ci", "gi", "r50", "hi_icru83", "D98_gy"} <= set(found)
    assert found["units"]["brain_V12_cc"] == "cc" and found["provenance"]["prescription_gy"] == 18


def test_a_dose_grid_that_cuts_the_gradient_is_told(tmp_path: Path, capsys):
    """The gradient index of a dose whose half is cut off by its grid is too low, and nothing else would say so."""
    x, y, z = np.meshgrid(*GRID.axes_mm(), indexing="ij")
    dose = 24 * np.exp(-(x**2 + y**2 + z**2) / (2 * 10.0**2))
    write_volume(tmp_path / "whole.nii.gz", Volume(GRID, dose, Quantity.DOSE))
    part = GRID.window((10, 0, 0), GRID.shape)
    write_volume(tmp_path / "cut.nii.gz", Volume(part, dose[10:], Quantity.DOSE))
    write_structure(tmp_path / "target.nii.gz", Structure("t", Role.TARGET, part, ball(part, 7.0)))
    gi = {}
    for name in ("whole", "cut"):
        words = ["metrics", tmp_path / f"{name}.nii.gz", "--target", tmp_path / "target.nii.gz"]
        status, out, err = lacuna(capsys, *words, "--prescription-gy", 18, "--json")
        gi[name] = json.loads(out)["gi"]
        assert status == 0 and ("half the prescription reaches its outermost voxels" in err) == (name == "cut")
    assert gi["cut"] < 0.99 * gi["whole"]


def test_gamma_of_equal_and_of_shifted_doses(folder: Path, capsys):
    status, out, _ = lacuna(capsys, "gamma", folder / "dose.nii.gz", folder / "dose.nii.gz", "--json")
    assert status == 0 and json.loads(out)["pass_rate_percent"] == 100 and json.loads(out)["max_gamma"] == 0
    _, out, _ = lacuna(capsys, "gamma", folder / "dose.nii.gz", folder / "higher.nii.gz", "--json")
    found = json.loads(out)
    assert found["points"] == np.prod(GRID.shape) and 0.1 < found["mean_gamma"] < 0.6


def test_margin_on_the_masks_own_grid(folder: Path, tmp_path: Path, capsys):
    out_file = tmp_path / "ptv.nii.gz"
    status, _, _ = lacuna(capsys, "margin", folder / "target.nii.gz", "--mm", 3, "--out", out_file)
    image, mask = SimpleITK.ReadImage(str(out_file)), SimpleITK.ReadImage(str(folder / "target.nii.gz"))
    assert status == 0
    assert image.GetSize() == mask.GetSize() and image.GetOrigin() == mask.GetOrigin()
    assert image.GetPixelID() == SimpleITK.sitkFloat32
    assert read_structure(out_file).volume_cc == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=3e-3)


@pytest.fixture(scope="module")
def oblique(folder: Path, tmp_path_factory) -> Path:
    """The same ball on voxels that are turned by 20 and 8 degrees, and a Gaussian dose on others, turned elsewhere."""
    out = tmp_path_factory.mktemp("oblique")
    write_structure(out / "target.nii.gz", Structure("t", Role.TARGET, GRID, ball(GRID, RADIUS)), turn=motion(20, 8))
    x, y, z = GRID.axes_mm()
    squared = x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2
    nifti_file.write(out / "dose.nii.gz", GRID, 20 * np.exp(-squared / (2 * 12.0**2)), turn=motion(-12, 5))
    return out


def motion(about_z_deg: float, about_x_deg: float) -> np.ndarray:
    a, b = np.radians([about_z_deg, about_x_deg])
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turn = np.eye(4)
    turn[:3, :3] = first @ second
    return turn


def test_margin_of_an_oblique_mask_is_on_its_own_voxels(oblique: Path, tmp_path: Path, capsys):
    out_file = tmp_path / "ptv.nii.gz"
    status, out, _ = lacuna(capsys, "margin", oblique / "target.nii.gz", "--mm", 3, "--out", out_file, "--json")
    image, mask = SimpleITK.ReadImage(str(out_file)), SimpleITK.ReadImage(str(oblique / "target.nii.gz"))
    assert status == 0 and image.GetSize() == mask.GetSize()
    assert np.allclose(image.GetDirection(), mask.GetDirection(), atol=1e-5)
    assert np.allclose(image.GetOrigin(), mask.GetOrigin(), atol=1e-3)
    assert np.allclose(json.loads(out)["origin_mm"], mask.GetOrigin(), atol=1e-3)
    assert json.loads(out)["volume_cc"] == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=3e-3)


def test_dvh_of_an_oblique_mask_in_an_oblique_dose(oblique: Path, capsys):
    status, out, _ = lacuna(capsys, "dvh", oblique / "dose.nii.gz", oblique / "target.nii.gz", "--json")
    found = json.loads(out)["structures"]["target"]
    assert status == 0
    for percent in (98, 95, 50, 2):
        radius = RADIUS * (percent / 100) ** (1 / 3)
        assert found[f"D{percent}_gy"] == pytest.approx(20 * np.exp(-(radius**2) / (2 * 12.0**2)), rel=1e-3), percent


def test_a_mask_on_skewed_axes_is_refused(folder: Path, tmp_path: Path, capsys):
    skew = np.eye(4)
    skew[0, 1] = 0.1
    write_structure(tmp_path / "m.nii.gz", Structure("t", Role.TARGET, GRID, ball(GRID, RADIUS)), turn=skew)
    status, _, err = lacuna(capsys, "dvh", folder / "dose.nii.gz", tmp_path / "m.nii.gz")
    assert status == 4 and "m.nii.gz" in err


def test_margin_that_leaves_the_grid_keeps_the_lattice(folder: Path, tmp_path: Path, capsys):
    out_file = tmp_path / "ptv.nii.gz"
    status, out, _ = lacuna(capsys, "margin", folder / "target.nii.gz", "--mm", 15, "--out", out_file, "--json")
    grid = read_structure(out_file).grid
    assert status == 0 and "more voxels" in json.loads(out)["grid"]
    assert GRID.offset_in(grid) is not None and grid.spacing_mm == GRID.spacing_mm
    assert read_structure(out_file).volume_cc == pytest.approx(4 / 3 * np.pi * 24**3 / 1000, rel=3e-3)


def test_margin_of_a_flipped_mask_comes_out_in_its_place(folder: Path, tmp_path: Path, capsys):
    centre = (5.0, -4.0, 3.0)
    array = ball(GRID, 6.0, centre).astype(np.float32)
    flipped = SimpleITK.GetImageFromArray(np.ascontiguousarray(array[::-1, :, ::-1].transpose(2, 1, 0)))
    high = GRID.point_of(np.array(GRID.shape) - 1)
    flipped.SetDirection([-1, 0, 0, 0, 1, 0, 0, 0, -1])
    flipped.SetOrigin([float(high[0]), GRID.origin_mm[1], float(high[2])])
    SimpleITK.WriteImage(flipped, str(tmp_path / "m.nii.gz"))
    status, _, _ = lacuna(capsys, "margin", tmp_path / "m.nii.gz", "--mm", 2, "--out", tmp_path / "o.nii.gz")
    assert status == 0
    assert np.allclose(read_structure(tmp_path / "o.nii.gz").centroid_mm, centre, atol=0.01)


def bad_files(folder: Path) -> None:
    far = Grid(GRID.shape, GRID.spacing_mm, (500.0, 0.0, 0.0))
    write_structure(folder / "far.nii.gz", Structure("far", Role.TARGET, far, ball(GRID, 5.0)))
    write_structure(folder / "empty.nii.gz", Structure("empty", Role.TARGET, GRID, np.zeros(GRID.shape)))
    write_volume(folder / "far_dose.nii.gz", Volume(far, np.ones(GRID.shape), Quantity.DOSE))
    for name, source in (("nan.nii.gz", "dose.nii.gz"), ("two.nii.gz", "target.nii.gz")):
        image = SimpleITK.ReadImage(str(folder / source))
        image[3, 3, 3] = float("nan") if name == "nan.nii.gz" else 2.0
        SimpleITK.WriteImage(image, str(folder / name))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("dvh dose.nii.gz far.nii.gz", "far.nii.gz: the mask does not overlap the dose"),
        ("dvh dose.nii.gz empty.nii.gz --json", "empty.nii.gz: voxels: the mask is empty"),
        ("dvh nan.nii.gz target.nii.gz --json", "nan.nii.gz: voxels: 1 of"),
        ("dvh dose.nii.gz two.nii.gz", "two.nii.gz: voxels: values run from 0 to 2"),
        ("dvh dose.nii.gz missing.nii.gz", "missing.nii.gz: no such file"),
        ("dvh missing.nii.gz target.nii.gz", "missing.nii.gz: no such file"),
        ("dvh dose.nii.gz target.nii.gz target.nii.gz", "a second mask of the name 'target'"),
        ("metrics dose.nii.gz --target far.nii.gz --prescription-gy 18", "does not overlap"),
        ("metrics dose.nii.gz --target target.nii.gz --prescription-gy nan", "--prescription-gy: must be positive"),
        ("metrics dose.nii.gz --target target.nii.gz --prescription-gy -1", "--prescription-gy: must be positive"),
        ("metrics dose.nii.gz --target target.nii.gz --prescription-gy 18 --brain far.nii.gz", "does not overlap"),
        ("gamma dose.nii.gz far_dose.nii.gz", "does not overlap"),
        ("gamma dose.nii.gz dose.nii.gz --dose-percent 0", "--dose-percent: must be positive"),
        ("gamma dose.nii.gz dose.nii.gz --distance-mm nan", "--distance-mm: must be positive and at most 50, got nan"),
        ("gamma dose.nii.gz dose.nii.gz --max-gamma 1e9", "--max-gamma: must be positive and at most 10"),
        ("import . --day nan --out case", "--day: must be finite and between"),
        ("margin empty.nii.gz --mm 2 --out out.nii.gz", "the mask is empty"),
        ("margin target.nii.gz --mm nan --out out.nii.gz", "--mm: must be finite"),
        ("margin target.nii.gz --mm 5000 --out out.nii.gz", "--mm: must be finite and at most"),
        ("margin target.nii.gz --mm -30 --out out.nii.gz", "nothing is left"),
        ("margin target.nii.gz --mm 2 --out no/out.nii.gz", "there is no folder"),
        ("margin target.nii.gz --mm 2 --out out.png", "must end in .nii.gz"),
        ("import missing --out case", "missing: no such folder"),
        ("import . --out dose.nii.gz", "exists already"),
        ("machine show no-such-machine", "unknown machine 'no-such-machine'"),
        ("phantom missing.toml --out p", "missing.toml: no such file"),
    ],
)
def test_bad_input_is_one_line_and_status_4_and_writes_nothing(folder: Path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(folder)
    if not (folder / "far.nii.gz").exists():
        bad_files(folder)
    before = sorted(path.name for path in folder.rglob("*"))
    status, out, err = lacuna(capsys, *words.split())
    assert status == 4 and out == ""
    assert told in err and err.startswith("lacuna: ") and err.count("\n") == 1
    assert sorted(path.name for path in folder.rglob("*")) == before


@pytest.mark.parametrize("words", [["dvh"], ["no-such-command"], ["margin", "x", "--mm", "three", "--out", "y"]])
def test_usage_errors_are_status_2(words, capsys):
    status, out, err = lacuna(capsys, *words)
    assert status == 2 and out == "" and "Usage" in err


def test_unexpected_errors_are_one_line_and_status_1(folder: Path, monkeypatch, capsys):
    from planner.cli import measures

    def broken(*_):
        raise RuntimeError("boom\nboom")

    monkeypatch.setattr(measures, "dvh_of", broken)
    status, _, err = lacuna(capsys, "dvh", folder / "dose.nii.gz", folder / "target.nii.gz")
    assert status == 1 and err.count("\n") == 1 and "RuntimeError: boom boom" in err and "--debug" in err
    assert _status(["dvh", "a", "b"], debug=True) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "lacuna: reading or writing failed: No space left on device\n"),
        (PermissionError(13, "Permission denied", "some.nii"), "lacuna: some.nii: Permission denied\n"),
    ],
)
def test_what_the_system_refuses_is_told_with_its_file(folder: Path, monkeypatch, capsys, error, told):
    from planner.cli import measures

    def refused(*_):
        raise error

    monkeypatch.setattr(measures, "dvh_of", refused)
    status, out, err = lacuna(capsys, "dvh", folder / "dose.nii.gz", folder / "target.nii.gz")
    assert (status, out, err) == (1, "", told)


def test_interruption_is_status_130(folder: Path, monkeypatch, capsys):
    from planner.cli import measures

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(measures, "dvh_of", interrupted)
    assert lacuna(capsys, "dvh", folder / "dose.nii.gz", folder / "target.nii.gz")[0] == 130


@pytest.mark.parametrize("command", ["margin", "metrics"])
def test_a_mask_that_is_but_a_trace_is_refused_in_one_line(folder: Path, tmp_path: Path, capsys, command):
    faint = np.zeros(GRID.shape)
    faint[20, 20, 20] = 0.003
    write_structure(tmp_path / "faint.nii.gz", Structure("t", Role.TARGET, GRID, faint))
    words = {
        "margin": ["margin", tmp_path / "faint.nii.gz", "--mm", 2, "--out", tmp_path / "out.nii.gz"],
        "metrics": ["metrics", folder / "dose.nii.gz", "--target", tmp_path / "faint.nii.gz", "--prescription-gy", 18],
    }
    status, _, err = lacuna(capsys, *words[command])
    assert status == 4 and "no voxel is occupied by more than a trace" in err and len(err.splitlines()) == 1


def test_the_example_of_a_cohort_is_sound():
    spec, table = _checked(Path(__file__).parent.parent / "examples" / "phantom" / "one.toml")
    assert spec.patients == 1 and table.days == (-1, 1, 21)


def test_phantom_writes_every_epoch_and_refuses_wrong_keys(tmp_path: Path, capsys):
    spec = tmp_path / "spec.toml"
    spec.write_text("[cohort]\npatients = 1\nseed = 4\nspacing_mm = 5.0\ndays = [-1, 20]\n")
    status, out, _ = lacuna(capsys, "phantom", spec, "--out", tmp_path / "p")
    assert status == 0 and "1 patients" in out
    record = json.loads((tmp_path / "p/phantom.json").read_text())
    for epoch, body in zip(record["patients"][0]["epochs"], ("tumour", "cavity"), strict=True):
        place = tmp_path / "p" / epoch["folder"]
        assert {"density.nii.gz", "t1gd.nii.gz", "t2.nii.gz", "flair.nii.gz"} <= {f.name for f in place.iterdir()}
        written = read_structure(place / f"structures/{body}.nii.gz").volume_cc
        assert written == pytest.approx(epoch["volume_cc"][body], rel=1e-3)
        assert f"| {epoch['volume_cc'][body]:.1f} |" in (tmp_path / "p/cohort.md").read_text()
    course, page = record["patients"][0]["course"], (tmp_path / "p/cohort.html").read_text()
    assert course["cavity_cc"][course["day"].index(20)] == pytest.approx(
        record["patients"][0]["epochs"][1]["volume_cc"]["cavity"], rel=0.02
    )
    assert page.count("data:image/png;base64,") == 2 and "Prabhu 2021" in page and "Patel 2018" in page
    assert "<script" not in page and "://" not in page
    for text, told in (
        ("[cohort]\npatientz = 1\ndays = [1]\n", "cohort.patientz: unknown key 'patientz'. Did you mean 'patients'"),
        ("[cohort]\npatients = 1\n", "cohort.days: field required"),
        ("[cohort]\nspacing_mm = -1\ndays = [1]\n", "spacing_mm"),
        ("[cohort]\ndays = [nan]\n", "cohort.days.0"),
        ("[cohort]\ndays = [9999]\n", "cohort.days.0"),
        ("nonsense", "not valid TOML"),
    ):
        spec.write_text(text)
        status, _, err = lacuna(capsys, "phantom", spec, "--out", tmp_path / "q")
        assert status == 4 and told in err and not (tmp_path / "q").exists()


def test_phantom_goes_on_from_the_patients_that_are_finished(tmp_path: Path, capsys):
    spec, part = tmp_path / "spec.toml", tmp_path / "p.part"
    spec.write_text("[cohort]\npatients = 2\nspacing_mm = 5.0\ndays = [1, 1.01]\nimages = ['t2']\n")
    assert lacuna(capsys, "phantom", spec, "--out", tmp_path / "p", "--workers", "1")[0] == 0
    whole = {f.relative_to(tmp_path / "p"): f.read_bytes() for f in (tmp_path / "p").rglob("*") if f.is_file()}
    (tmp_path / "p").rename(part)
    record = json.loads((part / "phantom.json").read_text())
    del record["patients"]
    for name in ("phantom.json", "cohort.md", "cohort.html"):
        (part / name).unlink()
    shutil.rmtree(part / "synthetic-1-0001")
    (part / ".lacuna-begun").mkdir()
    (part / "unfinished.json").write_text(json.dumps({**record, "deformation": True}, indent=1) + "\n")
    status, _, err = lacuna(capsys, "phantom", spec, "--out", tmp_path / "p")
    assert status == 4 and "p.part: is what another cohort left unfinished" in err
    (part / "unfinished.json").write_text(json.dumps(record, indent=1) + "\n")
    status, _, err = lacuna(capsys, "phantom", spec, "--out", tmp_path / "p", "--workers", "2")
    assert status == 0 and "1 of 2 patients done already" in err and not part.exists()
    assert {f.relative_to(tmp_path / "p"): f.read_bytes() for f in (tmp_path / "p").rglob("*") if f.is_file()} == whole


def test_phantom_stores_what_the_epoch_holds(tmp_path: Path, capsys):
    spec = tmp_path / "spec.toml"
    spec.write_text("[cohort]\npatients = 1\nspacing_mm = 4.0\ndays = [1, 30]\n")
    assert lacuna(capsys, "phantom", spec, "--out", tmp_path / "p")[0] == 0
    anatomy = SyntheticAnatomy(CohortSpec(patients=1, spacing_mm=4.0), 0)
    for day in (1.0, 30.0):
        epoch, folder = anatomy.epoch(day), tmp_path / f"p/{anatomy.id}/day{day:+08.2f}"
        for name, volume in epoch.volumes.items():
            step = 0.001 if name == "density" else 1.0
            read = read_volume(folder / f"{name}.nii.gz", volume.quantity)
            assert read.grid == epoch.grid and np.abs(read.data - volume.data).max() <= 0.501 * step
        for name, structure in epoch.structures.items():
            read = read_structure(folder / f"structures/{name}.nii.gz")
            assert read.grid == epoch.grid and np.abs(read.occupancy - structure.on(epoch.grid)).max() <= 0.501 / 255


def test_phantom_writes_the_deformation_as_other_tools_read_it(tmp_path: Path, capsys):
    spec = tmp_path / "spec.toml"
    spec.write_text("[cohort]\npatients = 1\nseed = 4\nspacing_mm = 4.0\ndays = [1, 20]\n")
    assert lacuna(capsys, "phantom", spec, "--out", tmp_path / "p", "--deformation")[0] == 0
    (written,) = json.loads((tmp_path / "p/phantom.json").read_text())["patients"][0]["deformations"]
    field = SimpleITK.ReadImage(str(tmp_path / "p" / written["file"]))  # turns NIfTI's RAS vectors to LPS
    anatomy = SyntheticAnatomy(CohortSpec(patients=1, seed=4, spacing_mm=4.0), 0)
    centre = np.asarray(anatomy.flow.centre_mm)
    place = centre - 4.0 * np.round(22.0 * np.asarray(anatomy.course.entry) / 4.0)  # in the brain, away from the skull
    index = field.TransformPhysicalPointToIndex(place.tolist())
    point = np.array([field.TransformIndexToPhysicalPoint(index)])
    moved, _ = anatomy.flow.moved(point, written["from_day"], written["to_day"])
    assert np.array(field.GetPixel(*index)) == pytest.approx((moved - point)[0], abs=1e-4)
    assert np.abs(moved - point).max() > 0.05


def test_phantom_writes_where_a_scanner_errs(tmp_path: Path, capsys):
    spec = tmp_path / "spec.toml"
    text = "[cohort]\npatients = 1\nspacing_mm = 5.0\ndays = [2]\nimages = ['t1gd']\n"
    spec.write_text(text + "gradient_mm = 1.0\nsusceptibility = 1.0\n")
    assert lacuna(capsys, "phantom", spec, "--out", tmp_path / "p")[0] == 0
    (epoch,) = json.loads((tmp_path / "p/phantom.json").read_text())["patients"][0]["epochs"]
    place = tmp_path / "p" / epoch["folder"]
    assert {f.name for f in place.glob("*.nii.gz")} == {"density.nii.gz", "t1gd.nii.gz", "place_error.nii.gz"}
    error = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(place / "place_error.nii.gz")))
    assert error.shape[-1] == 3 and 0.1 < np.abs(error).max() < 10.0
    spec.write_text(text.replace("['t1gd']", "['dwi']"))
    status, _, err = lacuna(capsys, "phantom", spec, "--out", tmp_path / "q")
    assert status == 4 and "images" in err and not (tmp_path / "q").exists()


def test_help_imports_nothing_heavy_and_version_is_told():
    code = (
        "import sys, planner.cli.app as a; status = a._status(['--help'], False);"
        "heavy = {'numpy', 'numba', 'pandas', 'scipy', 'matplotlib', 'SimpleITK', 'pydicom', 'pydantic'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stderr.strip() == "[]"
    for word in ("import", "phantom", "margin", "dvh", "metrics", "gamma", "machine", "study", "cavity"):
        assert f"  {word} " in done.stdout


def test_machines_are_listed_and_shown_with_sources(capsys):
    status, out, _ = lacuna(capsys, "machine", "list", "--json")
    names = [m["name"] for m in json.loads(out)]
    assert status == 0 and "truebeam-stx" in names
    status, out, _ = lacuna(capsys, "machine", "show", "truebeam-stx", "--json")
    assert status == 0 and json.loads(out)["sad_mm"]["value"] == 1000.0
    status, out, _ = lacuna(capsys, "machine", "show", "truebeam-stx")
    assert status == 0 and "published" in out and "sad_mm" in out
