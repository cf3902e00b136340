"""What one unit of bixel weight is: photons of a point source, monitor units of a linac."""

import numpy as np

from planner.engines.pencil_kernel import COMPONENTS, PencilKernel, pencil_kernel
from planner.engines.pencil_plane import beam_plane
from planner.treatment.beam import BixelGrid
from planner.treatment.machine import Machine


def fluence_per_weight(bixels: BixelGrid, machine: Machine) -> np.ndarray:
    """Return the photons per mm2 in the isocentre plane (at the axis, in vacuum) per unit of bixel weight.

    Point source: the weight is a number of photons, even in solid angle. Linac: monitor units of an open field.

    Parameters
    ----------
    bixels : BixelGrid
    machine : Machine

    Returns
    -------
    ndarray (bx, by)
    """
    if machine.kind == "point":
        return 1.0 / (_solid_angle(bixels, machine.sad_mm.value) * machine.sad_mm.value**2)
    return np.full(bixels.open.shape, _photons_per_mu(machine))


def _solid_angle(bixels: BixelGrid, sad: float) -> np.ndarray:
    """Return the solid angle (sr) of each bixel: exact for a rectangle in a plane at distance `sad`."""
    x, y = (
        low + size * np.arange(count + 1)
        for low, size, count in zip(bixels.low_mm, bixels.size_mm, bixels.open.shape, strict=True)
    )
    corner = np.arctan2(x[:, None] * y[None, :], sad * np.sqrt(sad**2 + x[:, None] ** 2 + y[None, :] ** 2))
    return np.diff(np.diff(corner, axis=0), axis=1)


def _photons_per_mu(machine: Machine) -> float:
    """Return the fluence (1/mm2) of one monitor unit: what gives the calibration dose in the calibration geometry."""
    reference = machine.calibration
    if reference is None:
        raise ValueError(f"machine '{machine.name}' is a linac without calibration")
    kernel: PencilKernel = pencil_kernel(machine.spectrum.value)
    half = 0.5 * reference.field_mm.value
    square = BixelGrid((-half, -half), (2 * half, 2 * half), np.ones((1, 1), bool))
    blur_mm = machine.source.blur_mm(machine.sad_mm.value)
    plane = beam_plane(square, kernel, blur_mm, 0.5, ((0.0, 0.0), (0.0, 0.0)))
    scale = (reference.ssd_mm.value + reference.depth_mm.value) / machine.sad_mm.value
    at_axis = plane.forward(np.ones(1))[0, 0].astype(float)
    depth = reference.depth_mm.value / kernel.depth_step_mm
    rows = [
        [np.interp(depth, np.arange(len(kernel.amplitude)), kernel.amplitude[:, m, c]) for c in range(COMPONENTS)]
        for m in range(len(kernel.magnifications))
    ]
    amplitude = [np.interp(scale, kernel.magnifications, np.array(rows)[:, c]) for c in range(COMPONENTS)]
    return float(reference.gy_per_mu.value / (at_axis @ np.array(amplitude) / scale**2))
