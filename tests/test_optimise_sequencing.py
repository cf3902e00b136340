"""From fluence to apertures: the best opening of all counted out, tips, jaws and closed pairs."""

from itertools import product

import numpy as np
import pytest

from planner import library
from planner.optimise.sequencing import aperture_of, best_opening, by_leaf_pair
from planner.treatment.beam import BixelGrid
from planner.treatment.machine import Machine

STX = library.load("machines", "truebeam-stx", Machine)


def brute_force(fluence):
    """The least squared error of one opening of one level: every run of every row."""
    columns, rows = fluence.shape
    runs = [(0, 0)] + [(a, b) for a in range(columns) for b in range(a + 1, columns + 1)]
    best = (fluence**2).sum()
    for chosen in product(runs, repeat=rows):
        mask = np.zeros(fluence.shape, bool)
        for row, (a, b) in enumerate(chosen):
            mask[a:b, row] = True
        if mask.any():
            best = min(best, ((fluence - max(fluence[mask].mean(), 0) * mask) ** 2).sum())
    return best


def plane(opening, columns):
    """The fluence of an opening."""
    at = np.arange(columns)[:, None]
    return opening.level * ((at >= opening.first) & (at < opening.last))


@pytest.mark.parametrize("seed", range(6))
def test_one_opening_is_the_best_there_is(seed):
    fluence = np.random.default_rng(seed).uniform(0, 1, (4, 3)) ** 2
    found = best_opening(fluence)
    error = ((fluence - plane(found, 4)) ** 2).sum()
    assert error == pytest.approx((fluence**2).sum() - found.gain)
    # Levels are tried on a grid, so the runs may miss the best ones by a little.
    assert error <= 1.05 * brute_force(fluence) + 1e-12


def test_an_aperture_is_found_again():
    truth = np.zeros((20, 6))
    truth[3:9, 1], truth[5:15, 2], truth[4:12, 4] = 2.5, 2.5, 2.5
    assert np.allclose(plane(best_opening(truth), 20), truth)


def test_nothing_comes_of_nothing():
    for fluence in (np.zeros((5, 4)), -np.ones((5, 4))):
        found = best_opening(fluence)
        assert found.gain == 0.0
        assert not plane(found, 5).any()


def test_fluence_before_leaf_pairs():
    """Outer pairs of 5 mm see two rows of 2.5 mm, inner ones one."""
    first = 14 - 1  # pairs of 5 mm lie below -40 mm
    grid = BixelGrid((-10.0, -45.0), (1.0, 2.5), np.ones((20, 4), bool))
    fluence = np.arange(4) * np.ones((20, 1))
    seen, pairs = by_leaf_pair(fluence, grid, STX)
    assert pairs.tolist() == [first, first + 1, first + 2]
    assert np.allclose(seen, [0.5, 2.0, 3.0])


def test_tips_jaws_and_closed_pairs():
    """A closed pair between open ones stands in the middle of the aperture."""
    fluence = np.zeros((20, 4))
    fluence[4:10, 0], fluence[6:14, 2] = 1.0, 1.0
    first = 30 - 2  # the pair whose lower border is at -5 mm: 30 pairs lie below 0
    got = aperture_of(best_opening(fluence), first + np.arange(4), np.arange(21.0) - 10, STX)
    assert (got.left_mm[0, first], got.right_mm[0, first]) == (-6.0, 0.0)
    assert (got.left_mm[0, first + 2], got.right_mm[0, first + 2]) == (-4.0, 4.0)
    assert tuple(got.jaw_mm[0]) == (-5.0, 2.5)
    gaps = got.right_mm - got.left_mm
    assert gaps.min() == pytest.approx(STX.delivery.minimum_gap_mm.value)
    assert -3.0 < got.left_mm[0, first + 1] < 0.5
    assert got.mu[0] == pytest.approx(1.0)
