"""Errors that a user can act on. Each says what is wrong, where, and what was expected."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class LacunaError(Exception):
    """Base of every error meant for a user; the command line prints its message and exits with `exit_status`."""

    exit_status = 1


class InputError(LacunaError):
    """An input was rejected.

    Parameters
    ----------
    source : Path or str
        The file (or argument) that was rejected.
    where : str
        Key path, DICOM tag or other place in it; may be empty.
    problem : str
        What is wrong and what was expected.
    """

    exit_status = 4

    def __init__(self, source: Path | str, where: str, problem: str) -> None:
        self.source, self.where, self.problem = str(source), where, problem
        place = f"{source}: {where}" if where else f"{source}"
        super().__init__(f"{place}: {problem}")


class CapabilityError(LacunaError):
    """An engine was asked for something that it cannot compute."""

    exit_status = 4


class PlanningError(LacunaError):
    """A plan could not be made for a stated reason."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for an unknown name: the nearest known one and all known ones."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"unknown {kind} '{name}'.{hint} Known: {', '.join(names)}"


def in_words(error: Mapping[str, Any]) -> str:
    """Return what is wrong according to one of pydantic's errors, as the end of a sentence."""
    problem = error["msg"].removeprefix("Value error, ")
    return problem[:1].lower() + problem[1:]
