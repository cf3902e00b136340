"""How a head lies: the map and its inverse, limits, and what is carried, against the map itself."""

from dataclasses import replace

import numpy as np
import pytest

from phantoms.grid import Grid
from phantoms.head import FIELD_OF_VIEW_MM
from phantoms.lesion import ball_cc
from phantoms.pose import TORQUE_MM, Placement, Pose
from phantoms.shapes import Ellipsoid, covered, sampled, window_of
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume

BALL = Ellipsoid((18.0, -22.0, 30.0), (14.0, 22.0, 11.0))


@pytest.fixture(params=[1, 2, 3])
def pose(request):
    return Pose.draw(np.random.default_rng(request.param), *FIELD_OF_VIEW_MM)


def columns(points):
    return tuple(column[:, None, None] for column in points.T)


def grid_of(spacing_mm):
    return Grid.covering((-50.0, -60.0, -20.0), (70.0, 40.0, 80.0), spacing_mm)


def test_placed_is_the_inverse_of_the_map(pose):
    points = np.random.default_rng(4).uniform(*FIELD_OF_VIEW_MM, (200, 3))
    found = np.column_stack([axis.ravel() for axis in pose.template(*columns(pose.placed(points)))])
    assert np.abs(found - points).max() < 1e-3
    assert pose.placed(points[7]) == pytest.approx(pose.placed(points)[7])


def test_mesh_and_points_agree(pose):
    axes = [axis.astype(np.float32) for axis in grid_of(20.0).axes_mm()]
    mesh = pose.template(*np.ix_(*axes))
    points = pose.template(*(axis.reshape(-1, 1, 1) for axis in np.meshgrid(*axes, indexing="ij")))
    for one, other in zip(mesh, points, strict=True):
        assert np.abs(one.ravel() - other.ravel()).max() < 1e-4


def test_tissue_is_not_folded_and_heads_lie_within_some_degrees(pose):
    assert pose.turn @ pose.turn.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.rad2deg(np.arccos((np.trace(pose.turn) - 1) / 2)) < 9.0
    axes = [axis.astype(np.float32) for axis in Grid.covering(*FIELD_OF_VIEW_MM, 4.0).axes_mm()]
    slopes = [np.gradient(place.astype(float), 4.0) for place in pose.template(*np.ix_(*axes))]
    jacobian = np.linalg.det(np.stack([np.stack(row, -1) for row in slopes], -2))
    assert 0.55 < jacobian.min() < jacobian.max() < 1.6
    assert jacobian.mean() == pytest.approx(1.0, abs=0.05)


def test_the_right_frontal_pole_lies_in_front_and_the_left_occipital_pole_behind():
    poses = [Pose.draw(np.random.default_rng(seed), *FIELD_OF_VIEW_MM) for seed in range(40)]
    assert np.mean([pose.torque_mm for pose in poses]) == pytest.approx(TORQUE_MM.value, abs=0.5)
    poles = np.array([(25.0, -75.0, 30.0), (-25.0, -75.0, 30.0), (25.0, 75.0, 30.0), (-25.0, 75.0, 30.0)])
    left_front, right_front, left_back, right_back = straightened(poses[0], 2.0).placed(poles)[:, 1]
    assert 0.5 < left_front - right_front < 2.0
    assert left_back - right_back == pytest.approx(left_front - right_front, abs=1e-4)


def straightened(pose, torque_mm):
    """Return a pose without turn and deformation."""
    flat = tuple(replace(noise, coefficients=np.zeros_like(noise.coefficients)) for noise in pose.noises)
    return Pose(np.eye(3), torque_mm, flat)


def test_a_ball_drawn_to_scale_keeps_its_volume(pose):
    grid, centre = grid_of(1.0), (10.0, -20.0, 30.0)
    radius = 9.0 * pose.scale_at(centre)
    ball = pose.sampled(Ellipsoid(centre, (radius,) * 3), grid)
    assert covered(ball.data, grid).sum() * grid.voxel_cc == pytest.approx(ball_cc(9.0), rel=0.02)


def test_a_still_head_is_moved_to_the_middle_of_the_field_of_view_and_not_changed():
    pose = Pose.draw(np.random.default_rng(1), *FIELD_OF_VIEW_MM)
    still, grid = straightened(pose, 0.0), grid_of(1.5)
    data = np.random.default_rng(2).random(grid.shape, np.float32)
    assert still.upright(grid) == grid
    # By 3 mm forwards and 1.5 mm down.
    carried = Placement(still, grid, grid).carried(data, grid)
    assert np.abs(carried[:, :-2, :-1] - data[:, 2:, 1:]).max() < 1e-4


def test_what_is_carried_lies_where_the_map_says(pose):
    grid = grid_of(1.0)
    upright = pose.upright(grid)
    window = window_of(BALL, upright)
    distance = Placement(pose, upright, grid).distance(Volume(window, sampled(BALL, window), Quantity.DISTANCE))
    carried = Structure("ball", Role.ORGAN, distance.grid, covered(distance.data, grid))
    axes = [axis.astype(np.float32) for axis in grid.axes_mm()]
    exact = covered(BALL.distance(*pose.template(*np.ix_(*axes))), grid)
    assert carried.centroid_mm == pytest.approx(Structure("", Role.ORGAN, grid, exact).centroid_mm, abs=0.02)
    assert carried.volume_cc == pytest.approx(float(exact.sum()) * grid.voxel_cc, rel=0.005)
    assert np.minimum(carried.on(grid), exact).sum() > 0.995 * exact.sum()


def test_the_distance_to_a_placed_shape_is_that_at_the_place_in_the_template(pose):
    grid = grid_of(1.0)
    axes = [axis.astype(np.float32) for axis in grid.axes_mm()]
    exact = BALL.distance(*pose.template(*np.ix_(*axes)))
    near = np.abs(exact) < 2.0
    assert np.abs(pose.sampled(BALL, grid).data - exact)[near].max() < 0.05
