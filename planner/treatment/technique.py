"""Techniques as data: from which directions a machine treats, and how finely its fluence is resolved."""

from typing import Annotated, Literal, Self

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
        Where left out, that of `Apertures`, or the machine's own.
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
    spacing_deg: float = Field(ge=0.5)


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


class StaticField(Frozen):
    """One static field.

    Attributes
    ----------
    gantry_deg, couch_deg : float
        IEC 61217.
    """

    gantry_deg: float
    couch_deg: float


class Apertures(Frozen):
    """How a technique shapes its fields with leaves.

    Attributes
    ----------
    shape : str
        ``optimised``: leaves and monitor units are; ``conformal``: leaves follow the projected PTV, and monitor units
        are optimised.
    step_deg : float
        Largest step between the control points of an arc.
    segments : int
        The most segments of a static field; 1 for arcs, where each control point has one aperture.
    margin_mm : float
        From the projected PTV to the leaves, of conformal apertures; a template may add to it (`leaf_margin_mm`).
    trim_mm : float
        How far leaf tips may be optimised away from where they follow the PTV, of conformal apertures.
    collimator : str
        Of arcs that give no angle: ``machine``, the machine's own; ``target``, that with which leaves hug the PTV most
        closely, arc by arc.
    fall_off : float
        Share of the weights that a template gives its fall-off and its gradient. Where no direction leaves the plane of
        the others those goals are out of reach, and at their full weights they outweigh coverage and conformity.
    """

    shape: Literal["optimised", "conformal"]
    step_deg: float = Field(default=8.0, ge=0.5)
    segments: int = Field(default=1, ge=1)
    margin_mm: float = Field(default=0.0, ge=-10, le=30)
    trim_mm: float = Field(default=0.0, ge=0, le=30)
    collimator: Literal["machine", "target"] = "machine"
    fall_off: float = Field(default=1.0, gt=0, le=1)


class TechniqueSpec(Frozen):
    """How a target is treated: arcs, a ring of static fields, or static fields one by one.

    Attributes
    ----------
    name, title : str
    arcs : Constant or None
    ring : Constant or None
    fields : Constant or None
        Exactly one of `arcs`, `ring` and `fields` is given.
    bixel_step_mm : Constant
        Width of a bixel along the leaf travel (X); along Y it is the machine's central leaf width.
    aperture_margin_mm : Constant
        How far beyond the projected PTV, in the isocentre plane, bixels may open.
    apertures : Constant or None
        None: the technique is known as free fluence only, and nothing can be delivered.
    """

    name: str
    title: str
    arcs: Constant[Annotated[tuple[ArcSpec, ...], Field(min_length=1)]] | None = None
    ring: Constant[FieldRing] | None = None
    fields: Constant[Annotated[tuple[StaticField, ...], Field(min_length=1)]] | None = None
    bixel_step_mm: Constant[Annotated[float, Field(ge=0.25, le=20)]]
    aperture_margin_mm: Constant[Annotated[float, Field(ge=0, le=30)]]
    apertures: Constant[Apertures] | None = None

    @model_validator(mode="after")
    def _one_arrangement(self) -> Self:
        if sum(part is not None for part in (self.arcs, self.ring, self.fields)) != 1:
            raise ValueError("a technique needs one of 'arcs', 'ring' and 'fields'")
        return self
