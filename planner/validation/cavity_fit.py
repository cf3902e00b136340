"""The fit of the cavity's volume to the published series: least squares over all figures that can hold together.

Populations are drawn once, so that the misfit is a smooth function of the constants, and the search is repeatable.
"""

from collections.abc import Collection

import numpy as np
from scipy.optimize import minimize

from phantoms.dynamics import PROCESS, Process
from planner.validation.cavity import Population, populations
from planner.validation.cavity_statistics import STATISTICS

# Where each constant may lie: wide, but no cavity may lose more than about a sixth of its volume a day.
BOUNDS = {
    "ratio": (0.5, 1.0),
    "ratio_sigma": (0.2, 0.6),
    "ratio_size": (-0.4, 0.1),
    "swelling": (-0.2, 0.6),
    "swelling_sigma": (0.15, 0.9),
    "swelling_size": (-0.6, 0.0),
    "swelling_day": (2.0, 25.0),
    "swelling_power": (0.7, 4.0),
    "collapse": (0.2, 1.5),
    "collapse_sigma": (0.1, 0.45),
    "collapse_size": (-0.3, 0.3),
    "collapse_day": (24.0, 55.0),
    "collapse_power": (2.0, 5.0),
    "wander": (0.0, 0.26),
}
_LOW, _HIGH = np.array([BOUNDS[name] for name in Process._fields]).T
_POPULATION = 1500
_ROUNDS, _STEPS = 2, 1200


def misfit(process: Process, drawn: Collection[Population], conflicts: bool = False) -> float:
    """Return the weighted sum over figures of squared differences in standard errors of the published value.

    Parameters
    ----------
    process : Process
    drawn : collection of Population
    conflicts : bool
        Whether figures count that another series excludes.
    """
    total = 0.0
    for population in drawn:
        volumes = population.volumes(process)
        for figure in population.comparison.figures:
            if conflicts or not figure.conflict:
                off = (STATISTICS[figure.statistic].value(volumes) - figure.value) / figure.sigma
                total += figure.weight * off**2
    return total


def fitted(without: Collection[str] = (), start: Process = PROCESS, rounds: int = _ROUNDS) -> tuple[Process, float]:
    """Return the process that misses the series least, and the sum of squares it leaves.

    Parameters
    ----------
    without : collection of str
        Series that do not count.
    start : Process
    rounds : int
        Restarts of the simplex.
    """
    drawn = [population for name, population in populations(_POPULATION) if name not in without]

    def cost(values: np.ndarray) -> float:
        inside = np.clip(values, _LOW, _HIGH)
        return misfit(Process(*inside), drawn) + 1e3 * float((((values - inside) / (_HIGH - _LOW)) ** 2).sum())

    best, left = np.clip(np.array(start), _LOW, _HIGH), np.inf
    for number in range(rounds):
        away = np.where(best < (_LOW + _HIGH) / 2, 1.0, -1.0) * (_HIGH - _LOW) * (0.15 if number == 0 else 0.08)
        corners = np.vstack([best, best + np.diag(away)])
        found = minimize(
            cost, best, method="Nelder-Mead", options={"maxfev": _STEPS, "adaptive": True, "initial_simplex": corners}
        )
        best, left = np.clip(found.x, _LOW, _HIGH), float(found.fun)
    return Process(*(float(value) for value in best)), left
