"""Dose limits of organs at risk, as data."""

from typing import Literal

from pydantic import Field

from planner.treatment.constant import Constant, Frozen


class Limit(Frozen):
    """One limit.

    Attributes
    ----------
    organ : str
        In words, for tables.
    structures : tuple of str
        Names of the structures that it holds for, each by itself.
    quantity : str
        What is limited: ``D0.035cc_gy``, ``Dmean_gy``, ``V12_cc``.
    level : str
        ``mandatory`` or ``optimal``; only mandatory ones count as violated.
    at_most : Constant
        Gy or cm3.
    """

    organ: str
    structures: tuple[str, ...] = Field(min_length=1)
    quantity: str = Field(pattern=r"^(D(mean|max|\d+(\.\d+)?cc)_gy|V\d+(\.\d+)?_cc)$")
    level: Literal["mandatory", "optimal"]
    at_most: Constant[float]


class Limits(Frozen):
    """The limits for one number of fractions.

    Attributes
    ----------
    name, title : str
    fractions : int
    limits : tuple of Limit
    """

    name: str
    title: str
    fractions: int = Field(ge=1)
    limits: tuple[Limit, ...]


class EvaluationRules(Frozen):
    """Conventions of the evaluation that are a choice.

    Attributes
    ----------
    skin_thickness_mm : Constant
        Depth below the external contour that counts as skin.
    skin_dose_gy : Constant
    air_rim_mm : Constant
        How far tissue beside air in the cavity is looked at.
    rim_margins_mm : Constant
        Distances of the parallel surfaces whose coverage is told.
    brain_doses_gy : Constant
    small_target_cc : Constant
        Below this ICRU 91 takes an absolute volume for near-minimum and near-maximum dose.
    near_volume_cc : Constant
        That volume.
    """

    name: str
    skin_thickness_mm: Constant[float]
    skin_dose_gy: Constant[float]
    air_rim_mm: Constant[float]
    rim_margins_mm: Constant[tuple[float, ...]]
    brain_doses_gy: Constant[tuple[float, ...]]
    small_target_cc: Constant[float]
    near_volume_cc: Constant[float]


class DoseAgreement(Frozen):
    """When a recomputed dose counts as the one that a plan states: gamma, mean difference and bias.

    Attributes
    ----------
    name : str
    dose_percent : Constant
        Of the largest dose.
    distance_mm : Constant
    threshold_percent : Constant
        Lower doses are left out, percent of the largest.
    pass_percent : Constant
        Share of the points that has to pass.
    mean_percent : Constant
        The largest mean difference above half of the prescription, of the prescription: absolute, where statistical
        uncertainties widen it, and signed, where they do not.
    """

    name: str
    dose_percent: Constant[float]
    distance_mm: Constant[float]
    threshold_percent: Constant[float]
    pass_percent: Constant[float]
    mean_percent: Constant[float]
