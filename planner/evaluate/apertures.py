"""How modulated a delivery is: monitor units and sizes of apertures."""

from dataclasses import dataclass

import numpy as np

from planner.treatment.delivery import ControlPoint, Delivery
from planner.treatment.machine import Machine


def open_height_mm(point: ControlPoint, machine: Machine) -> np.ndarray:
    """Return how much of each leaf pair's width lies between the jaws, shape (pairs,)."""
    borders = machine.leaf_borders_mm
    low, high = point.jaw_y_mm
    return np.clip(np.minimum(borders[1:], high) - np.maximum(borders[:-1], low), 0.0, None)


def area_mm2(point: ControlPoint, machine: Machine) -> float:
    """Return the area between leaves and jaws, in the isocentre plane."""
    width = np.clip(np.asarray(point.right_mm) - np.asarray(point.left_mm), 0.0, None)
    return float(np.sum(width * open_height_mm(point, machine)))


@dataclass(frozen=True)
class ApertureFigures:
    """Figures of one delivery.

    Attributes
    ----------
    beams, control_points : int
    mu : float
        Of one fraction.
    modulation_factor : float
        Monitor units a fraction over the prescribed dose of a fraction in cGy.
    aperture_cm2 : float
        Mean area of the apertures, weighted by monitor units.
    """

    beams: int
    control_points: int
    mu: float
    modulation_factor: float
    aperture_cm2: float


def aperture_figures(delivery: Delivery, machine: Machine, prescription_gy: float) -> ApertureFigures:
    """Return the figures of a delivery of `prescription_gy`, the dose of the whole course."""
    points = [point for beam in delivery.beams for point in beam.control_points]
    mu = np.array([point.mu for point in points])
    areas = np.array([area_mm2(point, machine) for point in points])
    total = float(mu.sum())
    return ApertureFigures(
        beams=len(delivery.beams),
        control_points=len(points),
        mu=total / delivery.fractions,
        modulation_factor=total / (100.0 * prescription_gy),
        aperture_cm2=float((mu * areas).sum()) / total / 100.0 if total > 0 else float("nan"),
    )
