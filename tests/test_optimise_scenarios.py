"""Robust plans: which scenarios count, where their points lie, and what they buy and cost."""

from dataclasses import replace

import numpy as np
import pytest
from oracles_planning import ball
from test_optimise_planning import ENGINE, request

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.evaluate.dvh import dvh, isodose_volume_cc
from planner.evaluate.robustness import moved
from planner.optimise.free_fluence import make_plan
from planner.optimise.normalisation import normalisation_factor
from planner.optimise.planning import samples_of
from planner.optimise.scenarios import felt
from planner.treatment.scenario import NOMINAL


def names(target: Structure) -> list[str]:
    return [movement.name.split(" ")[0] for movement in felt(target, "worst")]


def test_turns_count_for_long_targets_only():
    grid = Grid.covering([-60] * 3, [60] * 3, 4.0)
    assert names(ball("ptv", grid, (0, 0, 0), 11)) == 6 * ["shift"]
    rod = np.zeros(grid.shape)
    rod[2:-2, 14:17, 14:17] = 1.0
    # 53 mm from the middle 1 degree moves by 0.9 mm, and 1.3 % stretch by 0.7 mm; about its own axis nothing moves.
    kinds = names(Structure("ptv", Role.TARGET, grid, rod))
    assert kinds.count("shift") == 6 and kinds.count("rotation") == 4 and kinds.count("dilation") == 2
    assert felt(ball("ptv", grid, (0, 0, 0), 11), "none") == []


def test_points_of_a_scenario_are_those_of_the_target_taken_back_by_its_shift():
    plain, robust = samples_of(request()), samples_of(request(robust="worst"))
    assert plain.scenarios == () and len(robust.scenarios) == 6
    np.testing.assert_array_equal(robust.points_mm[: len(plain.points_mm)], plain.points_mm)
    first, opposite = (robust.points_mm[robust.scenarios[n].index] for n in (0, 1))
    np.testing.assert_allclose(opposite - first, np.tile([2.0, 0, 0], (len(first), 1)), atol=1e-9)
    for part in robust.scenarios:
        assert part.volume_cc.sum() == pytest.approx(robust.target.volume_cc.sum())


def dose_of(fall: float) -> Volume:
    """Return a dose that falls by `fall` Gy a mm from the centre of the target."""
    grid = Grid.covering([-40] * 3, [40] * 3, 2.0)
    place = np.moveaxis(np.indices(grid.shape), 0, -1) * 2.0 + grid.origin_mm - request().targets["ptv"].centroid_mm
    return Volume(grid, (40 - fall * np.linalg.norm(place, axis=-1)).astype(np.float32), Quantity.DOSE)


def test_normalisation_on_a_known_dose():
    """In a ball moved by 1 mm the lowest doses are those of the side that moved outwards, down the slope."""
    least = {r: 18.0 / normalisation_factor(dose_of(1.0), request(robust=r)) for r in ("none", "expected", "worst")}
    assert least["worst"] < least["expected"] < least["none"]
    assert 0.5 < least["none"] - least["worst"] < 1.0
    flat = [normalisation_factor(dose_of(0.0), request(robust=r)) for r in ("none", "expected", "worst")]
    np.testing.assert_allclose(flat, 18 / 40, rtol=1e-6)


@pytest.fixture(scope="module")
def plans():
    return {robust: make_plan(request(robust=robust), ENGINE) for robust in ("none", "expected", "worst")}


def least_doses(plan) -> np.ndarray:
    """Return the dose to 99 % of the target, to which plans are normalised, Gy, as planned and in each scenario."""
    target, dose = plan.targets["ptv"], plan.dose.volume
    cases = [dose, *(moved(dose, target, m, target.centroid_mm) for m in felt(target, "worst"))]
    return np.array([dvh(case, target).dose_at_volume_percent(99) for case in cases])


def test_robust_plans_hold_their_dose_in_scenarios_and_pay_with_brain(plans):
    found = {robust: least_doses(plan) for robust, plan in plans.items()}
    assert found["none"][0] == pytest.approx(18.0, rel=1e-3) and found["none"].min() < 17.9
    assert found["worst"].min() == pytest.approx(18.0, rel=1e-3)
    assert found["none"].mean() < found["expected"].mean() < found["worst"].mean()
    above = {robust: isodose_volume_cc(plan.dose.volume, 12.0) for robust, plan in plans.items()}
    assert above["none"] < above["expected"] < above["worst"]
    assert [plan.facts["robust"] for plan in plans.values()] == list(plans)


def test_no_error_needs_no_robustness(monkeypatch):
    """Scenarios that move nothing change nothing but the number of points."""
    monkeypatch.setattr("planner.optimise.scenarios.felt", lambda target, robust: [NOMINAL, NOMINAL])
    r = request(robust="expected")
    samples = samples_of(r)
    same = samples.points_mm[samples.scenarios[0].index]
    assert {tuple(p) for p in same.round(6)} <= {tuple(p) for p in samples.points_mm[samples.target.index].round(6)}
    assert samples_of(replace(r, robust="none")).target.index.tolist() == samples.target.index.tolist()
