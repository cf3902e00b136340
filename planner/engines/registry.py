"""All engines, by name."""

from collections.abc import Callable, Iterable

from pydantic import BaseModel

from planner import library
from planner.engines.base import Engine
from planner.engines.cone import CollapsedCone
from planner.engines.cone_physics import cone_physics
from planner.engines.media import density_physics
from planner.engines.monte_carlo import MonteCarlo
from planner.engines.monte_carlo_physics import monte_carlo_physics
from planner.engines.pencil import PencilBeam
from planner.treatment.errors import InputError, unknown_name

ENGINES: dict[str, Engine] = {"cone": CollapsedCone(), "monte_carlo": MonteCarlo(), "pencil": PencilBeam()}
_PHYSICS: dict[str, dict[str, Callable[[], BaseModel]]] = {
    "cone": {"cone": cone_physics, "density": density_physics},
    "monte_carlo": {"monte_carlo": monte_carlo_physics},
    "pencil": {"density": density_physics},
}
"""Constants that an engine rests on beside tables: by engine, what they are called and what gives them."""


def for_patient(engine: Engine, uncertainty_percent: float) -> Engine:
    """Return a statistical engine that reaches an uncertainty in the target of a plan; any other engine as it is."""
    return engine.for_patient(uncertainty_percent) if isinstance(engine, MonteCarlo) else engine


def with_histories(engine: Engine, histories: int) -> Engine:
    """Return a statistical engine with a fixed number of histories; any other engine as it is."""
    return engine.with_histories(histories) if isinstance(engine, MonteCarlo) else engine


def engine_named(name: str, source: str = "engine", where: str = "") -> Engine:
    """Return the engine `name`.

    Parameters
    ----------
    name : str
    source, where : str
        Who asked (a study file and its key path), for the message if the name is unknown.

    Raises
    ------
    InputError
        If there is no such engine.
    """
    if name not in ENGINES:
        raise InputError(source, where, unknown_name("engine", name, ENGINES))
    return ENGINES[name]


def constants_of(engines: Iterable[str]) -> list[dict[str, str]]:
    """Return ``{name, value, source, status}`` of every constant that engines rest on beside tables, each once."""
    groups = {group: physics for name in engines for group, physics in _PHYSICS.get(name, {}).items()}
    return [row for group, physics in groups.items() for row in library.constants(physics(), f"engine.{group}.")]
