"""What a plan is asked to achieve, as data. Doses are multiples of the prescription unless the key ends in ``_gy``."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from planner.treatment.constant import Constant, Frozen, NotNegative, Positive


class Goal(Frozen):
    """A level and the weight of missing it.

    Attributes
    ----------
    level : float
        Dose as a multiple of the prescription.
    weight : float
    """

    level: float = Field(gt=0)
    weight: float = Field(ge=0)


class FallOff(Frozen):
    """The dose that is aimed at outside the target, at distance r from a target of equivalent radius R.

    The level is ``edge (1 + r / R)^-exponent``, so a gradient index of ``2^(3 / exponent)`` would meet it. More is
    penalised, less is not.

    Attributes
    ----------
    edge : float
        Multiple of the prescription at the surface of the PTV.
    exponent : float
    weight : float
    """

    edge: float = Field(gt=0)
    exponent: float = Field(gt=0)
    weight: float = Field(ge=0)


class GradientGoal(Goal):
    """The volume outside the PTV above a level, smoothed to a sigmoid; at a half it is what a gradient index counts.

    Attributes
    ----------
    full_below_cc : float
        The weight is that of a volume as large as the PTV, if the PTV is no larger than this. Beyond, it falls as the
        square of the target's radius: large targets have room to be made hot and steep, at the cost of monitor units.
    """

    full_below_cc: float = Field(gt=0)

    def weight_at(self, volume_cc: float) -> float:
        """Return the weight for a PTV of a volume."""
        return self.weight * min(1.0, (self.full_below_cc / volume_cc) ** (2 / 3))


class VolumeGoal(Frozen):
    """The volume of brain above a dose, smoothed to a sigmoid.

    Attributes
    ----------
    fractions : int
        The goal of that row is used for courses of this number of fractions.
    dose_gy : float
        Total dose.
    """

    fractions: int = Field(ge=1)
    dose_gy: float = Field(gt=0)


class SkinGoal(Frozen):
    """Dose to keep from the skin, the outer layer of the external contour.

    Attributes
    ----------
    thickness_mm : float
    level : float
        Dose above it, as a multiple of the prescription, is penalised quadratically.
    weight : float
    """

    thickness_mm: float = Field(gt=0)
    level: float = Field(gt=0)
    weight: float = Field(ge=0)


class OrganGoal(Frozen):
    """Near-maximum dose (D0.03cc) of an organ that the optimiser aims to stay below, total dose by number of fractions.

    Attributes
    ----------
    organ : str
        Name of the structure without its side; ``optic_nerve`` also stands for ``optic_nerve_left``.
    fractions : int
    dose_gy : float
    """

    organ: str
    fractions: int = Field(ge=1)
    dose_gy: float = Field(gt=0)


class Normalisation(Frozen):
    """How the finished dose is scaled.

    Attributes
    ----------
    kind : str
        ``coverage``: the given percentage of the PTV receives the prescription; ``isodose``: the prescription is the
        given percentage of the maximum dose.
    percent : float
    """

    kind: Literal["coverage", "isodose"]
    percent: float = Field(gt=0, le=100)


class ObjectiveTemplate(Frozen):
    """Objectives of a plan, in multiples of the prescription.

    Attributes
    ----------
    name, title : str
    target_minimum : Constant
        Dose below this level in the PTV is penalised quadratically.
    target_maximum : Constant
        Dose above this level in the PTV is penalised quadratically (hot spot, or homogeneity where the level is low).
    conformity : Constant
        Dose above this level outside the PTV is penalised quadratically: the prescription isodose hugs the target.
    fall_off : Constant
        Dose outside the PTV, lower with distance.
    gradient : Constant
        Volume outside the PTV above a level.
    brain_volume : Constant
        Brain volume above a dose, the radionecrosis predictor of the schedule.
    brain_volume_weight : Constant
        Weight of a brain volume as large as the PTV.
    brain_mean_weight : Constant
        Weight of the mean brain dose near the target, in multiples of the prescription.
    organ_goals : Constant
        What the optimiser keeps to; what a plan is judged by stands in ``limits/``.
    organ_weight, organ_safety : Constant
        Weight of exceeding a limit, and the part of the limit at which the penalty starts.
    skin : Constant
    smoothness : Constant
        Weight of squared differences between neighbouring bixels.
    monitor_units : Constant
        Weight of one monitor unit for each cGy prescribed, where the leaves of arcs are free.
    normalisation : Constant
    maximum_dose : Constant
        The largest dose that a plan may have in the PTV; a plan with more violates this template.
    minimum_coverage_percent : Constant
        The least share of the PTV that may receive the prescription; a plan with less violates this template.
    leaf_margin_mm : Constant
        What apertures that follow the outline of the PTV are wider than their technique says: the flatter the dose in
        the PTV is to be, the farther out the edge of the field.
    """

    name: str
    title: str
    target_minimum: Constant[Goal]
    target_maximum: Constant[Goal]
    conformity: Constant[Goal]
    fall_off: Constant[FallOff]
    gradient: Constant[GradientGoal]
    brain_volume: Constant[tuple[VolumeGoal, ...]]
    brain_volume_weight: Constant[NotNegative]
    brain_mean_weight: Constant[NotNegative]
    organ_goals: Constant[tuple[OrganGoal, ...]]
    organ_weight: Constant[NotNegative]
    organ_safety: Constant[Positive]
    skin: Constant[SkinGoal]
    smoothness: Constant[NotNegative]
    monitor_units: Constant[NotNegative]
    normalisation: Constant[Normalisation]
    maximum_dose: Constant[Positive]
    minimum_coverage_percent: Constant[float]
    leaf_margin_mm: Constant[NotNegative]

    @model_validator(mode="after")
    def _limits_that_can_be_met(self) -> Self:
        if self.maximum_dose.value <= self.target_maximum.value.level:
            raise ValueError("'maximum_dose' must lie above the level of 'target_maximum'")
        if not 0 <= self.minimum_coverage_percent.value <= 100:
            raise ValueError("'minimum_coverage_percent' must lie between 0 and 100")
        if self.brain_volume_weight.value > 0 and not self.brain_volume.value:
            raise ValueError("'brain_volume' must have a row where 'brain_volume_weight' is not 0")
        return self

    def firmer(self, factor: float) -> Self:
        """Return a template that minds the least and the largest dose of the target `factor` times as much."""
        names = ("target_minimum", "target_maximum")
        return self.model_copy(update={n: _weighing(getattr(self, n), factor) for n in names})

    def eased(self, share: float) -> Self:
        """Return a template that minds the fall-off and the gradient by this share of their weights."""
        return self.model_copy(update={n: _weighing(getattr(self, n), share) for n in ("fall_off", "gradient")})


def _weighing(goal: Constant[Any], factor: float) -> Constant[Any]:
    """Return a goal of `factor` times the weight."""
    value = goal.value.model_copy(update={"weight": factor * goal.value.weight})
    return goal.model_copy(update={"value": value})
