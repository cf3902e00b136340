"""Rigid registration of a later day to the first: the head does not deform, the brain within it may."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phantoms.carrying import carried
from phantoms.grid import Grid
from phantoms.patient import Epoch
from phantoms.resampling import averaged
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner.treatment.errors import InputError

# The skull holds the brain: mutual information is taken within it and this far around.
_AROUND_MM = 8.0
_SPACING_MM = 1.5
_SHRINK, _SMOOTH_MM = (4, 2, 1), (4.0, 2.0, 0.0)
_BINS, _SAMPLED, _SEED = 50, 0.25, 1
# A head that was imaged twice is not turned or shifted by more; the search has gone astray if it says so.
_MOST_DEG, _MOST_MM = 60.0, 250.0


@dataclass(frozen=True, eq=False)
class Rigid:
    """A rotation and shift from the frame of the first day to that of another.

    Attributes
    ----------
    matrix : ndarray, shape (4, 4)
        Takes LPS points of the first day to those of the other day, mm.
    """

    matrix: np.ndarray

    @classmethod
    def still(cls) -> "Rigid":
        """Return the one that moves nothing."""
        return cls(np.eye(4))

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation."""
        return float(np.degrees(np.arccos(np.clip((np.trace(self.matrix[:3, :3]) - 1) / 2, -1, 1))))

    def moved(self, points_mm: np.ndarray) -> np.ndarray:
        """Return points of the first day, shape (n, 3), in the frame of the other."""
        return points_mm @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def volume(self, volume: Volume, grid: Grid, beyond: Volume | None) -> Volume:
        """Return a volume of the other day on a grid of the first, trilinearly.

        Parameters
        ----------
        volume : Volume
        grid : Grid
        beyond : Volume or None
            On `grid`: what stands where the other day was not imaged; 0 if None.
        """
        out = np.empty(grid.shape, np.float32)
        x, y, z = grid.axes_mm()
        plane = np.stack(np.broadcast_arrays(0.0, y[:, None], z[None, :]), axis=-1).reshape(-1, 3)
        low, high = volume.grid.low_mm, volume.grid.high_mm
        for i, place in enumerate(x):
            points = self.moved(plane + np.array([place, 0.0, 0.0]))
            row = volume.at(points)
            if beyond is not None:
                outside = ((points < low) | (points > high)).any(axis=1)
                row[outside] = beyond.data[i].reshape(-1)[outside]
            out[i] = row.reshape(grid.shape[1:])
        return Volume(grid, out, volume.quantity)

    def structure(self, structure: Structure, grid: Grid) -> Structure:
        """Return a structure of the other day on voxels of a grid of the first."""
        return carried(structure, grid, self.matrix)

    def described(self) -> dict[str, Any]:
        """Return what the record tells of it."""
        return {
            "method": "rigid, Mattes mutual information of skull and brain",
            "angle_deg": round(self.angle_deg, 3),
            "matrix": [[round(float(v), 6) for v in row] for row in self.matrix],
        }


def registered(first: Epoch, other: Volume, source: Path) -> Rigid:
    """Return the rigid motion of the head from the first day to another, by their T1-weighted images.

    Euler angles, from where the images have their centres of mass; mutual information (Mattes 2003, IEEE Trans Med
    Imaging 22:120) in the skull and brain of the first day, from coarse to fine. One thread and a fixed seed: the same
    bits every time.

    Raises
    ------
    InputError
        Naming `source`, if the images do not fit together.
    """
    import SimpleITK

    fixed, moving, mask = (_image(volume) for volume in (first.volumes["t1gd"], other, _skull(first)))
    middle = first.structures["intracranial"].centroid_mm
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(SimpleITK.Cast(mask > 0.5, SimpleITK.sitkUInt8))
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(_SAMPLED, _SEED)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 300, gradientMagnitudeTolerance=1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(_SHRINK)
    method.SetSmoothingSigmasPerLevel(_SMOOTH_MM)
    method.SetNumberOfThreads(1)
    still, moments = SimpleITK.Euler3DTransform(), SimpleITK.CenteredTransformInitializerFilter.MOMENTS
    try:
        start = SimpleITK.CenteredTransformInitializer(fixed, moving, still, moments)
        transform = SimpleITK.Euler3DTransform(start)
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(fixed, moving)
    except RuntimeError as error:
        raise InputError(source, "registration", str(error).strip().splitlines()[-1]) from None
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    found = Rigid(matrix)
    shift = float(np.linalg.norm(found.moved(middle[None])[0] - middle))
    if found.angle_deg > _MOST_DEG or shift > _MOST_MM:
        told = f"the heads would be {found.angle_deg:.0f} deg and {shift:.0f} mm apart: is this the same patient?"
        raise InputError(source, "registration", told)
    return found


def _skull(epoch: Epoch) -> Volume:
    """Return where the head is rigid, as a mask on the grid of the epoch."""
    from scipy.ndimage import binary_dilation

    inside = epoch.structures["intracranial"].on(epoch.grid) > 0.5
    steps = max(round(_AROUND_MM / epoch.grid.spacing_mm[0]), 1)
    return Volume(epoch.grid, binary_dilation(inside, iterations=steps).astype(np.float32), Quantity.OCCUPANCY)


def _image(volume: Volume) -> Any:
    """Return a volume as SimpleITK has it, on voxels no finer than the registration needs."""
    import SimpleITK

    grid = volume.grid
    if grid.spacing_mm[0] < _SPACING_MM:
        grid = Grid.covering(grid.low_mm.tolist(), grid.high_mm.tolist(), _SPACING_MM)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(averaged(volume, grid).data.transpose(2, 1, 0)))
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    return image
