"""The pencil beam engine: fast, matrix-free, for optimisation.

Dose at a point = (SAD / r)^2 sum_c A_c(depth, r) [K_c * fluence](u, v): ``pencil_kernel`` derives A and K from the
spectrum, ``pencil_plane`` blurs the fluence, ``kernels.pencil`` gathers. Depth is radiological (density times length
along the ray from the source); the lateral kernel is that of water, so it is wrong sideways of air and bone, and it
knows no magnetic field, no head scatter, no leaf transmission, and no fall-off of an unflattened beam.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np

from kernels.pencil import FOOTPRINT, DepthTable, gather, locate, scatter
from kernels.raytrace import Fan, trace_fan
from kernels.threads import chunks, run_chunks
from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.engines.base import Capability, ignores_field
from planner.engines.pencil_kernel import COMPONENTS, DEPTH_STEP_MM, PencilKernel, pencil_kernel
from planner.engines.pencil_plane import Plane, beam_plane
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.dose import Dose
from planner.treatment.geometry import BeamFrame, beam_frame
from planner.treatment.machine import Machine

AIR_BELOW = 0.05
"""Density (g/cm3) below which no dose is given: a pencil kernel of water means nothing in air."""

_POINTS = 32768
_ROWS = 4


@dataclass(frozen=True, eq=False)
class PencilInfluence:
    """Bixel weights to dose at points and back. See ``planner.engines.base.Influence``.

    Attributes
    ----------
    shape : tuple of 2 int
    beam_slices : tuple of slice
    planes : tuple of Plane
    footprints : tuple of ndarray (points, 6), float32
        One of each a beam.
    """

    shape: tuple[int, int]
    beam_slices: tuple[slice, ...]
    planes: tuple[Plane, ...]
    footprints: tuple[np.ndarray, ...]

    def forward(self, weights: np.ndarray) -> np.ndarray:
        """Return the dose (Gy), shape (points,), of bixel weights, shape (bixels,)."""
        blurred = run_chunks(
            lambda plane, part: plane.forward(weights[part]), list(zip(self.planes, self.beam_slices, strict=True))
        )
        out = np.zeros(self.shape[0])

        def add(low: int, high: int) -> None:
            for plane, footprint in zip(blurred, self.footprints, strict=True):
                gather(plane, footprint[low:high], out[low:high])

        run_chunks(add, chunks(self.shape[0], _POINTS))
        return out

    def adjoint(self, gradient: np.ndarray) -> np.ndarray:
        """Return the transpose applied to `gradient`, shape (points,); shape (bixels,)."""
        values = np.ascontiguousarray(gradient, dtype=np.float64)

        def one(plane: Plane, footprint: np.ndarray) -> np.ndarray:
            collected = np.zeros((plane.axes[0].size, plane.axes[1].size, COMPONENTS), np.float32)
            scatter(values, footprint, collected)
            return plane.adjoint(collected)

        parts = run_chunks(one, list(zip(self.planes, self.footprints, strict=True)))
        return np.concatenate(parts) if parts else np.zeros(0)


@dataclass(frozen=True)
class PencilBeam:
    """The pencil beam engine.

    Attributes
    ----------
    name : str
    can : Capability
    node_mm : float
        Distance of fluence nodes about the field.
    ray_mm, plane_mm : float
        Distance of traced rays in the isocentre plane, and of the planes where their depth is stored.
    """

    name: str = "pencil"
    can: Capability = Capability.PHOTON | Capability.INFLUENCE
    node_mm: float = 0.625
    ray_mm: float = 2.0
    plane_mm: float = 1.0

    def influence(
        self, density: Volume, beams: Sequence[Beam], machine: Machine, points_mm: np.ndarray, *, ignore_field: bool
    ) -> PencilInfluence:
        """Return the influence of `beams` on `points_mm`, shape (n, 3), LPS.

        Raises
        ------
        CapabilityError
            If the machine has a magnetic field and `ignore_field` is False.
        """
        ignores_field(self.name, self.can, machine, ignore_field)
        points = np.ascontiguousarray(points_mm, dtype=np.float64).reshape(-1, 3)
        in_air = density.at(points) < AIR_BELOW

        def one(beam: Beam) -> tuple[Plane, np.ndarray]:
            fan = self._fan(beam, machine, points)
            plane = self._plane(beam, machine, fan)
            depths = np.empty(fan.shape, np.float32)
            trace_fan(density.grid.lattice, density.data, fan, (0, fan.shape[0]), depths)
            out = np.empty((len(points), FOOTPRINT), np.float32)
            self._locate(points, fan, depths, plane, machine, out)
            out[in_air] = 0.0
            return plane, out

        parts = run_chunks(one, [(beam,) for beam in beams])
        ends = np.cumsum([0, *(beam.bixels.count for beam in beams)])
        slices = tuple(slice(int(a), int(b)) for a, b in pairwise(ends))
        return PencilInfluence((len(points), int(ends[-1])), slices, *_pair_up(parts))

    def dose(
        self,
        density: Volume,
        beams: Sequence[Beam],
        weights: Sequence[np.ndarray],
        machine: Machine,
        *,
        ignore_field: bool,
    ) -> Dose:
        """Return the dose of `beams` with `weights` on the grid of `density`; zero in air.

        Raises
        ------
        CapabilityError
            If the machine has a magnetic field and `ignore_field` is False.
        """
        ignored = ignores_field(self.name, self.can, machine, ignore_field)
        inside = np.flatnonzero(density.data.ravel() >= AIR_BELOW)
        index = np.stack(np.unravel_index(inside, density.grid.shape), axis=1)
        points = np.ascontiguousarray(density.grid.point_of(index))
        total = np.zeros(len(points))
        for beam, part in zip(beams, weights, strict=True):
            if len(points) and np.any(part):
                self._add_beam(density, beam, np.asarray(part, float), machine, points, total)
        data = np.zeros(density.grid.shape, np.float32)
        data.ravel()[inside] = total
        return Dose(Volume(density.grid, data, Quantity.DOSE), f"{self.name} {__version__}", ignored)

    def _add_beam(
        self,
        density: Volume,
        beam: Beam,
        weights: np.ndarray,
        machine: Machine,
        points: np.ndarray,
        total: np.ndarray,
    ) -> None:
        """Add the dose of one beam at `points` to `total`."""
        fan = self._fan(beam, machine, points)
        plane = self._plane(beam, machine, fan)
        blurred = plane.forward(weights)
        depths = np.empty(fan.shape, np.float32)
        run_chunks(
            lambda low, high: trace_fan(density.grid.lattice, density.data, fan, (low, high), depths),
            chunks(fan.shape[0], _ROWS),
        )

        def add(low: int, high: int) -> None:
            footprints = np.empty((high - low, FOOTPRINT), np.float32)
            self._locate(points[low:high], fan, depths, plane, machine, footprints)
            gather(blurred, footprints, total[low:high])

        run_chunks(add, chunks(len(points), _POINTS))

    def _plane(self, beam: Beam, machine: Machine, fan: Fan) -> Plane:
        sad = machine.sad_mm.value
        (u0, u1), (v0, v1) = ((low, low + fan.step * (n - 1)) for low, n in zip(fan.low, fan.shape[:2], strict=True))
        kernel, blur_mm = pencil_kernel(machine.spectrum.value), machine.source.blur_mm(sad)
        plane = beam_plane(beam.bixels, kernel, blur_mm, self.node_mm, ((u0, u1), (v0, v1)))
        return replace(plane, factor=_fluence_per_weight(beam.bixels, machine))

    def _fan(self, beam: Beam, machine: Machine, points: np.ndarray) -> Fan:
        """Return the fan that covers the box of the points, as the beam sees it."""
        frame = _frame(beam, machine)
        low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (frame.source_mm, frame.source_mm)
        corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        seen = (corners - frame.source_mm) @ frame.axes.T
        sad = machine.sad_mm.value
        # The source may stand inside the box (a far-off isocentre): rays then start there.
        along = np.maximum(seen[:, 2], 0.1 * sad)
        sideways = seen[:, :2] * (sad / along)[:, None]
        start = sideways.min(axis=0) - self.ray_mm
        rays = np.maximum(2, np.ceil((sideways.max(axis=0) + self.ray_mm - start) / self.ray_mm).astype(int) + 1)
        first = along.min()
        planes = max(2, int(np.ceil((along.max() - first) / self.plane_mm)) + 1)
        return Fan(
            tuple(frame.source_mm.tolist()),
            tuple(frame.axes.ravel().tolist()),
            sad,
            (float(start[0]), float(start[1])),
            self.ray_mm,
            float(first),
            self.plane_mm,
            (int(rays[0]), int(rays[1]), planes),
        )

    def _locate(
        self, points: np.ndarray, fan: Fan, depths: np.ndarray, plane: Plane, machine: Machine, out: np.ndarray
    ) -> None:
        table, where = _amplitude_table(machine.spectrum.value)
        locate(points, fan, depths, plane.axes, table, where, out)


def _pair_up(parts: list[tuple[Plane, np.ndarray]]) -> tuple[tuple[Plane, ...], tuple[np.ndarray, ...]]:
    return tuple(plane for plane, _ in parts), tuple(footprints for _, footprints in parts)


def _frame(beam: Beam, machine: Machine) -> BeamFrame:
    return beam_frame(beam.gantry_deg, beam.couch_deg, beam.collimator_deg, beam.isocentre_mm, machine.sad_mm.value)


@cache
def _amplitude_table(spectrum: str) -> tuple[np.ndarray, DepthTable]:
    kernel = pencil_kernel(spectrum)
    scale = kernel.magnifications
    table = np.ascontiguousarray(kernel.amplitude, dtype=np.float32)
    return table, DepthTable(DEPTH_STEP_MM, float(scale[0]), float(scale[1] - scale[0]))


def _fluence_per_weight(bixels: BixelGrid, machine: Machine) -> np.ndarray:
    """Return the photons per mm2 in the isocentre plane (at the axis, in vacuum) per unit of bixel weight.

    Point source: the weight is a number of photons, even in solid angle. Linac: monitor units of an open field.
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
    plane = beam_plane(square, kernel, blur_mm, 1.0, ((0.0, 0.0), (0.0, 0.0)))
    scale = (reference.ssd_mm.value + reference.depth_mm.value) / machine.sad_mm.value
    at_axis = plane.forward(np.ones(1))[0, 0].astype(float)
    depth = reference.depth_mm.value / kernel.depth_step_mm
    rows = [
        [np.interp(depth, np.arange(len(kernel.amplitude)), kernel.amplitude[:, m, c]) for c in range(COMPONENTS)]
        for m in range(len(kernel.magnifications))
    ]
    amplitude = [np.interp(scale, kernel.magnifications, np.array(rows)[:, c]) for c in range(COMPONENTS)]
    return float(reference.gy_per_mu.value / (at_axis @ np.array(amplitude) / scale**2))
