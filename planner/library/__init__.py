"""The data that plans rest on, as TOML files with a source and a status for every constant; and their loader.

``machines/ prescriptions/ margins/ techniques/ objectives/ observers/ strategies/ scenarios/ timing/ outcomes/`` hold
one file a name. ``physics/`` holds spectra, cross sections and kernels. A file is parsed into the frozen model that the
caller names, so every value is checked before any dose is computed. A file may name another one of its folder
(``like = "srs-marginal"``): what it does not say itself is as there, constant by constant. A user's own file may do
the same (`load_own`).
"""

import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from planner.treatment.constant import Constant, strictly
from planner.treatment.errors import InputError, in_words, unknown_name

ROOT = Path(__file__).resolve().parent
Model = TypeVar("Model", bound=BaseModel)
OWN_SUFFIX = ".toml"
"""What tells a file of one's own from a name in the library."""
# A name becomes the name of a file.
_NAME, _LONGEST = re.compile(r"\w[\w.-]*"), 64


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
    return parse(model, _read(kind, file), file)


def load_own(kind: str, file: Path, model: type[Model]) -> Model:
    """Return a user's own file of a kind, and what of the library it says it is like, parsed into `model`.

    Parameters
    ----------
    kind : str
    file : Path
        Its ``name`` must be one that the library does not have: results name what they are from.
    model : type

    Raises
    ------
    InputError
        If the file is not usable, does not fit the model or has a name that is not free.
    """
    found = read_own(kind, file, model)
    name = str(getattr(found, "name", ""))
    if not is_name(name):
        problem = f"must be at most {_LONGEST} letters, digits, '-', '_' and '.', got '{name[:_LONGEST]}'"
        raise InputError(file, "name", problem)
    if name in names(kind):
        raise InputError(file, "name", f"'{name}' is one of the library's {kind}: give yours another name")
    return found


def read_own(kind: str, file: Path, model: type[Model]) -> Model:
    """Return a file as `load_own` does, whatever its name: the library may have taken the name since it was chosen."""
    return parse(model, _read(kind, file), file)


def is_name(name: str) -> bool:
    """Return whether a name can be that of a file as well."""
    return len(name) <= _LONGEST and _NAME.fullmatch(name) is not None


def choose(
    kind: str, asked: str, model: type[Model], source: str = "library", where: str = "", beside: Path | None = None
) -> Model:
    """Return what a user asks for: a file of their own if it ends in ``.toml``, else one of the library by its name.

    Parameters and errors are those of `load` and `load_own`; a path is taken from the folder `beside`, if given.
    """
    if asked.endswith(OWN_SUFFIX):
        return load_own(kind, (beside or Path()) / asked, model)
    return load(kind, asked, model, source, where)


def _read(kind: str, file: Path) -> dict[str, Any]:
    """Return the content of a file on top of that of the library's file which it says it is like."""
    data = read_toml(file)
    like = data.pop("like", None)
    if like is None:
        return data
    if like not in names(kind):
        raise InputError(file, "like", unknown_name(_singular(kind), str(like), names(kind)))
    return _over(_read(kind, ROOT / kind / f"{like}.toml"), data)


def _over(base: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Return `data` on top of `base`, table by table; a constant is replaced whole, with its source and status."""

    def is_part(key: str) -> bool:
        both = (base.get(key), data[key])
        return all(isinstance(table, dict) and "value" not in table for table in both)

    return base | {key: _over(base[key], data[key]) if is_part(key) else data[key] for key in data}


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
    except (ValueError, RecursionError) as error:  # also of numbers too long and of brackets too deep
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
