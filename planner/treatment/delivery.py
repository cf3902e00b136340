"""What a machine is told to deliver: apertures, monitor units and how the gantry moves through them, as plain data."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, eq=False)
class ControlPoint:
    """One aperture and the monitor units that are delivered through it.

    Attributes
    ----------
    gantry_deg, couch_deg, collimator_deg : float
        IEC 61217.
    left_mm, right_mm : ndarray (pairs,)
        Positions along X, in the isocentre plane, of the two leaf tips of each pair, from -Y to +Y: as many as the
        machine has pairs.
    jaw_y_mm : tuple of 2 float
        Opening of the jaws along Y in the isocentre plane; leaf pairs outside of it carry no field.
    mu : float
        Monitor units delivered while the gantry moves through `span_deg` centred on `gantry_deg`, half of them on
        either side of it; see ``planner.treatment.turning``.
    span_deg : float
        0 for a static segment.
    """

    gantry_deg: float
    couch_deg: float
    collimator_deg: float
    left_mm: np.ndarray
    right_mm: np.ndarray
    jaw_y_mm: tuple[float, float]
    mu: float
    span_deg: float


@dataclass(frozen=True, eq=False)
class TreatmentBeam:
    """An arc, or the segments of a static field, in the order of delivery.

    Attributes
    ----------
    label : str
    kind : str
        ``arc``: the gantry passes the control points one after another without a stop. ``static``: every control point
        is a segment with the gantry at rest, all at one gantry angle.
    isocentre_mm : tuple of 3 float
        LPS.
    control_points : tuple of ControlPoint
    stated_mu : float or None
        What a file told of the sum of their monitor units; None if the beam was not read from one.
    """

    label: str
    kind: Literal["arc", "static"]
    isocentre_mm: tuple[float, float, float]
    control_points: tuple[ControlPoint, ...]
    stated_mu: float | None = None


@dataclass(frozen=True, eq=False)
class Delivery:
    """All that a plan delivers; monitor units are those of the whole course, as the plan's dose is.

    Attributes
    ----------
    machine, technique : str
    beams : tuple of TreatmentBeam
    fractions : int
        Fractions that share the monitor units evenly. Machine limits hold for each of them.
    """

    machine: str
    technique: str
    beams: tuple[TreatmentBeam, ...]
    fractions: int = 1
