"""The dose of a delivery, from apertures and monitor units alone, and how it differs from the dose that a plan states."""

from dataclasses import dataclass

import numpy as np

from phantoms.structure import Structure
from phantoms.volume import Volume
from planner.engines.base import Engine
from planner.evaluate.gamma import Criteria, gamma
from planner.treatment.beam_list import Leaves, OpenField, WeightedBeam, weighted_beam
from planner.treatment.delivery import ControlPoint, Delivery, TreatmentBeam
from planner.treatment.dose import Dose
from planner.treatment.limits import DoseAgreement
from planner.treatment.machine import Machine


@dataclass(frozen=True)
class DoseDifference:
    """How a recomputed dose differs from a stated one.

    Attributes
    ----------
    largest_percent, mean_percent : float
        Largest absolute difference, and the mean one where the stated dose is above half of the prescription; of the
        prescription.
    gamma_percent : float
        Points that pass the gamma comparison.
    agrees : bool
        Whether enough of them do.
    """

    largest_percent: float
    mean_percent: float
    gamma_percent: float
    agrees: bool


def open_beams(delivery: Delivery, machine: Machine) -> list[WeightedBeam]:
    """Return every control point with monitor units as an open field at its own angles, in order.

    Raises
    ------
    ValueError
        If an aperture does not fit the machine.
    """
    return [_opened(point, beam, machine) for beam in delivery.beams for point in beam.control_points if point.mu > 0]


def recomputed(
    delivery: Delivery,
    machine: Machine,
    density: Volume,
    engine: Engine,
    *,
    ignore_field: bool,
    region: Structure | None = None,
) -> Dose:
    """Return the dose of a delivery on the grid of `density`, Gy for the whole course.

    Raises
    ------
    ValueError
        If an aperture does not fit the machine.
    CapabilityError
        If the engine cannot compute in the field of the machine.
    """
    opened = open_beams(delivery, machine)
    beams, weights = [b.beam for b in opened], [b.weights for b in opened]
    return engine.dose(density, beams, weights, machine, ignore_field=ignore_field, region=region)


def dose_difference(stated: Volume, again: Volume, prescription_gy: float, rules: DoseAgreement) -> DoseDifference:
    """Return how a recomputed dose differs from a stated one.

    Raises
    ------
    ValueError
        If no voxel of the stated dose is above the threshold of the comparison.
    """
    difference = np.abs(again.on(stated.grid).data.astype(float) - stated.data)
    high = stated.data > 0.5 * prescription_gy
    criteria = Criteria(
        dose_percent=rules.dose_percent.value,
        distance_mm=rules.distance_mm.value,
        threshold_percent=rules.threshold_percent.value,
    )
    passed = gamma(stated, again, criteria).pass_percent
    return DoseDifference(
        largest_percent=100.0 * float(difference.max()) / prescription_gy,
        mean_percent=100.0 * float(difference[high].mean()) / prescription_gy if high.any() else 0.0,
        gamma_percent=passed,
        agrees=passed >= rules.pass_percent.value,
    )


def _opened(point: ControlPoint, beam: TreatmentBeam, machine: Machine) -> WeightedBeam:
    field = OpenField(
        machine=machine.name,
        gantry_deg=point.gantry_deg,
        couch_deg=point.couch_deg,
        collimator_deg=point.collimator_deg,
        isocentre_mm=beam.isocentre_mm,
        leaves=Leaves(
            left_mm=tuple(float(x) for x in point.left_mm),
            right_mm=tuple(float(x) for x in point.right_mm),
            jaw_y_mm=point.jaw_y_mm,
        ),
        weight=point.mu,
    )
    return weighted_beam(field, machine)
