"""Numerical kernels of Lacuna: jitted functions on plain arrays, in mm, Gy, g/cm3, MeV and radians.

Nothing here knows files, objects or patients (``docs/architecture.md``). Importing this package points numba's
on-disk cache at a folder that is keyed by a hash of the kernel sources. numba checks only the file of the cached
function itself: after an edit to a callee in another file it would go on serving the old machine code, which for
a dose engine is a silent wrong dose. A new hash is a new folder, so that cannot happen.
"""

import hashlib
import os
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def source_hash() -> str:
    """Return the hash (16 hex digits) of all kernel sources, the key of numba's cache folder."""
    digest = hashlib.sha256()
    for file in sorted(_HERE.rglob("*.py")):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _use_keyed_cache() -> None:
    if "numba" in sys.modules:
        # Too late to move the cache through the environment: set it on the live configuration instead.
        from numba.core import config

        vars(config)["CACHE_DIR"] = str(_cache_folder())
    else:
        os.environ["NUMBA_CACHE_DIR"] = str(_cache_folder())


def _cache_folder() -> Path:
    root = os.environ.get("LACUNA_CACHE_DIR")
    base = Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "lacuna"
    return base / f"numba-{source_hash()}"


_use_keyed_cache()
