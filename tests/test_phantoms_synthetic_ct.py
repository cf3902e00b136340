"""Outline, brain, skull, air and density of a head whose parts are known."""

import numpy as np
import pytest
from images_real import BRAIN_RADII, FACE, FACE_RADII, HEAD_CENTRE, ROD_X, SCALP_MM, SINUS, SKULL_MM, head_image

from phantoms.grid import Grid
from phantoms.patient import Epoch
from phantoms.synthetic_ct import AIR_DENSITY, BRAIN_DENSITY, SKULL_DENSITY, bulk_density, segmented
from phantoms.volume import Quantity, Volume


def volume_of(step: float = 2.5, noise: float = 8.0) -> Volume:
    image, affine = head_image(step, noise)
    return Volume(Grid(image.shape, (step,) * 3, tuple(affine[:3, 3])), image, Quantity.MR_SIGNAL)


def ball_cc(radii) -> float:
    return 4 / 3 * np.pi * float(np.prod(radii)) / 1000


def head_cc() -> float:
    """Volume of head and face together, by counting."""
    mesh = np.meshgrid(*[np.arange(-120, 120, 2.0)] * 3, indexing="ij", sparse=True)
    head = sum((m / r) ** 2 for m, r in zip(mesh, BRAIN_RADII + SKULL_MM + SCALP_MM, strict=True)) < 1
    face = sum(((m - c) / r) ** 2 for m, c, r in zip(mesh, FACE, FACE_RADII, strict=True)) < 1
    return float((head | face).sum()) * 0.008


@pytest.fixture(scope="module")
def found():
    return segmented(volume_of(), 2.0)


def test_the_outline_is_the_skin_and_leaves_the_rods_out(found):
    external = found["external"]
    assert external.volume_cc == pytest.approx(head_cc(), rel=0.04)
    at = Volume(external.grid, external.occupancy, Quantity.OCCUPANCY).at
    for axis, radius in enumerate(BRAIN_RADII + SKULL_MM + SCALP_MM):
        along = HEAD_CENTRE + np.eye(3)[axis] * np.arange(radius - 8, radius + 8, 0.1)[:, None]
        skin = np.interp(-0.5, -at(along), along[:, axis] - HEAD_CENTRE[axis])
        assert skin == pytest.approx(radius, abs=1.3)
    assert abs(external.cropped().grid.high_mm[0]) < ROD_X - 5 and abs(external.cropped().grid.low_mm[0]) < ROD_X - 5


def test_the_brain_holds_its_ventricles_and_ends_at_the_skull(found):
    brain, room = found["brain"], found["intracranial"]
    assert brain.volume_cc == pytest.approx(ball_cc(BRAIN_RADII), rel=0.06)
    at = Volume(brain.grid, brain.occupancy, Quantity.OCCUPANCY).at
    ventricle, scalp = at(HEAD_CENTRE + np.array([[0, 0, 12], [BRAIN_RADII[0] + 6, 0, 0]]))
    assert ventricle == pytest.approx(1.0) and scalp == 0
    assert np.all(room.on(brain.grid) >= brain.occupancy - 0.06)


def test_a_narrow_join_does_not_lead_to_the_neck_on_coarse_voxels():
    """A head of 2 mm voxels had 1878 cc of brain for 1391: muscles of the neck passed for it."""
    image = volume_of(2.0, 0.0)
    x, y, z = np.moveaxis(np.stack(np.meshgrid(*image.grid.axes_mm(), indexing="ij"), -1) - HEAD_CENTRE, -1, 0)
    off_axis = np.hypot(x - 1, y - 1)
    neck = ((off_axis < 6.2) & (z < -40)) | ((off_axis < 50) & (z < -BRAIN_RADII[2] - 6))
    joined = Volume(image.grid, np.where(neck, 450.0, image.data), Quantity.MR_SIGNAL)
    assert segmented(joined)["brain"].volume_cc == pytest.approx(ball_cc(BRAIN_RADII), rel=0.06)


def test_the_skull_lies_between_and_its_thickness_is_right(found):
    skull = found["skull"]
    assert skull.volume_cc == pytest.approx(ball_cc(BRAIN_RADII + SKULL_MM) - ball_cc(BRAIN_RADII), rel=0.35)
    assert float((skull.occupancy * found["brain"].on(skull.grid)).max()) < 0.5


def test_the_sinus_is_air(found):
    air = found["air_cavities"]
    assert np.allclose(air.centroid_mm, HEAD_CENTRE + SINUS, atol=3.0)


def test_density_of_each_part(found):
    head = found["external"].grid
    grid = head.window([-4] * 3, [n + 4 for n in head.shape])
    density = bulk_density(grid, found)
    points = HEAD_CENTRE + np.array([[0, 0, -20], [0, 0, BRAIN_RADII[2] + 4.0], [84.0, 16, 0]])
    brain, skull, air = density.at(points)
    assert brain == pytest.approx(BRAIN_DENSITY.value, abs=1e-3)
    assert skull == pytest.approx(SKULL_DENSITY.value, abs=0.12)
    assert air == pytest.approx(AIR_DENSITY.value, abs=1e-4)
    assert Epoch(0.0, {"density": density}, found).grid == grid


def test_noise_free_images_work_and_images_without_a_head_are_refused():
    assert segmented(volume_of(4.0, 0.0), 4.0)["brain"].volume_cc == pytest.approx(ball_cc(BRAIN_RADII), rel=0.12)
    rng = np.random.default_rng(0)
    noise = np.hypot(*rng.normal(0, 10, (2, 40, 40, 40)))
    for name, image in {
        "noise": noise,
        "nothing": np.zeros((40, 40, 40)),
        "all the same": np.ones((40, 40, 40)),
        "something small": np.pad(np.full((10, 10, 10), 500.0), 15),
    }.items():
        with pytest.raises(ValueError, match="found"):
            pytest.fail(f"accepted {name}") if segmented(
                Volume(Grid((40, 40, 40), (4, 4, 4), (0, 0, 0)), image, Quantity.MR_SIGNAL), 4.0
            ) else None
