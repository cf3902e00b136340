"""The scanner's imperfections: a dipole's field, slices, motion and displacement, each against what it must be."""

import numpy as np
import pytest

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.grid import Grid
from phantoms.scanner import AIR_PPM, TITANIUM_PPM, Scanner, field_error_ppm, moved, slice_weights, truncated
from phantoms.volume import Quantity, Volume

GRID = Grid.covering((-60, -60, -60), (60, 60, 60), 4.0)
SEED = np.random.SeedSequence(3)


def dipole(radius_mm, ppm):
    """Field of a ball along z: Griffiths, Introduction to Electrodynamics, 6.2, with the sphere of Lorentz."""
    x, y, z = np.meshgrid(*GRID.axes_mm(), indexing="ij")
    r = np.sqrt(x**2 + y**2 + z**2)
    return r, ppm / 3 * (radius_mm / r) ** 3 * (3 * (z / r) ** 2 - 1)


def difference(one, other=None, **metal):
    base = np.ones(GRID.shape, np.float32)
    with_it, without = (Volume(GRID, d, Quantity.DENSITY) for d in (one, base if other is None else other))
    return field_error_ppm(with_it, **metal).data - field_error_ppm(without).data


def test_air_in_water_makes_the_field_of_a_dipole():
    r, exact = dipole(16.0, AIR_PPM.value)
    air = np.clip((r - 16.0) / 4.0 + 0.5, 0.0, 1.0).astype(np.float32)
    found = difference(air)
    near = (r > 28.0) & (r < 44.0)
    error = found[near] - exact[near]
    assert np.abs(error - error.mean()).max() < 0.04 * np.abs(exact[near]).max()


def test_titanium_is_a_small_dipole():
    metal = np.array([[2.0, 2.0, 2.0, 0.045]])  # the centre of a voxel
    found = difference(np.ones(GRID.shape, np.float32), metal_cc=metal)
    along, across = found[15, 15, 19], found[19, 15, 15]
    assert across < 0 < along
    moment = TITANIUM_PPM.value * 45.0 / (4 * np.pi)
    assert along - across == pytest.approx(3 * moment / 16.0**3, rel=0.1)  # 16 mm away, what the shim shifts cancels


def test_everything_off_is_signal_and_noise():
    signal = np.full(GRID.shape, 200.0, np.float32)
    scanner = Scanner(1.5, 1e6)
    assert scanner.place_error(Volume(GRID, signal, Quantity.DENSITY), None, np.random.default_rng(1)) is None
    image = scanner.image(signal.copy(), GRID, np.ones_like(signal), None, SEED)
    assert image == pytest.approx(signal, rel=1e-4)


def test_tissue_is_shown_where_the_error_says():
    x = np.broadcast_to(GRID.axes_mm()[0][:, None, None], GRID.shape).astype(np.float32) + 1000.0
    error = np.zeros((3, *GRID.shape), np.float32)
    error[0] = 2.5
    image = Scanner(1.5, 1e9, gradient_mm=1.0).image(x.copy(), GRID, np.ones_like(x), error, SEED)
    assert image[2:-2] == pytest.approx(x[2:-2] - 2.5, abs=0.01)


def test_gradient_residual_grows_with_the_cube_and_vanishes_at_the_isocentre():
    density = Volume(GRID, np.ones(GRID.shape, np.float32), Quantity.DENSITY)
    error = Scanner(1.5, 30.0, gradient_mm=1.0).place_error(density, None, np.random.default_rng(2))
    at = {z: round(GRID.index_of(np.array([0.0, 0.0, z]))[2]) for z in (10.0, 34.0, 58.0)}
    column = error[:, 15, 15, :]
    assert np.abs(column[:, at[10.0]]).max() < 0.01
    heights = [GRID.axes_mm()[2][at[z]] - 10.0 for z in (34.0, 58.0)]
    ratio = column[2, at[58.0]] / column[2, at[34.0]]
    assert ratio == pytest.approx((heights[1] / heights[0]) ** 3, rel=0.05)


def test_a_still_head_is_untouched_and_motion_keeps_the_energy():
    signal = np.random.default_rng(5).uniform(50, 300, GRID.shape).astype(np.float32)
    assert moved(signal, GRID, 0.0, np.random.default_rng(1)) == pytest.approx(signal, rel=1e-4)
    ghosted = moved(signal, GRID, 2.0, np.random.default_rng(1))
    assert (ghosted.astype(float) ** 2).sum() == pytest.approx((signal.astype(float) ** 2).sum(), rel=1e-4)
    assert np.abs(ghosted - signal).mean() > 5.0


def test_missing_lines_ring_by_the_sine_integral_and_none_missing_change_nothing():
    step = np.repeat((np.arange(256) % 128 < 64).astype(np.float32)[:, None, None], 2, axis=1) * 100.0 + 50.0
    assert truncated(step, 0.0) == pytest.approx(step, abs=1e-3)
    ringing = truncated(step, 0.75)[:, 0, 0]
    # Wilbraham and Gibbs: a step overshoots by 8.95 % on either side, however many lines are taken.
    assert ringing.max() - 150.0 == pytest.approx(8.95, abs=1.0)
    assert 50.0 - ringing.min() == pytest.approx(8.95, abs=1.0)
    assert ringing.mean() == pytest.approx(step.mean(), rel=1e-5)
    # White noise loses the share of its variance that the missing lines held.
    noise = 1000.0 + np.random.default_rng(3).normal(0.0, 10.0, (256, 40, 40)).astype(np.float32)
    assert truncated(noise, 0.4).var() / noise.var() == pytest.approx(0.6, abs=0.02)


def test_slices_average_and_keep_what_is_linear():
    into, back = slice_weights(GRID, 8.0)
    z = GRID.axes_mm()[2]
    inner = (z > -55) & (z < 55)
    assert (back @ (into @ z))[inner] == pytest.approx(z[inner], abs=1e-3)
    into, _ = slice_weights(GRID, 6.0)
    assert into.sum(axis=1) == pytest.approx(np.ones(len(into)), abs=1e-6)
    same_in, same_back = slice_weights(GRID, 4.0)
    assert same_back @ same_in == pytest.approx(np.eye(GRID.shape[2]), abs=1e-5)
    spike = np.zeros(GRID.shape[2])
    spike[12] = 1.0
    assert (into @ spike).sum() == pytest.approx(4.0 / 6.0)


def test_a_cohort_switches_each_effect_and_tells_the_error():
    spec = CohortSpec(patients=1, seed=4, spacing_mm=4.0, images=("t1gd", "t1"))
    plain = SyntheticAnatomy(spec, 0).epoch(2.0)
    assert set(plain.volumes) == {"density", "t1gd", "t1"}
    assert plain.place_error_mm is None
    for effect in (
        {"slice_mm": 8.0},
        {"motion_mm": 1.0},
        {"truncation": 0.3},
        {"gradient_mm": 1.0},
        {"susceptibility": 1.0},
    ):
        other = SyntheticAnatomy(CohortSpec(**{**vars(spec), **effect}), 0).epoch(2.0)
        assert not np.array_equal(other.volumes["t1gd"].data, plain.volumes["t1gd"].data)
        assert np.array_equal(other.volumes["density"].data, plain.volumes["density"].data)
        assert (other.place_error_mm is not None) == bool({"gradient_mm", "susceptibility"} & set(effect))
    brain = other.structures["brain"].on(other.grid) > 0.9
    assert 0.02 < np.abs(other.place_error_mm[1][brain]).max() < 3.0
    assert not other.place_error_mm[0].any()
    with pytest.raises(ValueError, match="images"):
        CohortSpec(images=("pd",))
    with pytest.raises(ValueError, match="t1_sequence"):
        CohortSpec(t1_sequence="ssfp")
