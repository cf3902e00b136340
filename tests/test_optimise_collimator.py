"""Collimator angles: long targets lie along Y, across the leaves; round ones do not turn the collimator."""

import numpy as np
import pytest
from oracles_planning import ball, constant

from phantoms.grid import Grid
from planner import library
from planner.optimise.collimator import turned_to_target
from planner.techniques.aperture import project, target_points
from planner.treatment.geometry import beam_frame
from planner.treatment.machine import Machine
from planner.treatment.technique import ArcSpec, TechniqueSpec

STX, UNITY = (library.load("machines", name, Machine) for name in ("truebeam-stx", "elekta-unity"))
GRID = Grid.covering((-30, -30, -30), (30, 30, 30), 1.0)


def technique(*arcs):
    specs = tuple(
        ArcSpec(label=f"{n}", couch_deg=c, gantry_start_deg=a, gantry_stop_deg=b, spacing_deg=10.0, collimator_deg=k)
        for n, (c, a, b, k) in enumerate(arcs)
    )
    return library.load("techniques", "dca", TechniqueSpec).model_copy(update={"arcs": constant(specs)})


def tilted(degrees):
    """A rod in the coronal plane, at an angle to the long axis of the patient."""
    x, y, z = np.meshgrid(*GRID.axes_mm(), indexing="ij")
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    along, across = s * x + c * z, c * x - s * z
    whole = ball("ptv", GRID, (0, 0, 0), 10.0)
    inside = (along / 24) ** 2 + (across / 6) ** 2 + (y / 6) ** 2 <= 1
    return type(whole)("ptv", whole.role, GRID, inside.astype(np.float32))


@pytest.mark.parametrize("degrees", [0.0, 30.0, -60.0])
def test_long_targets_lie_across_the_leaves(degrees):
    target = tilted(degrees)
    found = turned_to_target(technique((0.0, 350.0, 370.0, None)), target, STX).arcs.value[0].collimator_deg
    frame = beam_frame(0.0, 0.0, found, target.centroid_mm, 1000.0)
    seen = project(target_points(target), frame, 1000.0)
    long_axis = np.linalg.eigh(np.cov(seen.T))[1][:, 1]
    assert abs(long_axis[1]) > np.cos(np.radians(10.0))


def test_round_targets_and_given_angles_stay():
    arcs = technique((0.0, 200.0, 520.0, None), (45.0, 190.0, 350.0, 20.0))
    found = turned_to_target(arcs, ball("ptv", GRID, (0, 0, 0), 12.0), STX).arcs.value
    assert [arc.collimator_deg for arc in found] == [STX.collimator_deg.value, 20.0]
    assert turned_to_target(arcs, tilted(30.0), STX).arcs.value[1].collimator_deg == 20.0


def test_a_collimator_that_does_not_turn_stays():
    arcs = technique((0.0, 200.0, 520.0, None))
    assert turned_to_target(arcs, tilted(30.0), UNITY) is arcs
