"""The pencil beam engine: fast, matrix-free, for optimisation.

Dose at a point = (SAD / r)^2 sum_c A_c(depth, r) [K_c * fluence](u, v): ``pencil_kernel`` derives A and K from the
spectrum, ``pencil_plane`` blurs the fluence, ``kernels.pencil`` gathers. Depth is radiological (electron density times
length along the ray from the source); the lateral kernel is that of water, so it is wrong sideways of air and bone, and
it knows no magnetic field. The fluence is that of ``beam_model``: focal spot, head scatter, leaves, radial fall-off.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from kernels.pencil import FOOTPRINT, gather, scatter
from kernels.threads import chunks, run_chunks
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.engines.base import Capability, ignores_field
from planner.engines.media import density_physics, electron_density, is_gas
from planner.engines.nesting import coarsened
from planner.engines.pencil_kernel import COMPONENTS
from planner.engines.pencil_plane import Plane
from planner.engines.pencil_view import Resolution, amplitude_table, beam_view
from planner.engines.pencil_voxels import Voxels
from planner.treatment.beam import Beam
from planner.treatment.dose import Dose
from planner.treatment.machine import Machine

NARROW = 2
"""The first components carry the primary dose: 12 mm outside a field 0.1 % is left. The others are smooth over 3 mm."""

# Numerical: points in a task, and the grid of the broad components.
_POINTS = 32768
_BROAD_MM = 3.0


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
    resolution : Resolution
    """

    name: str = "pencil"
    can: Capability = Capability.PHOTON | Capability.INFLUENCE
    resolution: Resolution = field(default_factory=Resolution)

    def influence(
        self, density: Volume, beams: Sequence[Beam], machine: Machine, points_mm: np.ndarray, *, ignore_field: bool
    ) -> PencilInfluence:
        """Return the influence of `beams` on `points_mm`, shape (n, 3), LPS; none on points in air.

        Depths are those through voxels of about 2 mm, also where the density has finer ones.

        Raises
        ------
        CapabilityError
            If the machine has a magnetic field and `ignore_field` is False.
        """
        ignores_field(self.name, self.can, machine, ignore_field)
        points = np.ascontiguousarray(points_mm, dtype=np.float64).reshape(-1, 3)
        in_air = is_gas(density.at(points))
        passed = coarsened(density)
        electrons = (passed.grid.lattice, electron_density(passed))
        table = amplitude_table(machine.spectrum.value)
        box = np.stack([points.min(axis=0), points.max(axis=0)]) if len(points) else np.zeros((2, 3))

        def seen(beam: Beam) -> tuple[Plane, np.ndarray]:
            view = beam_view(beam, machine, electrons, box, self.resolution)
            parts = run_chunks(lambda low, high: view.footprints(points[low:high], table), chunks(len(points), _POINTS))
            footprint = np.concatenate(parts) if parts else np.zeros((0, FOOTPRINT), np.float32)
            footprint[in_air] = 0.0
            return view.plane, footprint

        planes, footprints = zip(*run_chunks(seen, [(beam,) for beam in beams]), strict=True) if beams else ((), ())
        ends = np.cumsum([0, *(beam.bixels.count for beam in beams)])
        slices = tuple(slice(int(a), int(b)) for a, b in pairwise(ends))
        return PencilInfluence((len(points), int(ends[-1])), slices, planes, footprints)

    def dose(
        self,
        density: Volume,
        beams: Sequence[Beam],
        weights: Sequence[np.ndarray],
        machine: Machine,
        *,
        ignore_field: bool,
        region: Structure | None = None,
    ) -> Dose:
        """Return the dose of `beams` with `weights` on the grid of `density`; zero in air.

        The narrow components are computed at every voxel near a field, the broad ones on a grid of 3 mm.

        Raises
        ------
        CapabilityError
            If the machine has a magnetic field and `ignore_field` is False.
        """
        ignored = ignores_field(self.name, self.can, machine, ignore_field)
        fine = Voxels.above(density, density_physics().gas_below_g_cm3.value)
        coarse = fine.coarser([max(step, _BROAD_MM) for step in density.grid.spacing_mm])
        electrons = (density.grid.lattice, electron_density(density))
        narrow = amplitude_table(machine.spectrum.value, 0, NARROW)
        broad = amplitude_table(machine.spectrum.value, NARROW, COMPONENTS)
        for beam, part in zip(beams, weights, strict=True):
            if len(fine.points) and np.any(part):
                view = beam_view(beam, machine, electrons, coarse.box, self.resolution)
                blurred = view.plane.forward(np.asarray(part, float))
                fine.add(fine.near(view), view, blurred, narrow)
                coarse.add(np.arange(len(coarse.points)), view, blurred, broad)
        total = fine.volume().data + coarse.volume().on(density.grid).data
        total[is_gas(density.data)] = 0.0
        return Dose(Volume(density.grid, total, Quantity.DOSE), f"{self.name} {__version__}", ignored)
