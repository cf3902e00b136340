"""Terms of an objective: values by hand, gradients by central differences, scenarios, satisfied goals."""

import numpy as np
import pytest

from planner.optimise.fluence import Roughness
from planner.optimise.objectives import GeneralisedMean, Objective, Overdose, OverScenarios, Underdose, VolumeAbove
from planner.treatment.beam import Beam, BixelGrid

RANDOM = np.random.default_rng(7)
DOSE = RANDOM.uniform(0.5, 30, 60)
INDEX = RANDOM.choice(60, 40, replace=False)
SHARE = RANDOM.dirichlet(np.ones(40))

TERMS = [
    Underdose("under", INDEX, SHARE, 18.0, 18.0, 3.0),
    Overdose("over", INDEX, SHARE, 12.0, 18.0, 2.0),
    Overdose("by distance", INDEX, SHARE, RANDOM.uniform(2, 20, 40), 18.0, 2.0),
    VolumeAbove("V12", INDEX, SHARE, 12.0, 1.0, 5.0),
    GeneralisedMean("mean", INDEX, SHARE, 1.0, 18.0, 0.7),
    GeneralisedMean("gEUD", INDEX, SHARE, 8.0, 18.0, 0.7),
    OverScenarios("worst", tuple(Underdose("", INDEX[n::3], SHARE[n::3], 18.0, 18.0, 3.0) for n in range(3)), 10.0),
    OverScenarios("expected", tuple(Underdose("", INDEX[n::3], SHARE[n::3], 18.0, 18.0, 3.0) for n in range(3)), 1.0),
]


def central_differences(value, x, step):
    out = np.empty(len(x))
    for n in range(len(x)):
        e = np.zeros(len(x))
        e[n] = step
        out[n] = (value(x + e) - value(x - e)) / (2 * step)
    return out


@pytest.mark.parametrize("term", [*TERMS, Objective(TERMS)], ids=lambda t: getattr(t, "name", "all together"))
def test_gradient_is_that_of_central_differences(term):
    objective = term if isinstance(term, Objective) else Objective([term])
    _, gradient = objective.evaluate(DOSE)
    expected = central_differences(lambda d: objective.evaluate(d)[0], DOSE, 1e-4)
    assert np.abs(gradient - expected).max() <= 1e-6 * np.abs(expected).max()
    assert np.all(gradient[np.setdiff1d(np.arange(60), INDEX)] == 0)


def test_values_by_hand():
    two, half = np.array([0, 1]), np.array([0.5, 0.5])
    dose = np.array([16.0, 24.0])
    assert Underdose("", two, half, 20.0, 20.0, 2.0).evaluate(dose, np.zeros(2)) == pytest.approx(2 * 0.5 * 0.2**2)
    assert Overdose("", two, half, 20.0, 20.0, 2.0).evaluate(dose, np.zeros(2)) == pytest.approx(2 * 0.5 * 0.2**2)
    assert GeneralisedMean("", two, half, 1.0, 20.0, 3.0).evaluate(dose, np.zeros(2)) == pytest.approx(3.0)
    # A sigmoid is one half at its level, and tends to the volume above it when it is narrow.
    assert VolumeAbove("", two, half, 16.0, 1e-3, 1.0).evaluate(dose, np.zeros(2)) == pytest.approx(0.25 + 0.5)


def test_scenarios_are_averaged_or_tend_to_the_worst():
    terms = tuple(Underdose("", np.array([n]), np.ones(1), 20.0, 20.0, 1.0) for n in range(3))
    dose = np.array([20.0, 18.0, 16.0])
    each = np.array([0.0, 0.1**2, 0.2**2])

    def value(power):
        return OverScenarios("", terms, power).evaluate(dose, np.zeros(3))

    assert value(1.0) == pytest.approx(each.mean())
    assert value(10.0) == pytest.approx(np.mean(each**10) ** 0.1)
    assert value(1000.0) == pytest.approx(each.max(), rel=2e-3)
    alike = OverScenarios("", (terms[2], terms[2]), 10.0)
    slope, once = np.zeros(3), np.zeros(3)
    assert alike.evaluate(dose, slope) == pytest.approx(terms[2].evaluate(dose, once))
    np.testing.assert_allclose(slope, once)
    unmoved = np.zeros(3)
    assert OverScenarios("", terms, 10.0).evaluate(np.full(3, 25.0), unmoved) == 0 and not unmoved.any()


def test_what_binds_is_told_by_its_part_of_the_objective():
    point = np.array([0]), np.ones(1)
    terms = [
        Underdose(name, *point, level, 20.0, 1.0) for name, level in (("met", 10.0), ("small", 16.0), ("large", 18.0))
    ]
    terms.append(Underdose("hardly", *point, 15.02, 20.0, 1.0))
    assert Objective(terms).binding(np.array([15.0])) == "large 90 %, small 10 %"
    assert Objective(terms).binding(np.array([30.0])) == ""


def test_a_satisfied_goal_costs_nothing():
    dose = np.full(60, 20.0)
    assert TERMS[0].evaluate(dose, np.zeros(60)) == 0
    assert Overdose("", INDEX, SHARE, 20.0, 18.0, 1.0).evaluate(dose, np.zeros(60)) == 0


def test_mean_of_zero_dose_is_zero_without_warning():
    gradient = np.zeros(60)
    assert GeneralisedMean("", INDEX, SHARE, 8.0, 18.0, 1.0).evaluate(np.zeros(60), gradient) == 0
    assert not gradient.any()


def _beam(open_):
    grid = BixelGrid((0.0, 0.0), (2.5, 2.5), open_)
    return Beam(0.0, 0.0, 0.0, (0.0, 0.0, 0.0), grid)


def test_roughness_pairs_only_neighbours_of_the_same_beam():
    beams = [_beam(np.ones((2, 2), bool)), _beam(np.array([[True, False, True]]))]
    rough = Roughness.of(beams, 1.0)
    pairs = {frozenset(pair) for pair in zip(rough.first.tolist(), rough.second.tolist(), strict=True)}
    assert pairs == {frozenset(p) for p in ((0, 1), (2, 3), (0, 2), (1, 3))}


def test_roughness_gradient():
    beams = [_beam(np.ones((3, 4), bool)), _beam(np.eye(3, dtype=bool))]
    rough = Roughness.of(beams, 0.3)
    weights = RANDOM.uniform(0, 5, 15)
    gradient = np.zeros(15)
    rough.evaluate(weights, gradient, 2.0)
    expected = central_differences(lambda w: rough.evaluate(w, np.zeros(15), 2.0), weights, 1e-4)
    assert np.abs(gradient - expected).max() <= 1e-6 * np.abs(expected).max()
    assert rough.evaluate(np.full(15, 3.0), np.zeros(15), 2.0) == 0
