"""Fluence optimisation: evaluations per second, and L-BFGS-B against projected gradient on the same plan.

The projected gradient method is Barzilai and Borwein's step (IMA J Numer Anal 1988;8:141) with projection on w >= 0 and
the non-monotone acceptance of Grippo, Lampariello and Lucidi, as in SPG (Birgin et al., SIAM J Optim 2000;10:1196).
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from oracles_planning import ball, water_head

from planner import library
from planner.engines.registry import ENGINES
from planner.optimise.fluence import optimise_fluence, start_weights
from planner.optimise.goals import objective_of
from planner.optimise.sampling import Budget, sample
from planner.techniques.beams import beams_on
from planner.treatment.machine import Machine
from planner.treatment.objective import ObjectiveTemplate
from planner.treatment.prescription import Prescription
from planner.treatment.technique import TechniqueSpec

EVALUATIONS = 60


@pytest.fixture(
    scope="module", params=[("truebeam-stx", "ncvmat"), ("elekta-unity", "coplanar-imrt")], ids=lambda p: p[1]
)
def problem(request):
    """Return influence, objective and start of a plan for a ball of 10 cm3 in a head of water."""
    machine = library.load("machines", request.param[0], Machine)
    technique = library.load("techniques", request.param[1], TechniqueSpec)
    template = library.load("objectives", "srs-marginal", ObjectiveTemplate)
    density, structures = water_head(2.0)
    ptv = ball("ptv", density.grid, (20, 10, 15), 13.4)
    samples = sample(density.grid, ptv, structures, ((), 5.0), Budget())
    beams = beams_on(ptv, machine, technique)
    influence = ENGINES["pencil"].influence(density, beams, machine, samples.points_mm, ignore_field=True)
    objective = objective_of(samples, template, Prescription(17.0, 1, "fixed", "10 cc"), 1.0)
    start = start_weights(influence, samples.target.index, 1.2 * 17.0)
    return influence, objective, start


def projected_gradient(influence, objective, start, evaluations):
    """Return the least objective that the projected gradient method has met after so many evaluations."""
    scale = 1 / start.mean()

    def evaluate(x):
        value, by_dose = objective.evaluate(influence.forward(x / scale))
        return value, influence.adjoint(by_dose) / scale

    x = start * scale
    value, gradient = evaluate(x)
    recent, best, step = [value], value, 1.0 / np.abs(gradient).max()
    for _ in range(evaluations - 1):
        trial = np.maximum(x - step * gradient, 0)
        new_value, new_gradient = evaluate(trial)
        moved, turned = trial - x, new_gradient - gradient
        if new_value > max(recent[-10:]) + 1e-4 * (gradient @ moved):
            step *= 0.25
            continue
        curvature = moved @ turned
        step = moved @ moved / curvature if curvature > 0 else 2 * step
        x, value, gradient = trial, new_value, new_gradient
        recent.append(value)
        best = min(best, value)
    return best


def test_evaluation(benchmark, problem):
    """One objective with its gradient: a forward and an adjoint product."""
    influence, objective, start = problem

    def once():
        _, by_dose = objective.evaluate(influence.forward(start))
        return influence.adjoint(by_dose)

    benchmark.extra_info["points, bixels"] = influence.shape
    benchmark(once)


def test_lbfgsb(benchmark, problem):
    """The optimiser that plans use."""
    influence, objective, start = problem
    found = benchmark.pedantic(
        lambda: optimise_fluence(influence, [(objective, EVALUATIONS)], start), rounds=1, iterations=1
    )
    benchmark.extra_info["objective"] = found.objective
    print(f"\nL-BFGS-B: {found.objective:.5f} after {found.evaluations} evaluations")


def test_projected_gradient(benchmark, problem):
    """Its peer, as many evaluations."""
    value = benchmark.pedantic(lambda: projected_gradient(*problem, EVALUATIONS), rounds=1, iterations=1)
    benchmark.extra_info["objective"] = value
    print(f"\nprojected gradient: {value:.5f} after {EVALUATIONS} evaluations")
