"""Coverage of a ball under shifts and rotations of a dose whose coverage is known."""

import numpy as np
import pytest
from ball_patients import ball

from phantoms.grid import Grid
from phantoms.structure import Role
from phantoms.volume import Quantity, Volume
from planner import library
from planner.evaluate.robustness import robustness
from planner.treatment.scenario import ScenarioSet

CENTRE = (6.0, -3.0, 2.0)
GRID = Grid.covering((-40, -40, -40), (40, 40, 40), 2.0)
SETUP = library.load("scenarios", "setup", ScenarioSet)


def only(shifts=(), rotations=(), dilations=()) -> ScenarioSet:
    def held(constant, value):
        return constant.model_copy(update={"value": tuple(value)})

    return SETUP.model_copy(
        update={
            "shifts_mm": held(SETUP.shifts_mm, shifts),
            "rotations_deg": held(SETUP.rotations_deg, rotations),
            "dilations_percent": held(SETUP.dilations_percent, dilations),
        }
    )


def slope(along: int) -> Volume:
    """A dose of 20 Gy at the centre that falls by 0.5 Gy a mm along one axis."""
    place = np.meshgrid(*GRID.axes_mm(), indexing="ij")[along] - CENTRE[along]
    return Volume(GRID, 20.0 - 0.5 * place, Quantity.DOSE)


TARGET = ball("ptv", Role.TARGET, Grid.covering((-20, -20, -20), (24, 24, 24), 1.0), CENTRE, 10.0)


def test_a_shift_of_a_slope_shifts_every_dose():
    found = robustness(slope(0), TARGET, 20.0, CENTRE, only(shifts=[(1.0, 0.0, 0.0), (0.0, 3.0, 0.0)]))
    along, across = found.scenarios
    # The dose moves to +x: what was planned 1 mm further back, and more of it, lies at every point.
    assert along.d98_gy == pytest.approx(found.nominal.d98_gy + 0.5, abs=0.01)
    assert across.d98_gy == pytest.approx(found.nominal.d98_gy, abs=0.01)
    # A plane 1 mm off the centre of a ball of 10 mm: (2 + 3 t - t^3) / 4 with t = 0.1.
    assert found.nominal.v100_percent == pytest.approx(50.0, abs=0.2)
    assert along.v100_percent == pytest.approx(100 * (2 + 0.3 - 0.001) / 4, abs=0.2)
    assert along.scenario == "shift +1, 0, 0 mm"


def test_a_rotation_about_the_centre_of_a_ball_leaves_its_coverage_as_it_is():
    found = robustness(slope(1), TARGET, 20.0, CENTRE, only(rotations=[(0.0, 0.0, 20.0)]))
    assert found.scenarios[0].d98_gy == pytest.approx(found.nominal.d98_gy, abs=0.01)


def test_a_rotation_about_another_point_is_a_shift_of_the_ball():
    # 2 degrees about z through a point 50 mm away along x: the ball moves by 1.745 mm along y against the dose.
    about = (CENTRE[0] - 50.0, CENTRE[1], CENTRE[2])
    found = robustness(slope(1), TARGET, 20.0, about, only(rotations=[(0.0, 0.0, 2.0)]))
    assert found.scenarios[0].d98_gy == pytest.approx(found.nominal.d98_gy + 0.5 * 50 * np.sin(np.radians(2)), abs=0.03)


def test_a_dilation_stretches_the_dose_about_the_isocentre():
    # 50 mm beside the isocentre a dose that is 2 % larger lies 1 mm further out: a slope along x is flatter by that.
    about = (CENTRE[0] - 50.0, CENTRE[1], CENTRE[2])
    found = robustness(slope(0), TARGET, 20.0, about, only(dilations=[2.0]))
    assert found.scenarios[0].d98_gy == pytest.approx(found.nominal.d98_gy + 0.5 * (50.0 - 50.0 / 1.02), abs=0.12)
    nothing = robustness(slope(0), TARGET, 20.0, about, only(dilations=[0.0]))
    assert nothing.scenarios[0].d98_gy == pytest.approx(nothing.nominal.d98_gy, abs=1e-4)
    assert found.scenarios[0].scenario == "dilation +2 %"


def test_worst_and_mean():
    found = robustness(slope(0), TARGET, 20.0, CENTRE, SETUP)
    assert len(found.scenarios) == 14
    assert found.worst.scenario == "shift -1, 0, 0 mm"
    d98, v100 = found.mean()
    assert d98 == pytest.approx(found.nominal.d98_gy, abs=0.01) and v100 == pytest.approx(50.0, abs=0.2)
    with pytest.raises(ValueError, match="no scenario"):
        robustness(slope(0), TARGET, 20.0, CENTRE, only())
