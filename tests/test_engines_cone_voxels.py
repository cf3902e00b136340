"""The collapsed cone on wide voxels and on two resolutions at once: what the finest voxels throughout would give."""

import numpy as np
import pytest
from oracles_planning import ball, water_head

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.engines.cone import CollapsedCone
from planner.engines.fluence import narrowed
from planner.engines.nesting import nest_of, refined
from planner.library import load
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.machine import Machine

ENGINE = CollapsedCone()
STX = load("machines", "truebeam-stx", Machine)
FIELD = BixelGrid((-5.0, -5.0), (10.0, 10.0), np.ones((1, 1), bool))


def beams():
    """Ten directions from all sides."""
    directions = [(37.0 * n, 0.0) for n in range(5)] + [(20.0 + 31.0 * n, 70.0) for n in range(5)]
    return [Beam(gantry % 360, couch, 11.0 * n, (0.0, 0.0, 0.0), FIELD) for n, (gantry, couch) in enumerate(directions)]


def dose_of(density, region=None):
    around = beams()
    weights = [np.full(1, 100.0)] * len(around)
    return ENGINE.dose(density, around, weights, STX, ignore_field=False, region=region).volume.data


def test_edges_are_narrowed_by_what_a_voxel_blurs_and_never_vanish():
    assert narrowed((1.2, 1.2), (2.0, 1.0)) == pytest.approx((np.sqrt(1.44 - 4 / 12), np.sqrt(1.44 - 1 / 12)))
    assert narrowed((0.0, 0.4), (2.0, 3.0)) == pytest.approx((0.0, 0.4 * np.sqrt(0.2)))


@pytest.mark.parametrize("wide", [1.5, 2.0])
def test_dose_of_wide_voxels_is_the_mean_of_fine_ones(wide):
    lattice = Grid((round(60 / wide),) * 3, (wide,) * 3, (wide / 2 - 30,) * 3)
    doses = [
        dose_of(Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY))
        for grid in (lattice, lattice.split((3, 3, 3)))
    ]
    n = lattice.shape[0]
    mean = doses[1].reshape(n, 3, n, 3, n, 3).mean(axis=(1, 3, 5))
    middle = (slice(n // 2 - 6, n // 2 + 6),) * 3
    misses = (doses[0] - mean)[middle] / mean.max()
    # What a voxel releases is a mean over it. With edges as wide as those of the beam that blurs them twice: misses of
    # 0.6 % on average and 2.4 to 2.8 % at most. What is left is that of the directions.
    assert np.sqrt((misses**2).mean()) < 0.0045
    assert np.abs(misses).max() < 0.02


def test_fine_voxels_about_a_target_give_the_dose_of_fine_voxels_throughout():
    density, _ = water_head(1.0, 45.0)
    away = np.linalg.norm(np.stack(np.meshgrid(*density.grid.axes_mm(), indexing="ij")), axis=0)
    data = np.where((away > 38.0) & (density.data > 0.5), np.float32(1.7), density.data)
    density = Volume(density.grid, data, Quantity.DENSITY)
    target = ball("ptv", density.grid, (0.0, 0.0, 0.0), (4.0, 4.0, 4.0))
    nest = nest_of(density, target)
    assert nest is not None and nest.parts == (2, 2, 2) and nest.whole.grid.spacing_mm == (2.0, 2.0, 2.0)
    assert nest.whole.data[nest.in_whole].sum() * 8 == pytest.approx(nest.near.data.sum(), rel=1e-5)
    nested, throughout = dose_of(density, target), dose_of(density)
    misses = (nested - throughout) / throughout.max()
    about = np.zeros(density.grid.shape, bool)
    about[nest.in_fine][nest.used] = True
    assert np.abs(misses[about & (away < 15.0)]).max() < 0.002
    far = misses[(away < 44.0) & ~about]
    assert np.sqrt((far**2).mean()) < 0.004 and abs(far.mean()) < 0.0005


def test_wide_voxels_or_a_region_of_all_are_not_nested():
    head, _ = water_head(2.0, 40.0)
    assert nest_of(head, ball("ptv", head.grid, (0.0, 0.0, 0.0), (5.0, 5.0, 5.0))) is None
    small, _ = water_head(1.0, 20.0)
    assert nest_of(small, ball("ptv", small.grid, (0.0, 0.0, 0.0), (5.0, 5.0, 5.0))) is None
    elsewhere = ball("ptv", Grid((9, 9, 9), (1.0, 1.0, 1.0), (300.0, 0.0, 0.0)), (304.0, 4.0, 4.0), (3.0, 3.0, 3.0))
    assert nest_of(water_head(1.0, 40.0)[0], elsewhere) is None


def test_a_nest_reaches_over_the_last_voxel_of_an_odd_grid():
    grid = Grid((81, 83, 85), (1.0, 1.0, 1.0), (-40.0, -41.0, -42.0))
    density = Volume(grid, np.random.default_rng(1).random(grid.shape).astype(np.float32), Quantity.DENSITY)
    nest = nest_of(density, ball("ptv", grid, (36.0, 37.0, 38.0), (3.0, 3.0, 3.0)))
    assert nest is not None and nest.whole.grid.shape == (41, 42, 43)
    assert [part.stop for part in nest.in_fine] == [82, 84, 86] and nest.near.grid.offset_in(grid) is not None
    assert [box.start + used.stop for box, used in zip(nest.in_fine, nest.used, strict=True)] == [81, 83, 85]
    assert [used.start for used in nest.used] == [4, 4, 4]
    x, y, z = density.data[nest.in_fine].shape
    assert np.array_equal(density.data[nest.in_fine], nest.near.data[:x, :y, :z])
    held = nest.whole.data[nest.in_whole]
    means = nest.near.data.reshape(*(n for m in held.shape for n in (m, 2))).mean(axis=(1, 3, 5))
    assert means == pytest.approx(held, rel=1e-5)


def test_a_single_beam_has_no_step_where_fine_voxels_end():
    density, _ = water_head(1.0, 45.0)
    target = ball("ptv", density.grid, (0.0, 0.0, 0.0), (4.0, 4.0, 4.0))
    beam = Beam(0.0, 0.0, 0.0, (0.0, 0.0, 0.0), BixelGrid((-10.0, -10.0), (20.0, 20.0), np.ones((1, 1), bool)))
    nested, throughout = (
        ENGINE.dose(density, [beam], [np.ones(1)], STX, ignore_field=False, region=region).volume.data
        for region in (target, None)
    )
    middle = density.grid.shape[0] // 2
    along = (slice(middle - 4, middle + 4), slice(15, -15), slice(middle - 4, middle + 4))
    # 13 % low in the first millimetre of the box, where half of the electrons come from outside of it.
    assert nested[along] == pytest.approx(throughout[along], rel=0.015)


def test_a_target_at_the_end_of_an_odd_grid_has_the_dose_of_fine_voxels():
    grid = Grid((83, 91, 77), (1.0, 1.0, 1.0), (-40.0, -45.0, -38.0))
    density = Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY)
    target = ball("ptv", grid, (38.0, 40.0, 35.0), (4.0, 4.0, 4.0))
    around = [Beam(beam.gantry_deg, beam.couch_deg, 0.0, (38.0, 40.0, 35.0), FIELD) for beam in beams()[::3]]
    nested, throughout = (
        ENGINE.dose(density, around, [np.ones(1)] * 4, STX, ignore_field=False, region=region).volume.data
        for region in (target, None)
    )
    inside = target.occupancy > 0.5
    assert np.abs(nested - throughout)[inside].max() < 0.02 * throughout[inside].mean()


def test_refined_dose_is_not_diluted_by_air_and_keeps_even_dose():
    mass = np.ones((6, 6, 6), np.float32)
    mass[:3] = 1e-3
    finer = refined(2.0 * mass, mass, (2, 2, 2), (11, 12, 12))
    assert finer.shape == (11, 12, 12)
    assert finer == pytest.approx(np.full((11, 12, 12), 2.0), rel=1e-5)


def test_a_region_that_no_field_reaches_keeps_what_arrives_about_it():
    """The beam passes beside the water; what leaks and is scattered does not."""
    grid = Grid((90, 90, 90), (1.0,) * 3, (-44.5,) * 3)
    density = Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY)
    beam = Beam(0.0, 0.0, 0.0, (75.0, 0.0, 0.0), FIELD)
    target = ball("ptv", grid, (0.0, 0.0, 0.0), (6.0, 6.0, 6.0))
    nested, throughout = (
        ENGINE.dose(density, [beam], [np.full(1, 1000.0)], STX, ignore_field=False, region=region).volume.data
        for region in (target, None)
    )
    assert nested.mean() == pytest.approx(throughout.mean(), rel=0.01) and nested.mean() > 5e-4
