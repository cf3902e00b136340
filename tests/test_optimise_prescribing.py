"""Prescriptions by volume and diameter as published, and targets by the margin rules of the library."""

import numpy as np
import pytest
from oracles_planning import ball, constant

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from planner import library
from planner.optimise.prescribing import largest_diameter_mm, prescribe, prescribe_size, targets
from planner.treatment.errors import InputError, PlanningError
from planner.treatment.rules import MarginRule, PrescriptionRule

GRID = Grid.covering([-40] * 3, [40] * 3, 2.0)


def rule(name):
    return library.load("prescriptions", name, PrescriptionRule)


def margins(name):
    return library.load("margins", name, MarginRule)


@pytest.mark.parametrize(
    ("cc", "gy"),
    [
        (0.5, 20),
        (4.1, 20),
        (4.2, 18),
        (7.9, 18),
        (8.0, 17),
        (14.3, 17),
        (14.4, 15),
        (19.9, 15),
        (20.0, 14),
        (29.9, 14),
        (30.0, 12),
        (60.0, 12),
    ],
)
def test_n107c_by_cavity_volume(cc, gy):
    found = prescribe_size(rule("n107c"), cc)
    assert (found.dose_gy, found.fractions, found.rule) == (gy, 1, "n107c")


@pytest.mark.parametrize(("mm", "gy"), [(5, 24), (20, 24), (20.1, 18), (30, 18), (30.1, 15), (40, 15)])
def test_rtog_90_05_by_diameter(mm, gy):
    assert prescribe_size(rule("rtog-90-05"), mm).dose_gy == gy


def test_beyond_the_table_is_an_error_and_not_the_last_row():
    with pytest.raises(PlanningError, match=r"ends at 40 mm, but the target's largest diameter is 40\.1 mm"):
        prescribe_size(rule("rtog-90-05"), 40.1)


@pytest.mark.parametrize(("cc", "course"), [(29.9, (27, 3)), (30.0, (30, 5))])
def test_fractionated_by_volume(cc, course):
    found = prescribe_size(rule("alliance-a071801"), cc)
    assert (found.dose_gy, found.fractions) == course


def test_the_reason_tells_size_and_row():
    assert prescribe_size(rule("n107c"), 10.04).reason == "volume 10.0 cc (8 to 14.4 cc): 17 Gy in 1"
    assert prescribe_size(rule("n107c"), 31).reason == "volume 31.0 cc (above 30 cc): 12 Gy in 1"


@pytest.mark.parametrize("name", library.names("prescriptions"))
def test_every_rule_of_the_library_gives_doses(name):
    found = prescribe_size(rule(name), 15.0)
    assert 10 <= found.dose_gy <= 40
    assert name == rule(name).name


@pytest.mark.parametrize(
    "rows", [[], [{"dose_gy": 1}, {"dose_gy": 2}], [{"up_to": 5, "dose_gy": 1}, {"up_to": 5, "dose_gy": 2}]]
)
def test_tables_that_make_no_sense_are_refused(rows):
    data = {"name": "x", "title": "x", "size": "volume_cc", "bounds_included": True}
    with pytest.raises(InputError):
        library.parse(PrescriptionRule, data | {"rows": {"value": rows, "source": "x", "status": "assumed"}}, "x.toml")


def test_prescribe_measures_the_structure():
    thirteen_mm = ball("gtv", GRID, (0, 0, 0), 13)
    assert prescribe(rule("n107c"), thirteen_mm).dose_gy == 17  # 9.2 cc
    assert prescribe(rule("rtog-90-05"), thirteen_mm).dose_gy == 18  # 26 mm
    with pytest.raises(PlanningError, match="'gtv' is empty"):
        prescribe(rule("n107c"), Structure("gtv", Role.TARGET, GRID, np.zeros(GRID.shape)))


@pytest.mark.parametrize("radii", [(10, 10, 10), (6, 9, 15), (20, 5, 5)])
def test_largest_diameter(radii):
    assert largest_diameter_mm(ball("x", GRID, (1, 2, 3), radii)) == pytest.approx(2 * max(radii), abs=0.8)


def test_targets_grow_by_the_margins():
    structures = {
        "cavity": ball("cavity", GRID, (0, 0, 0), 12),
        "tumour": ball("tumour", GRID, (20, 0, 0), 5),
        "external": ball("external", GRID, (0, 0, 0), 38, Role.EXTERNAL),
    }
    found = targets(structures, margins("ptv-2"))
    sphere = 4e-3 / 3 * np.pi
    assert found["gtv"].volume_cc == pytest.approx(sphere * 12**3, rel=0.005)
    assert np.array_equal(found["ctv"].on(GRID), found["gtv"].on(GRID))
    assert found["ptv"].volume_cc == pytest.approx(sphere * 14**3, rel=0.01)
    assert {name: s.name for name, s in found.items()} == {"gtv": "gtv", "ctv": "ctv", "ptv": "ptv"}


def test_the_tumour_is_treated_where_there_is_no_cavity():
    structures = {
        "tumour": ball("tumour", GRID, (5, 0, 0), 9),
        "cavity": Structure("cavity", Role.TRUTH, GRID, np.zeros(GRID.shape)),
    }
    assert np.allclose(targets(structures, margins("ptv-0"))["ptv"].centroid_mm, [5, 0, 0], atol=0.01)


def test_cavity_and_residual_are_united_without_counting_twice():
    cavity, residual = ball("cavity", GRID, (0, 0, 0), 12), ball("residual", GRID, (10, 0, 0), 5)
    found = targets({"cavity": cavity, "residual": residual}, margins("ptv-0"))["gtv"].on(GRID)
    assert (found >= np.maximum(cavity.occupancy, residual.occupancy) - 1e-6).all()
    assert (found <= np.minimum(cavity.occupancy + residual.occupancy, 1) + 1e-6).all()


def test_the_ctv_margin_stays_in_the_brain_even_if_the_cavity_is_cut_out_of_it():
    cavity = ball("cavity", GRID, (18, 0, 0), 10)
    whole = ball("brain", GRID, (0, 0, 0), 25)
    hollow = Structure("brain", Role.ORGAN, GRID, np.maximum(whole.occupancy - cavity.occupancy, 0))
    rule_ = MarginRule(
        name="x", title="x", gtv_to_ctv_mm=constant(4.0), ctv_to_ptv_mm=constant(0.0), barrier=constant("brain")
    )
    outside = (whole.occupancy == 0) & (cavity.occupancy == 0)
    free = targets({"cavity": cavity}, rule_.model_copy(update={"barrier": constant("")}))["ctv"].on(GRID)
    for brain in (whole, hollow):
        ctv = targets({"cavity": cavity, "brain": brain}, rule_)["ctv"].on(GRID)
        assert ctv[outside].max() < 0.01
        assert free[outside].max() == 1
        assert (ctv >= cavity.occupancy - 1e-6).all()
        well_inside = np.linalg.norm(np.stack(GRID.point_of(np.moveaxis(np.indices(GRID.shape), 0, -1))), axis=-1) < 22
        assert np.abs((ctv - free)[well_inside]).max() < 0.02


def test_missing_structures_are_named():
    with pytest.raises(PlanningError, match="nothing to treat"):
        targets({}, margins("ptv-2"))
    with pytest.raises(PlanningError, match="'brain', which is not drawn"):
        targets({"cavity": ball("cavity", GRID, (0, 0, 0), 10)}, margins("ctv-1-ptv-2"))


@pytest.mark.parametrize("name", library.names("margins"))
def test_margin_files(name):
    found = margins(name)
    assert found.name == name
    assert found.gtv_to_ctv_mm.value + found.ctv_to_ptv_mm.value <= 5
