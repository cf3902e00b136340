"""Which code computed a result."""

import hashlib
from functools import cache
from pathlib import Path

import planner


@cache
def code_sha256() -> str:
    """Return the hash of the code and physics data that results depend on: all but report and command line.

    The version alone would let a finished case of yesterday's code stand for today's.
    """
    root = Path(planner.__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for file in sorted(file for room in ("kernels", "phantoms", "planner") for file in (root / room).rglob("*")):
        place = file.relative_to(root)
        computes = place.parts[:2] not in {("planner", "report"), ("planner", "cli")}
        data = bool({"physics", "observers"} & set(place.parts)) or (
            place.parts[0] == "phantoms" and file.suffix == ".toml"
        )
        if computes and (file.suffix == ".py" or data) and file.is_file():
            digest.update(str(place).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
