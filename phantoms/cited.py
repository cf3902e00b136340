"""Constants that carry their source and their status."""

from typing import Literal, NamedTuple


class Cited(NamedTuple):
    """A constant with where it comes from.

    Attributes
    ----------
    value : float
        In the unit that the name of the constant tells.
    source : str
    status : str
        ``published`` (read in the source), ``fitted`` (set so that a published figure is reproduced) or ``assumed``.
    """

    value: float
    source: str
    status: Literal["published", "fitted", "assumed"]
