"""Direct aperture optimisation: leaf tips, jaws and monitor units that minimise an objective of their dose.

L-BFGS-B under bounds: between stages each pair keeps the point in the middle of its opening, and its tips move on
their own sides of it. The limits that are no bounds are met by moving to permitted apertures after each stage.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds

from planner.engines.base import Influence
from planner.optimise.aperture_size import Smallness
from planner.optimise.apertures import ApertureMap, ApertureSet, opened_mm
from planner.optimise.leaf_limits import JAW_GAP_MM, SPARE_MU, Motion, has_y_jaws, limits_of, mu_bounds, permitted
from planner.optimise.minimise import Progress, minimised
from planner.optimise.objectives import Objective
from planner.treatment.machine import Machine

# A step of 1 mm of a tip changes the dose about as much as this part of the mean monitor units of a control point.
_MU_STEP = 0.1


@dataclass(frozen=True, eq=False)
class Search:
    """The outcome of a search.

    Attributes
    ----------
    apertures : ApertureSet
    objective : float
        Of the dose alone.
    evaluations : int
        Pairs of a forward and an adjoint product.
    """

    apertures: ApertureSet
    objective: float
    evaluations: int


@dataclass(frozen=True, eq=False)
class Room:
    """Bounds of each number of an aperture set; those with equal bounds are held."""

    low: ApertureSet
    high: ApertureSet

    @property
    def free(self) -> list[np.ndarray]:
        """Masks of what may change, one for each part of the set."""
        return [low < high for low, high in zip(self.low.parts, self.high.parts, strict=True)]


@dataclass(frozen=True, eq=False)
class Outline:
    """Apertures that leaf tips stay near.

    Attributes
    ----------
    apertures : ApertureSet
    trim_mm : float
        Tips of pairs that show may lie this far from theirs; jaws, and pairs behind them, stay.
    """

    apertures: ApertureSet
    trim_mm: float

    def narrowed(self, room: Room, now: ApertureSet, machine: Machine) -> Room:
        """Return a room without what is too far from the outline; where the tips are now is always in it."""
        shown = opened_mm(self.apertures, machine.leaf_borders_mm) > 0
        low, high = [], []
        for part in (0, 1):
            tip, here = self.apertures.parts[part], now.parts[part]
            lowest = np.minimum(np.maximum(room.low.parts[part], tip - self.trim_mm), here)
            highest = np.maximum(np.minimum(room.high.parts[part], tip + self.trim_mm), here)
            low.append(np.where(shown, lowest, here))
            high.append(np.where(shown, highest, here))
        lower = ApertureSet(low[0], low[1], now.jaw_mm, room.low.mu)
        return Room(lower, ApertureSet(high[0], high[1], now.jaw_mm, room.high.mu))


def room_of(apertures: ApertureSet, where: ApertureMap, machine: Machine, motion: Motion, leaves: bool) -> Room:
    """Return how far each number may move in one stage; leaves and jaws are held if `leaves` is False."""
    low_mu, high_mu = mu_bounds(machine, motion, SPARE_MU)
    if not leaves:
        held = (apertures.left_mm, apertures.right_mm, apertures.jaw_mm)
        return Room(ApertureSet(*held, low_mu), ApertureSet(*held, high_mu))
    gap = limits_of(machine).minimum_gap_mm.value
    middle = 0.5 * (apertures.left_mm + apertures.right_mm)
    near = np.zeros(middle.shape, bool)
    near[:, : where.used.shape[1]] = where.used
    x0, x1, y0, y1 = (edge[:, None] for edge in where.bounds_mm.T)
    left = np.where(near, np.minimum(x0, middle - 0.5 * gap), apertures.left_mm)
    right = np.where(near, np.maximum(x1, middle + 0.5 * gap), apertures.right_mm)
    inner_left = np.where(near, middle - 0.5 * gap, apertures.left_mm)
    inner_right = np.where(near, middle + 0.5 * gap, apertures.right_mm)
    jaw_low = jaw_high = apertures.jaw_mm
    if has_y_jaws(machine):
        between = apertures.jaw_mm.mean(axis=1, keepdims=True)
        jaw_low = np.concatenate([np.minimum(y0, apertures.jaw_mm[:, :1]), between + 0.5 * JAW_GAP_MM], axis=1)
        jaw_high = np.concatenate([between - 0.5 * JAW_GAP_MM, np.maximum(y1, apertures.jaw_mm[:, 1:])], axis=1)
        jaw_low, jaw_high = np.minimum(jaw_low, apertures.jaw_mm), np.maximum(jaw_high, apertures.jaw_mm)
    return Room(ApertureSet(left, inner_right, jaw_low, low_mu), ApertureSet(inner_left, right, jaw_high, high_mu))


@dataclass(frozen=True, eq=False)
class Stage:
    """What one search minimises and what it may move.

    Attributes
    ----------
    objective : Objective
    most : int
        The most evaluations to spend on it.
    leaves : bool
        Whether leaves and jaws move, or monitor units alone change.
    outline : Outline or None
        What leaves stay near, where they move at all.
    per_mu : float
        What is added to the objective for each monitor unit.
    """

    objective: Objective
    most: int
    leaves: bool = True
    outline: Outline | None = None
    per_mu: float = 0.0


def search(
    influence: Influence,
    where: ApertureMap,
    stage: Stage,
    start: ApertureSet,
    machine: Machine,
    motion: Motion,
    progress: Progress = lambda evaluation, value: None,
) -> Search:
    """Minimise an objective; what is returned keeps the limits of the machine.

    Parameters
    ----------
    influence : Influence
        Of the bixels of `where`.
    where : ApertureMap
    stage : Stage
    start : ApertureSet
    machine : Machine
    motion : Motion
    progress : callable
    """
    now, count = permitted(start, machine, motion), 0
    room = room_of(now, where, machine, motion, stage.leaves)
    if stage.leaves and stage.outline is not None:
        room = stage.outline.narrowed(room, now, machine)
    scale = _MU_STEP * float(now.mu.mean())
    before, _ = stage.objective.evaluate(influence.forward(where.forward(now)))
    small = Smallness(machine.leaf_borders_mm, limits_of(machine).minimum_segment_area_mm2.value, before)
    function = _Function(influence, where, stage, small, now, room, scale)

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal count
        count += 1
        value, gradient = function.evaluate(x)
        progress(count, value)
        return value, gradient

    bounds = Bounds(_packed(room.low, room, scale), _packed(room.high, room, scale))
    x, _ = minimised(evaluate, _packed(now, room, scale), bounds, stage.most)
    now = permitted(_unpacked(x, now, room, scale), machine, motion)
    value, _ = stage.objective.evaluate(influence.forward(where.forward(now)))
    return Search(now, value, count)


@dataclass(frozen=True, eq=False)
class _Function:
    """What one stage minimises, as a function of the vector of what may change."""

    influence: Influence
    where: ApertureMap
    stage: Stage
    small: Smallness
    base: ApertureSet
    room: Room
    scale: float

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        at = _unpacked(x, self.base, self.room, self.scale)
        value, by_dose = self.stage.objective.evaluate(self.influence.forward(self.where.forward(at)))
        gradient = self.where.backward(at, self.influence.adjoint(by_dose))
        value += self.small.evaluate(at, gradient) + self.stage.per_mu * float(at.mu.sum())
        gradient.mu[:] += self.stage.per_mu
        return value, _packed(gradient, self.room, 1.0 / self.scale)


def _packed(of: ApertureSet, room: Room, scale: float) -> np.ndarray:
    """Return what may change as one vector, monitor units divided by `scale`."""
    left, right, jaw, mu = (part[free] for part, free in zip(of.parts, room.free, strict=True))
    return np.concatenate([left, right, jaw, mu / scale])


def _unpacked(x: np.ndarray, base: ApertureSet, room: Room, scale: float) -> ApertureSet:
    """Return `base` with the vector of what may change put into it."""
    parts, first = [], 0
    for part, free, factor in zip(base.parts, room.free, (1.0, 1.0, 1.0, scale), strict=True):
        new, count = part.copy(), int(free.sum())
        new[free] = factor * x[first : first + count]
        parts.append(new)
        first += count
    return ApertureSet(*parts)
