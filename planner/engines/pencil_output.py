"""What one unit of bixel weight is: photons of a point source, monitor units of a linac."""

from functools import cache

import numpy as np

from planner.engines.beam_model import FluenceMap, calibration_of, fluence_map, per_photon
from planner.engines.pencil_kernel import COMPONENTS, pencil_kernel
from planner.engines.pencil_plane import beam_plane
from planner.treatment.beam import BixelGrid
from planner.treatment.machine import Machine


def fluence_of(bixels: BixelGrid, machine: Machine) -> FluenceMap:
    """Return the map from weights to photons per mm2 in the isocentre plane (in vacuum).

    Point source: the weight is a number of photons, even in solid angle. Linac: monitor units of an open field.
    """
    if machine.kind == "point":
        return fluence_map(bixels, machine, per_photon(bixels, machine.sad_mm.value))
    return fluence_map(bixels, machine, _photons_per_mu(machine))


@cache
def _photons_per_mu(machine: Machine) -> float:
    """Return the fluence (1/mm2) of one monitor unit: what gives the calibration dose in the calibration geometry."""
    reference, square = calibration_of(machine)
    kernel = pencil_kernel(machine.spectrum.value)
    plane = beam_plane(fluence_map(square, machine), kernel, 0.5, ((0.0, 0.0), (0.0, 0.0)))
    scale = (reference.ssd_mm.value + reference.depth_mm.value) / machine.sad_mm.value
    at_axis = plane.forward(np.ones(1))[0, 0].astype(float)
    depth = reference.depth_mm.value / kernel.depth_step_mm
    rows = [
        [np.interp(depth, np.arange(len(kernel.amplitude)), kernel.amplitude[:, m, c]) for c in range(COMPONENTS)]
        for m in range(len(kernel.magnifications))
    ]
    amplitude = [np.interp(scale, kernel.magnifications, np.array(rows)[:, c]) for c in range(COMPONENTS)]
    return float(reference.gy_per_mu.value / (at_axis @ np.array(amplitude) / scale**2))
