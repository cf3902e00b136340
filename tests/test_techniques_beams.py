"""Directions and bixels of techniques: arcs, rings, avoided sectors, projections, refusals."""

from itertools import pairwise

import numpy as np
import pytest
from oracles_planning import ball, constant, machine

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from planner import library
from planner.techniques.aperture import project, target_points
from planner.techniques.beams import beams_on, bixel_slices
from planner.techniques.directions import collides, directions, is_avoided
from planner.treatment.errors import PlanningError
from planner.treatment.geometry import beam_frame
from planner.treatment.machine import Machine
from planner.treatment.technique import ArcSpec, FieldRing, StaticField, TechniqueSpec

GRID = Grid.covering([-30] * 3, [30] * 3, 2.0)


def ring(count, first=0.0, margin=2.0):
    return TechniqueSpec(
        name="ring",
        title="Ring",
        ring=constant(FieldRing(count=count, first_deg=first)),
        bixel_step_mm=constant(2.5),
        aperture_margin_mm=constant(margin),
    )


def arc(start, stop, spacing=10.0, **more):
    spec = ArcSpec(
        label="a",
        couch_deg=more.pop("couch_deg", 0.0),
        gantry_start_deg=start,
        gantry_stop_deg=stop,
        spacing_deg=spacing,
        **more,
    )
    return TechniqueSpec(
        name="arc",
        title="Arc",
        arcs=constant((spec,)),
        bixel_step_mm=constant(2.5),
        aperture_margin_mm=constant(2.0),
    )


def test_arcs_are_sampled_at_the_middle_of_equal_steps():
    found = directions(arc(200, 520, 20), machine())
    assert len(found) == 16
    assert found[0].gantry_deg == 210
    assert np.allclose(np.diff(np.unwrap([d.gantry_deg for d in found], period=360)), 20)
    back = directions(arc(520, 200, 20), machine())
    assert [d.gantry_deg for d in back] == [d.gantry_deg for d in found][::-1]


def test_a_full_arc_has_no_direction_twice():
    found = directions(arc(180, 540, 10), machine())
    assert len({d.gantry_deg for d in found}) == 36


@pytest.mark.parametrize(
    ("angle", "avoided"), [(7.9, False), (8, False), (10, True), (18, False), (370, True), (-350, True)]
)
def test_avoided_sectors(angle, avoided):
    assert is_avoided(angle, machine(gantry_avoided_deg=((8.0, 18.0),))) is avoided


def test_avoided_sector_across_zero():
    m = machine(gantry_avoided_deg=((350.0, 20.0),))
    assert [is_avoided(a, m) for a in (340, 355, 0, 10, 25)] == [False, True, True, True, False]


@pytest.mark.parametrize("count", range(5, 16))
def test_a_ring_is_equally_spaced_and_avoids_the_sector(count):
    m = machine(gantry_avoided_deg=((8.0, 18.0), (100.0, 104.0)))
    found = [d.gantry_deg for d in directions(ring(count), m)]
    assert not any(is_avoided(a, m) for a in found)
    assert np.allclose(np.diff(np.sort(found)), 360 / count)


@pytest.mark.parametrize(
    ("spec", "changes", "words"),
    [
        (ring(20), {"gantry_avoided_deg": ((8.0, 40.0),)}, "cannot avoid"),
        (arc(0, 90), {"gantry_avoided_deg": ((30.0, 40.0),)}, "passes the sector"),
        (arc(0, 90, couch_deg=60.0), {"couch_range_deg": (-45.0, 45.0)}, "permits -45 to 45"),
        (arc(0, 90, couch_deg=315.0), {"couch_range_deg": (0.0, 0.0)}, "permits 0 to 0"),
        (arc(0, 90, collimator_deg=30.0), {"collimator_rotates": False}, "stands at 0"),
        (ring(5), {"max_field_mm": (20.0, 220.0)}, "along X"),
        (ring(5), {"max_field_mm": (220.0, 20.0)}, "along Y"),
    ],
)
def test_what_a_machine_cannot_do_is_refused(spec, changes, words):
    with pytest.raises(PlanningError, match=words):
        beams_on(ball("ptv", GRID, (0, 0, 0), 15), machine(**changes), spec)


def test_an_empty_target_is_refused():
    with pytest.raises(PlanningError, match="'ptv' is empty"):
        beams_on(Structure("ptv", Role.TARGET, GRID, np.zeros(GRID.shape)), machine(), ring(5))


@pytest.mark.parametrize("leaves", [(5.0,) * 40, (7.175,) * 41])
def test_open_bixels_are_those_within_the_margin(leaves):
    """Every projected point lies in an open bixel, and open bixels are those that a dense disc about it reaches."""
    target = ball("ptv", GRID, (3, -4, 5), (8, 12, 6))
    m = machine(leaf_width_mm=leaves)
    for beam in beams_on(target, m, ring(5, margin=3.0)):
        grid = beam.bixels
        assert beam.isocentre_mm == pytest.approx(target.centroid_mm)
        frame = beam.frame(m.sad_mm.value)
        seen = project(target_points(target), frame, m.sad_mm.value)
        centres = np.array(grid.low_mm) + (np.indices(grid.open.shape).reshape(2, -1).T + 0.5) * grid.size_mm
        outside = np.maximum(np.abs(seen[None] - centres[:, None]) - np.array(grid.size_mm) / 2, 0)
        reach = np.linalg.norm(outside, axis=2).min(axis=1)
        is_open = grid.open.ravel()
        assert is_open[reach == 0].all()
        assert is_open[reach < 3.0 - 0.75].all()
        assert not is_open[reach > 3.0 + 0.75].any()
        # Edges along Y are leaf edges: whole widths from the axis, or half ones with an odd number of pairs.
        edge = (grid.low_mm[1] / leaves[0]) % 1
        assert edge == pytest.approx(0.0 if len(leaves) % 2 == 0 else 0.5, abs=1e-9) or edge == pytest.approx(1.0)


def test_projection_of_the_isocentre_and_of_a_point_on_the_device_axis():
    frame = beam_frame(37.0, 12.0, 20.0, (1.0, 2.0, 3.0), 1000.0)
    points = np.array([[1.0, 2.0, 3.0], np.array([1.0, 2.0, 3.0]) + 7 * frame.axes[0] - 100 * frame.axes[2]])
    assert np.allclose(project(points, frame, 1000.0), [[0, 0], [7 / 0.9, 0]])


def test_slices_part_the_weights():
    beams = beams_on(ball("ptv", GRID, (0, 0, 0), 10), machine(), ring(7))
    parts = bixel_slices(beams)
    assert [p.stop - p.start for p in parts] == [b.bixels.count for b in beams]
    assert parts[0].start == 0
    assert all(a.stop == b.start for a, b in pairwise(parts))


@pytest.mark.parametrize(
    ("technique", "named", "at_least"),
    [("ncvmat", "truebeam-stx", 40), ("ncvmat-eight", "truebeam-stx", 80), ("coplanar-imrt", "elekta-unity", 9)],
)
def test_library_techniques_fit_their_machines(technique, named, at_least):
    spec = library.load("techniques", technique, TechniqueSpec)
    m = library.load("machines", named, Machine)
    beams = beams_on(ball("ptv", GRID, (0, 0, 0), 12), m, spec)
    assert len(beams) >= at_least
    assert len({(b.gantry_deg, b.couch_deg) for b in beams}) == len(beams)
    with pytest.raises(PlanningError):
        # An arc technique does not fit a table that cannot turn.
        beams_on(
            ball("ptv", GRID, (0, 0, 0), 12),
            machine(couch_range_deg=(0.0, 0.0)),
            library.load("techniques", "ncvmat", TechniqueSpec),
        )


def test_a_gantry_that_would_hit_the_table_is_refused():
    """Turned to +45, the foot end stands on the side of gantry 90."""
    linac = library.load("machines", "truebeam-stx", Machine)
    assert collides(90, 45, linac)
    assert collides(270, 315, linac)
    assert not collides(270, 45, linac)
    assert not collides(90, 0, linac)
    assert not collides(90, 45, machine())
    spec = library.load("techniques", "conformal", TechniqueSpec)
    assert len(directions(spec, linac)) == len(spec.fields.value)
    wrong = constant((StaticField(gantry_deg=90.0, couch_deg=45.0),))
    with pytest.raises(PlanningError, match="collide"):
        directions(spec.model_copy(update={"fields": wrong}), linac)


def test_a_static_field_in_an_avoided_sector_is_refused():
    spec = library.load("techniques", "conformal", TechniqueSpec)
    field = constant((StaticField(gantry_deg=10.0, couch_deg=0.0),))
    with pytest.raises(PlanningError, match="must avoid"):
        directions(spec.model_copy(update={"fields": field}), machine(gantry_avoided_deg=((8.0, 18.0),)))
