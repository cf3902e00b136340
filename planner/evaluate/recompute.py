"""The dose of a delivery from apertures and monitor units alone, and how it differs from what a plan states."""

from dataclasses import dataclass

import numpy as np

from phantoms.structure import Structure
from phantoms.volume import Volume
from planner.engines.base import Engine
from planner.evaluate.gamma import Criteria, gamma
from planner.treatment.beam_list import delivered_beams
from planner.treatment.delivery import Delivery
from planner.treatment.dose import Dose
from planner.treatment.limits import DoseAgreement
from planner.treatment.machine import Machine
from planner.treatment.turning import turning

CHECK_STEP_DEG = 1.0
"""How finely arcs are cut when a dose is computed again: twice as finely as for the dose of a plan."""


@dataclass(frozen=True)
class DoseDifference:
    """How a recomputed dose differs from a stated one.

    Attributes
    ----------
    largest_percent, mean_percent : float
        Largest absolute difference, and the mean one where the mean of both doses is above half of the prescription; of
        the prescription.
    bias_percent : float
        Mean signed difference there, recomputed minus stated: noise averages out of it, other monitor units do not.
    gamma_percent : float
        Points that pass the gamma comparison.
    agrees : bool
        Whether enough of them do, and mean difference and bias are small enough.
    """

    largest_percent: float
    mean_percent: float
    bias_percent: float
    gamma_percent: float
    agrees: bool


def recomputed(
    delivery: Delivery,
    machine: Machine,
    density: Volume,
    engine: Engine,
    *,
    ignore_field: bool,
    region: Structure | None = None,
    arc_step_deg: float = CHECK_STEP_DEG,
) -> Dose:
    """Return the dose of a delivery on the grid of `density`, Gy for the whole course; arcs as they turn.

    Raises
    ------
    ValueError
        If an aperture does not fit the machine.
    CapabilityError
        If the engine cannot compute in the field of the machine.
    """
    opened = delivered_beams(turning(delivery, arc_step_deg), machine)
    beams, weights = [b.beam for b in opened], [b.weights for b in opened]
    return engine.dose(density, beams, weights, machine, ignore_field=ignore_field, region=region)


def dose_difference(stated: Dose, again: Dose, prescription_gy: float, rules: DoseAgreement) -> DoseDifference:
    """Return how a recomputed dose differs from a stated one.

    Parameters
    ----------
    stated, again : Dose
        Three sigma of the difference of their statistical uncertainties is added, in quadrature, to the criteria but
        that of the bias. Far from its region Monte Carlo is noisier than in it: where `again` tells the deviation of
        every voxel, the comparison counts it, and `stated` as equally noisy but for the uncertainty that it states.
    prescription_gy : float
    rules : DoseAgreement

    Raises
    ------
    ValueError
        If no voxel of the stated dose is above the threshold of the comparison.
    """
    one, other = stated.volume, again.volume
    again_there = other.on(one.grid).data.astype(float)
    signed, difference = again_there - one.data, np.abs(again_there - one.data)
    # By the mean of both: chosen by one of them, voxels where its noise is high would outweigh the others.
    high = again_there + one.data > prescription_gy
    noise = 100.0 * np.hypot(stated.uncertainty, again.uncertainty)
    criteria = Criteria(
        dose_percent=float(np.hypot(rules.dose_percent.value, 3.0 * _noise_percent(stated, again, rules))),
        distance_mm=rules.distance_mm.value,
        threshold_percent=rules.threshold_percent.value,
    )
    passed = gamma(one, other, criteria).pass_percent
    mean, bias = (100.0 * float(d[high].mean()) / prescription_gy if high.any() else 0.0 for d in (difference, signed))
    allowed = rules.mean_percent.value
    return DoseDifference(
        largest_percent=100.0 * float(difference.max()) / prescription_gy,
        mean_percent=mean,
        bias_percent=bias,
        gamma_percent=passed,
        agrees=passed >= rules.pass_percent.value
        and mean <= float(np.hypot(allowed, 3.0 * noise))
        and abs(bias) <= allowed,
    )


def _noise_percent(stated: Dose, again: Dose, rules: DoseAgreement) -> float:
    """Return one sigma of the difference of two doses where they are compared, percent of the largest stated dose."""
    told = float(np.hypot(stated.uncertainty, again.uncertainty))
    if again.deviation is None or again.uncertainty <= 0:
        return 100.0 * told
    grid, dose = stated.volume.grid, stated.volume.data
    compared = dose > 0.01 * rules.threshold_percent.value * dose.max()
    deviation = again.deviation.on(grid).data[compared].astype(float)
    spread = np.sqrt(np.mean(deviation**2)) / float(dose.max()) * told / again.uncertainty
    return 100.0 * max(told, float(spread))
