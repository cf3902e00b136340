"""The true deformation between two days: onto the other wall, invertible, positive, keeping volume, at rest far off."""

import numpy as np
import pytest

from phantoms.cavity import fitted_patch
from phantoms.course import SurgicalCourse
from phantoms.flow import MENINGES_MM, REACH_MM, TissueFlow
from phantoms.grid import Grid
from phantoms.lesion import Lesion, draw_volume_cc
from phantoms.resection import Resection
from phantoms.shapes import Sphere, structure_of
from phantoms.structure import Role

CENTRE = (30.0, -12.0, 41.0)
DAYS = (-1.0, 0.0, 2.0, 20.0, 45.0, 90.0)


def box(spacing, half=66.0):
    middle = np.asarray(CENTRE)
    return Grid.covering((middle - half).tolist(), (middle + half).tolist(), spacing)


def make(seed, within=None):
    rng = np.random.default_rng(seed)
    tumour = Lesion.draw(rng, CENTRE, draw_volume_cc(rng))
    return SurgicalCourse.draw(rng, tumour, (18.0, -6.0, 15.0), within, Resection(0.0))


def ball(radius=40.0, centre=(18.0, -12.0, 36.0)):
    return structure_of("room", Role.SUPPORT, Sphere(centre, radius), box(1.5))


def scattered(count=20000, half=64.0):
    return np.asarray(CENTRE) + np.random.default_rng(0).uniform(-half, half, (count, 3))


def wall_of(course, day):
    form, centre = course.form(day), course.centre_mm(day)
    _, _, scale = fitted_patch(box(1.0), centre, form, course.volume_cc(day), course.within)
    return form, centre, scale


def beyond_wall(course, day, points):
    """Distance to the wall along the ray from the cavity's own centre, mm, positive outside."""
    form, centre, scale = wall_of(course, day)
    offset = (points - centre).T.astype(np.float32)
    length = np.linalg.norm(offset, axis=0)
    return length - scale * form.radius(tuple(offset), length)


def on_wall(course, day, count=3000):
    form, centre, scale = wall_of(course, day)
    ray = np.random.default_rng(2).standard_normal((count, 3))
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    return centre + ray * (scale * form.radius(tuple(ray.T.astype(np.float32)), np.ones(count, np.float32)))[:, None]


@pytest.mark.parametrize("seed", [1, 4, 11])
def test_the_wall_of_one_day_goes_onto_that_of_the_other(seed):
    course = make(seed)
    flow = TissueFlow(course)
    for start, end in ((1.0, 20.0), (20.0, 60.0), (-1.0, 1.0), (60.0, 2.0)):
        moved, _ = flow.moved(on_wall(course, start), start, end)
        missed = np.abs(beyond_wall(course, end, moved))
        assert missed.max() < 0.25
        assert missed.mean() < 0.03


@pytest.mark.parametrize("within", [None, "ball"])
def test_back_and_forth_and_by_way_of_a_third_day_is_exact(within):
    flow, points = TissueFlow(make(3, None if within is None else ball())), scattered()
    there, grown = flow.moved(points, 1.0, 30.0)
    back, shrunk = flow.moved(there, 30.0, 1.0)
    assert np.abs(back - points).max() < 1e-6
    assert grown * shrunk == pytest.approx(np.ones(len(points)), rel=1e-6)
    half_way, _ = flow.moved(points, 1.0, 12.0)
    on, _ = flow.moved(half_way, 12.0, 30.0)
    assert np.abs(on - there).max() < 1e-6
    still, one = flow.moved(points, 7.0, 7.0)
    assert np.abs(still - points).max() < 1e-9
    assert one == pytest.approx(np.ones(len(points)))


@pytest.mark.parametrize("seed", range(6))
def test_the_jacobian_is_positive_on_all_days_even_beside_the_dura(seed):
    flow, points = TissueFlow(make(seed, ball(32.0))), scattered(4000)
    for start in DAYS:
        for end in DAYS:
            assert flow.moved(points, start, end)[1].min() > 0.0


def test_the_jacobian_is_that_of_the_map():
    flow = TissueFlow(make(2, ball()))
    points = scattered(3000, 35.0)
    _, told = flow.moved(points, 1.0, 25.0)
    step = 1e-3
    columns = [
        (flow.moved(points + step * e, 1.0, 25.0)[0] - flow.moved(points - step * e, 1.0, 25.0)[0]) / (2 * step)
        for e in np.eye(3)
    ]
    found = np.linalg.det(np.stack(columns, axis=-1))
    # Rays are interpolated: across the edges of their cells, the wall and the limit, differences see a kink.
    assert np.quantile(np.abs(found - told), 0.97) < 2e-3


def test_tissue_is_neither_made_nor_lost():
    course = make(11, ball())
    flow, grid = TissueFlow(course), box(0.8, 56.0)
    points = grid.point_of(np.argwhere(np.ones(grid.shape, bool)))
    room = course.within.on(grid).ravel() > 0.5
    outside = room & (beyond_wall(course, 2.0, points) > 0.0)
    _, jacobian = flow.moved(points[outside], 2.0, 60.0)
    kept = outside.sum() * grid.voxel_cc
    gone = course.volume_cc(60.0) - course.volume_cc(2.0)
    # Brain shares its closed room with the cavity: what the one gains the other gives.
    assert jacobian.sum() * grid.voxel_cc == pytest.approx(kept - gone, abs=0.12)
    assert gone < -2.0


def test_brain_far_from_the_dura_keeps_its_volume():
    course = make(1)
    flow, points = TissueFlow(course), scattered(40000, 40.0)
    gap = beyond_wall(course, 1.0, points)
    _, jacobian = flow.moved(points, 1.0, 60.0)
    near = (gap > 0.5) & (gap < 15.0)
    assert course.volume_cc(60.0) - course.volume_cc(1.0) < -1.0
    assert np.abs(jacobian[near] - 1.0).max() < 0.01


def test_nothing_moves_in_or_beyond_the_dura_and_motion_fades():
    course = make(7, ball())
    flow, grid = TissueFlow(course), box(2.0)
    shift = np.linalg.norm(flow.displacement(1.0, 40.0, grid), axis=0)
    outside = course.within.on(grid) < 0.01
    assert shift[outside].max() < 0.25  # rays are smoothed over two degrees
    free = TissueFlow(make(7))
    shift = np.linalg.norm(free.displacement(1.0, 40.0, grid), axis=0).ravel()
    points = grid.point_of(np.argwhere(np.ones(grid.shape, bool)))
    away = np.linalg.norm(points - np.asarray(free.centre_mm), axis=1)
    assert shift[away > REACH_MM.value].max() == 0.0
    assert shift[(away > 40) & (away < 45)].max() < 0.2 * shift.max()
    assert shift.max() > 1.0


def test_the_field_is_the_map_and_does_not_depend_on_threads(monkeypatch):
    flow, grid = TissueFlow(make(8, ball())), box(4.0)
    points = grid.point_of(np.argwhere(np.ones(grid.shape, bool)))
    moved, _ = flow.moved(points, 1.0, 15.0)
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("LACUNA_THREADS", threads)
        found.append(flow.displacement(1.0, 15.0, grid))
    assert np.array_equal(found[0], found[1])
    assert found[0].dtype == np.float32
    assert np.abs(found[0].reshape(3, -1).T - (moved - points)).max() < 1e-4


def test_where_the_cavity_touches_the_dura_a_layer_stays():
    course = make(1, ball(18.0, CENTRE))
    flow = TissueFlow(course)
    touching = flow._wall(2.0) >= flow._limit - MENINGES_MM.value - 1e-9
    assert 0.02 < touching.mean() < 1.0
    assert (flow._wall(2.0) < flow._limit).all()
