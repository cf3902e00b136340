"""Collimator angles by the shape of a target: for each arc the one with which leaves hug the target most closely."""

import numpy as np

from phantoms.structure import Structure
from planner.optimise.conformal import outline
from planner.techniques.aperture import project, target_points
from planner.techniques.directions import directions
from planner.treatment.geometry import beam_frame
from planner.treatment.machine import Machine
from planner.treatment.technique import ArcSpec, TechniqueSpec

# Angles that are tried: a leaf bank opposite to where it was is the same.
_ANGLES_DEG = tuple(np.arange(-90.0, 90.0, 15.0))
# Directions of an arc that are looked from.
_LOOK_DEG = 20.0
# Below this part of the area a smaller one is no reason to turn the collimator away from the machine's own angle.
_WORTH = 0.02


def turned_to_target(technique: TechniqueSpec, target: Structure, machine: Machine) -> TechniqueSpec:
    """Return a technique whose arcs have the collimator angle that suits a target, where none is given.

    The leaf openings about the target, one run for each pair, are smallest in sum over the directions of the arc: what
    they open beside the projected target is concavities across the leaves and steps of a leaf's width.

    Parameters
    ----------
    technique : TechniqueSpec
        With arcs.
    target : Structure
    machine : Machine
        Whose collimator turns; the technique itself is returned for others.
    """
    if technique.arcs is None or not machine.collimator_rotates.value:
        return technique
    x, y, z = (float(v) for v in target.centroid_mm)
    seen = target_points(target), (x, y, z)
    arcs = tuple(
        arc
        if arc.collimator_deg is not None
        else arc.model_copy(update={"collimator_deg": _best(technique, arc, seen, machine)})
        for arc in technique.arcs.value
    )
    return technique.model_copy(update={"arcs": technique.arcs.model_copy(update={"value": arcs})})


def _best(
    technique: TechniqueSpec, arc: ArcSpec, target: tuple[np.ndarray, tuple[float, float, float]], machine: Machine
) -> float:
    """Return the angle of the smallest openings, the machine's own if hardly any is smaller."""
    assert technique.arcs is not None
    coarse = arc.model_copy(update={"spacing_deg": _LOOK_DEG})
    alone = technique.model_copy(update={"arcs": technique.arcs.model_copy(update={"value": (coarse,)})})
    looks = directions(alone, machine)
    points, centre = target
    own, sad = machine.collimator_deg.value, machine.sad_mm.value
    width = machine.leaf_width_mm.value[len(machine.leaf_width_mm.value) // 2]
    areas = {}
    for angle in (own, *(float(a) for a in _ANGLES_DEG if a != own)):
        frames = [beam_frame(look.gantry_deg, look.couch_deg, angle, centre, sad) for look in looks]
        areas[angle] = sum(_opened(project(points, frame, sad), width) for frame in frames)
    best = min(areas, key=lambda angle: (areas[angle], abs(angle - own)))
    return best if areas[best] < (1.0 - _WORTH) * areas[own] else own


def _opened(points_mm: np.ndarray, width_mm: float) -> float:
    """Return the area that leaves of a width open about projected points, each from the lowest to the highest X."""
    y, low, high = outline(points_mm, 0.0)
    leaf = np.floor(y / width_mm).astype(int)
    leaf -= leaf[0]
    left, right = np.full(leaf[-1] + 1, np.inf), np.full(leaf[-1] + 1, -np.inf)
    np.minimum.at(left, leaf, low)
    np.maximum.at(right, leaf, high)
    return float((right - left).sum() * width_mm)
