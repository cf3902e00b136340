"""Structures on other voxels: margins of what was carried are those of the body it was drawn from."""

import numpy as np
import pytest
from oracles_geometry import Shape, box, cylinder, sphere, structure, turn

from phantoms.carrying import around, carried
from phantoms.distance import grown
from phantoms.grid import Grid
from phantoms.structure import Role, Structure

SPACINGS = [(1.0, 1.0, 1.0), (0.9, 0.9, 1.5), (1.0, 1.0, 2.0)]
BODIES = {"sphere": sphere(5.0), "box": box(6.1, 5.2, 4.3), "cylinder": cylinder(5.0, 8.0)}


def off(body: Shape, found: Structure, margin_mm: float) -> float:
    """Return how far the volume of a margin is off, as a share."""
    volume = grown(found, margin_mm).volume_cc if margin_mm else found.volume_cc
    return volume * 1000 / body.volume_mm3(margin_mm) - 1


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_margins_of_a_turned_structure(body: Shape, spacing):
    drawn = structure(body, spacing)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn(3), (3.0, -2.0, 5.0)
    found = carried(drawn, around(drawn.grid, motion, spacing), motion)
    for margin in (0.0, 1.0, 3.0):
        assert abs(off(body, found, margin)) < 7e-3, margin
    assert np.allclose(motion[:3, :3] @ found.centroid_mm + motion[:3, 3], drawn.centroid_mm, atol=0.02)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(
    ("spacing", "to", "within"),
    # Of a cylinder of 0.6 cc voxels of 2 mm hold five across.
    [((0.9, 0.9, 1.5), 1.0, 5e-3), ((0.5, 0.5, 1.5), 1.0, 5e-3), ((1.0, 1.0, 2.0), 2.0, 1e-2)],
)
def test_margins_on_voxels_of_another_size(body: Shape, spacing, to: float, within: float):
    found = carried(structure(body, spacing), Grid.covering([-20.3] * 3, [20.3] * 3, to))
    assert found.grid.spacing_mm == (to, to, to)
    for margin in (0.0, 1.0, 3.0):
        assert abs(off(body, found, margin)) < within, margin


def test_on_its_own_voxels_a_structure_stays_as_it_is():
    drawn = structure(sphere(6.0), (1.0, 1.0, 1.0))
    found = carried(drawn, drawn.grid)
    assert np.abs(found.on(drawn.grid) - drawn.occupancy).max() < 0.02


def test_what_sticks_out_is_cut_off_and_what_lies_elsewhere_is_empty():
    drawn = structure(sphere(6.0), (1.0, 1.0, 1.0))
    half = carried(drawn, Grid((20, 40, 40), (0.8, 0.8, 0.8), (0.4, -15.6, -15.6)))
    assert half.volume_cc == pytest.approx(drawn.volume_cc / 2, rel=5e-3)
    assert carried(drawn, Grid((9, 9, 9), (1, 1, 1), (50, 50, 50))).is_empty
    nothing = Structure("none", Role.ORGAN, drawn.grid, np.zeros(drawn.grid.shape))
    assert carried(nothing, Grid((9, 9, 9), (1, 1, 1), (0, 0, 0))).is_empty


def test_fractions_that_no_surface_tells_keep_their_volume():
    """Half full all over, and a sheet of a third of a voxel."""
    grid = Grid((24, 24, 24), (1.1, 1.1, 1.1), (-12.0, -12.0, -12.0))
    half, sheet = np.zeros(grid.shape), np.zeros(grid.shape)
    half[4:20, 4:20, 4:20], sheet[4:20, 4:20, 12] = 0.5, 0.3
    motion = np.eye(4)
    motion[:3, :3] = turn(5)
    for occupancy in (half, sheet):
        drawn = Structure("body", Role.TARGET, grid, occupancy)
        found = carried(drawn, around(drawn.grid, motion, 1.0), motion)
        assert found.volume_cc == pytest.approx(drawn.volume_cc, rel=0.025)
