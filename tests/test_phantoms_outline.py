"""Outline and brain from a density alone: a head of balls, and a ball of water."""

import numpy as np
import pytest
from ball_patients import ball

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.grid import Grid
from phantoms.outline import brain_of, outline_of
from phantoms.structure import Role
from phantoms.volume import Quantity, Volume

GRID = Grid.covering((-100, -100, -100), (100, 100, 100), 2.0)


def part(radius: float, centre=(0.0, 0.0, 0.0)) -> np.ndarray:
    return ball("part", Role.ORGAN, GRID, centre, radius).occupancy


def head() -> Volume:
    """Scalp to 80 mm, skull from 67 to 74 mm, air in a sinus, and a mask frame beside the head."""
    data = 1.05 * part(80.0)
    data += (1.6 - 1.05) * (part(74.0) - part(67.0))
    data *= 1 - part(9.0, (0.0, -50.0, -20.0))
    data += part(6.0, (92.0, 0.0, 0.0))
    return Volume(GRID, data, Quantity.DENSITY)


def ball_cc(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3 / 1000


def test_the_outline_is_the_largest_body_with_its_cavities():
    found = outline_of(head())
    # The threshold lies outside the half-way surface of the blurred edge.
    assert found.name == "external" and found.role is Role.EXTERNAL
    assert found.volume_cc == pytest.approx(ball_cc(80.0), rel=0.02)
    assert found.on(GRID)[np.ix_(*[[int(i)] for i in GRID.index_of((0, -50, -20)).round()])] == 1
    assert found.on(GRID)[np.ix_(*[[int(i)] for i in GRID.index_of((92, 0, 0)).round()])] == 0


def test_the_brain_is_what_bone_surrounds():
    density = head()
    found = brain_of(density, outline_of(density))
    # All voxels with bone in them are left out; the sinus is no bone.
    assert found.volume_cc == pytest.approx(ball_cc(67.0), rel=0.06)
    edge = Volume(GRID, found.on(GRID), Quantity.OCCUPANCY).at(np.array([[77.0, 0, 0], [0, 77.0, 0], [60.0, 0, 0]]))
    assert edge.tolist() == [0, 0, 1]


def test_the_brain_of_water_is_all_of_it():
    water = Volume(GRID, part(80.0), Quantity.DENSITY)
    outline = outline_of(water)
    assert brain_of(water, outline).volume_cc == pytest.approx(outline.volume_cc, rel=1e-3)


def test_what_has_no_body_is_refused():
    air = Volume(GRID, np.full(GRID.shape, 0.0012), Quantity.DENSITY)
    with pytest.raises(ValueError, match="no body"):
        outline_of(air)
    lead = Volume(GRID, 11.0 * part(30.0), Quantity.DENSITY)
    with pytest.raises(ValueError, match="soft tissue"):
        brain_of(lead, ball("external", Role.EXTERNAL, GRID, (0, 0, 0), 26.0))


def test_the_brain_of_a_synthetic_head_ends_at_its_skull():
    epoch = SyntheticAnatomy(CohortSpec(patients=1, seed=3, spacing_mm=2.0), 0).epoch(20.0, images=False)
    density = epoch.volumes["density"]
    found = brain_of(density, outline_of(density)).on(density.grid)
    true = epoch.structures["intracranial"].on(density.grid)
    common = np.minimum(found, true).sum()
    assert 2 * common / (found.sum() + true.sum()) > 0.93
