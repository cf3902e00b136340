"""How every search for a plan goes downhill: L-BFGS-B within bounds."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize

Progress = Callable[[int, float], None]
"""Is told the number of evaluations so far and the objective."""

# Stop once an iteration gains less than this (objectives are of order 0.1 to 1). Not larger: after a change of
# objective the first step is a short one along the gradient, and would be taken for the end.
_LEAST_GAIN = 1e-8
# Pairs of steps and changes of the gradient that the curvature is estimated from; SciPy's default is 10.
_REMEMBERED = 12


def minimised(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray, bounds: Bounds, most: int
) -> tuple[np.ndarray, float]:
    """Return where a function is least within bounds, as far as `most` evaluations tell, and its value there.

    Parameters
    ----------
    evaluate : callable
        Returns value and gradient, shape (n,), at a point, shape (n,).
    start : ndarray (n,)
        Moved into the bounds if it lies outside.
    bounds : Bounds
    most : int
    """
    options = {"maxfun": most, "maxiter": most, "maxcor": _REMEMBERED, "ftol": _LEAST_GAIN, "gtol": 0.0}
    begin = np.clip(start, bounds.lb, bounds.ub)
    found: Any = minimize(evaluate, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)  # type: ignore[call-overload]
    return np.asarray(found.x), float(found.fun)
