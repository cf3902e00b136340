"""DICOM structure sets: volumes and places from geometry, and every way in which they can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from images_real import circle, structure_set, write_series
from pydicom.dataset import Dataset

from phantoms.structure import Structure
from planner.io import rtstruct
from planner.io.dicom import read_series
from planner.io.rtstruct import StructureSet, read_structure_set, set_of, structure_sets
from planner.treatment.errors import InputError

SPACING = np.array([0.9, 1.1, 2.5])
LOW = np.array([-40.0, -35.0, 10.0])
SHAPE = (90, 70, 24)
CENTRE = np.array([2.3, 4.1, 38.2])


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = LOW
    write_series(folder, np.full(SHAPE, 100, np.uint16), affine)
    return folder


def planes(low: float, high: float) -> np.ndarray:
    at = LOW[2] + SPACING[2] * np.arange(SHAPE[2])
    return at[(at > low) & (at < high)]


def sphere(radius: float, centre: np.ndarray = CENTRE) -> list[np.ndarray]:
    """Return contours on the slices: areas of the sphere's cross-sections, averaged over each slab of a slice."""
    contours = []
    for z in LOW[2] + SPACING[2] * np.arange(SHAPE[2]):
        low, high = np.clip((z - centre[2] + np.array([-0.5, 0.5]) * SPACING[2]), -radius, radius)
        mean = (radius**2 * (high - low) - (high**3 - low**3) / 3) / SPACING[2]
        if mean > 0:
            contours.append(circle(np.sqrt(mean), (centre[0], centre[1], z)))
    return contours


def read(series: Path, tmp_path: Path, data: Dataset, rois: dict[str, str] | None = None) -> StructureSet:
    data.save_as(tmp_path / "rs.dcm", enforce_file_format=True)
    image = read_series(series)
    chosen = set_of(structure_sets([tmp_path / "rs.dcm"]), image, tmp_path)
    assert chosen is not None
    return read_structure_set(*chosen, image, rois or {})


def only(found: StructureSet) -> Structure:
    (structure,) = found.structures.values()
    return structure


@pytest.mark.parametrize("radius", [4.0, 9.0, 16.0])
def test_spheres_have_their_volume_and_place(series: Path, tmp_path: Path, radius: float) -> None:
    found = only(read(series, tmp_path, structure_set({"Resection Cavity": sphere(radius)})))
    assert found.name == "cavity"
    assert found.volume_cc == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.005)
    assert np.allclose(found.centroid_mm, CENTRE, atol=0.02)
    assert found.grid.offset_in(read_series(series).upright.grid) is not None


def test_a_cylinder_ends_half_a_slice_beyond_its_last_contours(series: Path, tmp_path: Path) -> None:
    at = planes(20.0, 36.0)
    found = only(read(series, tmp_path, structure_set({"CTV": [circle(7.0, (1.0, 2.0, z)) for z in at]})))
    assert found.volume_cc == pytest.approx(np.pi * 49 * len(at) * SPACING[2] / 1000, rel=0.002)
    grid = found.cropped().grid
    assert grid.low_mm[2] == pytest.approx(at[0] - SPACING[2] / 2)
    assert grid.high_mm[2] == pytest.approx(at[-1] + SPACING[2] / 2)


def test_holes_stay_empty(series: Path, tmp_path: Path) -> None:
    at = planes(20.0, 36.0)
    walls = [circle(r, (0.0, 0.0, z)) for z in at for r in (11.0, 6.0)]
    found = only(read(series, tmp_path, structure_set({"brain": walls})))
    assert found.volume_cc == pytest.approx(np.pi * (121 - 36) * len(at) * SPACING[2] / 1000, rel=0.002)


@pytest.mark.parametrize("turn", [(1, -1), (-1, 1)])
def test_flipped_axes_and_sagittal_slices(tmp_path: Path, turn: tuple[int, int]) -> None:
    affine = np.zeros((4, 4))
    affine[1, 0], affine[2, 1], affine[0, 2], affine[3, 3] = turn[0] * 1.0, turn[1] * 1.2, 2.0 * turn[0] * turn[1], 1.0
    middle = affine[:3, :3] @ np.array([30.0, 30.0, 10.0])
    affine[:3, 3] = CENTRE - middle
    write_series(tmp_path / "in", np.full((61, 61, 21), 5, np.uint16), affine)
    disc = circle(8.0, (0.0, 0.0, 0.0))[:, [2, 0, 1]]  # in a sagittal plane
    contours = [disc + CENTRE + np.array([2.0 * n, 3.0, -4.0]) for n in (-1, 0, 1, 2)]
    found = only(read(tmp_path / "in", tmp_path, structure_set({"GTV": contours})))
    assert found.volume_cc == pytest.approx(np.pi * 64 * 8 / 1000, rel=0.003)
    assert np.allclose(found.centroid_mm, CENTRE + np.array([1.0, 3.0, -4.0]), atol=0.02)


def test_oblique_slices_keep_volume_and_place(tmp_path: Path) -> None:
    turn = np.radians(17.0)
    rotation = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation * [0.8, 0.8, 1.5]
    affine[:3, 3] = CENTRE - affine[:3, :3] @ [40, 40, 15]
    write_series(tmp_path / "in", np.full((81, 81, 31), 5, np.uint16), affine)
    contours = [circle(9.0, (0, 0, 1.5 * n)) @ rotation.T + CENTRE for n in range(-6, 7)]
    found = only(read(tmp_path / "in", tmp_path, structure_set({"GTV": contours})))
    assert found.volume_cc == pytest.approx(np.pi * 81 * 13 * 1.5 / 1000, rel=0.005)
    assert np.allclose(found.centroid_mm, CENTRE, atol=0.05)


def test_names_are_mapped_and_others_are_left_out(series: Path, tmp_path: Path) -> None:
    ball = sphere(5.0)
    data = structure_set({"GTV_Smith": ball, "brain-stem": ball, "OpticNrv_L": ball, "secret": ball, "ptv": []})
    found = read(series, tmp_path, data)
    assert set(found.structures) == {"brainstem", "optic_nerve_left"}
    assert found.facts == {"regions": 5, "read": 2, "left_out": 3, "share_on_image": {}, "planes_skipped": {}}
    named = read(series, tmp_path, data, {"gtv smith": "cavity"})
    assert set(named.structures) == {"cavity", "brainstem", "optic_nerve_left"}


def test_contours_beyond_the_images_are_cut_off_and_told(series: Path, tmp_path: Path) -> None:
    edge = np.array([LOW[0] - SPACING[0] / 2, 0.0, 36.0])
    found = read(series, tmp_path, structure_set({"body": sphere(8.0, edge)}))
    assert found.facts["share_on_image"]["external"] == pytest.approx(0.5, abs=0.02)


def test_a_slice_without_a_contour_between_others_stays_empty_and_is_told(series: Path, tmp_path: Path) -> None:
    ball = sphere(9.0)
    found = read(series, tmp_path, structure_set({"cavity": ball[:4] + ball[5:]}))
    assert found.facts["planes_skipped"] == {"cavity": 1}
    assert only(found).volume_cc < 0.9 * 4 / 3 * np.pi * 9.0**3 / 1000


def test_points_and_lines_enclose_nothing(series: Path, tmp_path: Path) -> None:
    data = structure_set({"GTV": [*sphere(6.0), np.array([[0.0, 0.0, 35.0]]), np.array([[0.0, 0, 35], [1.0, 0, 35]])]})
    assert only(read(series, tmp_path, data)).volume_cc == pytest.approx(0.9048, rel=0.005)


def spoiled(change) -> Dataset:  # type: ignore[no-untyped-def]
    data = structure_set({"cavity": sphere(6.0)})
    change(data)
    return data


def shifted(data: Dataset, by: tuple[float, float, float]) -> None:
    for contour in data.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3) + by
        contour.ContourData = [round(float(v), 4) for v in points.ravel()]


def tilted(data: Dataset) -> None:
    first = data.ROIContourSequence[0].ContourSequence[0]
    first.ContourData = [f"{float(v) + 0.8 * (n % 7):.3f}" for n, v in enumerate(first.ContourData)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: shifted(d, (500.0, 0, 0)), "outside of the images"),
        (lambda d: shifted(d, (1e7, 0, 0)), "implausibly far"),
        (tilted, "does not lie in one slice"),
        (lambda d: setattr(d.StructureSetROISequence[0], "ReferencedFrameOfReferenceUID", "9.9"), "another series"),
        (lambda d: d.ROIContourSequence[0].ContourSequence[0].ContourData.append("1.0"), r"ContourData \(3006,0050\)"),
        (lambda d: d.StructureSetROISequence.append(d.StructureSetROISequence[0]), "two regions are 'cavity'"),
    ],
)
def test_wrong_sets_are_refused_with_their_tag(series: Path, tmp_path: Path, change, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=told) as caught:
        read(series, tmp_path, spoiled(change))
    assert str(tmp_path / "rs.dcm") in str(caught.value) and "3006," in str(caught.value)


def test_not_a_number_is_refused(series: Path, tmp_path: Path) -> None:
    path = tmp_path / "rs.dcm"
    structure_set({"cavity": sphere(6.0)}).save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    first = content.index(b"\\", content.index(bytes([0x06, 0x30, 0x50, 0x00]))) + 1
    end = content.index(b"\\", first)
    path.write_bytes(content[:first] + b"nan".ljust(end - first) + content[end:])
    image = read_series(series)
    with pytest.raises(InputError, match=r"finite|damaged"):
        read_structure_set(*structure_sets([path])[0], image, {})


def test_a_frame_that_differs_is_refused_even_in_the_reference(series: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="belong to another series"):
        read(series, tmp_path, structure_set({"cavity": sphere(6.0)}, frame="9.9"))


def test_sizes_are_limited(series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MAX_ROIS", 0), ("MAX_CONTOURS", 1), ("MAX_POINTS", 50), ("MAX_BYTES", 100)):
        with monkeypatch.context() as patch, pytest.raises(InputError, match=r"at most|more contours|larger than"):
            patch.setattr(rtstruct, name, most)
            read(series, tmp_path, structure_set({"cavity": sphere(6.0)}))


def test_two_sets_of_one_series_are_refused_and_sets_of_others_passed_over(series: Path, tmp_path: Path) -> None:
    for name, uid, frame in (("a", "1.2.3.4", "1.2.3.5"), ("b", "5.5", "6.6"), ("c", "1.2.3.4", "1.2.3.5")):
        data = structure_set({"cavity": sphere(6.0)}, frame, uid)
        data.save_as(tmp_path / f"{name}.dcm", enforce_file_format=True)
    image = read_series(series)
    sets = structure_sets(sorted(tmp_path.glob("*.dcm")))
    with pytest.raises(InputError, match="2 structure sets"):
        set_of(sets, image, tmp_path)
    chosen = set_of(sets[:2], image, tmp_path)
    assert chosen is not None and chosen[0].name == "a.dcm"
    assert set_of([], image, tmp_path) is None
