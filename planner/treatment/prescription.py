"""Prescriptions: dose, fractions, and where the dose is prescribed to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prescription:
    """What is prescribed to one target.

    Attributes
    ----------
    dose_gy : float
        Total dose at the target's margin.
    fractions : int
    rule : str
        Name of the rule in the library that gave it, or ``fixed``.
    reason : str
        The row of the rule that applied, in words (``cavity 8.0-14.3 cc: 17 Gy``).
    """

    dose_gy: float
    fractions: int
    rule: str
    reason: str
