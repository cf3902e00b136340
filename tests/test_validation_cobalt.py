"""Rings about a beam: means against closed forms, and Monte Carlo of a Co-60 channel against its table."""

from itertools import islice

import numpy as np
import pytest

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.validation.cobalt import RingSums, cobalt_rows, read_rings


def test_means_over_rings_of_a_known_dose():
    grid = Grid.covering((-15.0, -15.0, 0.0), (15.0, 15.0, 20.0), (0.5, 0.5, 2.0))
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij", sparse=True)
    sums = RingSums(Volume(grid, x**2 + y**2 + 3.0 * z, Quantity.DOSE))
    radii, depths = np.arange(1.0, 12.1, 0.5), np.array([0.0, 4.0, 10.0])
    # Over a ring r^2 has the mean (a^2 + b^2) / 2.
    expected = 0.5 * (radii[1:] ** 2 + radii[:-1] ** 2)[:, None] + 3.0 * np.array([2.0, 7.0])
    assert sums.over(radii, depths) == pytest.approx(expected, rel=0.01)
    assert np.isinf(sums.over(np.array([0.0, 0.0, 1.0]), depths)[0]).all()


def test_a_channel_of_cobalt_agrees_with_its_table():
    agree, axis = islice(cobalt_rows(20_000), 2)
    assert agree.case == axis.case == "co60-circle-4mm"
    assert axis.uncertainty < 0.01
    assert axis.ours == pytest.approx(1.0, abs=4 * axis.uncertainty)


def test_tables_are_in_millimetres_from_the_surface():
    rings = read_rings(16)
    assert rings.radii_mm[[0, -1]].tolist() == [0.0, 12.0]
    assert rings.depths_mm[[0, -1]].tolist() == [1.0, 159.0]
    assert rings.dose.shape == rings.sigma.shape == (24, 79)
