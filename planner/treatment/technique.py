"""Techniques as data: from which directions a machine treats, and how finely its fluence is resolved."""

from typing import Self

from pydantic import Field, model_validator

from planner.treatment.constant import Constant, Frozen


class ArcSpec(Frozen):
    """One arc, sampled at the middle of equal steps.

    Attributes
    ----------
    label : str
    couch_deg : float
        IEC 61217.
    collimator_deg : float or None
        The machine's own angle where left out.
    gantry_start_deg, gantry_stop_deg : float
        The gantry turns from start to stop through the numbers in between, which may exceed 360 or be negative: an
        arc from 210 to 510 passes 0.
    spacing_deg : float
        Largest step between two sampled directions.
    """

    label: str
    couch_deg: float
    collimator_deg: float | None = None
    gantry_start_deg: float
    gantry_stop_deg: float
    spacing_deg: float = Field(gt=0)


class FieldRing(Frozen):
    """Static coplanar fields, equally spaced, turned as a whole out of the sectors that the machine must avoid.

    Attributes
    ----------
    count : int
    first_deg : float
        Preferred gantry angle of the first field.
    """

    count: int = Field(ge=1)
    first_deg: float


class TechniqueSpec(Frozen):
    """How a target is treated: arcs, or a ring of static fields.

    Attributes
    ----------
    name, title : str
    arcs : Constant or None
    ring : Constant or None
        Exactly one of `arcs` and `ring` is given.
    bixel_step_mm : Constant
        Width of a bixel along the leaf travel (X); along Y it is the machine's central leaf width.
    aperture_margin_mm : Constant
        How far beyond the projected PTV, in the isocentre plane, bixels may open.
    """

    name: str
    title: str
    arcs: Constant[tuple[ArcSpec, ...]] | None = None
    ring: Constant[FieldRing] | None = None
    bixel_step_mm: Constant[float]
    aperture_margin_mm: Constant[float]

    @model_validator(mode="after")
    def _one_arrangement(self) -> Self:
        if (self.arcs is None) == (self.ring is None):
            raise ValueError("a technique needs either 'arcs' or 'ring'")
        if self.bixel_step_mm.value <= 0 or self.aperture_margin_mm.value < 0:
            raise ValueError("'bixel_step_mm' must be positive and 'aperture_margin_mm' not negative")
        return self
