"""Coverage under setup errors: the dose moved rigidly against the anatomy, scenario by scenario.

The dose moves as a whole: in a head, where density hardly changes over a millimetre, that is what the anatomy sees
when it lies askew (static dose cloud approximation).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner.evaluate.dvh import dose_at, dvh
from planner.treatment.scenario import ScenarioSet

# Spacing of the window that the moved dose is read on: finer than a dose grid, so that reading it again adds little.
_FINEST_MM = 1.0


@dataclass(frozen=True)
class Coverage:
    """Coverage of a target in one scenario.

    Attributes
    ----------
    scenario : str
        ``nominal``, ``shift 1, 0, 0 mm``, ``rotation 0, 0, -1 deg`` ...
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
        LPS; rotations are about it.
    scenarios : ScenarioSet

    Raises
    ------
    ValueError
        If the target is empty or the set holds no scenario.
    """
    if not scenarios.shifts_mm.value and not scenarios.rotations_deg.value:
        raise ValueError(f"scenario set '{scenarios.name}' holds no scenario")
    window = _window(target, dose)
    centre = np.asarray(isocentre_mm)
    index = np.stack(np.meshgrid(*window.axes_mm(), indexing="ij"), axis=-1).reshape(-1, 3)

    def coverage(name: str, turn: Rotation, shift: np.ndarray) -> Coverage:
        # What now lies at a point was planned for the point that the movement took it from.
        places = turn.inv().apply(index - shift - centre) + centre
        moved = Volume(window, dose_at(dose, places).reshape(window.shape), Quantity.DOSE)
        curve = dvh(moved, target)
        return Coverage(name, curve.dose_at_volume_percent(98), curve.volume_at_dose_percent(prescription_gy))

    nominal = coverage("nominal", Rotation.identity(), np.zeros(3))
    return Robustness(nominal, tuple(coverage(*movement) for movement in _movements(scenarios)))


def _movements(scenarios: ScenarioSet) -> Iterator[tuple[str, Rotation, np.ndarray]]:
    for shift in scenarios.shifts_mm.value:
        yield f"shift {_told(shift)} mm", Rotation.identity(), np.asarray(shift)
    for angles in scenarios.rotations_deg.value:
        yield f"rotation {_told(angles)} deg", Rotation.from_euler("xyz", angles, degrees=True), np.zeros(3)


def _told(vector: tuple[float, float, float]) -> str:
    return ", ".join(f"{value:+g}" if value else "0" for value in vector)


def _window(target: Structure, dose: Volume) -> Grid:
    """Return a fine grid that covers the target with room for interpolation."""
    box = target.cropped(2).grid
    step = min(_FINEST_MM, *dose.grid.spacing_mm)
    room = 2 * step
    return Grid.covering((box.low_mm - room).tolist(), (box.high_mm + room).tolist(), step)
