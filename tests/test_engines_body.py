"""Doses as a body gets them: none outside, and in gas what the tissue beside it gets."""

import numpy as np
import pytest
from ball_patients import ball
from hand_made import machine_named

from phantoms.grid import Grid
from phantoms.structure import Role
from phantoms.volume import Quantity, Volume
from planner.engines.body import in_body
from planner.engines.media import is_gas
from planner.engines.monte_carlo_physics import monte_carlo_physics
from planner.engines.registry import engine_named, with_histories
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.dose import Dose

GRID = Grid.covering((-60, -60, -60), (60, 60, 60), 4.0)
TO_WATER = monte_carlo_physics().water_to_gas.value


def test_outside_of_the_body_there_is_no_dose():
    body = ball("external", Role.EXTERNAL, GRID, (0, 0, 0), 30.0)
    everywhere = Volume(GRID, np.full(GRID.shape, 2.0), Quantity.DOSE)
    density = Volume(GRID, np.ones(GRID.shape, np.float32), Quantity.DENSITY)
    found = in_body(Dose(everywhere, "monte_carlo", False, 0.01, everywhere), body, density)
    for part in (found.volume, found.deviation):
        np.testing.assert_array_equal(part.data, np.where(body.occupancy > 0, 2.0, 0.0))


def test_a_spike_in_gas_is_shared_with_what_is_beside_it_and_told_to_water():
    body = ball("external", Role.EXTERNAL, GRID, (0, 0, 0), 30.0)
    i, j, k = (n // 2 for n in GRID.shape)
    rho, data = np.ones(GRID.shape, np.float32), np.full(GRID.shape, 2.0, np.float32)
    rho[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3] = 0.0012
    data[i, j, k] = 29.0
    density, given = Volume(GRID, rho, Quantity.DENSITY), Volume(GRID, data, Quantity.DOSE)
    found = in_body(Dose(given, "monte_carlo", False, 0.01, given), body, density)
    gas = rho < 0.5
    assert found.volume.data[i, j, k] == pytest.approx(TO_WATER * 3.0)
    assert found.deviation.data[i, j, k] == pytest.approx(TO_WATER * np.sqrt(29.0**2 + 26 * 2.0**2) / 27)
    # Beside tissue gas has the dose of tissue, tissue keeps its own, and an engine without noise keeps all.
    assert found.volume.data[i + 2, j, k] == pytest.approx(2.0, rel=1e-3)
    np.testing.assert_array_equal(found.volume.data[~gas], np.where(body.occupancy > 0, data, 0.0)[~gas])
    assert in_body(Dose(given, "cone", False), body, density).volume.data[i, j, k] == 29.0


def test_a_spike_in_a_lone_voxel_of_gas_is_no_dose():
    body = ball("external", Role.EXTERNAL, GRID, (0, 0, 0), 30.0)
    i, j, k = (n // 2 for n in GRID.shape)
    rho, data = np.ones(GRID.shape, np.float32), np.full(GRID.shape, 2.0, np.float32)
    rho[i, j, k], data[i, j, k] = 0.0012, 200.0
    density, given = Volume(GRID, rho, Quantity.DENSITY), Volume(GRID, data, Quantity.DOSE)
    found = in_body(Dose(given, "monte_carlo", False, 0.01, given), body, density)
    assert found.volume.data[i, j, k] == pytest.approx(2.0, rel=0.01)
    assert found.deviation.data[i, j, k] == pytest.approx(2.0 / np.sqrt(26), rel=0.01)


def test_dose_to_water_in_gas_goes_on_from_the_tissue_beside_it():
    """Against Monte Carlo to the medium: electrons pass from the wall into a bubble, where the dose to air is less."""
    body = ball("external", Role.EXTERNAL, GRID, (0, 0, 0), 60.0)
    x, y, z = np.meshgrid(*GRID.axes_mm(), indexing="ij")
    bubble, wall = (
        (abs(x) < 9) & (abs(y) < 9) & (abs(z) < 9),
        (abs(x) > 9) & (abs(x) < 18) & (abs(y) < 9) & (abs(z) < 9),
    )
    density = Volume(GRID, np.where(bubble, 0.0012, 1.0), Quantity.DENSITY)
    machine = machine_named("point-6mv")
    open_field = BixelGrid((-40.0, -40.0), (80.0, 80.0), np.ones((1, 1), bool))
    beam = Beam(0.0, 0.0, 0.0, (0.0, 0.0, 0.0), open_field)
    engine = with_histories(engine_named("monte_carlo"), 300_000)
    made = engine.dose(density, [beam], [np.ones(1)], machine, ignore_field=False)
    told = in_body(made, body, density).volume.data
    assert told[wall].mean() == pytest.approx(made.volume.data[wall].mean(), rel=1e-6)
    assert made.volume.data[bubble].mean() < 0.93 * told[wall].mean()
    assert told[bubble].mean() == pytest.approx(told[wall].mean(), rel=0.04)


def test_gas_is_thinner_than_any_tissue():
    np.testing.assert_array_equal(is_gas(np.array([0.0012, 0.04, 0.2, 1.0])), [True, True, False, False])
