"""Scale a plan to what was prescribed, by the histogram that is reported, and tell whether it is what was searched."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from scipy.optimize import brentq

from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner.evaluate.dvh import Dvh, dvh
from planner.evaluate.robustness import moved
from planner.optimise.planning import PlanRequest, in_matter
from planner.optimise.scenarios import felt
from planner.treatment.dose import Dose
from planner.treatment.errors import PlanningError

# How often a plan that is not what was searched for is searched again at most.
_SEARCHES = 3
# The target's least and largest dose then weigh as much more as what they may be missed by was exceeded, and a quarter
# more than that to be sure, but no more than four times: the firmer, the less is left for the gradient.
_SURE, _FIRMEST = 1.25, 4.0
# A plan that normalisation scales by more is not what was searched for.
_HARDLY_SCALED = 1.05
# The largest dose that is aimed at, of what is allowed: metrics may find a peak between the points.
_COOL = 0.99

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Normalised(Generic[Found]):
    """What a search found, scaled to the prescription.

    Attributes
    ----------
    found : Fluence or control points
    dose : Dose
    factor : float
        What it was scaled by.
    """

    found: Found
    dose: Dose
    factor: float


def searched_until_cool(
    first: Normalised[Found], request: PlanRequest, again: Callable[[Normalised[Found], float], Normalised[Found]]
) -> Normalised[Found]:
    """Return a plan that is searched again while it is hotter than its template allows, or was scaled by much.

    Parameters
    ----------
    first : Normalised
    request : PlanRequest
    again : callable
        Is given the last plan and by how much more the target's least and largest dose weigh, and returns the next.
    """
    made, weight = first, 1.0
    for _ in range(_SEARCHES):
        missed = _missed(made, request)
        if missed <= 1.0:
            break
        weight *= min(_SURE * missed, _FIRMEST)
        made = again(made, weight)
    return made


def normalisation_factor(dose: Volume, request: PlanRequest) -> float:
    """Return what to multiply a dose with.

    So that `percent` of the PTV receives the prescription (in a robust plan: in the worst scenario, or in the mean over
    scenarios), or that the prescription is `percent` of the largest dose in the PTV. Of the PTV, its matter counts.

    Raises
    ------
    PlanningError
        If there is no dose to scale.
    """
    matter, how = _matter(request), request.objectives.normalisation.value
    if how.kind == "isodose":
        now = dvh(dose, matter).max_gy * how.percent / 100
    else:
        ptv = request.targets["ptv"]
        movements = felt(ptv, request.robust)
        cases = [dvh(dose, matter), *(dvh(moved(dose, ptv, m, ptv.centroid_mm), matter) for m in movements)]
        now = _mean(cases, how.percent) if request.robust == "expected" else _least(cases, how.percent)
    if not now > 0:
        raise PlanningError("no dose reaches part of the target, so the plan cannot be normalised")
    return request.prescription.dose_gy / now


def _least(cases: list[Dvh], percent: float) -> float:
    """Return the dose to `percent` of the volume in the worst of some cases, Gy."""
    return min(case.dose_at_volume_percent(percent) for case in cases)


def _mean(cases: list[Dvh], percent: float) -> float:
    """Return the dose that `percent` of the volume receives in the mean over some cases, Gy."""

    def short(dose_gy: float) -> float:
        return float(np.mean([case.volume_at_dose_percent(dose_gy) for case in cases])) - percent

    most = max(case.max_gy for case in cases)
    return brentq(short, 0.0, most) if short(0.0) > 0 > short(most) else _least(cases, percent)


def _missed(made: Normalised[Found], request: PlanRequest) -> float:
    """Return by how much a plan misses the target's least or largest dose, of what it may: above 1, too much.

    It may be as hot as its template allows, and scaled by little. A goal is missed by about one over its weight.
    """
    largest = dvh(made.dose.volume, _matter(request)).max_gy / request.prescription.dose_gy
    level, most = request.objectives.target_maximum.value.level, _COOL * request.objectives.maximum_dose.value
    hot = (largest - level) / (most - level) if most > level else largest / most
    return max(hot, (made.factor - 1.0) / (_HARDLY_SCALED - 1.0))


def _matter(request: PlanRequest) -> Structure:
    """Return the PTV without its voxels in gas; see `planner.optimise.planning.in_matter`."""
    ptv = request.targets["ptv"]
    points = ptv.grid.point_of(np.argwhere(ptv.occupancy > 0))
    matter = in_matter(request, points)
    if matter.all():
        return ptv
    kept = np.zeros_like(ptv.occupancy)
    kept[ptv.occupancy > 0] = np.where(matter, ptv.occupancy[ptv.occupancy > 0], 0.0)
    return Structure(ptv.name, ptv.role, ptv.grid, kept)


def scaled(dose: Dose, factor: float) -> Dose:
    """Return a dose multiplied by a factor."""

    def times(part: Volume) -> Volume:
        return Volume(part.grid, part.data * np.float32(factor), Quantity.DOSE)

    deviation = None if dose.deviation is None else times(dose.deviation)
    return replace(dose, volume=times(dose.volume), deviation=deviation)
