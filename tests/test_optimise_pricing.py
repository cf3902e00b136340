"""Segments by what they gain: the best of all openings counted out, and what a machine permits."""

from dataclasses import replace

import numpy as np
import pytest
from oracles_planning import constant

from planner import library
from planner.optimise.apertures import ApertureMap, areas_mm2
from planner.optimise.leaf_limits import JAW_GAP_MM
from planner.optimise.pricing import fastest_opening
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.machine import Machine

UNITY = library.load("machines", "elekta-unity", Machine)
# Four leaf pairs, each seen in three rows of bixels.
GRID = BixelGrid((-6.0, -2 * 7.175), (1.0, 7.175 / 3), np.ones((12, 12), bool))
MAP = ApertureMap.of([Beam(0.0, 0.0, 90.0, (0.0, 0.0, 0.0), GRID)], np.array([0]), UNITY)


def permitting(area_mm2, gap_mm=0.0):
    limits = {"minimum_segment_area_mm2": constant(area_mm2), "minimum_gap_mm": constant(gap_mm)}
    return UNITY.model_copy(update={"delivery": UNITY.delivery.model_copy(update=limits)})


def gained(aperture, gain):
    """What the objective falls by, by the map from apertures to bixels."""
    return float(MAP.forward(replace(aperture, mu=np.ones(1))) @ gain.ravel())


def brute_force(gain):
    """Every stretch of rows between jaws, and every run of bixels of each leaf pair there."""
    most = 0.0
    for a in range(12):
        for b in range(a + round(JAW_GAP_MM / GRID.size_mm[1]), 13):
            total = 0.0
            for pair in range(4):
                rows = [r for r in range(3 * pair, 3 * pair + 3) if a <= r < b]
                strip = gain[:, rows].sum(axis=1)
                total += max(strip[i:j].sum() for i in range(12) for j in range(i, 13))
            most = max(most, total)
    return most


@pytest.mark.parametrize("seed", range(5))
def test_the_opening_gains_as_much_as_any(seed):
    gain = np.random.default_rng(seed).normal(-0.3, 1.0, (12, 12))
    found = fastest_opening(gain, GRID, permitting(0.0))
    assert found.mu.tolist() == [0.0]
    assert gained(found, gain) == pytest.approx(brute_force(gain))


def test_a_rectangle_that_gains_is_opened_and_jaws_cut_its_leaf_pairs():
    gain = np.full((12, 12), -1.0)
    gain[2:9, 4:8] = 1.0
    found = fastest_opening(gain, GRID, permitting(0.0))
    shown = slice(39, 41)  # the two pairs at the axis, of 80
    assert found.left_mm[0, shown].tolist() == [-4.0, -4.0]
    assert found.right_mm[0, shown].tolist() == [3.0, 3.0]
    assert found.jaw_mm[0] == pytest.approx([-2 * 7.175 / 3, 2 * 7.175 / 3])
    assert gained(found, gain) == pytest.approx(28.0)


def test_openings_are_no_smaller_than_the_machine_permits():
    x, y = (0.5 * (edges[1:] + edges[:-1]) for edges in GRID.edges_mm)
    gain = np.exp(-(x[:, None] ** 2 + y**2) / 18.0) - 0.4
    small, large = (fastest_opening(gain, GRID, permitting(area)) for area in (0.0, 100.0))
    area = [float(areas_mm2(found, UNITY.leaf_borders_mm)[0]) for found in (small, large)]
    assert area[0] < 80.0
    assert area[1] >= 100.0
    assert 0.0 < gained(large, gain) < gained(small, gain)


def test_without_jaws_all_rows_show():
    gain = np.ones((12, 12))
    gain[:, :3] = -2.0
    bare = permitting(0.0)
    none = bare.collimation.model_copy(update={"jaw_margin_mm": constant((1000.0, 1000.0))})
    found = fastest_opening(gain, GRID, bare.model_copy(update={"collimation": none}))
    assert found.jaw_mm[0] == pytest.approx([-7.175, 2 * 7.175])


def test_nothing_is_opened_where_nothing_is_gained():
    assert fastest_opening(-np.ones((12, 12)), GRID, UNITY) is None
    assert fastest_opening(np.zeros((12, 12)), GRID, UNITY) is None
