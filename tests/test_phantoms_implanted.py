"""A virtual course in a given head: volumes, place, image and density."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from phantoms.flow import AT_REST_DAY
from phantoms.grid import Grid
from phantoms.implanted import implant
from phantoms.patient import Epoch
from phantoms.structure import Role, Structure
from phantoms.tissue import TISSUES
from phantoms.volume import Quantity, Volume

GRID = Grid((60, 60, 60), (2.0, 2.0, 2.0), (-59.0, -59.0, -59.0))
CENTRE = (10.0, -8.0, 12.0)


@pytest.fixture(scope="module")
def base() -> Epoch:
    x, y, z = np.meshgrid(*GRID.axes_mm(), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    brain = np.clip(0.5 - (radius - 50) / 2, 0, 1)
    image = 500 * brain + np.random.default_rng(0).normal(0, 10, GRID.shape)
    volumes = {
        "t1gd": Volume(GRID, np.abs(image), Quantity.MR_SIGNAL),
        "density": Volume(GRID, 0.0012 + 1.04 * brain, Quantity.DENSITY),
    }
    return Epoch(0.0, volumes, {"brain": Structure("brain", Role.ORGAN, GRID, brain)})


@pytest.fixture(scope="module")
def anatomy(base):
    return implant(base, CENTRE, 8.0, 3, residual_fraction=1.0)


def test_volumes_follow_the_course(anatomy):
    before, after = anatomy.epoch(-1.0, images=False), anatomy.epoch(20.0, images=False)
    assert before.structures["tumour"].volume_cc == pytest.approx(anatomy.course.volume_cc(-1.0), rel=1e-3)
    assert after.structures["cavity"].volume_cc == pytest.approx(anatomy.course.volume_cc(20.0), rel=1e-3)
    assert after.structures["residual"].volume_cc == pytest.approx(anatomy.course.residual_volume_cc(20.0), rel=1e-2)
    assert "tumour" not in after.structures and "cavity" not in before.structures
    assert np.allclose(before.structures["tumour"].centroid_mm, CENTRE, atol=3.0)
    assert set(after.volumes) == {"density"}


def test_the_brain_includes_the_lesion(anatomy):
    epoch = anatomy.epoch(1.0, images=False)
    brain, cavity = epoch.structures["brain"], epoch.structures["cavity"]
    assert np.all(brain.on(GRID) >= cavity.on(GRID) - 1e-6)


def test_the_image_changes_in_the_lesion_and_not_beyond_the_dura(anatomy, base):
    before, after = anatomy.epoch(-1.0), anatomy.epoch(21.0)
    necrosis = anatomy.course.regions(GRID, -1.0)["necrosis"].on(GRID)
    tumour = (before.structures["tumour"].on(GRID) > 0.99) & (necrosis < 0.01)
    cavity = after.structures["cavity"].on(GRID) > 0.99
    real = base.volumes["t1gd"].data
    assert np.median(before.volumes["t1gd"].data[tumour]) > 1.3 * 500
    assert np.median(after.volumes["t1gd"].data[cavity]) < 0.7 * 500
    beyond = np.linalg.norm(np.argwhere(np.ones(GRID.shape, bool)) * 2.0 - 59.0, axis=1).reshape(GRID.shape) > 58
    assert np.array_equal(after.volumes["t1gd"].data[beyond], real[beyond])


def test_brain_follows_the_cavity_by_the_true_deformation(base):
    ramp = np.broadcast_to(500.0 + GRID.axes_mm()[0][:, None, None], GRID.shape)
    marked = Epoch(0.0, {**base.volumes, "t1gd": Volume(GRID, ramp, Quantity.MR_SIGNAL)}, base.structures)
    anatomy = implant(marked, CENTRE, 8.0, 3, residual_fraction=0.0)
    epoch, regions = anatomy.epoch(60.0), anatomy.course.regions(GRID, 60.0)
    free = np.ones(GRID.shape, bool)
    for name in ("cavity", "rim", "oedema", "tract"):
        free &= ~binary_dilation(regions[name].on(GRID) > 0, np.ones((3, 3, 3)), iterations=7)
    free &= base.structures["brain"].on(GRID) > 0.999
    points = GRID.point_of(np.argwhere(free))
    source, _ = anatomy.flow.moved(points, 60.0, AT_REST_DAY)
    assert np.abs(source - points).max() > 0.3  # there is something to see
    assert epoch.volumes["t1gd"].data[free] == pytest.approx(500.0 + source[:, 0], abs=0.01)


def test_painted_noise_is_that_of_the_image(anatomy):
    data = anatomy.epoch(60.0).volumes["t1gd"].data
    cavity = anatomy.epoch(60.0, images=False).structures["cavity"].on(GRID) > 0.999
    steps = (data[1:] - data[:-1])[cavity[1:] & cavity[:-1]]
    assert 0.8 * 10 < steps.std() / np.sqrt(2) < 1.5 * 10


def test_fluid_and_air_have_their_density(anatomy):
    epoch = anatomy.epoch(0.0, images=False)
    values = epoch.volumes["density"].data[epoch.structures["cavity"].on(GRID) > 0.999]
    assert values.min() < 0.3  # air on the day of surgery
    late = anatomy.epoch(40.0, images=False)
    inside = late.structures["cavity"].on(GRID) > 0.999
    fluid = TISSUES["cavity_fluid"].density
    assert np.median(late.volumes["density"].data[inside]) == pytest.approx(fluid, abs=1e-3)


def test_epochs_are_pure_functions_of_the_day(anatomy, base):
    again = implant(base, CENTRE, 8.0, 3, residual_fraction=1.0)
    first, second = anatomy.epoch(7.0), again.epoch(7.0)
    assert np.array_equal(first.volumes["t1gd"].data, second.volumes["t1gd"].data)
    assert np.array_equal(first.volumes["density"].data, second.volumes["density"].data)


def test_a_centre_outside_the_brain_is_refused(base):
    for centre in ((56.0, 0.0, 0.0), (500.0, 0.0, 0.0)):
        with pytest.raises(ValueError, match="outside the brain"):
            implant(base, centre, 8.0, 1)


def test_oedema_darkens_by_a_factor_and_keeps_the_grain(anatomy, base):
    real, data = base.volumes["t1gd"].data, anatomy.epoch(-1.0).volumes["t1gd"].data
    regions = anatomy.course.regions(GRID, -1.0)
    inside = regions["oedema"].on(GRID) > 0.999
    inside &= ~binary_dilation(regions["tumour"].on(GRID) > 0, iterations=2)
    assert inside.sum() > 200
    assert 0.6 < np.median(data[inside]) / np.median(real[inside]) < 0.95
    step = np.diff(data, axis=0)[inside[1:] & inside[:-1]]
    assert step.std() > 0.5 * np.diff(real, axis=0)[inside[1:] & inside[:-1]].std()
