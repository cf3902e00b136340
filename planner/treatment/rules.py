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
    """

    name: str
    title: str
    gtv_to_ctv_mm: Constant[float]
    ctv_to_ptv_mm: Constant[float]
    barrier: Constant[str]

    @model_validator(mode="after")
    def _not_negative(self) -> Self:
        if self.gtv_to_ctv_mm.value < 0 or self.ctv_to_ptv_mm.value < 0:
            raise ValueError("margins must not be negative")
        return self
