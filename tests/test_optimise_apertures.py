"""Weights of bixels from leaf tips, jaws and monitor units: overlaps by hand, gradients by differences."""

from dataclasses import replace

import numpy as np
import pytest
from oracles_planning import machine

from planner import library
from planner.optimise.aperture_size import Smallness
from planner.optimise.apertures import ApertureMap, ApertureSet, areas_mm2
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.beam_list import Leaves, OpenField, weighted_beam
from planner.treatment.machine import Machine
from planner.treatment.turning import Passage

STX = library.load("machines", "truebeam-stx", Machine)
M3 = library.load("machines", "brainlab-m3", Machine)


def beams(low=(-20.0, -15.0), size=(1.0, 2.5), shape=(40, 12)):
    grid = BixelGrid(low, size, np.ones(shape, bool))
    other = BixelGrid((-17.0, -10.0), size, np.ones((30, 7), bool))
    return [Beam(0, 0, 0, (0, 0, 0), grid), Beam(40, 0, 0, (0, 0, 0), other)]


def apertures(pairs, seed=0, count=3):
    random = np.random.default_rng(seed)
    left = random.uniform(-14, -1, (count, pairs))
    return ApertureSet(
        left,
        left + random.uniform(0.6, 14, (count, pairs)),
        np.stack([random.uniform(-13, -4, count), random.uniform(3, 11, count)], axis=1),
        random.uniform(5, 20, count),
    )


@pytest.mark.parametrize("passage", [None, Passage.of(np.array([4.0, 6.0, 5.0]), 2.0)], ids=["at rest", "arc"])
@pytest.mark.parametrize("linac", [STX, M3], ids=lambda m: m.name)
def test_gradient_of_tips_jaws_and_monitor_units(linac, passage):
    """Against central differences of a quadratic function of the weights; tips stay within their bixels."""
    where = ApertureMap.of(beams(), np.array([0, 0, 1]), linac, passage)
    at = apertures(len(linac.leaf_width_mm.value))
    random = np.random.default_rng(1)
    slope, curve = random.normal(size=where.size), random.uniform(0.1, 1, where.size)

    def value(of):
        w = where.forward(of)
        return float(slope @ w + 0.5 * curve @ w**2)

    by = where.backward(at, slope + curve * where.forward(at))
    step, compared = 1e-6, 0
    for name in ("left_mm", "right_mm", "jaw_mm", "mu"):
        part, derivative = getattr(at, name), getattr(by, name)
        for place in np.argwhere(np.ones(part.shape, bool)):
            up, down = part.copy(), part.copy()
            up[tuple(place)] += step
            down[tuple(place)] -= step
            measured = (value(replace(at, **{name: up})) - value(replace(at, **{name: down}))) / (2 * step)
            assert derivative[tuple(place)] == pytest.approx(measured, abs=1e-5 * max(1, abs(measured)))
            compared += abs(measured) > 1e-6
    assert compared > 40


def test_weights_are_the_open_part_of_each_bixel():
    """The same aperture as the engines' raster of a quarter millimetre, summed over bixels."""
    where = ApertureMap.of(beams()[:1], np.array([0]), STX)
    at = apertures(len(STX.leaf_width_mm.value), seed=3, count=1)
    weights = where.forward(at).reshape(40, 12)
    leaves = Leaves(left_mm=tuple(at.left_mm[0]), right_mm=tuple(at.right_mm[0]), jaw_y_mm=tuple(at.jaw_mm[0].tolist()))
    field = OpenField(machine="truebeam-stx", isocentre_mm=(0, 0, 0), leaves=leaves, weight=float(at.mu[0]))
    made = weighted_beam(field, STX)
    grid, plane = made.beam.bixels, made.beam.bixels.plane(made.weights)
    x, y = grid.edges_mm
    coarse = np.zeros((40, 12))
    columns = np.floor(0.5 * (x[1:] + x[:-1]) + 20).astype(int)
    rows = np.floor((0.5 * (y[1:] + y[:-1]) + 15) / 2.5).astype(int)
    np.add.at(coarse, (columns[:, None], rows[None, :]), plane * 0.25**2 / 2.5)
    assert np.allclose(coarse, weights, atol=1e-9)


def test_areas_are_between_leaves_and_jaws():
    borders = STX.leaf_borders_mm
    pairs = len(borders) - 1
    at = ApertureSet(np.full((1, pairs), -4.0), np.full((1, pairs), 6.0), np.array([[-3.0, 5.5]]), np.ones(1))
    assert areas_mm2(at, borders)[0] == pytest.approx(10 * 8.5)


def test_a_collimator_without_offset_is_taken_as_it_is():
    linac = machine(leaf_width_mm=(5.0,) * 8)
    where = ApertureMap.of(beams()[:1], np.array([0]), linac)
    at = ApertureSet(np.full((1, 8), -4.0), np.full((1, 8), 6.0), np.array([[-5.0, 5.0]]), np.array([2.0]))
    assert where.forward(at).sum() == pytest.approx(2.0 * 10 * 10 / 2.5)


def test_gradient_of_what_apertures_miss_in_area():
    small = Smallness(STX.leaf_borders_mm, 150.0, 0.7)
    at = apertures(len(STX.leaf_width_mm.value), seed=5)
    zero = ApertureSet(*(np.zeros(part.shape) for part in at.parts))
    assert small.evaluate(at, zero) > 0
    assert Smallness(STX.leaf_borders_mm, 1.0, 0.7).evaluate(at, zero) == 0.0
    step = 1e-5
    for name in ("left_mm", "right_mm", "jaw_mm"):
        part, derivative = getattr(at, name), getattr(zero, name)
        for place in np.argwhere(np.ones(part.shape, bool)):
            up, down = part.copy(), part.copy()
            up[tuple(place)] += step
            down[tuple(place)] -= step
            ends = [small.evaluate(replace(at, **{name: moved}), zero_like(at)) for moved in (up, down)]
            assert derivative[tuple(place)] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)


def zero_like(of):
    return ApertureSet(*(np.zeros(part.shape) for part in of.parts))
