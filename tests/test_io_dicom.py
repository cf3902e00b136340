"""DICOM MR series: geometry against SimpleITK's reader, and every way a series can be wrong."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from images_real import slice_dataset, write_series
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from planner.io import dicom_file
from planner.io.dicom import read_series
from planner.treatment.errors import InputError

SHAPE = (8, 7, 6)  # columns, rows, slices
ARRAY = np.random.default_rng(0).integers(1, 4000, SHAPE).astype(np.uint16)


def affine(directions=None, spacing=(0.9, 1.1, 2.5), origin=(-12.5, 3.25, 40.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if directions is None else np.asarray(directions, float)) * spacing
    matrix[:3, 3] = origin
    return matrix


def read_with_simpleitk(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


AXIAL = np.eye(3)
SAGITTAL = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]]).T @ np.eye(3)
CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
PRONE = np.diag([-1.0, -1.0, 1.0])


@pytest.mark.parametrize("directions", [AXIAL, SAGITTAL, CORONAL, PRONE], ids=["axial", "sagittal", "coronal", "prone"])
def test_every_voxel_lies_where_simpleitk_says(tmp_path: Path, directions):
    directions = np.linalg.det(directions) * directions  # slices along the normal
    write_series(tmp_path, ARRAY, affine(directions))
    ours = read_series(tmp_path).upright
    theirs = read_with_simpleitk(tmp_path)
    assert not ours.resampled
    array = SimpleITK.GetArrayFromImage(theirs).transpose(2, 1, 0)
    for index in np.argwhere(array > 3500):
        point = theirs.TransformIndexToPhysicalPoint(index.tolist())
        here = ours.grid.index_of(np.array(point))
        assert np.allclose(here, np.rint(here), atol=1e-4)
        assert ours.data[tuple(np.rint(here).astype(int))] == array[tuple(index)]


def test_oblique_series_is_resampled_to_stated_spacing(tmp_path: Path):
    turn = np.radians(15.0)
    directions = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    x = np.arange(30) - 14.5
    blob = 3000 * np.exp(-(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2) / 40)
    origin = np.array([3.0, 5.0, 7.0]) - directions @ (np.full(3, 14.5) * [1.0, 1.0, 1.5])
    write_series(tmp_path, blob.astype(np.uint16), affine(directions, (1.0, 1.0, 1.5), origin))
    ours = read_series(tmp_path).upright
    assert ours.resampled and ours.obliquity_deg == pytest.approx(15.0, abs=1e-3)
    assert ours.grid.spacing_mm == pytest.approx((1.0, 1.0, 1.5))
    weights = [ours.data.sum(axis=tuple({0, 1, 2} - {a})) for a in range(3)]
    centre = [float(w @ a / w.sum()) for w, a in zip(weights, ours.grid.axes_mm(), strict=True)]
    assert np.allclose(centre, [3, 5, 7], atol=0.02)


def test_tiny_obliquity_is_rounding(tmp_path: Path):
    directions = np.array([[1, -2.05e-10, 0], [2.05e-10, 1, 0], [0, 0, 1]])
    write_series(tmp_path, ARRAY, affine(directions))
    assert not read_series(tmp_path).upright.resampled


def test_rescale_slope_of_each_slice_is_applied(tmp_path: Path):
    def change(k: int, data: Dataset) -> None:
        data.RescaleSlope, data.RescaleIntercept = 1.0 + k, -3.0

    write_series(tmp_path, ARRAY, affine(), change)
    assert np.allclose(read_series(tmp_path).upright.data, ARRAY * (1.0 + np.arange(6)) - 3.0)


def test_no_identity_is_kept(tmp_path: Path):
    write_series(tmp_path, ARRAY, affine())
    facts = repr(read_series(tmp_path).facts)
    for word in ("Secret", "4711", "evil", "1.2.3.4", "1.2.3.5"):
        assert word not in facts
    assert "'EchoTime': 2.97" in facts


def spoiled(keyword: str, value, only: int | None = 3):
    def change(k: int, data: Dataset) -> None:
        if only is None or k == only:
            setattr(data, keyword, value)

    return change


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda k, d: k != 2, r"gap between .*: 1 slice\(s\) missing"),
        (lambda k, d: k not in (2, 3), r"2 slice\(s\) missing"),
        (spoiled("FrameOfReferenceUID", "1.2.9"), r"FrameOfReferenceUID \(0020,0052\)"),
        (
            spoiled("SeriesInstanceUID", "1.2.9"),
            r"holds 2 series.*1\.2\.3\.4 \(MR, 5 images\); 1\.2\.9 \(MR, 1 images\)",
        ),
        (spoiled("PixelSpacing", [0.9, 0.9]), r"PixelSpacing \(0028,0030\)"),
        (spoiled("ImageOrientationPatient", [0, 1, 0, 1, 0, 0]), r"ImageOrientationPatient \(0020,0037\)"),
        (spoiled("ImagePositionPatient", [-12.5, 3.25, 40.0]), r"lie in the same place"),
        (spoiled("ImagePositionPatient", [-11.5, 3.25, 47.5]), r"beside the line"),
        (spoiled("ImagePositionPatient", [-12.5, 3.25, 48.0]), r"gap between"),
        (spoiled("ImagePositionPatient", [1, 2]), r"\(0020,0032\): has 2 values"),
        (spoiled("RescaleSlope", "nan"), r"RescaleSlope \(0028,1053\)"),
        (spoiled("RescaleSlope", 0.0), r"RescaleSlope.*zero"),
        (spoiled("Modality", "CT", None), r"Modality \(0008,0060\): is 'CT'"),
        (spoiled("Modality", "PT"), r"is 'PT'"),
        (spoiled("NumberOfFrames", 3), r"\(0028,0008\).*multi-frame"),
        (spoiled("PixelData", b"\0\0" * 10), r"PixelData \(7FE0,0010\)"),
        (spoiled("Rows", 65535), r"\(0028,0010\)"),
        (spoiled("PixelSpacing", [0.0, 0.9]), r"must be positive"),
        (spoiled("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), r"perpendicular"),
        (spoiled("PhotometricInterpretation", "RGB"), r"MONOCHROME2"),
    ],
)
def test_spoiled_series_are_refused_with_the_tag(tmp_path: Path, change, told: str):
    write_series(tmp_path, ARRAY, affine(), change)
    with pytest.raises(InputError, match=told) as caught:
        read_series(tmp_path)
    assert caught.value.exit_status == 4 and str(tmp_path) in str(caught.value)


def test_series_can_be_chosen(tmp_path: Path):
    write_series(tmp_path / "a", ARRAY, affine())
    write_series(tmp_path / "b", ARRAY + 1, affine(), spoiled("SeriesInstanceUID", "1.2.9", None))
    with pytest.raises(InputError, match="choose one with --series"):
        read_series(tmp_path)
    assert read_series(tmp_path, "1.2.9").upright.data[0, 0, 0] == ARRAY[0, 0, 0] + 1
    with pytest.raises(InputError, match=r"no series 9\.9"):
        read_series(tmp_path, "9.9")


def test_reports_and_other_files_beside_a_series_are_passed_over(tmp_path: Path):
    write_series(tmp_path, ARRAY, affine())
    report = slice_dataset(ARRAY[:, :, 0].T, (0, 0, 0), np.eye(3)[:2], (1, 1))
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(report, keyword)
    report.Modality, report.SeriesInstanceUID = "SR", "1.2.77"
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    (tmp_path / "notes.txt").write_text("hello")
    assert read_series(tmp_path).facts["slices"] == 6


def test_deep_nesting_is_refused(tmp_path: Path):
    paths = write_series(tmp_path, ARRAY, affine())
    raw = paths[0].read_bytes()
    inner = b""
    for _ in range(3000):  # undefined-length sequences, one item each
        inner = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" + inner
    split = raw.index(b"\x08\x00\x16\x00UI")
    paths[0].write_bytes(raw[:split] + inner)
    with pytest.raises(InputError, match=f"{paths[0].name}.*nested too deeply"):
        read_series(tmp_path)


def test_shallow_nesting_is_read(tmp_path: Path):
    def change(k: int, data: Dataset) -> None:
        for _ in range(5):
            outer = Dataset()
            outer.ReferencedStudySequence = Sequence([data.get("ReferencedStudySequence", [Dataset()])[0]])
            data.ReferencedStudySequence = Sequence([outer])

    write_series(tmp_path, ARRAY, affine(), change)
    assert read_series(tmp_path).facts["slices"] == 6


@pytest.mark.parametrize(
    ("syntax", "told"),
    [("1.2.840.10008.1.2.1.99", "deflated"), ("1.2.840.10008.1.2.4.70", "compressed"), ("1.2.3", "compressed")],
)
def test_transfer_syntaxes_that_expand_are_refused_before_parsing(tmp_path: Path, monkeypatch, syntax, told):
    paths = write_series(tmp_path, ARRAY, affine())
    raw = paths[2].read_bytes().replace(b"1.2.840.10008.1.2.1\0", syntax.encode().ljust(20, b"\0")[:20], 1)
    if len(syntax) > 20:
        data = pydicom.dcmread(paths[2])
        data.file_meta.TransferSyntaxUID = syntax
        with paths[2].open("wb") as stream:
            stream.write(b"\0" * 128 + b"DICM")
            pydicom.filewriter.write_file_meta_info(stream, data.file_meta)
    else:
        paths[2].write_bytes(raw)
    monkeypatch.setattr(pydicom, "dcmread", lambda *a, **k: pytest.fail("parsed") if a[0] == paths[2] else Dataset())
    with pytest.raises(InputError, match=told):
        dicom_file.read_header(paths[2])


def test_damaged_and_truncated_files(tmp_path: Path):
    paths = write_series(tmp_path, ARRAY, affine())
    raw = paths[1].read_bytes()
    for cut in (140, 400, len(raw) - 50):
        paths[1].write_bytes(raw[:cut])
        with pytest.raises(InputError) as caught:
            read_series(tmp_path)
        assert paths[1].name in str(caught.value)


def test_single_slice_and_empty_folder(tmp_path: Path):
    write_series(tmp_path / "one", ARRAY[:, :, :1], affine())
    with pytest.raises(InputError, match="single slice"):
        read_series(tmp_path / "one")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no DICOM image"):
        read_series(tmp_path / "none")
