"""Constants that carry their source and their status."""

import tomllib
from pathlib import Path
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


def cited_in(file: Path) -> dict[str, Cited]:
    """Return the constants of a TOML file of this package, by name: tables of ``value``, ``source`` and ``status``.

    Raises
    ------
    TypeError
        If a constant lacks one of them or has more.
    """
    return {name: Cited(**entry) for name, entry in tomllib.loads(file.read_text(encoding="utf-8")).items()}
