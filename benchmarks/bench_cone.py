"""Collapsed cone: time per voxel and direction beside what the memory of this machine allows, and a whole arc plan."""

import numpy as np
import pytest
from limits import beside_limits

from kernels.cone import RATES, SLOWEST_RATE, Layout, Rays, Sources, sweep
from phantoms.grid import Grid
from phantoms.structure import Role, Structure
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


def head_and_arcs(step):
    """Return a head of spheres, four arcs of 45 control points each, and their weights."""
    count = int(182.5 / step)
    x = step * (np.arange(count) - (count - 1) / 2)
    r = np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)
    density = np.where(r < 72, 1.03, np.where(r < 79, 1.85, np.where(r < 84, 1.0, 0.0012)))
    volume = Volume(Grid(density.shape, (step,) * 3, (float(x[0]),) * 3), density, Quantity.DENSITY)
    bixels = BixelGrid((-12.5, -12.5), (2.5, 2.5), np.ones((10, 10), bool))
    weights = np.random.default_rng(1).uniform(0, 1, 100)
    beams = [
        Beam(float(gantry), couch, 0.0, (10.0, -20.0, 15.0), bixels, f"arc {couch}")
        for couch, low, high in ((0.0, 181, 359), (30.0, 181, 359), (60.0, 0, 179), (330.0, 0, 179))
        for gantry in np.linspace(low, high, 45)
    ]
    return volume, beams, [weights] * len(beams)


@pytest.mark.benchmark(group="cone: arc of 180 control points, 2.5 mm head")
def test_arc(benchmark):
    """Whole dose of the arcs, TERMA included."""
    machine = load("machines", "point-6mv", Machine)
    benchmark.pedantic(CollapsedCone().transport, (*head_and_arcs(2.5), machine), rounds=2, warmup_rounds=1)


@pytest.mark.benchmark(group="cone: arc of 180 control points, 1 mm head")
@pytest.mark.parametrize("about", [True, False], ids=["fine about a target of 25 mm", "fine throughout"])
def test_fine_arc(benchmark, about):
    """Voxels of 1 mm about the target only, beside all of them."""
    machine = load("machines", "point-6mv", Machine)
    volume, beams, weights = head_and_arcs(1.0)
    away = np.linalg.norm(np.stack(np.meshgrid(*volume.grid.axes_mm(), indexing="ij")).T - (10.0, -20.0, 15.0), axis=-1)
    target = Structure("ptv", Role.TARGET, volume.grid, (away.T < 12.5).astype(np.float32))
    region = target if about else None
    benchmark.pedantic(
        lambda: CollapsedCone().dose(volume, beams, weights, machine, ignore_field=False, region=region),
        rounds=2,
        warmup_rounds=1,
    )
