"""A real patient over time: true on the days that were imaged, on the course through them on others."""

from dataclasses import replace

import numpy as np
import pytest

from phantoms.cavity import solve
from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.course import AIR_DECAY_DAY
from phantoms.grid import Grid
from phantoms.measured import MeasuredAnatomy, measured
from phantoms.patient import Epoch, Patient
from phantoms.rays import COLUMNS, ROWS, RayForm, deepest_mm, directions, equal_volume
from phantoms.shapes import Ellipsoid, structure_of
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume

SPACING = 2.0
CENTRE = (12.0, -7.0, 30.0)
GRID = Grid.covering((-20.0, -40.0, 0.0), (44.0, 26.0, 60.0), 1.0)


@pytest.fixture(scope="module")
def synthetic() -> SyntheticAnatomy:
    return SyntheticAnatomy(CohortSpec(patients=1, seed=11, spacing_mm=SPACING), 0)


@pytest.fixture(scope="module")
def epochs(synthetic: SyntheticAnatomy) -> tuple[Epoch, ...]:
    return tuple(synthetic.epoch(day, images=["t1gd"]) for day in (1.0, 22.0))


@pytest.fixture(scope="module")
def real(epochs: tuple[Epoch, ...]) -> MeasuredAnatomy:
    return measured(Patient("real-1", epochs), 5)


def overlap(one: Structure, other: Structure, grid: Grid) -> float:
    a, b = one.on(grid), other.on(grid)
    return float(2 * np.minimum(a, b).sum() / (a.sum() + b.sum()))


def test_radii_hold_the_volume_and_give_the_surface() -> None:
    body = structure_of("cavity", Role.TARGET, Ellipsoid(CENTRE, (14.0, 9.0, 11.0)), GRID)
    off = np.asarray(CENTRE) + np.array([2.0, -1.0, 1.5])
    radii = equal_volume(body, off, 60.0)
    weight = np.sin(np.pi * np.arange(ROWS + 1) / ROWS)[:, None]
    volume = (radii**3 / 3 * weight).sum() * (np.pi / ROWS) * (2 * np.pi / COLUMNS) / 1000
    assert volume == pytest.approx(body.volume_cc, rel=0.01)
    surface = off + directions() * radii[..., None]
    assert np.abs(np.linalg.norm((surface - CENTRE) / (14.0, 9.0, 11.0), axis=-1) - 1).max() < 0.06


def test_a_form_of_rays_has_its_radii_in_every_direction() -> None:
    rng = np.random.default_rng(0)
    radii = 9.0 + np.cos(np.linspace(0, np.pi, ROWS + 1))[:, None] * np.ones(COLUMNS)
    form = RayForm.of(radii)
    offset = rng.standard_normal((3, 500))
    length = np.linalg.norm(offset, axis=0)
    mean = (radii / form.radii)[0, 0]
    assert form.radius(tuple(offset), length) * mean == pytest.approx(9.0 + offset[2] / length, abs=2e-3)


def test_the_deepest_point_lies_inside_of_a_crescent() -> None:
    ball = structure_of("cavity", Role.TARGET, Ellipsoid(CENTRE, (14.0, 14.0, 14.0)), GRID)
    bite = structure_of("bite", Role.TARGET, Ellipsoid((4.0, -7.0, 30.0), (14.0, 14.0, 14.0)), GRID)
    crescent = Structure("cavity", Role.TARGET, GRID, np.maximum(ball.on(GRID) - bite.on(GRID), 0))
    place = np.rint(GRID.index_of(np.array(deepest_mm(crescent)))).astype(int)
    assert crescent.occupancy[tuple(place)] == 1.0
    with pytest.raises(ValueError, match="nowhere"):
        deepest_mm(Structure("cavity", Role.TARGET, GRID, np.zeros(GRID.shape)))


def test_on_a_day_that_was_imaged_the_truth_is_that_epoch(real: MeasuredAnatomy, epochs: tuple[Epoch, ...]) -> None:
    for epoch in epochs:
        found = real.epoch(epoch.day + 0.3)
        assert found.day == epoch.day + 0.3
        assert found.structures is epoch.structures
        assert found.volumes["t1gd"] is epoch.volumes["t1gd"]
        assert set(real.epoch(epoch.day, images=False).volumes) == {"density"}
        assert real.course.volume_cc(epoch.day) == pytest.approx(epoch.structures["cavity"].volume_cc, rel=1e-6)


def test_days_between_follow_the_course(real: MeasuredAnatomy) -> None:
    for day in (4.0, 10.0, 17.0, 30.0):
        cavity = real.epoch(day, images=False).structures["cavity"]
        assert cavity.volume_cc == pytest.approx(real.course.volume_cc(day), rel=0.005)


def test_the_first_day_carried_to_the_last_is_like_the_last(real: MeasuredAnatomy, epochs: tuple[Epoch, ...]) -> None:
    alone = MeasuredAnatomy(epochs[:1], real.course, real.id, real.facts)
    carried, truth = alone.epoch(22.0), epochs[1]
    grid = truth.grid
    before = overlap(epochs[0].structures["cavity"], truth.structures["cavity"], grid)
    after = overlap(carried.structures["cavity"], truth.structures["cavity"], grid)
    assert after > 0.93 and 1 - after < 0.5 * (1 - before)
    assert set(carried.structures) == set(epochs[0].structures)
    # The image goes with it: its own cavity stays dark.
    inside = carried.structures["cavity"].on(grid) > 0.99
    here, there = (
        carried.volumes["t1gd"].data[inside],
        truth.volumes["t1gd"].data[truth.structures["brain"].on(grid) > 0.99],
    )
    assert np.median(here) < 0.8 * np.median(there)


def test_the_other_side_of_surgery_is_painted(real: MeasuredAnatomy) -> None:
    before = real.epoch(-2.0)
    assert "cavity" not in before.structures
    assert before.structures["tumour"].volume_cc == pytest.approx(real.course.volume_cc(-2.0), rel=0.01)


def test_the_deformation_is_invertible(real: MeasuredAnatomy) -> None:
    points = np.asarray(real.course.lesion.centre_mm) + np.random.default_rng(1).uniform(-50, 50, (4000, 3))
    there, jacobian = real.flow.moved(points, 1.0, 22.0)
    back, _ = real.flow.moved(there, 22.0, 1.0)
    assert jacobian.min() > 0
    assert np.abs(back - points).max() < 0.01


def test_residual_tumour_is_what_was_contoured(epochs: tuple[Epoch, ...]) -> None:
    nodule = structure_of("residual", Role.TARGET, Ellipsoid(CENTRE, (4.0, 4.0, 4.0)), epochs[0].grid)
    first = Epoch(1.0, epochs[0].volumes, {**epochs[0].structures, "residual": nodule})
    course = measured(Patient("real-1", (first, epochs[1])), 5).course
    last = epochs[1].structures["residual"].volume_cc if "residual" in epochs[1].structures else 0.0
    assert course.residual_volume_cc(1.0) == pytest.approx(nodule.volume_cc)
    assert course.residual_volume_cc(11.5) == pytest.approx((nodule.volume_cc + last) / 2)
    assert course.residual_volume_cc(-1.0) == 0.0


def test_residual_tumour_regrows_and_air_goes_on_days_without_image(epochs: tuple[Epoch, ...]) -> None:
    first = epochs[0]
    cavity, grid = first.structures["cavity"], first.grid
    beside = cavity.centroid_mm + np.array([0.0, 0.0, float(np.ptp(cavity.cropped().grid.axes_mm()[2])) / 2 + 3.0])
    ball = structure_of("residual", Role.TARGET, Ellipsoid(tuple(beside), (5.0, 5.0, 5.0)), grid)
    nodule = Structure("residual", Role.TARGET, grid, np.minimum(ball.on(grid), 1.0 - cavity.on(grid)))
    bright = first.volumes["t1gd"].data + nodule.on(grid) * (1000.0 - first.volumes["t1gd"].data)
    volumes = {**first.volumes, "t1gd": Volume(grid, bright, Quantity.MR_SIGNAL)}
    real = measured(Patient("real-1", (Epoch(1.0, volumes, {**first.structures, "residual": nodule}),)), 5)
    doubling = float(real.facts["residual_doubling_day"])
    later = real.epoch(1.0 + doubling)
    grown, empty = later.structures["residual"], later.structures["cavity"].on(grid)
    assert real.course.residual_volume_cc(1.0 + doubling) == pytest.approx(2 * nodule.volume_cc, rel=0.03)
    assert grown.volume_cc == pytest.approx(2 * nodule.volume_cc, rel=0.1)  # less what would lie in the cavity
    assert np.all(grown.on(grid) + empty <= 1.0 + 1e-6)
    assert np.percentile(later.volumes["t1gd"].data[grown.on(grid) > 0.95], 10) > 650.0  # brain 300, nodule 1000
    air, soon = first.structures["air"], real.epoch(6.0)
    assert soon.structures["air"].volume_cc == pytest.approx(
        air.volume_cc * np.exp(-5.0 / AIR_DECAY_DAY.value), rel=0.02
    )
    gone = air.on(grid) - soon.structures["air"].on(grid) > 0.9
    assert gone.any() and np.median(soon.volumes["density"].data[gone]) == pytest.approx(1.01, abs=0.04)


def test_air_that_nobody_contoured_resorbs_too(epochs: tuple[Epoch, ...]) -> None:
    first = epochs[0]
    contoured, free = first.structures["air"], {n: s for n, s in first.structures.items() if n != "air"}
    real = measured(Patient("real-1", (replace(first, structures=free),)), 5)
    found = real.epoch(1.0).structures["air"]
    assert found.volume_cc == pytest.approx(contoured.volume_cc, rel=0.15)
    late = real.epoch(25.0)
    assert late.structures["air"].volume_cc < 0.05 * found.volume_cc
    inside = late.structures["cavity"].on(first.grid) > 0.99
    assert late.volumes["density"].data[inside].min() > 0.8
    # Where there is none in the density, none is made up.
    dry = Volume(first.grid, np.maximum(first.volumes["density"].data, 1.0), Quantity.DENSITY)
    without = measured(Patient("real-1", (Epoch(1.0, {**first.volumes, "density": dry}, free),)), 5)
    assert "air" not in without.epoch(1.0).structures


def test_a_volume_is_solved_for_on_either_side_of_zero() -> None:
    for bracket in ((-12.0, -3.0), (-5.0, 5.0), (3.0, 12.0)):
        middle = sum(bracket) / 2 + 0.3
        assert solve(lambda s, at=middle: 10.0 + s - at, 10.0, bracket) == pytest.approx(middle, abs=1e-4)
        assert solve(lambda s: s, bracket[1] + 1.0, bracket) is None


def test_a_patient_without_contours_is_refused(epochs: tuple[Epoch, ...]) -> None:
    bare = Epoch(1.0, epochs[0].volumes, {n: s for n, s in epochs[0].structures.items() if n != "cavity"})
    with pytest.raises(ValueError, match="no day has a contour"):
        measured(Patient("real-1", (bare,)), 5)
    away = structure_of("cavity", Role.TARGET, Ellipsoid((-40.0, 0.0, 40.0), (5.0, 5.0, 5.0)), epochs[0].grid)
    other = Epoch(9.0, bare.volumes, {**bare.structures, "cavity": away})
    with pytest.raises(ValueError, match="share no point"):
        measured(Patient("real-1", (epochs[0], other)), 5)


def test_a_trace_of_residual_tumour_without_a_surface_stays_a_trace(epochs: tuple[Epoch, ...]) -> None:
    first = epochs[0]
    faint = np.zeros(first.grid.shape, np.float32)
    x, y, z = np.argwhere(first.structures["cavity"].on(first.grid) > 0.0)[0]
    faint[x - 1, y, z] = 0.004
    trace = Structure("residual", Role.TRUTH, first.grid, faint)
    epoch = replace(first, structures={**first.structures, "residual": trace})
    later = measured(Patient("real-2", (epoch,)), 5).epoch(12.0)
    assert later.structures["residual"].volume_cc < 1e-4 and later.structures["cavity"].volume_cc > 1.0
