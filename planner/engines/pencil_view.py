"""One beam as the pencil beam engine sees a patient: traced depths, the fluence plane, footprints of points."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from kernels.pencil import FOOTPRINT, DepthTable, locate
from kernels.raytrace import Fan, trace_fan
from kernels.threads import chunks, run_chunks
from kernels.types import Lattice
from planner.engines.beam_model import soften
from planner.engines.pencil_kernel import DEPTH_STEP_MM, pencil_kernel
from planner.engines.pencil_output import fluence_of
from planner.engines.pencil_plane import Plane, beam_plane
from planner.treatment.beam import Beam
from planner.treatment.machine import AliRogers, Machine

_ROWS = 8  # of rays, in a task


@dataclass(frozen=True)
class Resolution:
    """How finely a beam is sampled.

    Attributes
    ----------
    node_mm : float
        Distance of fluence nodes about the field.
    ray_mm, plane_mm : float
        Distance of traced rays in the isocentre plane, and of the planes where their depth is stored.
    """

    node_mm: float = 0.5
    ray_mm: float = 2.0
    plane_mm: float = 1.0


@dataclass(frozen=True, eq=False)
class BeamView:
    """A beam over a box of the patient.

    Attributes
    ----------
    fan : Fan
    depths : ndarray (u, v, planes), float32
        Radiological depth, mm of water.
    plane : Plane
    """

    fan: Fan
    depths: np.ndarray
    plane: Plane

    def footprints(self, points: np.ndarray, table: tuple[np.ndarray, DepthTable]) -> np.ndarray:
        """Return the footprints, shape (n, 6), float32, of points (n, 3) with an amplitude table."""
        out = np.empty((len(points), FOOTPRINT), np.float32)
        locate(points, self.fan, self.depths, self.plane.axes, *table, out)
        return out


def beam_view(
    beam: Beam, machine: Machine, electrons: tuple[Lattice, np.ndarray], box: np.ndarray, resolution: Resolution
) -> BeamView:
    """Return the view of a beam.

    Parameters
    ----------
    beam : Beam
    machine : Machine
    electrons : tuple of (Lattice, ndarray)
        Electron density relative to water, float32, and where it is.
    box : ndarray (2, 3)
        Lowest and highest corner of what the beam has to cover, LPS mm.
    resolution : Resolution
    """
    fan = _fan(beam, machine, box, resolution)
    (u0, u1), (v0, v1) = ((low, low + fan.step * (n - 1)) for low, n in zip(fan.low, fan.shape[:2], strict=True))
    fluence, kernel = fluence_of(beam.bixels, machine), pencil_kernel(machine.spectrum.value)
    plane = beam_plane(fluence, kernel, resolution.node_mm, ((u0, u1), (v0, v1)))
    depths = np.empty(fan.shape, np.float32)
    run_chunks(
        lambda low, high: trace_fan(*electrons, fan, (low, high), depths),
        chunks(fan.shape[0], _ROWS),
    )
    soften(depths, fan, machine)
    return BeamView(fan, depths, plane)


@cache
def amplitude_table(spectrum: str | AliRogers, first: int = 0, last: int = 4) -> tuple[np.ndarray, DepthTable]:
    """Return the amplitudes of a spectrum as kernels see them; components outside ``first:last`` are zero."""
    kernel = pencil_kernel(spectrum)
    table = np.zeros(kernel.amplitude.shape, np.float32)
    table[..., first:last] = kernel.amplitude[..., first:last]
    scale = kernel.magnifications
    return table, DepthTable(DEPTH_STEP_MM, float(scale[0]), float(scale[1] - scale[0]))


def _fan(beam: Beam, machine: Machine, box: np.ndarray, resolution: Resolution) -> Fan:
    """Return the fan that covers a box as the beam sees it."""
    sad, step = machine.sad_mm.value, resolution.ray_mm
    frame = beam.frame(sad)
    corners = np.array([[x, y, z] for x in box[:, 0] for y in box[:, 1] for z in box[:, 2]])
    seen = (corners - frame.source_mm) @ frame.axes.T
    # The source may stand inside the box (a far-off isocentre): nothing nearer to it than this is of interest.
    along = np.maximum(seen[:, 2], 0.1 * sad)
    sideways = seen[:, :2] * (sad / along)[:, None]
    start = sideways.min(axis=0) - step
    rays = np.maximum(2, np.ceil((sideways.max(axis=0) + step - start) / step).astype(int) + 1)
    planes = max(2, int(np.ceil(np.ptp(along) / resolution.plane_mm)) + 1)
    return Fan(
        tuple(frame.source_mm.tolist()),
        tuple(frame.axes.ravel().tolist()),
        sad,
        (float(start[0]), float(start[1])),
        step,
        float(along.min()),
        resolution.plane_mm,
        (int(rays[0]), int(rays[1]), planes),
    )
