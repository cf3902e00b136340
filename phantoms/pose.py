"""How one head lies in the scanner and strays from the upright, symmetric template: turned a little and deformed.

A head is painted upright, where shapes are cheap to evaluate on an open mesh; what was painted is then carried to where
the patient lies. What is drawn afterwards (lesion, cavity, craniotomy) is given in the patient's place from the start.
"""

from dataclasses import dataclass

import numpy as np

from kernels.radial import warp
from kernels.threads import chunks, run_chunks
from phantoms.cited import Cited
from phantoms.grid import Grid, Triple
from phantoms.noise import Noise
from phantoms.shapes import Shape, sampled, turned
from phantoms.volume import Quantity, Volume

PITCH_DEG = Cited(3.5, "how far chins are raised or lowered on a head rest, standard deviation", "assumed")
ROLL_DEG = Cited(1.8, "tilt towards a shoulder, standard deviation", "assumed")
YAW_DEG = Cited(2.0, "turn to a side, as the tilt", "assumed")
TORQUE_MM = Cited(1.2, "petalia: right frontal, left occipital poles protrude; LeMay 1976, recalled", "assumed")
TORQUE_SIGMA_MM = Cited(1.0, "it is missing or reversed in a tenth of heads", "assumed")
DEFORMED_MM = Cited(1.6, "asymmetry of skulls and ventricles: a few mm, standard deviation along each axis", "assumed")
KNOT_MM = Cited(48.0, "so that lobes differ as wholes and nothing is bent", "assumed")

# Deviations at which tilt and deformation are cut.
_TILT_LIMIT, _LIMIT = 1.7, 3.0
_PIVOT_MM = np.array([0.0, 15.0, 0.0])
# Where it lies in the patient: so that tilted heads are in the middle of the field of view.
_LAID_MM = _PIVOT_MM + np.array([0.0, -3.0, -1.5])
# Breadth over which the torque changes sides.
_TORQUE_MM = 45.0
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Pose:
    """A map between a patient's place and the template, LPS mm in both.

    Attributes
    ----------
    turn : ndarray, shape (3, 3)
        Rotation from the template to the patient, about a point in the middle of the skull base.
    torque_mm : float
        How far the right side lies in front of the left one at the poles of the hemispheres.
    noises : tuple of 3 Noise
        Deformation along each axis of the template, standard deviations.
    """

    turn: np.ndarray
    torque_mm: float
    noises: tuple[Noise, Noise, Noise]

    @classmethod
    def draw(cls, rng: np.random.Generator, low_mm: Triple, high_mm: Triple) -> "Pose":
        """Draw a pose of a head in a field of view."""
        deviations = np.clip(rng.standard_normal(3), -_TILT_LIMIT, _TILT_LIMIT)
        pitch, roll, yaw = deviations * (PITCH_DEG.value, ROLL_DEG.value, YAW_DEG.value)
        torque = TORQUE_MM.value + TORQUE_SIGMA_MM.value * float(np.clip(rng.standard_normal(), -2.0, 2.0))
        x, y, z = (Noise.draw(rng, low_mm, high_mm, KNOT_MM.value) for _ in range(3))
        return cls(turned(2, yaw) @ turned(1, roll) @ turned(0, pitch), torque, (x, y, z))

    def template(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
        """Return where in the template points of the patient lie: an open mesh, or coordinates of one shape, mm."""
        off = [axis - np.float32(laid) for axis, laid in zip((x, y, z), _LAID_MM, strict=True)]
        places = self._strays(x, y, z)
        for axis, (column, pivot) in enumerate(zip(self.turn.T, _PIVOT_MM, strict=True)):
            places[axis] += np.float32(pivot)
            for part, weight in zip(off, column, strict=True):
                places[axis] += part * np.float32(weight)
        return places

    def placed(self, points_mm: np.ndarray) -> np.ndarray:
        """Return where points of the template, shape (3,) or (n, 3), lie in the patient: the inverse of `template`."""
        goal = np.atleast_2d(np.asarray(points_mm, float))
        points = goal
        for _ in range(_ROUNDS):
            found = self.template(*(column[:, None, None] for column in points.T))
            points = points + (goal - np.column_stack([axis.ravel() for axis in found])) @ self.turn.T
        return points.reshape(np.shape(points_mm))

    def scale_at(self, point_mm: Triple) -> float:
        """Return by how much the template is larger than the patient about one of its points, along an edge."""
        near = self.placed(np.asarray(point_mm)) + np.concatenate([np.eye(3), -np.eye(3)])
        ends = np.column_stack([axis.ravel() for axis in self.template(*(column[:, None, None] for column in near.T))])
        return float(np.cbrt(np.linalg.det((ends[:3] - ends[3:]) / 2.0)))

    def sampled(self, shape: Shape, grid: Grid) -> Volume:
        """Return the signed distance, mm, to a shape of the template at the voxels of a patient's grid; first order."""
        corners = grid.low_mm + np.array(list(np.ndindex(2, 2, 2))) * (grid.high_mm - grid.low_mm)
        found = np.column_stack([axis.ravel() for axis in self.template(*(c[:, None, None] for c in corners.T))])
        spare = 2.0 * self.reach_mm
        box = Grid.covering((found.min(axis=0) - spare).tolist(), (found.max(axis=0) + spare).tolist(), grid.spacing_mm)
        return Volume(grid, Placement(self, box, grid).carried(sampled(shape, box), grid), Quantity.DISTANCE)

    def upright(self, grid: Grid) -> Grid:
        """Return a grid of the template, of the same voxels, that holds what a patient's grid shows of the neck."""
        corners = grid.low_mm + np.array([(a, b, 0.0) for a in (0, 1) for b in (0, 1)]) * (grid.high_mm - grid.low_mm)
        lowest = self.template(*(column[:, None, None] for column in corners.T))[2].min()
        below = max(0, int(np.ceil((grid.low_mm[2] - lowest) / grid.spacing_mm[2])))
        return grid.window((0, 0, -below), grid.shape)

    def box(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners, mm, of a box of the patient that holds a box of the template."""
        middle = self.turn @ ((low + high) / 2 - _PIVOT_MM) + _LAID_MM
        reach = np.abs(self.turn) @ ((high - low) / 2 + self.reach_mm)
        return middle - reach, middle + reach

    @property
    def reach_mm(self) -> np.ndarray:
        """The largest deformation along each axis of the template, shape (3,)."""
        return np.full(3, _LIMIT * DEFORMED_MM.value) + np.array([0.0, abs(self.torque_mm) / 2, 0.0])

    def _strays(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> list[np.ndarray]:
        """Return what is added to a point turned upright, mm along each axis."""
        size, limit = np.float32(DEFORMED_MM.value), np.float32(_LIMIT)
        strays = [size * np.clip(noise.at(x, y, z), -limit, limit) for noise in self.noises]
        strays[1] -= np.float32(self.torque_mm / 2) * np.tanh(x / np.float32(_TORQUE_MM))
        return strays


class Placement:
    """Carries what was painted on a grid of the template to a grid of the patient.

    Parameters
    ----------
    pose : Pose
    upright, grid : Grid
        Of the template and of the patient, of one spacing.
    """

    def __init__(self, pose: Pose, upright: Grid, grid: Grid) -> None:
        self._pose, self._upright, self._grid = pose, upright, grid
        x, y, z = (axis.astype(np.float32) for axis in grid.axes_mm())
        mesh = (x[:, None, None], y[None, :, None], z[None, None, :])
        self._shift = np.empty((3, *grid.shape), np.float32)
        for shift, place, axis in zip(self._shift, pose.template(*mesh), mesh, strict=True):
            np.subtract(place, axis, out=shift)

    def carried(self, data: np.ndarray, window: Grid) -> np.ndarray:
        """Return a volume of the upright grid on a window of the patient's grid, float32, interpolated trilinearly."""
        return self._warped(self._upright, data, window)

    def distance(self, distance: Volume) -> Volume:
        """Return a signed distance of the template where its inside lies in the patient, on the patient's voxels."""
        low, high = (
            self._grid.index_of(corner) for corner in self._pose.box(distance.grid.low_mm, distance.grid.high_mm)
        )
        first = np.clip(np.floor(low), 0, np.array(self._grid.shape) - 1).astype(int)
        last = np.clip(np.ceil(high) + 1, first + 1, self._grid.shape).astype(int)
        window = self._grid.window(first.tolist(), last.tolist())
        return Volume(window, self._warped(distance.grid, distance.data, window), Quantity.DISTANCE)

    def _warped(self, source: Grid, data: np.ndarray, window: Grid) -> np.ndarray:
        shift = self._shift[(slice(None), *self._grid.part(window))]
        out = np.empty(window.shape, np.float32)
        run_chunks(
            lambda low, high: warp(source.lattice, data, window.lattice, shift, (low, high), out),
            chunks(window.shape[0], 8),
        )
        return out
