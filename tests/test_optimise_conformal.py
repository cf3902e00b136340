"""Apertures that follow an outline: the disc of a ball, a target off the axis, rows without points."""

import numpy as np
import pytest
from oracles_planning import ball

from phantoms.grid import Grid
from planner import library
from planner.optimise.apertures import areas_mm2
from planner.optimise.conformal import conformal_apertures, outline
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.machine import Machine

STX = library.load("machines", "truebeam-stx", Machine)
GRID = Grid.covering([-30] * 3, [30] * 3, 1.0)
BIXELS = BixelGrid((-30.0, -30.0), (1.0, 2.5), np.ones((60, 24), bool))


def beam(gantry, couch=0.0):
    return Beam(gantry, couch, 0.0, (0.0, 0.0, 0.0), BIXELS)


@pytest.mark.parametrize("margin", [0.0, 2.0])
def test_the_field_of_a_ball_is_a_disc(margin):
    """From any side; the field reaches behind the tips by the leaf offset."""
    got = conformal_apertures(ball("ptv", GRID, (0, 0, 0), 12), [beam(20), beam(300, 45)], STX, margin)
    behind = STX.collimation.leaf_offset_mm.value
    wider = got.right_mm + behind, got.left_mm - behind
    radius = 12 / np.sqrt(1 - (12 / 1000) ** 2) + margin
    for n in range(2):
        assert got.jaw_mm[n] == pytest.approx([-radius, radius], abs=0.45)
        assert wider[0][n, 29:31] == pytest.approx(radius, abs=0.35)
        assert wider[1][n, 29:31] == pytest.approx(-radius, abs=0.35)
        nominal = areas_mm2(got.chosen(np.array([n])), STX.leaf_borders_mm)[0]
        assert nominal + 4 * behind * radius == pytest.approx(np.pi * radius**2, rel=0.03)


def test_tips_follow_a_target_off_the_axis():
    got = conformal_apertures(ball("ptv", GRID, (6, -4, 8), 9), [beam(0), beam(90)], STX, 0.0)
    pair = int(np.searchsorted(STX.leaf_borders_mm, 8.0)) - 1
    middle = 0.5 * (got.left_mm + got.right_mm)[:, pair]
    # X of the device is patient +x from the front (gantry 0) and +y (posterior) from the left.
    assert middle == pytest.approx([6.0, -4.0], abs=0.3)
    assert got.jaw_mm.mean(axis=1) == pytest.approx([8.0, 8.0], abs=0.3)


def test_an_outline_bridges_rows_without_points():
    y, low, high = outline(np.array([[0.0, 0.0], [2.0, 5.0]]), 0.5)
    assert np.allclose(np.diff(y), 0.25)
    assert y[0] == pytest.approx(-0.375, abs=0.26)
    middle = np.argmin(np.abs(y - 2.5))
    assert 0.4 < 0.5 * (low + high)[middle] < 1.6
