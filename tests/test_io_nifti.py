"""NIfTI files against SimpleITK, against the bytes of the header, and hostile ones."""

import gzip
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.io.nifti import read_image, read_structure, read_volume, stem, write_structure, write_volume
from planner.treatment.errors import InputError

GRID = Grid((5, 6, 7), (1.0, 1.5, 2.0), (-10.25, 3.0, 20.5))
DATA = np.random.default_rng(0).normal(size=GRID.shape).astype(np.float32)


def itk_image(array: np.ndarray, spacing, direction, origin) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing([float(s) for s in spacing])
    image.SetDirection(np.asarray(direction, float).ravel().tolist())
    image.SetOrigin([float(o) for o in origin])
    return image


def patched(path: Path, offset: int, code: str, *values) -> Path:
    raw = bytearray(path.read_bytes())
    struct.pack_into(f"<{code}", raw, offset, *values)
    path.write_bytes(bytes(raw))
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "image.nii"
    write_volume(path, Volume(GRID, DATA, Quantity.MR_SIGNAL))
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_simpleitk_reads_what_we_write(tmp_path: Path, name: str):
    write_volume(tmp_path / name, Volume(GRID, DATA, Quantity.DOSE))
    image = SimpleITK.ReadImage(str(tmp_path / name))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), DATA)
    assert np.allclose(image.GetOrigin(), GRID.origin_mm, atol=1e-5)
    assert np.allclose(image.GetSpacing(), GRID.spacing_mm)
    assert np.allclose(np.reshape(image.GetDirection(), (3, 3)), np.eye(3))


def test_header_bytes_say_ras(plain: Path):
    raw = plain.read_bytes()
    assert struct.unpack_from("<i", raw, 0) == (348,) and raw[344:347] == b"n+1"
    assert struct.unpack_from("<4h", raw, 40) == (3, 5, 6, 7)
    assert struct.unpack_from("<2h", raw, 252) == (1, 1)
    rows = np.array(struct.unpack_from("<12f", raw, 280)).reshape(3, 4)
    assert np.allclose(rows, [[-1, 0, 0, 10.25], [0, -1.5, 0, -3.0], [0, 0, 2, 20.5]])
    first = struct.unpack_from("<2f", raw, 352)
    assert first == (DATA[0, 0, 0], DATA[1, 0, 0])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_flips_and_permutations_keep_every_value_in_its_place(tmp_path: Path, order, signs):
    direction = np.zeros((3, 3))
    direction[list(order), range(3)] = signs
    spacing, origin = np.array([1.0, 1.5, 2.0]), np.array([3.0, -7.0, 11.0])
    array = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    SimpleITK.WriteImage(itk_image(array, spacing, direction, origin), str(tmp_path / "a.nii.gz"))
    image = read_image(tmp_path / "a.nii.gz").upright
    assert not image.resampled
    index = np.argwhere(np.ones(array.shape, bool))
    points = index * spacing @ direction.T + origin
    found = np.rint(image.grid.index_of(points)).astype(int)
    assert np.allclose(image.grid.point_of(found), points, atol=1e-4)
    assert np.array_equal(image.data[tuple(found.T)], array[tuple(index.T)])


def test_oblique_mask_is_resampled_once_and_keeps_volume_and_centroid(tmp_path: Path):
    turn = np.radians(20.0)
    direction = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    points = np.argwhere(np.ones((40, 40, 40), bool)) - 19.5
    ball = (np.linalg.norm(points, axis=1) < 12).reshape(40, 40, 40).astype(np.float32)
    origin = np.array([5.0, 6.0, 7.0]) - direction @ np.full(3, 19.5)
    SimpleITK.WriteImage(itk_image(ball, (1, 1, 1), direction, origin), str(tmp_path / "ball.nii.gz"))
    image = read_image(tmp_path / "ball.nii.gz").upright
    assert image.resampled and image.obliquity_deg == pytest.approx(20.0, abs=1e-3)
    structure = read_structure(tmp_path / "ball.nii.gz")
    assert structure.volume_cc == pytest.approx(ball.sum() / 1000, rel=2e-3)
    assert np.allclose(structure.centroid_mm, [5, 6, 7], atol=0.02)


def test_oblique_image_interpolates_like_simpleitk(tmp_path: Path):
    rng = np.random.default_rng(3)
    turn = np.radians(12.0)
    direction = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    image = itk_image(rng.normal(size=(12, 13, 14)).astype(np.float32), (1.0, 1.2, 1.4), direction, (1, 2, 3))
    SimpleITK.WriteImage(image, str(tmp_path / "a.nii"))
    ours = read_image(tmp_path / "a.nii").upright
    grid = ours.grid
    peer = SimpleITK.Resample(
        image, grid.shape, SimpleITK.Transform(), SimpleITK.sitkLinear, grid.origin_mm, grid.spacing_mm
    )
    theirs = SimpleITK.GetArrayFromImage(peer).transpose(2, 1, 0)
    inside = np.abs(theirs) > 0
    assert inside.mean() > 0.4
    assert np.abs(ours.data - theirs)[inside].max() < 2e-4


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_nrrd_and_metaimage_agree_with_nifti(tmp_path: Path, suffix: str):
    direction = np.diag([-1.0, 1.0, -1.0])
    image = itk_image(DATA, GRID.spacing_mm, direction, (1, 2, 3))
    SimpleITK.WriteImage(image, str(tmp_path / f"a{suffix}"))
    SimpleITK.WriteImage(image, str(tmp_path / "a.nii"))
    one, other = read_image(tmp_path / f"a{suffix}").upright, read_image(tmp_path / "a.nii").upright
    assert np.array_equal(one.data, other.data)
    assert np.allclose(one.grid.origin_mm, other.grid.origin_mm, atol=1e-4)


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_types_and_scale_factors(tmp_path: Path, kind: str):
    values = np.arange(60).reshape(3, 4, 5).astype(kind)
    path = tmp_path / "a.nii"
    SimpleITK.WriteImage(itk_image(values, (1, 1, 1), np.eye(3), (0, 0, 0)), str(path))
    assert np.array_equal(read_image(path).upright.data, values.astype(np.float32))
    patched(path, 112, "2f", 0.5, 7.0)
    assert np.array_equal(read_image(path).upright.data, values * 0.5 + 7)
    patched(path, 112, "2f", 0.0, 7.0)  # a slope of 0 means: not scaled
    assert np.array_equal(read_image(path).upright.data, values.astype(np.float32))


def test_big_endian_and_qform_only(plain: Path, tmp_path: Path):
    raw = bytearray(plain.read_bytes())
    swapped = bytearray(len(raw))
    swapped[:] = raw
    fields = [(0, "i"), (70, "h"), (72, "h"), (108, "f"), (112, "f"), (116, "f"), (252, "h"), (254, "h")]
    fields += [(40 + 2 * n, "h") for n in range(8)] + [(76 + 4 * n, "f") for n in range(8)]
    fields += [(256 + 4 * n, "f") for n in range(18)] + [(352 + 4 * n, "f") for n in range(DATA.size)]
    for offset, code in fields:
        struct.pack_into(f">{code}", swapped, offset, *struct.unpack_from(f"<{code}", raw, offset))
    struct.pack_into(">h", swapped, 254, 0)
    (tmp_path / "big.nii").write_bytes(bytes(swapped))
    image = read_image(tmp_path / "big.nii").upright
    assert np.array_equal(image.data, DATA)
    assert np.allclose(image.grid.origin_mm, GRID.origin_mm) and np.allclose(image.grid.spacing_mm, GRID.spacing_mm)


def test_nifti2_is_read(tmp_path: Path):
    header = bytearray(544)
    struct.pack_into("<i8s2h", header, 0, 540, b"n+2\0\r\n\x1a\n", 16, 32)
    struct.pack_into("<8q", header, 16, 3, *GRID.shape, 1, 1, 1, 1)
    struct.pack_into("<8d", header, 104, 1, *GRID.spacing_mm, 0, 0, 0, 0)
    struct.pack_into("<q2d", header, 168, 544, 1.0, 0.0)
    struct.pack_into("<2i", header, 344, 0, 1)
    rows = np.diag([-1.0, -1.0, 1.0]) @ np.c_[np.diag(GRID.spacing_mm), GRID.origin_mm]
    struct.pack_into("<12d", header, 400, *rows.ravel())
    (tmp_path / "a.nii").write_bytes(bytes(header) + DATA.tobytes(order="F"))
    image = read_image(tmp_path / "a.nii").upright
    assert np.array_equal(image.data, DATA) and np.allclose(image.grid.origin_mm, GRID.origin_mm)


def test_trailing_singleton_dimension_is_accepted_and_real_4d_is_not(plain: Path):
    patched(plain, 40, "5h", 4, 5, 6, 7, 1)
    assert read_image(plain).upright.grid.shape == (5, 6, 7)
    patched(plain, 40, "5h", 4, 5, 6, 3, 2)
    with pytest.raises(InputError, match=r"dim.*4 dimensions"):
        read_image(plain)


@pytest.mark.parametrize(
    ("offset", "code", "values", "told"),
    [
        (76 + 4, "f", (0.0,), "pixdim"),
        (76 + 8, "f", (float("nan"),), "pixdim"),
        (76 + 4, "f", (2.0,), "sform, qform|disagree"),
        (42, "3h", (32767, 32767, 32767), "dim.*claims"),
        (42, "3h", (5, 0, 7), "dim.*positive"),
        (70, "h", (128,), "datatype"),
        (112, "f", (float("nan"),), "scl_slope"),
        (112, "f", (float("inf"),), "scl_slope"),
        (108, "f", (float("nan"),), "vox_offset"),
        (252, "2h", (0, 0), "qform_code"),
        (280, "f", (float("nan"),), "sform"),
        (268, "f", (40.0,), "sform, qform"),
        (344, "4s", (b"ni1\0",), "magic"),
        (0, "i", (1234,), "not a NIfTI"),
        (42, "h", (9,), "truncated"),
        (352, "f", (float("nan"),), "1 of 210 voxels are NaN"),
        (352, "f", (float("-inf"),), "infinite"),
    ],
)
def test_unusable_headers_are_refused_by_name_of_the_field(plain: Path, offset, code, values, told):
    patched(plain, offset, code, *values)
    with pytest.raises(InputError, match=told) as caught:
        read_image(plain)
    assert str(plain) in str(caught.value) and caught.value.exit_status == 4


def test_a_gzip_bomb_and_a_damaged_gzip_are_refused(tmp_path: Path, plain: Path):
    raw = bytearray(plain.read_bytes())
    bomb = tmp_path / "bomb.nii.gz"
    bomb.write_bytes(gzip.compress(bytes(raw) + bytes(50_000_000)))
    assert read_image(bomb).upright.grid.shape == GRID.shape  # only what the header needs is expanded
    broken = tmp_path / "broken.nii.gz"
    packed = bytearray(gzip.compress(bytes(raw)))
    packed[-6] ^= 0xFF
    broken.write_bytes(bytes(packed))
    with pytest.raises(InputError, match="CRC"):
        read_image(broken)
    broken.write_bytes(bytes(packed[: len(packed) // 2]))
    with pytest.raises(InputError, match="cannot be read"):
        read_image(broken)


def test_missing_file_folder_and_text(tmp_path: Path):
    (tmp_path / "text.nii").write_text("hello")
    for path, told in ((tmp_path / "no.nii", "no such file"), (tmp_path, "folder"), (tmp_path / "text.nii", "NIfTI")):
        with pytest.raises(InputError, match=told):
            read_image(path)


def written_mask(tmp_path: Path, values: np.ndarray) -> Path:
    path = tmp_path / "mask.nii.gz"
    SimpleITK.WriteImage(itk_image(values, (1, 1, 1), np.eye(3), (0, 0, 0)), str(path))
    return path


def test_masks_may_be_binary_fractional_255_or_a_label(tmp_path: Path):
    cube = np.zeros((6, 6, 6))
    cube[2:4, 2:4, 2:4] = 1
    assert read_structure(written_mask(tmp_path, cube.astype(np.uint8))).volume_cc == pytest.approx(0.008)
    assert read_structure(written_mask(tmp_path, (cube * 0.25).astype(np.float32))).volume_cc == pytest.approx(0.002)
    assert read_structure(written_mask(tmp_path, (cube * 255).astype(np.uint8))).volume_cc == pytest.approx(0.008)
    labels = (cube * 3).astype(np.uint8)
    labels[0, 0, 0] = 7
    path = written_mask(tmp_path, labels)
    assert read_structure(path, label=3).volume_cc == pytest.approx(0.008)
    with pytest.raises(InputError, match=r"values run from 0 to 7.*--label"):
        read_structure(path)
    with pytest.raises(InputError, match=r"label 5.*0, 3, 7"):
        read_structure(path, label=5)


@pytest.mark.parametrize(
    ("value", "told"), [(0.0, "empty"), (-0.5, "values run"), (1.5, "values run"), (np.nan, "NaN")]
)
def test_masks_that_are_none(tmp_path: Path, value: float, told: str):
    values = np.zeros((4, 4, 4), np.float32)
    values[1, 1, 1] = value
    with pytest.raises(InputError, match=told):
        read_structure(written_mask(tmp_path, values))


def test_nothing_is_left_behind_by_a_failed_write(tmp_path: Path):
    volume = Volume(GRID, DATA, Quantity.DOSE)
    with pytest.raises(InputError, match="no folder"):
        write_volume(tmp_path / "no" / "a.nii.gz", volume)
    with pytest.raises(InputError, match="must end in"):
        write_volume(tmp_path / "a.png", volume)
    assert list(tmp_path.iterdir()) == []


def test_round_trip_of_a_structure_and_equal_bytes_for_equal_images(tmp_path: Path):
    occupancy = np.clip(DATA, 0, 1)
    structure = Structure("a", Role.TARGET, GRID, occupancy)
    for name in ("one.nii.gz", "two.nii.gz"):
        write_structure(tmp_path / name, structure)
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()
    back = read_structure(tmp_path / "one.nii.gz")
    assert np.array_equal(back.occupancy, occupancy) and back.name == "one"
    bigger = GRID.window((-1, -2, 0), (6, 8, 9))
    write_structure(tmp_path / "big.nii", structure, bigger)
    assert read_structure(tmp_path / "big.nii").volume_cc == pytest.approx(structure.volume_cc)


def test_quantities_are_checked(tmp_path: Path):
    write_volume(tmp_path / "a.nii", Volume(GRID, -np.abs(DATA), Quantity.MR_SIGNAL))
    with pytest.raises(InputError, match="negative"):
        read_volume(tmp_path / "a.nii", Quantity.DENSITY)
    with pytest.raises(InputError, match="nowhere positive"):
        read_volume(tmp_path / "a.nii", Quantity.DOSE)
    assert stem(Path("x/brain.stem.nii.gz")) == "brain.stem"
