"""Ten observers of ten cavities: their agreement beside that of ten experts (Soliman 2018), computed in the same way.

The experts drew CTVs before there was a rule, so that two things differ: how they saw the cavity (``hand`` of the
observer) and what they took a CTV to be (``reading``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phantoms.patient import Epoch
from phantoms.structure import Structure
from planner import library
from planner.contouring.consensus import staple
from planner.contouring.observer import Hand, Observer, Reading
from planner.evaluate.agreement import common_grid, dice, fleiss_kappa
from planner.optimise.prescribing import targets
from planner.treatment.constant import Constant, Status
from planner.treatment.rules import MarginRule
from planner.validation.compare import Row
from planner.validation.segmentation import RATERS

OBSERVERS, CASES, SEED = 10, 10, 2018
# STAPLE and kappa are computed in the box of all contours of a case, this much larger. The paper does not tell its own;
# 10 mm more give a specificity of 0.997 and a kappa 0.05 higher.
AROUND_MM = 0.0
# Soliman 2018, recalled with medium confidence and not re-read in the paper: means over observers and cases.
PUBLISHED = {"sensitivity": 0.75, "specificity": 0.98, "kappa": 0.65}
_WITHIN = {"sensitivity": 0.05, "specificity": 0.02, "kappa": 0.05}


@dataclass(frozen=True)
class Agreement:
    """How well the observers of one case agree.

    Attributes
    ----------
    cavity_dice : float
        Median over pairs of observers, of the cavities that they drew.
    sensitivity, specificity : float
        Of their CTVs against the consensus by STAPLE, means over observers.
    kappa : float
        Fleiss' kappa of their CTVs.
    """

    cavity_dice: float
    sensitivity: float
    specificity: float
    kappa: float


def agreement(epoch: Epoch, case: int, observer: Observer) -> Agreement:
    """Return the agreement of `OBSERVERS` who draw one case.

    Parameters
    ----------
    epoch : Epoch
        Three weeks after a complete resection, with images.
    case : int
        Its number: observers keep their habits from case to case, and err anew in each.
    observer : Observer
        One that draws by hand and has a reading.
    """
    if observer.hand is None or observer.reading is None:
        raise ValueError(f"observer {observer.name} has no hand or no reading of a CTV")
    cavities, contours = [], []
    for number in range(OBSERVERS):
        cavity, ctv = _drawn(epoch, (case, number), observer.hand, observer.reading)
        cavities.append(cavity)
        contours.append(ctv)
    grid = common_grid(contours, AROUND_MM)
    masks = [contour.on(grid) >= 0.5 for contour in contours]
    sensitivity, specificity = staple(masks)
    pairs = [dice(one, other) for n, one in enumerate(cavities) for other in cavities[:n]]
    kappa = fleiss_kappa(np.array([mask.ravel() for mask in masks]))
    return Agreement(float(np.median(pairs)), float(sensitivity.mean()), float(specificity.mean()), kappa)


def agreement_rows(found: Sequence[Agreement]) -> list[Row]:
    """Return the verdicts over all cases."""
    rows = [
        _row(name, float(np.mean([getattr(one, name) for one in found])), PUBLISHED[name], within)
        for name, within in _WITHIN.items()
    ]
    middle = float(np.median([one.cavity_dice for one in found]))
    return [*rows, _row("Dice of cavities, median of pairs", middle, RATERS, 0.03)]


def _row(quantity: str, ours: float, reference: float, within: float) -> Row:
    what = f"{quantity}, {OBSERVERS} observers of {CASES} cases"
    passed = abs(ours - reference) <= within
    return Row("observers", "expert", what, ours, reference, 0.0, f"within {within:g}", passed, "fitted")


def _drawn(epoch: Epoch, key: tuple[int, int], hand: Hand, reading: Reading) -> tuple[Structure, Structure]:
    """Return the cavity and the CTV that an observer draws in a case."""
    case, number = key
    habits = np.random.default_rng([SEED, number])
    habit, opinion = float(habits.standard_normal()), reading.drawn(habits)
    random = np.random.default_rng([SEED, number, case])
    images = [volume for name, volume in epoch.volumes.items() if name != "density"]
    cavity = hand.draw(epoch.structures["cavity"], images, habit, random)
    known: Mapping[str, Structure] = {**epoch.structures, "cavity": cavity}
    return cavity, targets(_without_residual(known), _rule(opinion))["ctv"]


def _without_residual(structures: Mapping[str, Structure]) -> dict[str, Structure]:
    return {name: structure for name, structure in structures.items() if name not in ("residual", "tumour")}


def _rule(opinion: tuple[bool, float, float]) -> MarginRule:
    """Return the consensus rule with what one observer thinks of tract, flap and margin."""
    with_tract, flap_mm, margin_mm = opinion
    rule = library.load("margins", "soliman-2018", MarginRule)
    strip = rule.extensions[0]
    reach = _said(flap_mm)
    return rule.model_copy(
        update={
            "gtv_to_ctv_mm": _said(margin_mm),
            "ctv_to_ptv_mm": _said(0.0),
            "barrier": Constant(value="intracranial", source="a margin ends at the skull", status=Status.ASSUMED),
            "whole_tract": Constant(value=with_tract, source="drawn", status=Status.ASSUMED),
            "extensions": (strip.model_copy(update={"touched_mm": reach, "apart_mm": reach}),),
        }
    )


def _said(mm: float) -> Constant[float]:
    return Constant[float](value=mm, source="drawn", status=Status.ASSUMED)
