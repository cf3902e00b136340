"""The dose of a delivery from apertures and monitor units alone, and how it differs from what a plan states."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from phantoms.structure import Structure
from phantoms.volume import Volume
from planner.engines.base import Engine
from planner.evaluate.delivery_time import signed_deg
from planner.evaluate.gamma import Criteria, gamma
from planner.treatment.beam_list import delivered_beams
from planner.treatment.delivery import Delivery, TreatmentBeam
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


def turning(delivery: Delivery, step_deg: float) -> Delivery:
    """Return a delivery whose arcs are sampled at least every `step_deg`, as a machine turns through them.

    Leaves and jaws move evenly between the middles of neighbouring control points and rest beyond the outermost ones.

    Raises
    ------
    ValueError
        If the step is not positive.
    """
    if not step_deg > 0:
        raise ValueError(f"arcs cannot be sampled every {step_deg} degrees")
    beams = tuple(_turning(beam, step_deg) if beam.kind == "arc" else beam for beam in delivery.beams)
    return replace(delivery, beams=beams)


def _turning(beam: TreatmentBeam, step_deg: float) -> TreatmentBeam:
    points = beam.control_points
    turns = [signed_deg(b.gantry_deg - a.gantry_deg) for a, b in pairwise(points)]
    way = np.concatenate([[0.0], np.cumsum(turns)])
    sense = np.sign(way[-1]) or 1.0
    tips = np.array([[*p.left_mm, *p.right_mm, *p.jaw_y_mm] for p in points])
    pairs, found = len(points[0].left_mm), []
    for point, middle in zip(points, way, strict=True):
        count = max(1, int(np.ceil(abs(point.span_deg) / step_deg - 1e-9)))
        part = point.span_deg / count
        for place in middle + sense * part * (np.arange(count) - (count - 1) / 2):
            at = [float(np.interp(sense * place, sense * way, column)) for column in tips.T]
            moved = replace(
                point,
                gantry_deg=float((points[0].gantry_deg + place) % 360),
                left_mm=np.array(at[:pairs]),
                right_mm=np.array(at[pairs : 2 * pairs]),
                jaw_y_mm=(at[-2], at[-1]),
                mu=point.mu / count,
                span_deg=part,
            )
            found.append(moved)
    return replace(beam, control_points=tuple(found))


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
    opened = delivered_beams(delivery, machine)
    beams, weights = [b.beam for b in opened], [b.weights for b in opened]
    return engine.dose(density, beams, weights, machine, ignore_field=ignore_field, region=region)


def in_body(dose: Dose, external: Structure) -> Dose:
    """Return a dose with none outside of the body.

    The dose of single electrons in air is large and noisy, and nobody's.
    """
    body = external.on(dose.volume.grid) > 0

    def masked(part: Volume) -> Volume:
        return Volume(part.grid, np.where(body, part.data, np.float32(0.0)), part.quantity)

    deviation = None if dose.deviation is None else masked(dose.deviation)
    return replace(dose, volume=masked(dose.volume), deviation=deviation)


def dose_difference(stated: Dose, again: Dose, prescription_gy: float, rules: DoseAgreement) -> DoseDifference:
    """Return how a recomputed dose differs from a stated one.

    Parameters
    ----------
    stated, again : Dose
        Three sigma of the difference of their statistical uncertainties is added, in quadrature, to the criterion.
    prescription_gy : float
    rules : DoseAgreement

    Raises
    ------
    ValueError
        If no voxel of the stated dose is above the threshold of the comparison.
    """
    one, other = stated.volume, again.volume
    difference = np.abs(other.on(one.grid).data.astype(float) - one.data)
    high = one.data > 0.5 * prescription_gy
    noise = 100.0 * np.hypot(stated.uncertainty, again.uncertainty)
    criteria = Criteria(
        dose_percent=float(np.hypot(rules.dose_percent.value, 3.0 * noise)),
        distance_mm=rules.distance_mm.value,
        threshold_percent=rules.threshold_percent.value,
    )
    passed = gamma(one, other, criteria).pass_percent
    return DoseDifference(
        largest_percent=100.0 * float(difference.max()) / prescription_gy,
        mean_percent=100.0 * float(difference[high].mean()) / prescription_gy if high.any() else 0.0,
        gamma_percent=passed,
        agrees=passed >= rules.pass_percent.value,
    )
