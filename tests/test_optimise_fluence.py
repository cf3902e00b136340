"""The search for fluence: the non-negative least squares solution, the same twice, roughness."""

import numpy as np
import pytest
from oracles_planning import MatrixInfluence
from scipy.optimize import nnls

from planner.optimise.fluence import Roughness, optimise_fluence, start_weights
from planner.optimise.objectives import Objective, Overdose, Underdose


def least_squares(points, aim):
    """Under and over the same level with the same weight is a sum of squares."""
    index, share = np.arange(points), np.full(points, 1 / points)
    return Objective([Underdose("", index, share, aim, 1.0, 1.0), Overdose("", index, share, aim, 1.0, 1.0)])


@pytest.fixture
def problem():
    random = np.random.default_rng(3)
    matrix = random.uniform(0, 1, (80, 25)) * random.uniform(0.2, 3, 25)
    aim = matrix @ np.maximum(random.normal(0, 1, 25), 0) + random.normal(0, 0.3, 80)
    return MatrixInfluence(matrix), aim


def test_finds_the_non_negative_least_squares_solution(problem):
    influence, aim = problem
    expected, residual = nnls(influence.matrix, aim)
    found = optimise_fluence(influence, [(least_squares(80, aim), 2000)], np.ones(25))
    assert found.objective == pytest.approx(residual**2 / 80, rel=1e-4)
    assert np.abs(found.weights - expected).max() < 0.05 * expected.max()
    assert found.weights.min() >= 0
    assert np.allclose(found.dose_gy, influence.matrix @ found.weights)


def test_same_result_twice_and_progress_is_told(problem):
    influence, aim = problem
    told = []
    runs = [
        optimise_fluence(
            influence,
            [(least_squares(80, aim), 20), (least_squares(80, aim), 20)],
            np.ones(25),
            progress=lambda n, value: told.append((n, value)),
        )
        for _ in range(2)
    ]
    assert np.array_equal(runs[0].weights, runs[1].weights)
    half = len(told) // 2
    assert told[:half] == told[half:]
    assert [n for n, _ in told[:half]] == list(range(1, runs[0].evaluations + 1))
    assert [v for _, v in told[:half]] == runs[0].history.tolist()


def test_start_weights_give_the_mean_dose(problem):
    influence, _ = problem
    target = np.arange(5, 30)
    weights = start_weights(influence, target, 20.0)
    assert influence.forward(weights)[target].mean() == pytest.approx(20.0)
    assert np.ptp(weights) == 0


def test_roughness_pulls_neighbours_together(problem):
    influence, aim = problem
    pairs = Roughness(np.arange(24), np.arange(1, 25), 0.0)
    steps = []
    for weight in (0.0, 1.0, 100.0):
        rough = Roughness(pairs.first, pairs.second, weight)
        found = optimise_fluence(influence, [(least_squares(80, aim), 500)], np.ones(25), roughness=rough)
        steps.append(np.mean(np.diff(found.weights) ** 2))
    assert steps[0] > steps[1] > steps[2]
