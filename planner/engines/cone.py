"""The collapsed cone engine: dose of photon beams in heterogeneous matter, without a magnetic field.

Energy released by each beam (``kernels.terma``) is gathered into groups of similar direction; one sweep a direction
carries all groups (``kernels.cone``). Dose is to the local medium. Outside the volume is vacuum. Where a region is
given, voxels finer than 2 mm are computed about it only (``planner.engines.nesting``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress

import numpy as np

from kernels.cone import FIELDS
from kernels.raytrace import Fan, trace_fan
from kernels.terma import FluencePlane, release
from kernels.threads import chunks, run_chunks
from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.engines.base import GY_PER_MEV_MM3, Capability, WholePlans, ignores_field
from planner.engines.beam_model import calibration_of, fluence_map, per_photon, soften
from planner.engines.cone_kernel import ConeKernel, cone_kernel
from planner.engines.cone_physics import cone_physics
from planner.engines.cone_rays import Cones, rings_about, sphere
from planner.engines.cone_sources import Released, released_of, within
from planner.engines.cone_superposition import superpose
from planner.engines.fluence import fluence_plane, narrowed
from planner.engines.media import Media, media_of
from planner.engines.nesting import Nest, nest_of, refined
from planner.treatment.beam import Beam
from planner.treatment.dose import Dose
from planner.treatment.machine import Machine

# Numerical: beams whose axes are closer than this share one table of kernels, tilted to second order. The dose of arcs
# differs from that with 13 degrees by 0.02 % of the prescription on average and 0.09 % at most; 25 degrees: 0.2, 0.7 %.
_GROUP_DEG = 18.0
# Numerical: rays that a fan has outside its field, and width and depth of the water of the calibration: little but what
# lies in the field is joined to its axis (as wide as deep, 300 mm: 0.006 % of the output).
_FAN_MARGIN = 2
_PHANTOM_MM, _CALIBRATION_STEP_MM = (220.0, 300.0), 4.0


@dataclass(frozen=True, eq=False)
class EnergyBalance:
    """Where the released energy went, MeV."""

    released: float
    deposited: float
    escaped: float


@dataclass(frozen=True)
class CollapsedCone(WholePlans):
    """The collapsed cone engine.

    Attributes
    ----------
    name : str
    can : Capability
    cones : int
        Number of directions for several beams; one beam has its own rings.
    ray_mm, plane_mm : float
        Distance of traced rays in the isocentre plane and of the planes where depth is stored.
    """

    name: str = "cone"
    can: Capability = Capability.PHOTON
    cones: int = 240
    ray_mm: float = 2.0
    plane_mm: float = 1.0

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
        """Return the dose of `beams` with `weights` on the grid of `density`.

        Raises
        ------
        CapabilityError
            If the machine has a magnetic field and `ignore_field` is False.
        """
        ignored = ignores_field(self.name, self.can, machine, ignore_field)
        nest = None if region is None else nest_of(density, region)
        if nest is None:
            data, _ = self.transport(density, beams, weights, machine)
        else:
            data = self._nested(density, nest, beams, weights, machine)
        return Dose(Volume(density.grid, data, Quantity.DOSE), f"{self.name} {__version__}", ignored)

    def transport(
        self, density: Volume, beams: Sequence[Beam], weights: Sequence[np.ndarray], machine: Machine
    ) -> tuple[np.ndarray, EnergyBalance]:
        """Return the dose (Gy) and where the released energy went."""
        matter = _Matter.of(density)
        kernel = cone_kernel(machine.spectrum.value)
        (groups,) = self._groups((matter,), beams, weights, machine, kernel)
        if not groups:
            return np.zeros(density.grid.shape, np.float32), EnergyBalance(0.0, 0.0, 0.0)
        deposit, escaped = superpose(density.grid, matter.media.stopping, groups, self._cones(groups), kernel)
        released = float(sum(group.energy.sum(dtype=float) for group in groups))
        balance = EnergyBalance(released, float(deposit.sum(dtype=float)), escaped)
        return np.where(density.data > 0, deposit / _mass(density), np.float32(0.0)).astype(np.float32), balance

    def _nested(
        self, density: Volume, nest: Nest, beams: Sequence[Beam], weights: Sequence[np.ndarray], machine: Machine
    ) -> np.ndarray:
        """Return the dose (Gy) on the grid of `density`, fine about a target only; see `planner.engines.nesting`."""
        whole, near = _Matter.of(nest.whole), _Matter.of(nest.near)
        kernel = cone_kernel(machine.spectrum.value)
        wide, fine = self._groups((whole, near), beams, weights, machine, kernel)
        if not wide:
            return np.zeros(density.grid.shape, np.float32)
        cones = self._cones(wide)
        deposit, _ = superpose(whole.grid, whole.media.stopping, wide, cones, kernel)
        mass = _mass(nest.whole)
        dose = refined(deposit, mass, nest.parts, density.grid.shape)
        inner = [part for group in wide if len((part := within(group, whole.grid.shape, nest.in_whole)).voxel)]
        if inner and fine:
            here = nest.in_whole
            stopping = np.ascontiguousarray(whole.media.stopping[here])
            window = near.grid.merged(nest.parts)
            coarse, _ = superpose(window, stopping, inner, cones, kernel, larger=whole.grid)
            deposit, _ = superpose(near.grid, near.media.stopping, fine, cones, kernel, larger=density.grid)
            missed = deposit / _mass(nest.near) - refined(coarse, mass[here], nest.parts, near.grid.shape)
            dose[nest.in_fine][nest.used] += missed[nest.used]
        return np.where(density.data > 0, np.maximum(dose, np.float32(0.0)), np.float32(0.0)).astype(np.float32)

    def _groups(
        self,
        matter: tuple["_Matter", ...],
        beams: Sequence[Beam],
        weights: Sequence[np.ndarray],
        machine: Machine,
        kernel: ConeKernel,
    ) -> list[list[Released]]:
        """Return what groups of beams of similar direction release in each of `matter`; the first holds the others."""
        if machine.kind != "point":
            _photons_per_mu(self, machine)  # a dose of its own, once: before the groups are shared out
        groups = run_chunks(
            lambda some: self._released(matter, [(beams[n], weights[n]) for n in some], machine, kernel),
            [(some,) for some in _similar(beams, weights, machine)],
        )
        return [[group[m] for group in groups if len(group[m].voxel)] for m in range(len(matter))]

    def _cones(self, groups: list[Released]) -> Cones:
        return rings_about(groups[0].axis) if len(groups) == 1 else sphere(self.cones)

    def _released(
        self,
        matter: tuple["_Matter", ...],
        beams: list[tuple[Beam, np.ndarray]],
        machine: Machine,
        kernel: ConeKernel,
    ) -> list[Released]:
        """Return the energy that beams of similar direction, with their weights, release in each of `matter`."""
        sums = [
            (np.zeros((FIELDS, *part.grid.shape), np.float32), np.zeros((3, *part.grid.shape), np.float32))
            for part in matter
        ]
        for beam, weight in beams:
            planes = self._fluence(beam, weight, machine, [part.grid.spacing_mm for part in matter])
            fan = self._fan(matter[0].grid, beam, planes[0], machine.sad_mm.value)
            depths = _depths(matter[0], fan, machine)
            for part, plane, (energy, flight) in zip(matter, planes, sums, strict=True):
                run_chunks(
                    lambda low, high, f=fan, d=depths, p=plane, m=part, e=energy, w=flight: release(
                        m.grid.lattice, (m.media.water, m.media.bone), f, d, p, kernel.table, (low, high), e, w
                    ),
                    chunks(part.grid.shape[0], 4),
                )
        return [released_of(energy, flight) for energy, flight in sums]

    def _fluence(
        self, beam: Beam, weight: np.ndarray, machine: Machine, voxels_mm: Sequence[tuple[float, float, float]]
    ) -> list[FluencePlane]:
        """Return the fluence plane of a beam for voxels of each of some sizes."""
        point = machine.kind == "point"
        per_weight = per_photon(beam.bixels, machine.sad_mm.value) if point else _photons_per_mu(self, machine)
        fluence = fluence_map(beam.bixels, machine, per_weight)
        edges, cells = fluence.trimmed(weight, cone_physics().least_fluence.value)
        # What a voxel releases is a mean over it, and so is what it keeps: only the second belongs to a voxel's dose.
        across = beam.frame(machine.sad_mm.value).axes[:2]
        widths = [np.linalg.norm(across * voxel, axis=1) for voxel in voxels_mm]
        blurs = [narrowed(fluence.blur_mm, (float(width[0]), float(width[1]))) for width in widths]
        return [fluence_plane(edges, cells, blur) for blur in blurs]

    def _fan(self, grid: Grid, beam: Beam, plane: FluencePlane, sad: float) -> Fan:
        """Return the fan of rays over the field, through all of the grid."""
        frame = beam.frame(sad)
        low, high = np.asarray(grid.low_mm), np.asarray(grid.high_mm)
        corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        along = np.maximum((corners - frame.source_mm) @ frame.axes[2], 0.05 * sad)
        width = [size * (n - 1) for size, n in zip(plane.size, plane.integral.shape, strict=True)]
        rays = [int(np.ceil(w / self.ray_mm)) + 1 + 2 * _FAN_MARGIN for w in width]
        start = [lo + 0.5 * (w - (n - 1) * self.ray_mm) for lo, w, n in zip(plane.low, width, rays, strict=True)]
        planes = int(np.ceil((along.max() - along.min()) / self.plane_mm)) + 2
        return Fan(
            tuple(frame.source_mm.tolist()),
            tuple(frame.axes.ravel().tolist()),
            sad,
            (float(start[0]), float(start[1])),
            self.ray_mm,
            float(along.min()),
            self.plane_mm,
            (rays[0], rays[1], planes),
        )


@dataclass(frozen=True, eq=False)
class _Matter:
    """A grid and what its voxels hold."""

    grid: Grid
    media: Media

    @classmethod
    def of(cls, density: Volume) -> "_Matter":
        return cls(density.grid, media_of(density.data, density.grid.spacing_mm))


def _mass(density: Volume) -> np.ndarray:
    """Return the mass of voxels in the unit in which MeV per mass is Gy."""
    volume = float(np.prod(density.grid.spacing_mm))
    return np.maximum(density.data, np.float32(1e-6)) * np.float32(volume / GY_PER_MEV_MM3)


def _depths(matter: _Matter, fan: Fan, machine: Machine) -> tuple[np.ndarray, np.ndarray]:
    """Return the depths of water and of bone along a fan, softened as the beam is off its axis."""
    parts = (matter.media.water, matter.media.bone)
    depths = (np.zeros(fan.shape, np.float32), np.zeros(fan.shape, np.float32))
    there = [bool(part.any()) for part in parts]
    for part, depth in zip(compress(parts, there), compress(depths, there), strict=True):
        run_chunks(
            lambda low, high, p=part, d=depth: trace_fan(matter.grid.lattice, p, fan, (low, high), d),
            chunks(fan.shape[0], 4),
        )
        soften(depth, fan, machine)
    return depths


@cache
def _photons_per_mu(engine: CollapsedCone, machine: Machine) -> float:
    """Return the fluence (1/mm2) of one monitor unit: what gives the calibration dose, computed by this engine.

    In a block of water with its surface at y = 0.
    """
    reference, field = calibration_of(machine)
    sad, step = machine.sad_mm.value, _CALIBRATION_STEP_MM
    count, deep = (int(size / step) | 1 for size in _PHANTOM_MM)
    grid = Grid((count, deep, count), (step,) * 3, (-(count // 2) * step, 0.5 * step, -(count // 2) * step))
    water = Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY)
    beam = Beam(0.0, 0.0, 0.0, (0.0, sad - reference.ssd_mm.value, 0.0), field)
    photons = 1.0 / per_photon(field, sad).ravel()
    dose, _ = engine.transport(water, [beam], [photons], machine.model_copy(update={"kind": "point"}))
    depths = step * (np.arange(deep) + 0.5)
    at_depth = np.interp(reference.depth_mm.value, depths, dose[count // 2, :, count // 2])
    return float(reference.gy_per_mu.value / at_depth)


def _similar(beams: Sequence[Beam], weights: Sequence[np.ndarray], machine: Machine) -> list[list[int]]:
    """Return the indices of the beams that carry weight, in groups whose axes are close together."""
    groups: list[tuple[np.ndarray, list[int]]] = []
    for n, beam in enumerate(beams):
        if not np.any(weights[n]):
            continue
        axis = beam.frame(machine.sad_mm.value).axes[2]
        for first, members in groups:
            if axis @ first > np.cos(np.radians(_GROUP_DEG)):
                members.append(n)
                break
        else:
            groups.append((axis, [n]))
    return [members for _, members in groups]
