"""Shapes: exact distances and volumes against formulas, occupancy, combinations, noise."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.interpolate import BSpline

from phantoms.grid import Grid
from phantoms.noise import Noise
from phantoms.shapes import Below, Box, Capsule, Ellipsoid, Sphere, Torus, occupancy, sampled, structure_of, union
from phantoms.structure import Role, Structure

GRID = Grid.covering((-26.3, -25.7, -25.1), (25.9, 26.2, 25.5), 1.0)
BODIES = {
    "sphere": Sphere((0.3, -0.2, 0.4), 11.0),
    "capsule": Capsule((-6.0, -4.0, 2.0), (7.0, 5.0, -3.0), 6.0),
    "box": Box((0.4, 0.3, -0.2), (9.3, 7.1, 11.4)),
    "rounded box": Box((0.4, 0.3, -0.2), (9.3, 7.1, 11.4), 3.0),
    "torus": Torus((0.0, 0.5, 0.2), 13.0, 4.5),
}


@pytest.mark.parametrize("name", BODIES)
def test_occupied_volume_is_the_formula(name):
    body = BODIES[name]
    assert occupancy(body, GRID, samples=3).sum() / 1000 == pytest.approx(body.volume_cc, rel=1e-3)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("margin", [1.0, 2.5])
def test_grown_volume_is_the_formula(name, margin):
    body = BODIES[name]
    assert occupancy(body.grown(margin), GRID, samples=2).sum() / 1000 == pytest.approx(body.grown_cc(margin), rel=2e-3)


@pytest.mark.parametrize("name", BODIES)
def test_distance_has_unit_slope_off_the_skeleton(name):
    rng = np.random.default_rng(1)
    points = rng.uniform(-24, 24, (3, 4000))
    step = 1e-4
    slopes = [
        (BODIES[name].distance(*(points + step * e[:, None])) - BODIES[name].distance(*(points - step * e[:, None])))
        / (2 * step)
        for e in np.eye(3)
    ]
    length = np.linalg.norm(slopes, axis=0)
    assert np.median(length) == pytest.approx(1.0, abs=1e-6)
    assert (np.abs(length - 1) < 1e-3).mean() > 0.99


def test_ellipsoid_volume_surface_and_centre():
    body = Ellipsoid((0.2, 0.1, -0.3), (9.0, 14.0, 19.0))
    assert occupancy(body, GRID, samples=2).sum() / 1000 == pytest.approx(body.volume_cc, rel=2e-3)
    directions = np.random.default_rng(2).standard_normal((3, 500))
    on = directions / np.linalg.norm(directions, axis=0) * np.array([[9.0], [14.0], [19.0]])
    x, y, z = on + np.array([[0.2], [0.1], [-0.3]])
    assert np.abs(body.distance(x, y, z)).max() < 1e-4
    at = [np.array([v]) for v in (0.2, 0.1, -0.3)]
    assert body.distance(*at)[0] == pytest.approx(-9.0, rel=1e-2)


def test_combinations_are_set_operations():
    a, b = Sphere((-3.0, 0.0, 0.0), 8.0), Sphere((4.0, 0.0, 0.0), 7.0)
    in_a, in_b = sampled(a, GRID) < 0, sampled(b, GRID) < 0
    assert np.array_equal(sampled(a | b, GRID) < 0, in_a | in_b)
    assert np.array_equal(sampled(a & b, GRID) < 0, in_a & in_b)
    assert np.array_equal(sampled(a - b, GRID) < 0, in_a & ~in_b)
    assert np.array_equal(sampled(union(a, b), GRID) < 0, in_a | in_b)


def test_union_of_parts_seen_nearby_only_equals_the_union_of_all():
    rng = np.random.default_rng(3)
    parts = [Sphere(tuple(rng.uniform(-15, 15, 3)), float(rng.uniform(2, 5))) for _ in range(12)]
    slow = parts[0]
    for part in parts[1:]:
        slow = slow | part
    assert np.allclose(sampled(union(*parts), GRID), np.minimum(sampled(slow, GRID), 12.0), atol=1e-5)


def test_smooth_union_covers_both_and_has_no_steps():
    a, b = Sphere((-9.0, 0.0, 0.0), 8.0), Sphere((9.0, 0.0, 0.0), 8.0)
    smooth = sampled(union(a, b, width=10.0), GRID)
    assert (smooth <= np.minimum(sampled(a, GRID), sampled(b, GRID)) + 1e-5).all()
    assert smooth[tuple(int(v) for v in np.rint(GRID.index_of((0.0, 0.0, 0.0))))] < 0 < sampled(a | b, GRID).max()
    near = np.abs(smooth) < 3
    for axis in range(3):
        pairs = np.logical_and(*(near.take(range(s, near.shape[axis] - 1 + s), axis=axis) for s in (0, 1)))
        assert np.abs(np.diff(smooth, axis=axis))[pairs].max() < 1.25


def test_placing_keeps_volume_and_moves_the_centroid():
    body = Box((0.0, 0.0, 0.0), (8.0, 5.0, 3.0))
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    shape = body.rotated(turn).moved((4.0, -3.0, 2.0))
    placed = Structure("box", Role.ORGAN, GRID, occupancy(shape, GRID, samples=3))
    assert placed.volume_cc == pytest.approx(body.volume_cc, rel=4e-3)
    assert placed.centroid_mm == pytest.approx([4.0, -3.0, 2.0], abs=0.01)
    half = occupancy(body & Below((0.0, 0.0, 0.0), (1.0, 0.0, 0.0)), GRID, samples=3).sum() / 1000
    assert half == pytest.approx(body.volume_cc / 2, rel=5e-3)


def test_shape_outside_the_grid_is_refused():
    with pytest.raises(ValueError, match="outside the grid"):
        structure_of("far", Role.ORGAN, Sphere((200.0, 0.0, 0.0), 5.0), GRID)


def _naive(noise: Noise, point: np.ndarray) -> float:
    """B-spline series by scipy's basis functions, one point."""
    weights = []
    for p, origin, step, count in zip(point, noise.knots.origin, noise.knots.step, noise.knots.shape, strict=True):
        knots = np.arange(-2, 3)
        f = (p - origin) / step
        weights.append(
            [float(np.nan_to_num(BSpline.basis_element(knots, extrapolate=False)(f - n))) for n in range(count)]
        )
    return float(np.einsum("i,j,k,ijk", *weights, noise.coefficients))


def test_noise_is_the_spline_series_at_mesh_and_points():
    noise = Noise.draw(np.random.default_rng(4), (-20, -20, -20), (20, 20, 20), 7.0)
    points = np.random.default_rng(5).uniform(-19, 19, (3, 30)).astype(np.float32)
    exact = [_naive(noise, p) for p in points.T]
    assert noise.at(*points) == pytest.approx(exact, abs=1e-4)
    x, y, z = (np.sort(p[:4]) for p in points)
    mesh = noise.at(x[:, None, None], y[None, :, None], z[None, None, :])
    assert mesh == pytest.approx(noise.at(*np.meshgrid(x, y, z, indexing="ij")), abs=1e-5)


def test_noise_has_zero_mean_and_unit_variance_with_and_without_its_long_waves():
    noise = Noise.draw(np.random.default_rng(6), (-80, -80, -80), (80, 80, 80), 6.0)
    points = np.random.default_rng(7).uniform(-79, 79, (3, 60000)).astype(np.float32)
    short = noise.without_long_waves(1.5)
    for field in (noise, short):
        values = field.at(*points)
        assert abs(values.mean()) < 0.05
        assert values.std() == pytest.approx(1.0, abs=0.06)
    wide, narrow = (ndimage.gaussian_filter(field.coefficients, 4.0) for field in (noise, short))
    assert narrow.std() < 0.25 * wide.std()
