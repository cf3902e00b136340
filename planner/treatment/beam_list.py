"""A list of open fields as a user writes it, and the beams and weights that engines take."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from pydantic import Field, model_validator

from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.constant import Frozen
from planner.treatment.delivery import Delivery
from planner.treatment.geometry import solid_angle_sr
from planner.treatment.machine import Machine

RASTER_MM = 0.25
"""Bixel side for openings that are no rectangle; a bixel cut by the edge carries the fraction that is open."""

CLOSED_MM = 1e-3
"""Leaf pairs that are open by no more than the last printed digits of their tips are closed."""

_SUBDIVISIONS = 8


class Leaves(Frozen):
    """An MLC aperture: one pair of positions a leaf pair, and jaws.

    Attributes
    ----------
    left_mm, right_mm : tuple of float
        Positions along X, in the isocentre plane, of the two leaf tips of each pair, from -Y to +Y: as many as the
        machine has pairs. A pair is closed where they do not leave `CLOSED_MM` between them.
    jaw_y_mm : tuple of 2 float or None
        Opening of jaws along Y; None if they are out of the way.
    """

    left_mm: tuple[float, ...]
    right_mm: tuple[float, ...]
    jaw_y_mm: tuple[float, float] | None = None


class OpenField(Frozen):
    """One open field.

    Attributes
    ----------
    machine : str
    gantry_deg, couch_deg, collimator_deg : float
        IEC 61217.
    isocentre_mm : tuple of 3 float
        LPS.
    field_mm : tuple of 2 float or None
        Width along X and Y at the isocentre, centred on the axis.
    radius_mm : float or None
        Radius of a circular field at the isocentre.
    leaves : Leaves or None
        Exactly one of the three openings is given.
    weight : float
        Monitor units of a real machine; photons emitted into the field for a point source.
    """

    machine: str
    gantry_deg: float = 0.0
    couch_deg: float = 0.0
    collimator_deg: float = 0.0
    isocentre_mm: tuple[float, float, float]
    field_mm: tuple[float, float] | None = None
    radius_mm: float | None = Field(default=None, gt=0)
    leaves: Leaves | None = None
    weight: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _one_opening(self) -> "OpenField":
        given = [name for name in ("field_mm", "radius_mm", "leaves") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"one of field_mm, radius_mm, leaves is needed, got {', '.join(given) or 'none'}")
        if self.field_mm is not None and min(self.field_mm) <= 0:
            raise ValueError(f"field_mm must be positive, got {self.field_mm}")
        return self


class BeamList(Frozen):
    """A file of beams.

    Attributes
    ----------
    beam : tuple of OpenField
    magnetic_field_t : tuple of 3 float or None
        Overrides the field of the machines; patient LPS, tesla.
    """

    beam: tuple[OpenField, ...] = Field(min_length=1)
    magnetic_field_t: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class WeightedBeam:
    """A beam with the weights of its open bixels, as engines take them."""

    beam: Beam
    weights: np.ndarray


def weighted_beam(field: OpenField, machine: Machine) -> WeightedBeam:
    """Return the beam of one field.

    Raises
    ------
    ValueError
        If the opening does not fit the machine; the message starts with the key.
    """
    if field.field_mm is not None:
        x, y = field.field_mm
        _check_reach((x / 2, y / 2), machine)
        part, low, size = np.ones((1, 1)), (-x / 2, -y / 2), (x, y)
    else:
        low, size, part = _raster(field, machine)
    opened = part > 0
    if not opened.any():
        raise ValueError("leaves: nothing is open")
    bixels = BixelGrid(low, size, opened)
    beam = Beam(field.gantry_deg, field.couch_deg, field.collimator_deg, field.isocentre_mm, bixels)
    weights = part[opened]
    if machine.kind == "point":
        # The photons of the field are shared out evenly in solid angle.
        weights = weights * solid_angle_sr(*bixels.edges_mm, machine.sad_mm.value)[opened]
        weights = weights / weights.sum()
    return WeightedBeam(beam, field.weight * weights)


def _check_reach(reach_mm: tuple[float, float], machine: Machine) -> None:
    """Refuse an opening that reaches farther from the axis along X or Y than the machine's largest field."""
    for reach, size, name in zip(reach_mm, machine.max_field_mm.value, "XY", strict=True):
        if reach > size / 2 + 1e-6:
            raise ValueError(f"opening reaches {reach:g} mm along {name}, beyond the {size / 2:g} mm of {machine.name}")


def _raster(field: OpenField, machine: Machine) -> tuple[tuple[float, float], tuple[float, float], np.ndarray]:
    """Return low edge, bixel size and open fraction of a raster over a circle or an MLC aperture."""
    if field.radius_mm is not None:
        _check_reach((field.radius_mm, field.radius_mm), machine)
        half = np.ceil(field.radius_mm / RASTER_MM) * RASTER_MM
        count = round(2 * half / RASTER_MM)
        return (-half, -half), (RASTER_MM, RASTER_MM), _circle(field.radius_mm, half, count)
    assert field.leaves is not None
    return _leaf_raster(field.leaves, machine)


def _circle(radius: float, half: float, count: int) -> np.ndarray:
    """Return the open fraction of each bixel: exact along X, midpoint rule along Y."""
    rows = -half + (np.arange(count * _SUBDIVISIONS) + 0.5) * RASTER_MM / _SUBDIVISIONS
    chord = np.sqrt(np.maximum(0.0, radius**2 - rows**2))
    edges = -half + RASTER_MM * np.arange(count + 1)
    inside = np.clip(np.minimum(edges[1:, None], chord) - np.maximum(edges[:-1, None], -chord), 0.0, None) / RASTER_MM
    return inside.reshape(count, count, _SUBDIVISIONS).mean(axis=2)


def _leaf_raster(leaves: Leaves, machine: Machine) -> tuple[tuple[float, float], tuple[float, float], np.ndarray]:
    widths = machine.leaf_width_mm.value
    for name in ("left_mm", "right_mm"):
        if len(getattr(leaves, name)) != len(widths):
            raise ValueError(
                f"leaves.{name}: {machine.name} has {len(widths)} leaf pairs, got {len(getattr(leaves, name))}"
            )
    borders, behind = machine.leaf_borders_mm, machine.field_behind_tips_mm
    jaw = leaves.jaw_y_mm or (float(borders[0]), float(borders[-1]))
    strips = [
        (max(a, jaw[0]), min(b, jaw[1]), left - behind, right + behind)
        for (a, b), left, right in zip(pairwise(borders), leaves.left_mm, leaves.right_mm, strict=True)
        if right - left > CLOSED_MM and min(b, jaw[1]) > max(a, jaw[0])
    ]
    if not strips:
        raise ValueError("leaves: nothing is open")
    edges = np.abs(strips).max(axis=0)
    _check_reach((float(edges[2:].max()) - behind, float(edges[:2].max())), machine)
    low = [RASTER_MM * np.floor(min(s[n] for s in strips) / RASTER_MM) for n in (2, 0)]
    high = [RASTER_MM * np.ceil(max(s[n] for s in strips) / RASTER_MM) for n in (3, 1)]
    nx, ny = (round((h - lo) / RASTER_MM) for lo, h in zip(low, high, strict=True))
    x, y = low[0] + RASTER_MM * np.arange(nx + 1), low[1] + RASTER_MM * np.arange(ny + 1)
    part = np.zeros((nx, ny))
    for bottom, top, left, right in strips:
        along_x = np.clip(np.minimum(x[1:], right) - np.maximum(x[:-1], left), 0.0, None)
        along_y = np.clip(np.minimum(y[1:], top) - np.maximum(y[:-1], bottom), 0.0, None)
        part += np.outer(along_x, along_y) / RASTER_MM**2
    return (float(low[0]), float(low[1])), (RASTER_MM, RASTER_MM), np.clip(part, 0.0, 1.0)


def delivered_beams(delivery: Delivery, machine: Machine) -> list[WeightedBeam]:
    """Return one beam a control point, in the order of the delivery; weights are monitor units.

    Raises
    ------
    ValueError
        If an aperture does not fit the machine or is closed.
    """
    found = []
    for beam in delivery.beams:
        for point in beam.control_points:
            leaves = Leaves(
                left_mm=tuple(point.left_mm.tolist()), right_mm=tuple(point.right_mm.tolist()), jaw_y_mm=point.jaw_y_mm
            )
            field = OpenField(
                machine=delivery.machine,
                gantry_deg=point.gantry_deg,
                couch_deg=point.couch_deg,
                collimator_deg=point.collimator_deg,
                isocentre_mm=beam.isocentre_mm,
                leaves=leaves,
                weight=point.mu,
            )
            made = weighted_beam(field, machine)
            arc = beam.label if beam.kind == "arc" else ""
            found.append(WeightedBeam(replace(made.beam, arc=arc), made.weights))
    return found
