"""Control points of a technique: directions with fine bixels for the search, and its apertures as a delivery."""

from dataclasses import replace

import numpy as np

from planner.optimise.apertures import ApertureSet
from planner.optimise.collimator import turned_to_target
from planner.optimise.leaf_limits import Motion
from planner.optimise.planning import PlanRequest
from planner.techniques.beams import beams_on
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.delivery import ControlPoint, Delivery, TreatmentBeam
from planner.treatment.errors import PlanningError
from planner.treatment.machine import Machine
from planner.treatment.technique import Apertures, TechniqueSpec
from planner.treatment.turning import ARC_STEP_DEG, Passage

# Sides of the bixels that leaf tips move over: along X finer than the blur of an edge, along Y at most this.
_STEP_X_MM, _STEP_Y_MM = 1.0, 2.6


def undeliverable(machine: Machine, technique: TechniqueSpec) -> str:
    """Return why a technique cannot be delivered on a machine as apertures; empty if it can."""
    if machine.delivery is None:
        return f"{machine.title} has no limits of delivery: only free fluence can be planned on it"
    if technique.apertures is None:
        return f"technique '{technique.name}' does not say how its apertures are shaped"
    if technique.arcs is not None and machine.delivery.max_mu_per_deg is None:
        return f"{machine.title} does not turn its gantry with the beam on: choose static fields"
    return ""


def shaping_of(request: PlanRequest) -> Apertures:
    """Return how the technique of a request shapes apertures, with the leaf margin that the template adds.

    Raises
    ------
    PlanningError
        If the machine or the technique is known as free fluence only, or the machine does not treat in arcs.
    """
    why = undeliverable(request.machine, request.technique)
    if why or request.technique.apertures is None:
        raise PlanningError(why)
    shaping = request.technique.apertures.value
    if shaping.shape == "optimised":
        return shaping
    return shaping.model_copy(update={"margin_mm": shaping.margin_mm + request.objectives.leaf_margin_mm.value})


def fine_beams(request: PlanRequest) -> tuple[Beam, ...]:
    """Return one beam a control point of an arc, and one a static field, with rectangles of fine bixels.

    Raises
    ------
    PlanningError
        See `shaping_of` and ``planner.techniques.beams.beams_on``.
    """
    technique, shaping = request.technique, shaping_of(request)
    if shaping.collimator == "target":
        technique = turned_to_target(technique, request.targets["ptv"], request.machine)
    if technique.arcs is not None:
        arcs = tuple(arc.model_copy(update={"spacing_deg": shaping.step_deg}) for arc in technique.arcs.value)
        technique = technique.model_copy(update={"arcs": technique.arcs.model_copy(update={"value": arcs})})
    if shaping.shape == "conformal":  # bixels reach as far beyond the outline as they do beyond the target
        reach = technique.aperture_margin_mm.value + shaping.margin_mm
        wider = technique.aperture_margin_mm.model_copy(update={"value": reach})
        technique = technique.model_copy(update={"aperture_margin_mm": wider})
    coarse = beams_on(request.targets["ptv"], request.machine, technique)
    return tuple(replace(beam, bixels=_fine(beam.bixels)) for beam in coarse)


def _fine(grid: BixelGrid) -> BixelGrid:
    """Return the rectangle around a grid's bixels, all open, in bixels that leaf tips can move over."""
    wanted = np.array([_STEP_X_MM, _STEP_Y_MM])
    parts = np.maximum(np.ceil(np.array(grid.size_mm) / wanted - 1e-9).astype(int), 1)
    size = (float(grid.size_mm[0] / parts[0]), float(grid.size_mm[1] / parts[1]))
    return BixelGrid(grid.low_mm, size, np.ones(grid.open.shape * parts, bool))


def motion_of(beams: tuple[Beam, ...], request: PlanRequest) -> Motion:
    """Return how beams, each taken as one control point, follow one another."""
    arcs, fractions = request.technique.arcs, request.prescription.fractions
    if arcs is None:
        return Motion(np.full(len(beams), -1), np.zeros(len(beams)), fractions)
    labels = [arc.label for arc in arcs.value]
    turn = [abs(arc.gantry_stop_deg - arc.gantry_start_deg) for arc in arcs.value]
    arc = np.array([labels.index(beam.arc) for beam in beams])
    return Motion(arc, (np.array(turn) / np.bincount(arc, minlength=len(turn)))[arc], fractions)


def passage_of(motion: Motion) -> Passage:
    """Return the apertures that control points pass through: of arcs as they turn, of static segments themselves."""
    numbers = np.unique(motion.arc[motion.arc >= 0])
    if not len(numbers):
        return Passage.at_rest(len(motion.arc))
    return Passage.joined([Passage.of(motion.span_deg[motion.arc == number], ARC_STEP_DEG) for number in numbers])


def delivery_of(
    request: PlanRequest, beams: tuple[Beam, ...], beam_of: np.ndarray, apertures: ApertureSet, motion: Motion
) -> Delivery:
    """Return apertures as the arcs and static fields of a delivery, in the order of the beams.

    Parameters
    ----------
    request : PlanRequest
    beams : tuple of Beam
    beam_of : ndarray of int (n,)
        Beam of each control point.
    apertures : ApertureSet
    motion : Motion
        Of the n control points.
    """
    grouped: dict[str, list[int]] = {}
    for n, b in enumerate(beam_of):
        beam = beams[b]
        grouped.setdefault(beam.arc or f"couch {beam.couch_deg:g} gantry {beam.gantry_deg:.4g}", []).append(n)
    made = []
    for label, points in grouped.items():
        first = beams[beam_of[points[0]]]
        controls = tuple(
            _control_point(beams[beam_of[n]], apertures.chosen(np.array([n])), float(motion.span_deg[n]))
            for n in points
        )
        made.append(TreatmentBeam(label, "arc" if first.arc else "static", first.isocentre_mm, controls))
    return Delivery(request.machine.name, request.technique.name, tuple(made), request.prescription.fractions)


def _control_point(beam: Beam, aperture: ApertureSet, span_deg: float) -> ControlPoint:
    low, high = aperture.jaw_mm[0].tolist()
    return ControlPoint(
        beam.gantry_deg,
        beam.couch_deg,
        beam.collimator_deg,
        aperture.left_mm[0],
        aperture.right_mm[0],
        (low, high),
        float(aperture.mu[0]),
        span_deg,
    )
