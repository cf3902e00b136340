"""Files and folders that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from planner.treatment.errors import InputError

TEMPORARY = ".lacuna-"
"""How the names of files and folders begin that were not finished."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the name of a temporary file beside `path`; on success it is flushed to disk and takes that name.

    Raises
    ------
    InputError
        If the folder of `path` does not exist or cannot be written.
    """
    if not path.parent.is_dir():
        raise InputError(path, "", f"cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(path, "", "cannot be written: it is a folder")
    try:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    except OSError as error:
        raise InputError(path, "", f"cannot be written: {error.strerror}") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(path: Path) -> None:
    """Refuse a folder to be written that exists already, unless it is empty, or that cannot be made.

    Raises
    ------
    InputError
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(path, "", "exists already: give a new folder, or remove this one first")
    refuse_unwritable(path)


def refuse_unwritable(path: Path) -> None:
    """Refuse a folder that could not be made or replaced, before long work rather than after it.

    Raises
    ------
    InputError
    """
    if path.resolve() == Path.cwd():
        raise InputError(path, "", "cannot be written: it is the current folder, give the name of a new one")
    above = path.resolve().parent
    while not above.exists():
        above = above.parent
    try:
        # Permissions do not tell it all: a file in the way, a read-only disk.
        Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=above)).rmdir()
    except OSError as error:
        raise InputError(path, "", f"cannot be written: {above}: {error.strerror}") from None


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on success its files are flushed and it takes that name.

    Raises
    ------
    InputError
        If `path` exists already and is not an empty folder, or its parent cannot be written.
    """
    refuse_existing(path)
    path = path.resolve()  # what a link points to is written, not the link
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=path.parent))
    except OSError as error:
        raise InputError(path, "", f"cannot be written: {error.strerror}") from None
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        temporary.chmod(0o777 & ~_umask())
        try:
            if path.exists():
                path.rmdir()
            temporary.rename(path)
        except OSError:
            raise InputError(path, "", "was made meanwhile, by another run? It stays as it is") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _flush(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
