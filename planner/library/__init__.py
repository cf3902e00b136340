"""The data that plans rest on, as TOML files with a source and a status for every constant; and their loader.

``machines/ prescriptions/ margins/ techniques/ objectives/ observers/ strategies/ scenarios/ timing/ outcomes/`` hold
one file a name. ``physics/`` holds spectra, cross sections and kernels. A file is parsed into the frozen model that the
caller names, so every value is checked before any dose is computed. A file may name another one of its folder
(``like = "srs-marginal"``): what it does not say itself is as there.
"""

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from planner.treatment.constant import Constant, strictly
from planner.treatment.errors import InputError, in_words, unknown_name

ROOT = Path(__file__).resolve().parent
Model = TypeVar("Model", bound=BaseModel)


def _singular(kind: str) -> str:
    return kind[:-3] + "y" if kind.endswith("ies") else kind.removesuffix("s")


def names(kind: str) -> list[str]:
    """Return the names of all library files of a kind (a folder name), sorted."""
    return sorted(file.stem for file in (ROOT / kind).glob("*.toml"))


def load(kind: str, name: str, model: type[Model], source: str = "library", where: str = "") -> Model:
    """Return the library file `name` of `kind`, and what it says it is like, parsed into `model`.

    Parameters
    ----------
    kind, name : str
        Folder and file stem.
    model : type
        The pydantic model of that kind.
    source, where : str
        Who asked (a study file and its key path), for the message if the name is unknown.

    Raises
    ------
    InputError
        If the name is unknown or the file does not fit the model.
    """
    if name not in names(kind):
        raise InputError(source, where, unknown_name(_singular(kind), name, names(kind)))
    file = ROOT / kind / f"{name}.toml"
    data = read_toml(file)
    if like := data.pop("like", None):
        data = read_toml(ROOT / kind / f"{like}.toml") | data
    return parse(model, data, file)


def read_toml(file: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises
    ------
    InputError
        If it is missing, unreadable or no TOML.
    """
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        raise InputError(file, "", "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(file, "", f"cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(file, "", f"is not valid TOML: {error}") from None


def parse(model: type[Model], data: dict[str, Any], source: Path | str) -> Model:
    """Return `data` as `model`.

    Raises
    ------
    InputError
        Naming `source`, the key path and what was expected, for the first key that does not fit; the number of
        further ones is told.
    """
    try:
        return strictly(model, data)
    except ValidationError as error:
        first, *rest = error.errors(include_url=False)
        path = ".".join(str(part) for part in first["loc"])
        problem = in_words(first)
        if first["type"] == "extra_forbidden":
            problem = unknown_name("key", str(first["loc"][-1]), _keys_at(model, first["loc"][:-1]))
        more = f" (and {len(rest)} more problems)" if rest else ""
        raise InputError(source, path, problem + more) from None


def _keys_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Return the keys that `model` knows at a key path, as far as the path can be followed."""
    current: Any = model
    for part in path:
        fields = getattr(current, "model_fields", {})
        if isinstance(part, str) and part in fields:
            current = _model_in(fields[part].annotation)
    return list(getattr(current, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def constants(model: BaseModel, prefix: str = "") -> Iterator[dict[str, str]]:
    """Yield ``{name, value, source, status}`` of every constant inside a parsed library file."""
    for key in type(model).model_fields:
        value, path = getattr(model, key), f"{prefix}{key}"
        yield from _constants_in(value, path)


def _constants_in(value: Any, path: str) -> Iterator[dict[str, str]]:
    if isinstance(value, Constant):
        yield {
            "name": path,
            "value": _shown(value.value),
            "source": value.source,
            "status": str(value.status),
        }
    elif isinstance(value, BaseModel):
        yield from constants(value, f"{path}.")
    elif isinstance(value, (tuple, list)):
        for n, item in enumerate(value):
            yield from _constants_in(item, f"{path}[{n}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _constants_in(item, f"{path}.{key}")


def _shown(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
