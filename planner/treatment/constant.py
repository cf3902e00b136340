"""Constants that say where they come from."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Value = TypeVar("Value")
Model = TypeVar("Model", bound=BaseModel)


class Status(StrEnum):
    """How sure a constant is."""

    PUBLISHED = "published"
    FITTED = "fitted"
    ASSUMED = "assumed"


class Frozen(BaseModel):
    """Base of everything parsed from TOML: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def strictly(model: type[Model], data: Mapping[str, Any]) -> Model:
    """Return what a TOML or JSON file holds as `model`, no value turned into another type.

    Lists stand for tuples and texts for names of a choice, as in JSON; ``"yes"`` is no truth value, ``true`` no number
    and ``"5"`` neither. A date, which no model asks for, fits none of these.

    Raises
    ------
    pydantic.ValidationError
        If something does not fit.
    """
    return model.model_validate_json(json.dumps(data, default=lambda date: {"date": str(date)}), strict=True)


class Constant(Frozen, Generic[Value]):
    """A value with its source and status, as every library file must give it.

    Attributes
    ----------
    value : Value
        In the unit that the key's suffix names.
    source : str
        Paper, table, equation, or file that it was fitted to.
    status : Status
    """

    value: Value
    source: str
    status: Status

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by value and type parameter: a parametrised pydantic class is no attribute of its module."""
        parameters = type(self).__pydantic_generic_metadata__["args"]
        return _restored, (parameters, dict(self))


def _restored(parameters: tuple[Any, ...], fields: dict[str, Any]) -> "Constant[Any]":
    model = Constant[parameters] if parameters else Constant  # type: ignore[valid-type]
    return model.model_construct(**fields)
