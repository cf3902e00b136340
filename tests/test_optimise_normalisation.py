"""How a plan that is not what was searched for is searched again."""

import numpy as np
import pytest
from test_optimise_planning import request, template

from phantoms.volume import Quantity, Volume
from planner.optimise.normalisation import Normalised, searched_until_cool
from planner.treatment.dose import Dose

ASKED = request()
LEVEL = template().target_maximum.value.level
COOL = 0.99 * template().maximum_dose.value


def made(peak: float, factor: float = 1.0) -> Normalised[None]:
    """A plan whose largest dose is so many times the prescription."""
    grid = ASKED.density.grid
    data = np.full(grid.shape, 18.0 * peak, np.float32)
    return Normalised(None, Dose(Volume(grid, data, Quantity.DOSE), "test", field_ignored=False), factor)


def searched(first: Normalised[None], excess: float, scaling: float = 0.0) -> tuple[Normalised[None], list[float]]:
    """Search where a goal is missed by one over its weight, and return the plan and the weights that were tried."""
    tried: list[float] = []

    def again(last: Normalised[None], weight: float) -> Normalised[None]:
        tried.append(weight)
        return made(LEVEL + excess / weight, 1.0 + scaling / weight)

    return searched_until_cool(first, ASKED, again), tried


def test_a_plan_as_it_was_searched_is_kept():
    first = made(COOL - 0.001, 1.049)
    assert searched(first, 0.0) == (first, [])


@pytest.mark.parametrize("over", [1.01, 1.5, 2.5])
def test_a_hot_plan_is_searched_once_more_no_firmer_than_it_needs(over):
    """A little too hot asks for a little more weight: what is cooler than it has to be has a worse gradient."""
    excess = over * (COOL - LEVEL)
    found, tried = searched(made(LEVEL + excess), excess)
    assert tried == [pytest.approx(1.25 * over, rel=1e-3)]
    assert found.dose.volume.data.max() / 18.0 == pytest.approx(LEVEL + excess / tried[0], rel=1e-5)


def test_a_plan_that_was_scaled_by_much_is_searched_again():
    _, tried = searched(made(LEVEL, 1.1), 0.0, scaling=0.1)
    assert tried == [pytest.approx(2.5)]


def test_weights_grow_fourfold_at_most_and_three_times():
    _, tried = searched(made(2.0, 3.0), 1e6)
    assert tried == [4.0, 16.0, 64.0]
