"""Collapsed cone: time per voxel and direction beside what the memory of this machine allows, and a whole arc plan."""

import numpy as np
import pytest
from limits import beside_limits

from kernels.cone import RATES, SLOWEST_RATE, Layout, Rays, Sources, sweep
from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.engines.cone import CollapsedCone
from planner.library import load
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.machine import Machine

DIRECTIONS = 12


def rays():
    """Return twelve slanted sets of rays with kernels of ones: the sweep's time does not depend on their values."""
    slope = np.random.default_rng(0).uniform(-1, 1, (DIRECTIONS, 2))
    share = np.ones((DIRECTIONS, 1, len(RATES), 3, 4), np.float32)
    direction = np.tile(np.float32([1, 0, 0]), (DIRECTIONS, 1))
    path = np.full(DIRECTIONS, 2 * SLOWEST_RATE, np.float32)
    return Rays(direction, np.ones(DIRECTIONS, np.int64), slope, np.zeros((DIRECTIONS, 2)), path, share)


def column_of_light(size):
    """Return the sources of a 10x10 voxel beam along x through `size` cubed voxels."""
    plane, rows = np.arange(size + 1), np.array([p * size + a for p in range(size) for a in range(45, 55)])
    start = 10 * np.arange(len(rows))
    block = np.stack([0 * plane[:-1], 100 * plane[:-1], 100 * plane[1:]], axis=1)
    stretch = np.stack([0 * start + 45, 0 * start + 55, start], axis=1)
    ones, none = np.ones((4, 10 * len(rows)), np.float32), np.zeros((3, 10 * len(rows)), np.float32)
    return Sources(plane, block, np.searchsorted(rows, np.arange(size**2 + 1)), stretch, ones, none)


@pytest.mark.benchmark(group="cone: twelve directions")
@pytest.mark.parametrize("size", [100, 240], ids=["100 cubed, in cache", "240 cubed, in memory"])
def test_sweep(benchmark, monkeypatch, size):
    """Twelve directions through a cube, once so small that it stays in cache."""
    monkeypatch.setenv("LACUNA_THREADS", "1")
    density, deposit, balance = np.ones(size**3, np.float32), np.zeros(size**3, np.float32), np.zeros(2)
    layout = Layout((size, size, size), (size**2, size))
    arguments = (layout, density, column_of_light(size), rays(), deposit, balance)
    sweep(*arguments)
    benchmark(sweep, *arguments)
    # Once a direction the density is read, the dose read and written.
    beside_limits(benchmark, DIRECTIONS * size**3, "voxel_cone", moved=12)


@pytest.mark.benchmark(group="cone: arc of 180 control points, 2.5 mm head")
def test_arc(benchmark):
    """Four arcs of 45 control points each, on a head of spheres, TERMA included."""
    x = -90.0 + 2.5 * np.arange(73)
    r = np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)
    density = np.where(r < 72, 1.03, np.where(r < 79, 1.85, np.where(r < 84, 1.0, 0.0012)))
    volume = Volume(Grid(density.shape, (2.5,) * 3, (-90.0,) * 3), density, Quantity.DENSITY)
    machine = load("machines", "point-6mv", Machine)
    bixels = BixelGrid((-12.5, -12.5), (2.5, 2.5), np.ones((10, 10), bool))
    weights = np.random.default_rng(1).uniform(0, 1, 100)
    beams = [
        Beam(float(gantry), couch, 0.0, (10.0, -20.0, 15.0), bixels, f"arc {couch}")
        for couch, low, high in ((0.0, 181, 359), (30.0, 181, 359), (60.0, 0, 179), (330.0, 0, 179))
        for gantry in np.linspace(low, high, 45)
    ]
    engine = CollapsedCone()
    benchmark.pedantic(engine.transport, (volume, beams, [weights] * 180, machine), rounds=2, warmup_rounds=1)
