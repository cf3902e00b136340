"""Target, machine and technique to beams with bixels."""

from itertools import pairwise

import numpy as np

from phantoms.structure import Structure
from planner.techniques.aperture import bixels_on, project, target_points
from planner.techniques.directions import directions
from planner.treatment.beam import Beam
from planner.treatment.errors import PlanningError
from planner.treatment.geometry import beam_frame
from planner.treatment.machine import Machine
from planner.treatment.technique import TechniqueSpec


def beams_on(target: Structure, machine: Machine, technique: TechniqueSpec) -> tuple[Beam, ...]:
    """Return the beams of a technique on a target; the isocentre is the target's centre of mass.

    Parameters
    ----------
    target : Structure
        The planning target volume.
    machine : Machine
    technique : TechniqueSpec

    Raises
    ------
    PlanningError
        If the target is empty or too large for the machine's field, or the machine cannot move as the technique asks.
    """
    if target.is_empty:
        raise PlanningError(f"structure '{target.name}' is empty: there is nothing to aim at")
    x, y, z = (float(v) for v in target.centroid_mm)
    points = target_points(target)
    sad_mm, step_mm = machine.sad_mm.value, technique.bixel_step_mm.value
    beams = []
    for gantry, couch, collimator, arc in directions(technique, machine):
        frame = beam_frame(gantry, couch, collimator, (x, y, z), sad_mm)
        seen = project(points, frame, sad_mm)
        bixels = bixels_on(seen, technique.aperture_margin_mm.value, step_mm, machine)
        beams.append(Beam(gantry, couch, collimator, (x, y, z), bixels, arc))
    return tuple(beams)


def bixel_slices(beams: tuple[Beam, ...]) -> list[slice]:
    """Return where the weights of each beam stand in the vector of all bixels."""
    ends = np.cumsum([0, *(beam.bixels.count for beam in beams)])
    return [slice(int(a), int(b)) for a, b in pairwise(ends)]
