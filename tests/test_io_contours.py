"""Filling of contours: against exact areas and volumes, even-odd, and slabs of stated thickness."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon

from planner.io.contours import coverage, filled, skipped, slabs


def ring(radius: float, centre: tuple[float, float], count: int = 200) -> np.ndarray:
    angle = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius + centre


def area_of(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


@pytest.mark.parametrize(("radius", "worst"), [(0.4, 0.02), (1.5, 4e-3), (5.0, 5e-4), (14.0, 1e-4)])
def test_discs_have_their_area(radius: float, worst: float) -> None:
    polygon = ring(radius, (15.3, 16.8))
    found = coverage([polygon], (32, 34))
    assert found.sum() == pytest.approx(area_of(polygon), rel=worst)
    if radius > 1:  # a smaller disc lies in few pixels, whose centres are no places in it
        x, y = np.indices(found.shape)
        assert (found * x).sum() / found.sum() == pytest.approx(15.3, abs=0.015)
        assert (found * y).sum() / found.sum() == pytest.approx(16.8, abs=0.015)


def test_a_rectangle_on_fractions_of_pixels_is_exact_along_lines() -> None:
    found = coverage([np.array([[1.2, 0.5], [4.7, 0.5], [4.7, 3.5], [1.2, 3.5]])], (7, 5))
    expected = np.array([0, 0.3, 1, 1, 1, 0.2, 0])
    assert np.allclose(found[:, 1:4], expected[:, None], atol=1e-12)
    assert np.allclose(found[:, [0, 4]], 0.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_random_stars_against_counting_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 14))
    # All on one side of the centre, the last edge may cross the others: no star.
    assume(np.diff(angle, append=angle[0] + 2 * np.pi).max() < np.pi)
    star = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(2, 7, 14)[:, None] + (8.0, 8.0)
    found = coverage([star], (16, 16))
    fine = (np.arange(16 * 24) + 0.5) / 24 - 0.5
    points = np.stack(np.meshgrid(fine, fine, indexing="ij"), axis=-1).reshape(-1, 2)
    counted = Polygon(np.vstack([star, star[:1]])).contains_points(points).reshape(16, 24, 16, 24).mean(axis=(1, 3))
    assert np.abs(found - counted).max() < 0.06
    assert found.sum() == pytest.approx(area_of(star), rel=4e-3)


def test_holes_islands_and_keyholes_are_even_odd() -> None:
    outer, hole, island = ring(9.0, (12, 12)), ring(5.0, (12, 12)), ring(2.0, (12, 12))
    found = coverage([outer, hole, island], (25, 25))
    assert found[12, 12] == 1.0 and found[12, 15] == 0.0 and found[12, 19] == 1.0
    assert found.sum() == pytest.approx(np.pi * (81 - 25 + 4), rel=1e-3)
    # A keyhole: one polygon that runs in along a cut, round the hole and back along the same cut.
    keyhole = np.vstack([outer, outer[:1], hole[:1], hole[::-1], outer[:1]])
    assert np.allclose(coverage([keyhole], (25, 25)), coverage([outer, hole], (25, 25)), atol=1e-9)


def test_what_lies_outside_of_the_pixels_is_cut_off_not_moved() -> None:
    whole = coverage([ring(6.0, (10, 10))], (21, 21))
    polygon = ring(6.0, (10, 10)) - (8, 7)
    assert np.allclose(coverage([polygon], (9, 8)), whole[8:17, 7:15], atol=1e-12)


def test_slabs_reach_half_way_and_bodies_end() -> None:
    assert slabs([3.0]).tolist() == [[2.5, 3.5]]
    assert slabs([2.0, 4.0, 6.0]).tolist() == [[1, 3], [3, 5], [5, 7]]
    assert slabs([1.0, 2.0, 10.0, 11.0]).tolist() == [[0.5, 1.5], [1.5, 2.5], [9.5, 10.5], [10.5, 11.5]]
    assert slabs([5.0, 40.0]).tolist() == [[4.5, 5.5], [39.5, 40.5]]
    assert slabs([1.5, 2.5]).tolist() == [[1, 2], [2, 3]]


def test_planes_between_slices_share_their_volume() -> None:
    body = filled({4.3: [ring(4.0, (10, 10))], 5.3: [ring(4.0, (10, 10))]})
    area = coverage([ring(4.0, (10, 10)) - body.low[:2]], body.occupancy.shape[:2])
    assert body.low[2] == 4
    for k, share in enumerate((0.7, 1.0, 0.3)):
        assert np.allclose(body.occupancy[:, :, k], share * area, atol=1e-6)


def test_share_within_an_image() -> None:
    body = filled({0.0: [ring(4.0, (0.0, 9.5))], 1.0: [ring(4.0, (0.0, 9.5))]})
    # Half of the disc lies to the left of the first voxel's centre; half a voxel of the rest belongs to the image.
    assert body.share_within((20, 20, 9)) == pytest.approx(0.5 + 0.5 * 8 / (np.pi * 16), abs=2e-3)
    assert body.share_within((20, 20, 1)) == pytest.approx(body.share_within((20, 20, 9)) / 2)
    assert body.share_within((20, 3, 9)) == 0.0


@pytest.mark.parametrize(
    ("places", "planes"),
    [([3, 4, 5], 0), ([3], 0), ([3, 5, 7], 0), ([3, 4, 6, 7], 1), ([0, 1, 6, 7, 9], 5), ([1.4, 2.4, 4.4], 1)],
)
def test_planes_that_nothing_was_drawn_on_are_counted(places: list[float], planes: int) -> None:
    assert skipped(places) == planes
