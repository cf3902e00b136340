"""Rules that turn the size of a target into a dose and its outline into treated volumes, as data."""

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from planner.treatment.constant import Constant, Frozen


class PrescriptionRow(Frozen):
    """One row of a dose table.

    Attributes
    ----------
    up_to : float or None
        Upper bound of the size that the row is for; None in the last row where the table has no end.
    dose_gy : float
        Total dose at the margin of the target.
    fractions : int
    """

    up_to: float | None = Field(default=None, gt=0)
    dose_gy: float = Field(gt=0)
    fractions: int = Field(default=1, ge=1)


class PrescriptionRule(Frozen):
    """Dose by the size of what is treated.

    Attributes
    ----------
    name, title : str
    size : str
        ``volume_cc`` of the cavity or tumour, or its ``diameter_mm`` (largest).
    bounds_included : bool
        Whether a size equal to `up_to` belongs to that row or to the next one.
    rows : Constant
        Rows by rising `up_to`.
    """

    name: str
    title: str
    size: Literal["volume_cc", "diameter_mm"]
    bounds_included: bool
    rows: Constant[tuple[PrescriptionRow, ...]]

    @model_validator(mode="after")
    def _rows_rise(self) -> Self:
        bounds = [row.up_to for row in self.rows.value]
        if not bounds:
            raise ValueError("a prescription rule needs at least one row")
        closed = [bound for bound in bounds[:-1] if bound is not None]
        last = bounds[-1]
        if len(closed) < len(bounds) - 1 or any(a >= b for a, b in pairwise(closed)):
            raise ValueError("the rows must rise by 'up_to', and only the last may leave it out")
        if last is not None and closed and last <= closed[-1]:
            raise ValueError("the rows must rise by 'up_to', and only the last may leave it out")
        return self


class Extension(Frozen):
    """A strip along a surface that is added to the CTV.

    Attributes
    ----------
    along : Constant
        Structure that it follows: ``bone_flap``, ``dura``, ``venous_sinuses``.
    depth_mm : Constant
        Thickness of the strip on that structure.
    contact_mm : Constant
        Distance that counts as contact.
    touched_mm : Constant
        Reach of the strip beyond the contact of the tumour before surgery.
    apart_mm : Constant
        The same where that tumour had no contact: beyond what the CTV touches. 0 for no strip.
    """

    along: Constant[str]
    depth_mm: Constant[float]
    contact_mm: Constant[float]
    touched_mm: Constant[float]
    apart_mm: Constant[float]

    @model_validator(mode="after")
    def _not_negative(self) -> Self:
        if self.depth_mm.value <= 0 or self.contact_mm.value <= 0:
            raise ValueError("'depth_mm' and 'contact_mm' must be positive")
        if self.touched_mm.value < 0 or self.apart_mm.value < 0:
            raise ValueError("an extension must not be negative")
        return self


class MarginRule(Frozen):
    """Margins from the gross to the planning target volume.

    Attributes
    ----------
    name, title : str
    gtv_to_ctv_mm : Constant
        Microscopic spread, kept inside `barrier`.
    ctv_to_ptv_mm : Constant
        Set-up and machine uncertainty, in every direction.
    barrier : Constant
        Structure that the CTV margin does not leave (``brain``); empty for none.
    crosses_not : Constant or None
        Structures that the CTV margin does not cross, where the patient has them: ``falx``, ``tentorium``, ``skull``.
    whole_tract : Constant or None
        Whether the surgical tract belongs to the CTV.
    extensions : tuple of Extension
        Strips along surfaces that belong to the CTV.
    """

    name: str
    title: str
    gtv_to_ctv_mm: Constant[float]
    ctv_to_ptv_mm: Constant[float]
    barrier: Constant[str]
    crosses_not: Constant[tuple[str, ...]] | None = None
    whole_tract: Constant[bool] | None = None
    extensions: tuple[Extension, ...] = ()

    @property
    def follows(self) -> tuple[str, ...]:
        """Structures without which the rule is not carried out in full."""
        tract = ("tract",) if self.whole_tract is not None and self.whole_tract.value else ()
        barriers = () if self.crosses_not is None else self.crosses_not.value
        return tuple(dict.fromkeys((*tract, *(part.along.value for part in self.extensions), *barriers)))

    @model_validator(mode="after")
    def _not_negative(self) -> Self:
        if self.gtv_to_ctv_mm.value < 0 or self.ctv_to_ptv_mm.value < 0:
            raise ValueError("margins must not be negative")
        return self
