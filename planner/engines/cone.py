"""The collapsed cone engine: dose of photon beams in heterogeneous matter, without a magnetic field.

Energy released by each beam (``kernels.terma``) is gathered into groups of similar direction; one sweep a direction
carries all groups (``kernels.cone``). Dose is to the local medium. Outside the volume is vacuum. What arrives about the
fields is carried on wider voxels; where a region is given, voxels finer than 2 mm are computed about it only
(``planner.engines.nesting``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from kernels.threads import run_chunks
from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.engines.base import GY_PER_MEV_MM3, Capability, WholePlans, ignores_field
from planner.engines.beam_model import calibration_of, per_photon
from planner.engines.cone_kernel import ConeKernel, cone_kernel
from planner.engines.cone_rays import Cones, rings_about, sphere
from planner.engines.cone_release import Detail, LitBeam, Matter, lit, release_groups
from planner.engines.cone_sources import Released, within
from planner.engines.cone_superposition import superpose
from planner.engines.nesting import Nest, coarsened, nest_of, parts_of, refined
from planner.treatment.beam import Beam
from planner.treatment.dose import Dose
from planner.treatment.machine import Machine

# Numerical: beams whose axes are closer than this to each other's share one table of kernels, tilted to second order;
# nodes of their fluence.
_GROUP_DEG, _NODE_MM = 18.0, 0.5
# Numerical: the widest voxels for what arrives about fields, a hundredth of the dose, and how finely it is released. On
# 2 mm and over 18 degrees the dose of arcs is the same within 0.03 % of the prescription.
_ABOUT_MM = 4.0
_OF_ABOUT = Detail(ray_mm=8.0, plane_mm=4.0, group_deg=40.0, node_mm=2.0)
# Numerical: width and depth of the water of the calibration: little but what lies in the field is joined to its axis
# (as wide as deep, 300 mm: 0.006 % of the output).
_PHANTOM_MM, _CALIBRATION_STEP_MM = (220.0, 300.0), 4.0


@dataclass(frozen=True, eq=False)
class EnergyBalance:
    """Where the released energy went, MeV."""

    released: float
    deposited: float
    escaped: float

    def __add__(self, other: "EnergyBalance") -> "EnergyBalance":
        return EnergyBalance(
            self.released + other.released, self.deposited + other.deposited, self.escaped + other.escaped
        )


@dataclass(frozen=True)
class CollapsedCone(WholePlans):
    """The collapsed cone engine.

    Attributes
    ----------
    name : str
    can : Capability
    cones : int
        Number of directions for several groups of beams; one group has rings about its axis.
    ray_mm, plane_mm : float
        Of fields: distance of traced rays in the isocentre plane and of the planes where depth is stored.
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
            data = self._nested(density, nest, self._plan(beams, weights, machine))
        return Dose(Volume(density.grid, data, Quantity.DOSE), f"{self.name} {__version__}", ignored)

    def transport(
        self, density: Volume, beams: Sequence[Beam], weights: Sequence[np.ndarray], machine: Machine
    ) -> tuple[np.ndarray, EnergyBalance]:
        """Return the dose (Gy) and where the released energy went."""
        plan, matter = self._plan(beams, weights, machine), Matter.of(density)
        (groups,) = plan.released(plan.field, (matter,), self._of_field)
        deposit, here = self._carried(matter, groups, plan.kernel)
        about, there = self._about(density, plan)
        return _in_matter(density, deposit / _mass(density) + about), here + there

    @property
    def _of_field(self) -> Detail:
        return Detail(self.ray_mm, self.plane_mm, _GROUP_DEG, _NODE_MM)

    def _plan(self, beams: Sequence[Beam], weights: Sequence[np.ndarray], machine: Machine) -> "_Plan":
        """Return the beams that carry weight, with their fluence."""
        carrying = [(beam, weight) for beam, weight in zip(beams, weights, strict=True) if np.any(weight)]
        linac = machine.kind != "point"
        # A dose of its own, once: before the beams are shared out.
        per_mu = _photons_per_mu(self, machine) if linac and carrying else 0.0
        sad = machine.sad_mm.value
        both = run_chunks(
            lambda beam, weight: lit(beam, weight, machine, per_mu if linac else per_photon(beam.bixels, sad)), carrying
        )
        about = [beam for _, beam in both if beam is not None]
        return _Plan([beam for beam, _ in both], about, machine, cone_kernel(machine.spectrum.value))

    def _carried(self, matter: Matter, groups: list[Released], kernel: ConeKernel) -> tuple[np.ndarray, EnergyBalance]:
        """Return the deposited energy (MeV) of groups of beams, and where what they released went."""
        if not groups:
            return np.zeros(matter.grid.shape, np.float32), EnergyBalance(0.0, 0.0, 0.0)
        deposit, escaped = superpose(matter.grid, matter.media.stopping, groups, self._cones(groups), kernel)
        released = float(sum(group.energy.sum(dtype=float) for group in groups))
        return deposit, EnergyBalance(released, float(deposit.sum(dtype=float)), escaped)

    def _about(self, density: Volume, plan: "_Plan") -> tuple[np.ndarray, EnergyBalance]:
        """Return the dose (Gy) on the grid of `density` of what arrives about the fields, computed on wider voxels."""
        if not plan.about:
            return np.zeros(density.grid.shape, np.float32), EnergyBalance(0.0, 0.0, 0.0)
        far = coarsened(density, _ABOUT_MM)
        matter = Matter.of(far)
        (groups,) = plan.released(plan.about, (matter,), _OF_ABOUT)
        deposit, balance = self._carried(matter, groups, plan.kernel)
        return refined(deposit, _mass(far), parts_of(density.grid, _ABOUT_MM), density.grid.shape), balance

    def _nested(self, density: Volume, nest: Nest, plan: "_Plan") -> np.ndarray:
        """Return the dose (Gy) on the grid of `density`, fine about a target only; see `planner.engines.nesting`."""
        whole, near = Matter.of(nest.whole), Matter.of(nest.near)
        kernel, mass = plan.kernel, _mass(nest.whole)
        wide, fine = plan.released(plan.field, (whole, near), self._of_field)
        deposit, _ = self._carried(whole, wide, kernel)
        about, _ = self._about(nest.whole, plan)
        dose = refined(deposit + about * mass, mass, nest.parts, density.grid.shape)
        inner = [part for group in wide if len((part := within(group, whole.grid.shape, nest.in_whole)).voxel)]
        if inner and fine:
            here, cones = nest.in_whole, self._cones(wide)
            stopping = np.ascontiguousarray(whole.media.stopping[here])
            window = near.grid.merged(nest.parts)
            coarse, _ = superpose(window, stopping, inner, cones, kernel, larger=whole.grid)
            deposit, _ = superpose(near.grid, near.media.stopping, fine, cones, kernel, larger=density.grid)
            missed = deposit / _mass(nest.near) - refined(coarse, mass[here], nest.parts, near.grid.shape)
            dose[nest.in_fine][nest.used] += missed[nest.used]
        return _in_matter(density, dose)

    def _cones(self, groups: list[Released]) -> Cones:
        return rings_about(groups[0].axis) if len(groups) == 1 else sphere(self.cones)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Beams with their fluence, that of their fields and what arrives about them, and what their spectrum does."""

    field: Sequence[LitBeam]
    about: Sequence[LitBeam]
    machine: Machine
    kernel: ConeKernel

    def released(self, beams: Sequence[LitBeam], matter: tuple[Matter, ...], detail: Detail) -> list[list[Released]]:
        return release_groups(matter, beams, self.machine, self.kernel.table, detail)


def _in_matter(density: Volume, dose: np.ndarray) -> np.ndarray:
    return np.where(density.data > 0, np.maximum(dose, 0.0), 0.0).astype(np.float32)


def _mass(density: Volume) -> np.ndarray:
    """Return the mass of voxels in the unit in which MeV per mass is Gy."""
    volume = float(np.prod(density.grid.spacing_mm))
    return np.maximum(density.data, np.float32(1e-6)) * np.float32(volume / GY_PER_MEV_MM3)


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
