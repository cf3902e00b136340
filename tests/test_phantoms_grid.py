"""Grids, volumes and structures: indices, points, windows, placement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume

GRID = Grid((7, 9, 11), (1.0, 1.5, 2.0), (-3.0, 4.0, -20.0))


def test_index_and_point_are_inverse():
    points = np.random.default_rng(1).normal(size=(20, 3)) * 10
    np.testing.assert_allclose(GRID.point_of(GRID.index_of(points)), points, atol=1e-12)
    np.testing.assert_allclose((GRID.affine @ [2, 3, 4, 1])[:3], GRID.point_of(np.array([2, 3, 4])))


@given(st.floats(0.3, 4), st.floats(0.5, 40), st.floats(-30, 30))
def test_a_covering_grid_covers_and_wastes_less_than_a_voxel(step, size, low):
    grid = Grid.covering((low, low, low), (low + size, low + 2 * size, low + 0.1), step)
    assert (grid.low_mm <= np.array([low] * 3) + 1e-6).all()
    assert (grid.high_mm >= np.array([low + size, low + 2 * size, low + 0.1]) - 1e-6).all()
    assert ((grid.high_mm - grid.low_mm) < np.array([size, 2 * size, 0.1]) + step + 1e-6).all()


@pytest.mark.parametrize("bad", [((0, 1, 1), (1, 1, 1)), ((1, 1, 1), (1, -1, 1)), ((1, 1, 1), (1, np.nan, 1))])
def test_impossible_grids_are_refused(bad):
    with pytest.raises(ValueError, match="grid needs"):
        Grid(bad[0], bad[1], (0, 0, 0))


def test_a_window_knows_its_offset_and_a_shifted_one_has_none():
    window = GRID.window((1, -2, 3), (4, 5, 9))
    assert window.offset_in(GRID) == (1, -2, 3)
    shifted = Grid(window.shape, window.spacing_mm, tuple(np.add(window.origin_mm, (0.5, 0, 0))))
    assert shifted.offset_in(GRID) is None


def test_sampling_agrees_with_scipy_inside():
    data = np.random.default_rng(2).random(GRID.shape, np.float32)
    volume = Volume(GRID, data, Quantity.DOSE)
    index = np.random.default_rng(3).random((200, 3)) * (np.array(GRID.shape) - 1)
    expected = map_coordinates(data.astype(float), index.T, order=1)
    np.testing.assert_allclose(volume.at(GRID.point_of(index)), expected, atol=1e-6)


def test_outside_the_faces_is_outside_and_the_outer_half_voxel_is_constant():
    volume = Volume(GRID, np.ones(GRID.shape), Quantity.DENSITY)
    inside, outside = GRID.low_mm + 1e-6, GRID.low_mm - 1e-6
    np.testing.assert_array_equal(volume.at(np.array([inside, outside]), outside=-7.0), [1.0, -7.0])


def test_volumes_with_nan_or_wrong_shape_are_refused():
    data = np.ones(GRID.shape, np.float32)
    data[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="1 voxels are NaN"):
        Volume(GRID, data, Quantity.DOSE)
    with pytest.raises(ValueError, match="shape"):
        Volume(GRID, np.ones((2, 2, 2)), Quantity.DOSE)


def test_structures_paste_exactly_and_crop_losslessly():
    occupancy = np.zeros(GRID.shape, np.float32)
    occupancy[2:5, 3:6, 4:8] = np.random.default_rng(4).random((3, 3, 4))
    whole = Structure("a", Role.TARGET, GRID, occupancy)
    cropped = whole.cropped(2)
    assert cropped.grid.shape == (7, 7, 8)
    np.testing.assert_array_equal(cropped.on(GRID), occupancy)
    assert cropped.volume_cc == pytest.approx(whole.volume_cc, rel=1e-12)
    np.testing.assert_allclose(cropped.centroid_mm, whole.centroid_mm, atol=1e-9)


@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan])
def test_impossible_occupancies_are_refused(value):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Structure("a", Role.ORGAN, GRID, np.full(GRID.shape, value))
