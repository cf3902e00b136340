"""Radiological depth: against Siddon's exact sum, in water and slabs, and in the corners of the geometry."""

import numpy as np
import pytest
from oracles_pencil import siddon_depth

from kernels.raytrace import Fan, fan_depth, seen_from, trace_fan
from phantoms.grid import Grid

DOWN_Y = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0)


def fan_of(source, axes=DOWN_Y, rays=5, step=7.0, first=900.0, spacing=3.0, planes=80):
    low = -0.5 * (rays - 1) * step
    return Fan(tuple(source), axes, 1000.0, (low, low), step, first, spacing, (rays, rays, planes))


def traced(grid, density, fan):
    out = np.full(fan.shape, np.nan, np.float32)
    visited = trace_fan(grid.lattice, np.ascontiguousarray(density, dtype=np.float32), fan, (0, fan.shape[0]), out)
    assert not np.isnan(out).any()
    return out, visited


def point_on(fan, i, j, k):
    """Where ray (i, j) meets plane k."""
    u, v, w = np.asarray(fan.axes).reshape(3, 3)
    along = fan.first + k * fan.spacing
    sideways = ((fan.low[0] + i * fan.step) * u + (fan.low[1] + j * fan.step) * v) * along / fan.sad
    return np.asarray(fan.source) + along * w + sideways


def oblique_axes(seed):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return tuple(q.ravel().tolist())


@pytest.mark.parametrize("seed", range(4))
def test_every_plane_of_oblique_rays_equals_siddon(seed):
    rng = np.random.default_rng(seed)
    grid = Grid((9, 7, 8), (3.0, 4.5, 5.0), (1.3, -2.0, 0.4))
    density = rng.uniform(0, 2, grid.shape).astype(np.float32)
    axes = oblique_axes(seed)
    centre = grid.point_of(np.array([4, 3, 3.5]))
    fan = fan_of(centre - 1000 * np.asarray(axes[6:]), axes, rays=4, step=6.0, first=975.0, spacing=2.5, planes=22)
    out, _ = traced(grid, density, fan)
    for i, j, k in np.ndindex(fan.shape):
        want = siddon_depth(grid, density, fan.source, point_on(fan, i, j, k))
        assert out[i, j, k] == pytest.approx(want, abs=2e-5, rel=2e-6)


def test_water_is_exact_to_1e_5():
    grid = Grid((40, 50, 40), (5.0, 5.0, 5.0), (-97.5, -97.5, -97.5))
    fan = fan_of((0.0, -1000.0, 0.0), rays=45, step=2.0, first=905.0, spacing=2.0, planes=100)
    out, _ = traced(grid, np.ones(grid.shape), fan)
    rng = np.random.default_rng(0)
    for x, y, z in rng.uniform([-35, -90, -35], [35, 80, 35], size=(200, 3)):
        u, v, w, r = seen_from(fan, x, y, z)
        want = r * (y + 100.0) / (y + 1000.0)  # the surface is the plane y = -100
        assert fan_depth(fan, out, u, v, w) == pytest.approx(want, rel=1e-5)


def test_slabs_are_exact_to_1e_4_behind_each_face():
    # 50 mm water, 20 mm air, bone, water: points away from the faces by more than one plane.
    grid = Grid((4, 200, 4), (50.0, 1.0, 50.0), (-75.0, -99.5, -75.0))
    depth = np.arange(200) + 0.5
    profile = np.select([depth < 50, depth < 70, depth < 80], [1.0, 0.0012, 1.85], 1.0)
    density = np.broadcast_to(profile[None, :, None], grid.shape)
    fan = fan_of((0.0, -1000.0, 0.0), rays=11, step=8.0, first=900.0, spacing=1.0, planes=200)
    out, _ = traced(grid, density, fan)
    for y, below in ((-60.0, 40.0), (-35.0, 50.018), (-25.0, 50.024 + 9.25), (30.0, 50.024 + 18.5 + 50.0)):
        for x in (-30.0, 0.0, 11.0):
            u, v, w, r = seen_from(fan, x, y, 3.0)
            assert fan_depth(fan, out, u, v, w) == pytest.approx(below * r / (y + 1000.0), rel=1e-4)


def test_a_ray_in_a_face_plane_and_parallel_to_an_axis_counts_each_length_once():
    # The central ray runs exactly along the common edge of four columns; all have the same density along y.
    grid = Grid((4, 10, 4), (2.0, 3.0, 2.0), (-3.0, 1.5, -3.0))
    profile = np.linspace(0.1, 1.9, 10)
    fan = fan_of((0.0, -1000.0, 0.0), rays=3, step=1.0, first=1000.0, spacing=3.0, planes=12)
    out, _ = traced(grid, np.broadcast_to(profile[None, :, None], grid.shape), fan)
    want = np.concatenate([[0.0], np.cumsum(3.0 * profile), [3.0 * profile.sum()]])
    np.testing.assert_allclose(out[1, 1], want, rtol=1e-6)


def test_a_ray_in_an_outer_face_is_inside_and_one_beyond_it_misses():
    grid = Grid((1, 5, 1), (2.0, 2.0, 2.0), (0.0, 1.0, 0.0))
    for x, want in ((1.0, 10.0), (-1.0, 10.0), (1.001, 0.0), (-1.001, 0.0)):
        fan = Fan((x, -1000.0, 0.0), DOWN_Y, 1000.0, (0.0, 0.0), 1.0, 1050.0, 1.0, (1, 1, 2))
        out, visited = traced(grid, np.ones(grid.shape), fan)
        np.testing.assert_allclose(out[0, 0], want, rtol=1e-6)
        assert visited == (5 if want else 0)


def test_a_source_inside_starts_there():
    grid = Grid((10, 10, 10), (1.0, 1.0, 1.0), (-4.5, -4.5, -4.5))
    fan = Fan((0.25, -1.25, 0.25), DOWN_Y, 1000.0, (0.0, 0.0), 1.0, 0.0, 0.5, (1, 1, 20))
    out, _ = traced(grid, np.full(grid.shape, 2.0), fan)
    np.testing.assert_allclose(out[0, 0], 2.0 * np.minimum(0.5 * np.arange(20), 6.25), rtol=1e-6)


def test_zero_density_has_no_depth_and_visits_each_voxel_once():
    grid = Grid((6, 8, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    fan = Fan((2.2, -1000.0, 2.3), DOWN_Y, 1000.0, (0.0, 0.0), 1.0, 995.0, 1.0, (1, 1, 30))
    out, visited = traced(grid, np.zeros(grid.shape), fan)
    assert not out.any() and visited == 8


def test_a_ray_that_misses_and_one_that_leads_away_have_no_depth():
    grid = Grid((6, 8, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    away = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)
    for source, axes in (((50.0, -1000.0, 2.0), DOWN_Y), ((2.0, -1000.0, 2.0), away)):
        fan = Fan(source, axes, 1000.0, (0.0, 0.0), 1.0, 1100.0, 1.0, (1, 1, 5))
        out, visited = traced(grid, np.ones(grid.shape), fan)
        assert not out.any() and visited == 0
