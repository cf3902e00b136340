"""What arms deliver, in pictures: apertures in beam's-eye view and the arc diagram of one patient."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from phantoms.structure import Role, Structure
from planner.io.delivery_file import Treatment
from planner.report.collect import Arm, Case, Findings, grid_of
from planner.report.plan_pictures import apertures_figure, arcs_figure
from planner.study.store import read_treatments
from planner.treatment.machine import Machine

_APERTURES, _DPI = 4, 80


@dataclass(frozen=True)
class Delivered:
    """The delivery of one arm.

    Attributes
    ----------
    arm : Arm
    patient : str
    machine : str
        In words.
    told : str
        Beams, control points and the day.
    apertures, arcs : str
        PNG, base64.
    """

    arm: Arm
    patient: str
    machine: str
    told: str
    apertures: str
    arcs: str


def deliveries(findings: Findings) -> list[Delivered]:
    """Return the delivery of the first patient of each arm that delivers apertures."""
    found = []
    for arm in findings.shown_arms:
        cases = [case for case in findings.cases if case.strategy == arm.name]
        known = ((case, treatments) for case in cases if (treatments := read_treatments(case.folder)))
        first = next(known, None)
        if first is not None:
            machine = findings.machine(arm.name, first[1][0].delivery.machine)
            found.append(_delivered(arm, first[0], first[1][0], machine))
    return found


def _delivered(arm: Arm, case: Case, first: Treatment, machine: Machine) -> Delivered:
    beams = first.delivery.beams
    points = sum(len(beam.control_points) for beam in beams)
    kind = "arcs" if beams[0].kind == "arc" else "fields"
    return Delivered(
        arm,
        case.patient,
        machine.title,
        f"{len(beams)} {kind}, {points} control points, day {first.day:g}",
        _png(apertures_figure(first.delivery, machine, _target(case), _APERTURES)),
        _png(arcs_figure(first.delivery, machine)),
    )


def _target(case: Case) -> Structure:
    """Return the PTV as the views hold it."""
    views = case.views()
    occupancy = views["occupancy_ptv"].astype(np.float32) / 255
    return Structure("ptv", Role.TARGET, grid_of(views), occupancy).cropped(1)


def _png(figure: Figure) -> str:
    """Return a picture; no software name or date inside, so that equal pictures are equal bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return base64.b64encode(stream.getvalue()).decode("ascii")
