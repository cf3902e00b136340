"""Coverage under setup errors and errors of geometry: the dose moved against the anatomy, scenario by scenario."""

from dataclasses import dataclass

import numpy as np

from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner import library
from planner.evaluate.dvh import dose_at, dvh
from planner.evaluate.metrics import Metric
from planner.treatment.scenario import NOMINAL, SETUP, Movement, ScenarioSet

# Spacing of the window that the moved dose is read on: finer than a dose grid, so that reading it again adds little.
_FINEST_MM = 1.0


@dataclass(frozen=True)
class Coverage:
    """Coverage of a target in one scenario.

    Attributes
    ----------
    scenario : str
        Name of the movement.
    d98_gy, v100_percent : float
    """

    scenario: str
    d98_gy: float
    v100_percent: float


@dataclass(frozen=True)
class Robustness:
    """Coverage in all scenarios of a set.

    Attributes
    ----------
    nominal : Coverage
    scenarios : tuple of Coverage
        Without the nominal one.
    """

    nominal: Coverage
    scenarios: tuple[Coverage, ...]

    @property
    def worst(self) -> Coverage:
        """The scenario with the least V100; of equal ones that with the least D98."""
        return min(self.scenarios, key=lambda c: (c.v100_percent, c.d98_gy))

    def mean(self) -> tuple[float, float]:
        """Return D98 (Gy) and V100 (percent), averaged over the scenarios."""
        d98 = float(np.mean([c.d98_gy for c in self.scenarios]))
        return d98, float(np.mean([c.v100_percent for c in self.scenarios]))


SETUP_UNITS = {"setup_worst_V100_percent": "%", "setup_mean_V100_percent": "%", "setup_worst_D98_gy": "Gy"}
"""Metrics of a target over these scenarios, and their units."""


def setup_metrics(
    dose: Volume, target: Structure, prescription_gy: float, isocentre_mm: tuple[float, float, float]
) -> list[Metric]:
    """Return the metrics of a target over the setup scenarios of the library; see `robustness`."""
    found = robustness(dose, target, prescription_gy, isocentre_mm, library.load("scenarios", SETUP, ScenarioSet))
    values = (found.worst.v100_percent, found.mean()[1], min(c.d98_gy for c in found.scenarios))
    return [Metric(target.name, n, v, u) for (n, u), v in zip(SETUP_UNITS.items(), values, strict=True)]


def robustness(
    dose: Volume,
    target: Structure,
    prescription_gy: float,
    isocentre_mm: tuple[float, float, float],
    scenarios: ScenarioSet,
) -> Robustness:
    """Return the coverage of a target with the dose at its place, and moved as each scenario says.

    Parameters
    ----------
    dose : Volume
        Gy.
    target : Structure
    prescription_gy : float
    isocentre_mm : tuple of 3 float
        LPS; rotations and dilations are about it.
    scenarios : ScenarioSet

    Raises
    ------
    ValueError
        If the target is empty or the set holds no scenario.
    """
    movements = list(scenarios.movements())
    if not movements:
        raise ValueError(f"scenario set '{scenarios.name}' holds no scenario")
    centre = np.asarray(isocentre_mm)

    def coverage(movement: Movement) -> Coverage:
        curve = dvh(moved(dose, target, movement, centre), target)
        return Coverage(movement.name, curve.dose_at_volume_percent(98), curve.volume_at_dose_percent(prescription_gy))

    return Robustness(coverage(NOMINAL), tuple(coverage(movement) for movement in movements))


def moved(dose: Volume, target: Structure, movement: Movement, isocentre_mm: np.ndarray) -> Volume:
    """Return the dose that the anatomy at and around a target sees when it lies as a movement says, Gy.

    Parameters
    ----------
    dose : Volume
        Gy.
    target : Structure
    movement : Movement
    isocentre_mm : ndarray (3,)
        LPS; rotations and dilations are about it.
    """
    window = _window(target, dose)
    points = np.stack(np.meshgrid(*window.axes_mm(), indexing="ij"), axis=-1).reshape(-1, 3)
    there = dose_at(dose, movement.planned_at(points, isocentre_mm)).reshape(window.shape)
    return Volume(window, there, Quantity.DOSE)


def _window(target: Structure, dose: Volume) -> Grid:
    """Return a fine grid that covers the target with room for interpolation."""
    box = target.cropped(2).grid
    step = min(_FINEST_MM, *dose.grid.spacing_mm)
    room = 2 * step
    return Grid.covering((box.low_mm - room).tolist(), (box.high_mm + room).tolist(), step)
