"""Several days of one patient: a synthetic head written as DICOM on two days, its contours as structure sets."""

import json
from pathlib import Path

import numpy as np
import pytest
from images_real import structure_set, write_series
from matplotlib.figure import Figure
from pydicom.uid import generate_uid

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.patient import Epoch
from phantoms.structure import Structure
from phantoms.volume import Volume
from planner.io.case import case_files, read_case, write_case
from planner.io.importing import Imported, Reading, day_folders, import_folder
from planner.io.nifti import write_structure, write_volume
from planner.io.registration import registered
from planner.treatment.errors import InputError

SPACING = 2.0
DAYS = (1.0, 22.0)


def turned() -> np.ndarray:
    """Return how the patient lies on the second day: 6 degrees about an oblique axis, and some millimetres off."""
    axis = np.array([0.5, -0.4, 0.77])
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(6.0)
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix[:3, 3] = (5.0, -3.5, 8.0)
    return matrix


def contours(structure: Structure, matrix: np.ndarray) -> tuple[list[np.ndarray], float]:
    """Return the half-occupied contours on every slice, LPS mm, and the volume that they enclose, cm3."""
    part = structure.cropped(1)
    x, y, z = part.grid.axes_mm()
    found, area = [], 0.0
    for k, place in enumerate(z):
        lines = Figure().subplots().contour(x, y, part.occupancy[:, :, k].T, levels=[0.5]).allsegs[0]
        for line in (line for line in lines if len(line) > 3):
            points = np.column_stack([line[:-1], np.full(len(line) - 1, place)])
            area += 0.5 * abs(points[:, 0] @ np.roll(points[:, 1], -1) - points[:, 1] @ np.roll(points[:, 0], -1))
            found.append(points @ matrix[:3, :3].T + matrix[:3, 3])
    return found, area * part.grid.spacing_mm[2] / 1000.0


@pytest.fixture(scope="module")
def epochs() -> list[Epoch]:
    anatomy = SyntheticAnatomy(CohortSpec(patients=1, seed=11, spacing_mm=SPACING), 0)
    return [anatomy.epoch(day, images=["t1gd"]) for day in DAYS]


def write_day(folder: Path, epoch: Epoch, matrix: np.ndarray, date: str) -> float:
    """Write an epoch as it lies in the scanner; return the volume within its contours of the cavity."""
    volume = epoch.volumes["t1gd"]
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = volume.grid.origin_mm
    frame, uid = generate_uid(), generate_uid()

    def dated(k: int, data) -> None:  # type: ignore[no-untyped-def]
        data.FrameOfReferenceUID, data.SeriesInstanceUID, data.StudyDate = frame, uid, date

    scaled = np.rint(volume.data * (4000 / volume.data.max())).astype(np.uint16)
    write_series(folder, scaled, matrix @ affine, dated)
    drawn, within = contours(epoch.structures["cavity"], matrix)
    data = structure_set({"Surgical Cavity": drawn, "unknown": drawn[:1]}, frame, uid)
    data.save_as(folder / "rs.dcm", enforce_file_format=True)
    return within


@pytest.fixture(scope="module")
def scanned(epochs: list[Epoch], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    folder = tmp_path_factory.mktemp("patient")
    days = zip(epochs, (np.eye(4), turned()), ("20251230", "20260120"), strict=True)
    return folder, [write_day(folder / f"day_{e.day:g}", e, matrix, date) for e, matrix, date in days]


@pytest.fixture(scope="module")
def imported(scanned: tuple[Path, list[float]]) -> Imported:
    return import_folder(scanned[0], spacing_mm=SPACING)


def test_each_day_is_an_epoch_on_one_grid(imported: Imported) -> None:
    first, second = imported.patient.epochs
    assert (first.day, second.day) == DAYS
    assert first.grid == second.grid
    assert {"cavity", "brain", "external", "skull"} <= set(first.structures) & set(second.structures)
    assert imported.record["later"][0]["structures"]["brain"]["origin"] == "of the first day"


def test_volumes_are_those_within_the_contours(imported: Imported, scanned: tuple[Path, list[float]]) -> None:
    for epoch, within in zip(imported.patient.epochs, scanned[1], strict=True):
        assert epoch.structures["cavity"].volume_cc == pytest.approx(within, rel=0.005)


def test_the_second_day_is_brought_to_the_first(imported: Imported, epochs: list[Epoch]) -> None:
    matrix = np.array(imported.record["later"][0]["registration"]["matrix"])
    assert imported.record["later"][0]["registration"]["angle_deg"] == pytest.approx(6.0, abs=0.3)
    brain = epochs[0].structures["brain"]
    points = np.array(np.meshgrid(*zip(brain.cropped().grid.low_mm, brain.cropped().grid.high_mm, strict=True)))
    points = np.vstack([points.reshape(3, -1), np.ones(8)])
    off = np.linalg.norm(((matrix - turned()) @ points)[:3], axis=0)
    assert off.max() < 0.5  # at the corners of the box around the brain
    moved = imported.patient.epochs[1].structures["cavity"].centroid_mm
    assert np.allclose(moved, epochs[1].structures["cavity"].centroid_mm, atol=0.3)
    # The images agree where nothing changed: outside of the neighbourhood of the lesion.
    one, other = (e.volumes["t1gd"].data for e in imported.patient.epochs)
    still = brain.on(imported.patient.epochs[0].grid) > 0.99
    assert np.corrcoef(one[still], other[still])[0, 1] > 0.8


def test_a_case_of_several_days_is_read_back(imported: Imported, tmp_path: Path) -> None:
    write_case(imported, tmp_path / "case")
    patient = read_case(tmp_path / "case")
    assert [e.day for e in patient.epochs] == list(DAYS)
    for one, other in zip(patient.epochs, imported.patient.epochs, strict=True):
        assert set(one.structures) == set(other.structures)
        for name, structure in one.structures.items():
            assert np.allclose(structure.on(one.grid), other.structures[name].on(one.grid), atol=1e-6)
        assert np.allclose(one.volumes["t1gd"].data, other.volumes["t1gd"].data, atol=1.0)
    listed = case_files(tmp_path / "case")
    assert sum(path.name == "mr.nii.gz" for path in listed) == 2
    text = (tmp_path / "case" / "case.json").read_text()
    assert not any(word in text for word in ("Secret", "2025", "2026", "evil", "1.2.826"))
    broken = json.loads(text)
    broken["later"][0]["day"] = "soon"
    (tmp_path / "case" / "case.json").write_text(json.dumps(broken))
    with pytest.raises(InputError, match=r"later\.0\.day"):
        read_case(tmp_path / "case")


def test_dates_of_a_flat_folder_give_the_days(scanned: tuple[Path, list[float]], tmp_path: Path) -> None:
    for folder in scanned[0].iterdir():
        for path in folder.iterdir():
            (tmp_path / f"{folder.name}-{path.name}").write_bytes(path.read_bytes())
    imported = import_folder(tmp_path, spacing_mm=4.0, day=1.0)
    assert [e.day for e in imported.patient.epochs] == [1.0, 22.0]
    assert all("cavity" in e.structures for e in imported.patient.epochs)


def test_masks_in_one_frame_need_no_registration(epochs: list[Epoch], tmp_path: Path) -> None:
    for epoch in epochs:
        (tmp_path / f"day_{epoch.day:g}").mkdir()
        write_volume(tmp_path / f"day_{epoch.day:g}" / "mr.nii.gz", epoch.volumes["t1gd"])
        cavity = epoch.structures["cavity"]
        write_structure(tmp_path / f"day_{epoch.day:g}" / "cavity.nii.gz", cavity, epoch.grid)
    imported = import_folder(tmp_path, spacing_mm=SPACING, reading=Reading(same_frame=True))
    assert imported.record["later"][0]["registration"] == {"method": "none: one frame of reference"}
    for epoch, found in zip(epochs, imported.patient.epochs, strict=True):
        cavity = found.structures["cavity"]
        assert cavity.volume_cc == pytest.approx(epoch.structures["cavity"].volume_cc, rel=0.005)
        assert np.allclose(cavity.centroid_mm, epoch.structures["cavity"].centroid_mm, atol=0.05)


def test_air_belongs_to_the_day_on_which_it_was_contoured(epochs: list[Epoch], tmp_path: Path) -> None:
    first, second = epochs
    for epoch, names in ((first, ("cavity", "air")), (second, ("cavity",))):
        folder = tmp_path / f"day_{epoch.day:g}"
        folder.mkdir()
        write_volume(folder / "mr.nii.gz", epoch.volumes["t1gd"])
        for name in names:
            write_structure(folder / f"{name}.nii.gz", first.structures[name], epoch.grid)
    early, late = import_folder(tmp_path, spacing_mm=SPACING, reading=Reading(same_frame=True)).patient.epochs
    assert "air" in early.structures
    assert "air" not in late.structures


def test_folders_of_days(tmp_path: Path) -> None:
    for name in ("day_021", "day_-3", "day_1.5", "days", "day_x"):
        (tmp_path / name).mkdir()
    assert [day for day, _ in day_folders(tmp_path)] == [-3.0, 1.5, 21.0]
    (tmp_path / "day_21").mkdir()
    with pytest.raises(InputError, match="second folder of day 21"):
        day_folders(tmp_path)


def test_an_image_of_nothing_is_refused(epochs: list[Epoch]) -> None:
    first = epochs[0]
    image = first.volumes["t1gd"]
    far = Volume(image.grid, np.zeros(image.grid.shape), image.quantity)
    with pytest.raises(InputError, match="registration"):
        registered(first, far, Path("day_5"))
