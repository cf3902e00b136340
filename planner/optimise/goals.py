"""From an objective template to the terms that are minimised."""

import numpy as np

from planner.optimise.objectives import (
    GeneralisedMean,
    Objective,
    Overdose,
    OverScenarios,
    Term,
    Underdose,
    VolumeAbove,
)
from planner.optimise.sampling import Part, Samples
from planner.treatment.errors import PlanningError
from planner.treatment.objective import Goal, ObjectiveTemplate, OrganGoal
from planner.treatment.prescription import Prescription
from planner.treatment.scenario import Robust

# The volume that a near-maximum dose is told for.
_NEAR_MAXIMUM_CC = 0.03
# Power of the mean over scenarios; 10 comes within a fifth of the worst of seven, however good the others are.
_POWER = {"none": 1.0, "expected": 1.0, "worst": 10.0}


def limit_of(structure: str, template: ObjectiveTemplate, fractions: int) -> OrganGoal | None:
    """Return the limit of a structure for a number of fractions: an exact name, or the name without its side."""
    for limit in template.organ_goals.value:
        names = (limit.organ, f"{limit.organ}_left", f"{limit.organ}_right")
        if structure in names and limit.fractions == fractions:
            return limit
    return None


def objective_of(
    samples: Samples,
    template: ObjectiveTemplate,
    prescription: Prescription,
    sigmoid_gy: float,
    robust: Robust = "none",
) -> Objective:
    """Return the objective of a plan.

    Parameters
    ----------
    samples : Samples
    template : ObjectiveTemplate
    prescription : Prescription
    sigmoid_gy : float
        Width of the sigmoid that stands for a step in the brain volume; annealed by the caller.
    robust : str
        How the least dose of the target is judged over the scenarios of `samples`.

    Raises
    ------
    PlanningError
        If the template has no brain volume goal for this number of fractions.
    """
    dose, target, outside = prescription.dose_gy, samples.target, samples.outside
    volume = float(target.volume_cc.sum())
    low, high = template.target_minimum.value, template.target_maximum.value
    hug, fall, half = template.conformity.value, template.fall_off.value, template.gradient.value
    around = outside.volume_cc / volume
    radius = 10 * (3 * volume / (4 * np.pi)) ** (1 / 3)
    aim = dose * fall.edge * (1 + samples.distance_mm[outside.index] / radius) ** -fall.exponent
    terms: list[Term] = [
        _target_minimum(samples, low, dose, robust),
        Overdose("target maximum", target.index, target.share, high.level * dose, dose, high.weight),
        Overdose("conformity", outside.index, around, hug.level * dose, dose, hug.weight),
        Overdose("fall-off", outside.index, around, aim, dose, fall.weight),
        VolumeAbove("gradient", outside.index, around, half.level * dose, sigmoid_gy, half.weight_at(volume)),
        _brain_volume(samples.brain, template, prescription, volume, sigmoid_gy),
        GeneralisedMean(
            "brain mean", samples.brain.index, samples.brain.share, 1.0, dose, template.brain_mean_weight.value
        ),
    ]
    if len(samples.skin.index):
        terms.append(_skin(samples.skin, template, dose, volume))
    for name, part in samples.organs.items():
        within = samples.distance_mm[part.index] == 0
        terms.append(_organ(name, (part, within), template, prescription))
    return Objective([term for term in terms if term.weight > 0])


def _target_minimum(samples: Samples, low: Goal, dose: float, robust: Robust) -> Term:
    name = "target minimum"
    cases = (samples.target, *samples.scenarios)
    terms = tuple(Underdose(name, part.index, part.share, low.level * dose, dose, low.weight) for part in cases)
    return terms[0] if len(terms) == 1 else OverScenarios(name, terms, _POWER[robust])


def _brain_volume(
    brain: Part, template: ObjectiveTemplate, prescription: Prescription, volume: float, width: float
) -> VolumeAbove:
    goals = {goal.fractions: goal.dose_gy for goal in template.brain_volume.value}
    weight = template.brain_volume_weight.value
    if prescription.fractions not in goals and weight > 0:
        raise PlanningError(
            f"objective template '{template.name}' has no brain volume goal for {prescription.fractions} fractions; "
            f"it has them for {sorted(goals)}"
        )
    level = goals.get(prescription.fractions, prescription.dose_gy)
    return VolumeAbove("brain volume", brain.index, brain.volume_cc / volume, level, width, weight)


def _skin(skin: Part, template: ObjectiveTemplate, dose: float, volume: float) -> Overdose:
    goal = template.skin.value
    return Overdose("skin", skin.index, skin.volume_cc / volume, goal.level * dose, dose, goal.weight)


def _organ(
    name: str, place: tuple[Part, np.ndarray], template: ObjectiveTemplate, prescription: Prescription
) -> Overdose:
    """Return the goal of an organ: what of it lies within the PTV is asked for no less than the PTV is.

    Coverage comes first, so a lower level there could not be reached: it would only pull the dose down everywhere, for
    the normalisation to lift it again, with a worse conformity.
    """
    part, within = place
    limit = limit_of(name, template, prescription.fractions)
    if limit is None:
        raise PlanningError(f"objective template '{template.name}' has no limit for '{name}'")
    share = part.volume_cc / _NEAR_MAXIMUM_CC
    level = limit.dose_gy * template.organ_safety.value
    covered = template.target_minimum.value.level * prescription.dose_gy
    levels = np.where(within, max(level, covered), level)
    return Overdose(name, part.index, share, levels, limit.dose_gy, template.organ_weight.value)
