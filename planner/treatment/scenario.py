"""Setup errors and errors of MR geometry as data: movements of the anatomy against the dose.

The dose stays as it is, as a whole: in a head, where density hardly changes over a millimetre, that is what the anatomy
sees when it lies askew (static dose cloud approximation).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from planner.treatment.constant import Constant, Frozen

SETUP = "setup"
"""The scenarios of the library that plans are evaluated under, and that robust ones are optimised for."""

Vectors = tuple[tuple[float, float, float], ...]
Robust = Literal["none", "expected", "worst"]
"""What a plan is optimised for: the anatomy as it lies, the mean over scenarios, or the worst of them."""


@dataclass(frozen=True, eq=False)
class Movement:
    """One scenario.

    Attributes
    ----------
    name : str
        ``nominal``, ``shift +1, 0, 0 mm``, ``rotation 0, 0, -1 deg``, ``dilation +1 %`` ...
    matrix : ndarray (3, 3)
        What turns or stretches the dose about the isocentre.
    shift_mm : ndarray (3,)
        And then shifts it; LPS.
    """

    name: str
    matrix: np.ndarray
    shift_mm: np.ndarray

    def planned_at(self, points_mm: np.ndarray, isocentre_mm: np.ndarray) -> np.ndarray:
        """Return the points (n, 3) for which the dose was planned that now lies at points (n, 3) of the anatomy."""
        about = points_mm - self.shift_mm - isocentre_mm
        return np.asarray(about @ np.linalg.inv(self.matrix).T + isocentre_mm)


NOMINAL = Movement("nominal", np.eye(3), np.zeros(3))


class ScenarioSet(Frozen):
    """Movements that a plan is evaluated under, each by itself.

    Attributes
    ----------
    name, title : str
    shifts_mm : Constant
        Vectors, LPS.
    rotations_deg : Constant
        Angles about axes through the isocentre along x, y and z of LPS, right-handed, one after another.
    dilations_percent : Constant
        By how much the dose is larger than the anatomy, from the isocentre to all sides: an error of image geometry.
    """

    name: str
    title: str
    shifts_mm: Constant[Vectors]
    rotations_deg: Constant[Vectors]
    dilations_percent: Constant[tuple[float, ...]]

    def movements(self) -> Iterator[Movement]:
        """Yield all scenarios, without the nominal one."""
        for shift in self.shifts_mm.value:
            yield Movement(f"shift {_told(shift)} mm", np.eye(3), np.asarray(shift))
        for angles in self.rotations_deg.value:
            turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
            yield Movement(f"rotation {_told(angles)} deg", turn, np.zeros(3))
        for percent in self.dilations_percent.value:
            yield Movement(f"dilation {percent:+g} %", (1 + percent / 100) * np.eye(3), np.zeros(3))


def _told(vector: tuple[float, float, float]) -> str:
    return ", ".join(f"{value:+g}" if value else "0" for value in vector)
