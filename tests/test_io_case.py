"""Import of DICOM and NIfTI folders to a case, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from images_real import BRAIN_RADII, HEAD_CENTRE, head_image, write_series
from scipy.spatial.transform import Rotation

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.io.case import case_files, read_case, write_case
from planner.io.importing import import_folder
from planner.io.nifti import write_structure, write_volume
from planner.treatment.errors import InputError

STEP = 3.0


@pytest.fixture(scope="module")
def head() -> Volume:
    image, affine = head_image(STEP)
    return Volume(Grid(image.shape, (STEP,) * 3, tuple(affine[:3, 3])), np.rint(image), Quantity.MR_SIGNAL)


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    image, affine = head_image(STEP)
    write_series(folder, np.rint(image).astype(np.uint16), affine)
    return folder


@pytest.fixture(scope="module")
def case(series, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "case"
    write_case(import_folder(series, spacing_mm=3.0, day=-2.0), out)
    return out


def test_a_case_holds_the_image_in_place(case: Path, head: Volume):
    image = SimpleITK.ReadImage(str(case / "mr.nii.gz"))
    assert np.allclose(image.GetOrigin(), head.grid.origin_mm, atol=1e-4)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), head.data)
    density = SimpleITK.ReadImage(str(case / "density.nii.gz"))
    centre = density.TransformPhysicalPointToIndex((HEAD_CENTRE - [0, 0, 20]).tolist())
    assert density[centre] == pytest.approx(1.04, abs=1e-3)
    assert density.GetSpacing() == pytest.approx((3.0, 3.0, 3.0))


def test_an_oblique_scan_finds_the_head_of_a_straight_one(series: Path, tmp_path: Path):
    image, affine = head_image(STEP)
    # The scanner's axes are turned about the head; voxels keep their values, so the head is turned with them.
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xz", [14.0, 9.0], degrees=True).as_matrix()
    write_series(tmp_path, np.rint(image).astype(np.uint16), turn @ affine)
    straight = import_folder(series, spacing_mm=3.0).patient.epochs[0]
    oblique = import_folder(tmp_path, spacing_mm=3.0)
    assert oblique.record["image"]["resampled"]
    for name in ("external", "brain", "intracranial", "skull"):
        there, here = straight.structures[name], oblique.patient.epochs[0].structures[name]
        assert here.volume_cc == pytest.approx(there.volume_cc, rel=0.01)
        assert np.allclose(here.centroid_mm, turn[:3, :3] @ there.centroid_mm, atol=0.5)


def test_reading_a_case_gives_the_patient_that_was_imported(case: Path, series: Path):
    patient, again = read_case(case), import_folder(series, spacing_mm=3.0, day=-2.0).patient
    epoch, other = patient.epochs[0], again.epochs[0]
    assert patient.id == again.id and re.fullmatch(r"real-[0-9a-f]{8}", patient.id)
    assert epoch.day == -2.0 and set(epoch.structures) == set(other.structures)
    assert epoch.grid.offset_in(other.grid) == (0, 0, 0)
    for name, structure in epoch.structures.items():
        assert np.allclose(structure.on(epoch.grid), other.structures[name].on(epoch.grid), atol=1e-6)
        assert structure.role == other.structures[name].role
    assert np.allclose(epoch.volumes["t1gd"].data, other.volumes["t1gd"].data, atol=0.1)
    assert np.array_equal(epoch.volumes["density"].data, other.volumes["density"].data)
    assert epoch.structures["brain"].volume_cc == pytest.approx(4.18879e-3 * np.prod(BRAIN_RADII), rel=0.1)


def test_no_identity_and_no_names_in_a_case(case: Path, series: Path):
    text = (case / "case.json").read_text()
    for word in ("Secret", "4711", "evil", "1.2.3.4", series.name, "im000"):
        assert word not in text
    record = json.loads(text)
    assert record["source"]["slices"] == 63 and len(record["source"]["sha256"]) == 64
    assert len(case_files(case)) == 3 + len(record["structures"])


def test_corrected_and_added_structures_are_read(case: Path, tmp_path: Path):
    import shutil

    shutil.copytree(case, tmp_path / "copy")
    patient = read_case(case)
    grid = patient.epochs[0].grid
    brain = patient.epochs[0].structures["brain"]
    half = brain.on(grid) * 0.5
    write_structure(tmp_path / "copy/structures/brain.nii.gz", Structure("brain", Role.ORGAN, grid, half))
    write_structure(tmp_path / "copy/structures/chiasm.nii.gz", Structure("chiasm", Role.ORGAN, grid, half))
    found = read_case(tmp_path / "copy").epochs[0].structures
    assert found["brain"].volume_cc == pytest.approx(brain.volume_cc / 2, rel=1e-4)
    assert found["chiasm"].role == Role.ORGAN


def test_nifti_folder_with_masks(head: Volume, tmp_path: Path):
    write_volume(tmp_path / "T1.nii.gz", head)
    fine = Grid.covering((-6, -16, 0), (14, 4, 20), 1.1)
    ball = Structure("x", Role.TARGET, fine, np.full(fine.shape, 0.5))
    write_structure(tmp_path / "GTV.nii.gz", ball)
    imported = import_folder(tmp_path, spacing_mm=3.0)
    gtv = imported.patient.epochs[0].structures["gtv"]
    assert gtv.role == Role.TARGET
    assert gtv.volume_cc == pytest.approx(ball.volume_cc, rel=0.03)
    assert np.allclose(gtv.centroid_mm, ball.centroid_mm, atol=0.1)
    assert imported.record["structures"]["gtv"]["origin"] == "given"
    assert imported.record["structures"]["brain"]["origin"] == "found in the image"
    assert np.allclose(read_case(tmp_path).epochs[0].structures["gtv"].centroid_mm, ball.centroid_mm, atol=0.1)


def test_unusable_folders(head: Volume, tmp_path: Path):
    def refused(told: str, **options) -> None:
        with pytest.raises(InputError, match=told) as caught:
            import_folder(tmp_path / "in", **options)
        assert caught.value.exit_status == 4

    refused("no such folder")
    (tmp_path / "in").mkdir()
    refused("neither DICOM nor NIfTI")
    far = Grid((3, 3, 3), (2, 2, 2), (900, 0, 0))
    write_structure(tmp_path / "in/gtv.nii.gz", Structure("gtv", Role.TARGET, far, np.ones(far.shape)))
    refused("holds no image: name one file mr.nii.gz")
    write_volume(tmp_path / "in/mr.nii.gz", head)
    refused("gtv.nii.gz: voxels: the mask does not overlap the image")
    refused("spacing-mm", spacing_mm=float("nan"))
    (tmp_path / "in/gtv.nii.gz").unlink()
    write_volume(tmp_path / "in/t1.nii.gz", head)
    refused(r"holds 2 images \(mr, t1\)")
    (tmp_path / "in/t1.nii.gz").unlink()
    write_volume(tmp_path / "in/mr.nii.gz", Volume(head.grid, np.ones(head.grid.shape), Quantity.MR_SIGNAL))
    refused("found")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("format", "other", "format"),
        ("structures", {"../evil": {"role": "organ"}}, "structures"),
        ("structures", {"brain": {"role": "king"}}, "structures"),
        ("day", "x", "day"),
        ("id", "../../x", "id"),
        ("source", None, "source"),
    ],
)
def test_a_tampered_record_is_refused(case: Path, tmp_path: Path, key, value, told):
    import shutil

    shutil.copytree(case, tmp_path / "copy")
    record = json.loads((case / "case.json").read_text())
    record[key] = value
    (tmp_path / "copy/case.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=rf"case\.json: {told}"):
        read_case(tmp_path / "copy")


def test_missing_parts_of_a_case(case: Path, tmp_path: Path):
    import shutil

    for part in ("density.nii.gz", "mr.nii.gz", "structures/brain.nii.gz"):
        shutil.copytree(case, tmp_path / "copy")
        (tmp_path / "copy" / part).unlink()
        with pytest.raises(InputError, match="no such file"):
            read_case(tmp_path / "copy")
        shutil.rmtree(tmp_path / "copy")


def test_an_existing_case_is_not_overwritten(case: Path, series: Path):
    before = (case / "case.json").stat().st_mtime_ns
    with pytest.raises(InputError, match="exists already"):
        write_case(import_folder(series, spacing_mm=3.0), case)
    assert (case / "case.json").stat().st_mtime_ns == before
    assert sorted(p.name for p in case.parent.iterdir()) == ["case"]
