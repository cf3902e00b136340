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

# How often a plan that is not what was searched for is searched again at most, each time with so much more weight on
# the target's least and largest dose.
_SEARCHES, _FIRMER = 3, 4.0
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
    made = first
    for n in range(1, _SEARCHES + 1):
        if _as_searched(made, request):
            break
        made = again(made, _FIRMER**n)
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


def _as_searched(made: Normalised[Found], request: PlanRequest) -> bool:
    """Tell whether a plan is no hotter than its template allows, and was scaled by little."""
    largest = dvh(made.dose.volume, _matter(request)).max_gy / request.prescription.dose_gy
    return largest <= _COOL * request.objectives.maximum_dose.value and made.factor <= _HARDLY_SCALED


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
