"""A raw folder of images is imported once a study: all cases and later runs read what was written then.

    imported/<key>/case/         the case, as ``lacuna import`` writes it
    imported/<key>/files.json    SHA-256 of its files: results must not depend on a file that was changed since

The key is the hash of the raw files, the version and the code, so another folder or another import is another key.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import planner
from planner.io.atomic import whole_folder
from planner.io.case import case_files, is_case, write_case
from planner.io.digest import sha256_of
from planner.io.importing import Imported, import_folder
from planner.study.sources import code_sha256
from planner.study.store import read_json, write_json
from planner.treatment.errors import InputError

FOLDER = "imported"


@lru_cache(maxsize=1)
def raw_import(data: Path) -> Imported:
    """Return what a raw folder holds; the one asked for last is kept, so that a process imports it once."""
    return import_folder(data)


def hashes_of(data: Path) -> dict[str, str]:
    """Return the SHA-256 of the files of a case or of a raw folder, by their path in it."""
    return {str(file.relative_to(data)): sha256_of(file) for file in case_files(data)}


def known_import(data: Path, hashes: Mapping[str, str], study: Path) -> Path:
    """Return the case that a raw folder was imported to by an earlier run of a study; else `data` itself.

    Parameters
    ----------
    data : Path
        A case, or a raw folder.
    hashes : mapping of str to str
        Of its files.
    study : Path
        Folder of the results of the study.

    Raises
    ------
    InputError
        If a file of the import was changed.
    """
    place = _place(hashes, study)
    if is_case(data) or not place.is_dir():
        return data
    if hashes_of(place / "case") != read_json(place / "files.json"):
        problem = "was changed after the import: delete it; corrected structures belong in a case of your own"
        raise InputError(place, "", f"{problem} (lacuna import)")
    return place / "case"


def import_once(data: Path, hashes: Mapping[str, str], study: Path) -> Path:
    """Return the case of a raw folder, imported and written at once if no earlier run did; a case is itself.

    Raises
    ------
    InputError
        If it cannot be imported or written, or the import was changed.
    """
    found = known_import(data, hashes, study)
    if is_case(found):
        return found
    try:
        with whole_folder(_place(hashes, study)) as folder:
            write_case(raw_import(data), folder / "case")
            write_json(folder / "files.json", hashes_of(folder / "case"))
    except (InputError, OSError):
        # Another run of the study may have been quicker: its import is as good.
        if not is_case(known_import(data, hashes, study)):
            raise
    return known_import(data, hashes, study)


def _place(hashes: Mapping[str, str], study: Path) -> Path:
    content = json.dumps([dict(hashes), planner.__version__, code_sha256()], sort_keys=True)
    return study / FOLDER / hashlib.sha256(content.encode()).hexdigest()[:16]
