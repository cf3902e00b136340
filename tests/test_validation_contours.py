"""Verdicts on contours: what they count, and that they can fail."""

from types import SimpleNamespace

import numpy as np
import pytest

from phantoms.grid import Grid
from phantoms.shapes import Box, Ellipsoid, occupancy
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner import library
from planner.contouring.observer import Observer
from planner.validation.observers import Agreement, agreement, agreement_rows
from planner.validation.segmentation import Score, segmentation_rows

GRID = Grid.covering((-30,) * 3, (30,) * 3, 1.5)


def scores(dice_late):
    early = [Score(1.0, cc, 0.8 * cc, 0.85, 0.9) for cc in (2.0, 5.0, 12.0)]
    late = [Score(21.0, cc, 0.98 * cc, value, 0.3) for cc, value in zip((2.0, 5.0, 12.0), dice_late, strict=True)]
    return [*early, *late]


def test_cavities_above_3_cc_must_all_be_found():
    good = segmentation_rows(scores((0.7, 0.95, 0.97)))
    lost = "bias of volume, %, median, day 1, 2 cavities > 3 cc"
    assert {row.quantity: row.verdict for row in good if row.verdict != "met"} == {lost: "told"}
    told = {row.quantity: row.ours for row in good}
    assert told["Dice, median, day 21, 2 cavities > 3 cc"] == pytest.approx(0.96)
    assert told["Dice, median, day 21, 1 cavities of 0 to 3 cc"] == 0.7
    assert told[lost] == pytest.approx(-20.0)
    bad = {row.quantity: row for row in segmentation_rows(scores((0.7, 0.89, 0.97)))}
    missed = [quantity for quantity, row in bad.items() if row.verdict == "MISSED"]
    assert missed == ["share of Dice >= 0.9, %, day 21, 2 cavities > 3 cc"]


def test_agreement_is_judged_on_its_means():
    rows = agreement_rows([Agreement(0.84, 0.75, 0.98, 0.6), Agreement(0.84, 0.75, 0.98, 0.7)])
    assert [row.verdict for row in rows] == ["met"] * 4
    assert agreement_rows([Agreement(0.84, 0.75, 0.98, 0.9)])[2].verdict == "MISSED"


def steady(observer, margin_mm):
    """Observers of one mind and a hand that hardly errs."""
    hand, reading = observer.hand, observer.reading
    no_error = {key: getattr(hand, key).model_copy(update={"value": 0.02}) for key in ("clear_sd_mm", "faint_sd_mm")}
    said = {key: reading.flap_mm.model_copy(update={"value": (0.0, 0.0)}) for key in ("flap_mm",)}
    said["margin_mm"] = reading.margin_mm.model_copy(update={"value": margin_mm})
    said["tract_share"] = reading.tract_share.model_copy(update={"value": 0.0})
    changed = {"hand": hand.model_copy(update=no_error), "reading": reading.model_copy(update=said)}
    return observer.model_copy(update=changed)


def test_observers_of_one_mind_agree_and_others_do_not():
    expert = library.load("observers", "expert", Observer)
    body = Structure("cavity", Role.TARGET, GRID, occupancy(Ellipsoid((0, 0, 0), (10,) * 3), GRID)).cropped(1)
    room = Structure("intracranial", Role.ORGAN, GRID, occupancy(Box((0, 0, 0), (28,) * 3), GRID))
    image = Volume(GRID, 200.0 - 100.0 * body.on(GRID), Quantity.MR_SIGNAL)
    epoch = SimpleNamespace(structures={"cavity": body, "intracranial": room}, volumes={"t1gd": image})
    alike = agreement(epoch, 0, steady(expert, (0.0, 0.0)))
    assert min(alike.cavity_dice, alike.kappa, alike.sensitivity, alike.specificity) > 0.98
    apart = agreement(epoch, 0, steady(expert, (0.0, 6.0)))
    assert apart.cavity_dice > 0.98
    assert apart.kappa < 0.85
    with pytest.raises(ValueError, match="no hand or no reading"):
        agreement(epoch, 0, library.load("observers", "automatic", Observer))


def test_opinions_are_drawn_within_their_bounds():
    reading = library.load("observers", "expert", Observer).reading
    drawn = [reading.drawn(np.random.default_rng(n)) for n in range(200)]
    assert np.mean([tract for tract, _, _ in drawn]) == pytest.approx(reading.tract_share.value, abs=0.1)
    for which, bounds in ((1, reading.flap_mm.value), (2, reading.margin_mm.value)):
        values = [opinion[which] for opinion in drawn]
        assert bounds[0] <= min(values)
        assert max(values) <= bounds[1]
        assert np.mean(values) == pytest.approx(np.mean(bounds), rel=0.15)
