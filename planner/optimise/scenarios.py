"""Scenarios inside the optimiser: the points of a target moved against the dose.

The dose of a moved patient at a point is that of the planned one at the place that the point was moved from (static
dose cloud): a scenario costs points, and no dose of its own. What is asked of the target's coverage is asked in every
scenario; everything else is judged as the patient was planned.
"""

from dataclasses import replace

import numpy as np

from phantoms.structure import Structure
from planner import library
from planner.optimise.sampling import Part, Samples, drawn
from planner.treatment.scenario import SETUP, Movement, Robust, ScenarioSet

# The target's points in each scenario, at most, and what of the largest movement a scenario must move some point by.
_POINTS, _FELT = 2000, 0.5


def felt(target: Structure, robust: Robust) -> list[Movement]:
    """Return the scenarios that a plan is optimised for; none if it is not to be robust.

    A turn or a stretch about the middle of a small target moves it by far less than a shift does. Scenarios that move
    no point of the target by half of what the largest movement does are left out.
    """
    if robust == "none":
        return []
    movements = list(library.load("scenarios", SETUP, ScenarioSet).movements())
    whole, middle = target.cropped(1), target.centroid_mm
    points = whole.grid.point_of(np.argwhere(whole.occupancy > 0))
    reach = [float(np.linalg.norm(m.planned_at(points, middle) - points, axis=1).max()) for m in movements]
    return [m for m, moved in zip(movements, reach, strict=True) if moved >= _FELT * max(reach)]


def with_scenarios(samples: Samples, target: Structure, robust: Robust, seed: int) -> Samples:
    """Return the points of an optimisation with those of the target in each scenario behind them.

    Parameters
    ----------
    samples : Samples
    target : Structure
        Movements are about its centre of mass, where the isocentre lies.
    robust : str
    seed : int
        Draws which points of the target are moved, the same ones in all scenarios.
    """
    movements = felt(target, robust)
    if not movements:
        return samples
    part = samples.target
    points, volume = drawn(samples.points_mm[part.index], part.volume_cc, _POINTS, np.random.default_rng([seed, 1]))
    first, count = len(samples.points_mm), len(points)
    places = [movement.planned_at(points, target.centroid_mm) for movement in movements]
    return replace(
        samples,
        points_mm=np.concatenate([samples.points_mm, *places]),
        distance_mm=np.concatenate([samples.distance_mm, np.zeros(count * len(movements))]),
        scenarios=tuple(Part(first + count * n + np.arange(count), volume) for n in range(len(movements))),
    )
