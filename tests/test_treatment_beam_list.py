"""Open fields as a user writes them: openings, weights, errors."""

import numpy as np
import pytest

from planner.library import load, parse
from planner.treatment.beam_list import BeamList, Leaves, OpenField, weighted_beam
from planner.treatment.errors import InputError
from planner.treatment.geometry import solid_angle_sr
from planner.treatment.machine import Machine

ISO = (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def point() -> Machine:
    return load("machines", "point-6mv", Machine)


@pytest.fixture(scope="module")
def stx() -> Machine:
    return load("machines", "truebeam-stx", Machine)


def test_a_rectangle_is_one_bixel_with_all_the_photons(point):
    made = weighted_beam(OpenField(machine="point-6mv", isocentre_mm=ISO, field_mm=(30, 20), weight=7.0), point)
    assert made.beam.bixels.low_mm == (-15, -10)
    np.testing.assert_allclose(made.weights, [7.0])


@pytest.mark.parametrize("radius", [2.0, 3.1, 8.0])
def test_a_circle_has_its_area_and_all_the_photons(point, stx, radius):
    field = OpenField(machine="point-6mv", isocentre_mm=ISO, radius_mm=radius, weight=5.0)
    assert weighted_beam(field, point).weights.sum() == pytest.approx(5.0, rel=1e-12)
    linac = weighted_beam(field.model_copy(update={"weight": 1.0}), stx)
    area = linac.weights.sum() * np.prod(linac.beam.bixels.size_mm)
    assert area == pytest.approx(np.pi * radius**2, rel=1e-3)


def test_the_solid_angle_is_exact_for_a_pyramid_and_small_fields():
    field = OpenField(machine="m", isocentre_mm=ISO, field_mm=(2000, 2000))
    machine = load("machines", "point-6mv", Machine)
    wide = machine.max_field_mm.model_copy(update={"value": (3000.0, 3000.0)})
    bixels = weighted_beam(field, machine.model_copy(update={"max_field_mm": wide})).beam.bixels
    # A cube's face seen from its middle is a sixth of the sphere.
    np.testing.assert_allclose(solid_angle_sr(*bixels.edges_mm, 1000.0), 4 * np.pi / 6, rtol=1e-12)


def test_leaves_open_exactly_what_they_leave(stx):
    pairs = len(stx.leaf_width_mm.value)
    left, right = [0.0] * pairs, [0.0] * pairs
    left[pairs // 2], right[pairs // 2] = -3.3, 4.1  # the pair just above the axis, 2.5 mm; each tip lies 0.22 mm back
    opening = Leaves(left_mm=tuple(left), right_mm=tuple(right), jaw_y_mm=(-50.0, 1.0))
    made = weighted_beam(OpenField(machine="truebeam-stx", isocentre_mm=ISO, leaves=opening), stx)
    assert made.weights.sum() * np.prod(made.beam.bixels.size_mm) == pytest.approx(7.84 * 1.0, rel=1e-9)


@pytest.mark.parametrize(
    ("opening", "said"),
    [
        ({}, "one of field_mm, radius_mm, leaves is needed, got none"),
        ({"field_mm": [10, 10], "radius_mm": 3}, "got field_mm, radius_mm"),
        ({"field_mm": [10, -1]}, "must be positive"),
        ({"radius_mm": float("nan")}, "finite"),
        ({"fields_mm": [1, 1]}, "Did you mean 'field_mm'"),
    ],
)
def test_an_opening_that_is_none_is_refused_with_its_key(opening, said):
    data = {"beam": [{"machine": "point-6mv", "isocentre_mm": [0, 0, 0], **opening}]}
    with pytest.raises(InputError, match=r"beams\.toml: beam\.0") as caught:
        parse(BeamList, data, "beams.toml")
    assert said in str(caught.value)


def test_a_field_beyond_the_machine_is_refused(stx):
    with pytest.raises(ValueError, match="beyond the"):
        weighted_beam(OpenField(machine="truebeam-stx", isocentre_mm=ISO, field_mm=(500, 10)), stx)
    with pytest.raises(ValueError, match="60 leaf pairs, got 2"):
        short = Leaves(left_mm=(0, 0), right_mm=(1, 1))
        weighted_beam(OpenField(machine="truebeam-stx", isocentre_mm=ISO, leaves=short), stx)


def test_the_whole_field_may_be_open_though_its_raster_ends_outside():
    # 241 mm across the leaves is no multiple of the raster, and half of a leaf gap lies behind 200 mm.
    for name in ("mridian", "truebeam-stx"):
        machine = load("machines", name, Machine)
        pairs, half = len(machine.leaf_width_mm.value), machine.max_field_mm.value[0] / 2
        leaves = Leaves(left_mm=(-half,) * pairs, right_mm=(half,) * pairs)
        made = weighted_beam(OpenField(machine=name, isocentre_mm=ISO, leaves=leaves), machine)
        across = sum(machine.leaf_width_mm.value)
        along = 2 * (half + machine.collimation.leaf_offset_mm.value)
        assert made.weights.sum() * np.prod(made.beam.bixels.size_mm) == pytest.approx(along * across, rel=1e-9)


def test_an_opening_that_reaches_too_far_is_refused(stx):
    far = (0.0,) * 30 + (250.0,) + (0.0,) * 29
    for opening in ({"radius_mm": 110.3}, {"leaves": Leaves(left_mm=(0.0,) * 60, right_mm=far)}):
        with pytest.raises(ValueError, match="beyond the"):
            weighted_beam(OpenField(machine="truebeam-stx", isocentre_mm=ISO, **opening), stx)


def test_a_pair_open_by_the_last_printed_digit_is_closed():
    machine = load("machines", "mridian", Machine)
    left, right = np.zeros(58), np.full(58, 1e-6)
    right[29] = 5.0
    leaves = Leaves(left_mm=tuple(left), right_mm=tuple(right))
    made = weighted_beam(OpenField(machine="mridian", isocentre_mm=ISO, leaves=leaves), machine)
    low, high = (made.beam.bixels.edges_mm[1][n] for n in (0, -1))
    assert (low, high) == (0.0, 4.25)
