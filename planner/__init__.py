"""What we do to the patient and what it costs: treatment, engines, planning, timeline, study, report."""

import importlib.util
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Before numpy comes in: a threaded BLAS adds up long vectors in an order that depends on its threads, and with it the
# path of the optimiser. One thread keeps plans bit-identical everywhere; our own kernels do the parallel work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_ROOT = Path(__file__).resolve().parent.parent

for _name in ("kernels", "phantoms"):
    _spec = importlib.util.find_spec(_name)
    if _spec is None or _spec.origin is None or Path(_spec.origin).resolve().parent.parent != _ROOT:
        _found = "nothing" if _spec is None else _spec.origin
        raise ImportError(
            f"Lacuna's package '{_name}' must lie beside 'planner' in {_ROOT}, but Python finds {_found}. "
            f"Another distribution of that name shadows it: remove it, or use a clean environment."
        )

try:
    __version__ = version("lacuna")
except PackageNotFoundError:  # a bare checkout on sys.path
    __version__ = "0.0.0+checkout"
