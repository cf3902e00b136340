"""From mass density to what photons and electrons see: the one home of this step of the analytic engines.

Density is all that a plan gives. The cone takes a voxel apart: water up to soft tissue, from there to cortical bone a
mixture by volume of the two, bone above, air below `gas_below_g_cm3` (a gram of air is 0.899 gram of water in
electrons, which at megavoltage energies is all that counts for photons). The pencil beam takes electrons alone: above
0.3 MeV photons are lost to Compton scatter, which counts electrons, and cortical bone has 6 % fewer of them per gram
than water: taken with its mass density, 8 mm of skull would shadow the dose behind it by 0.4 % too much.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import uniform_filter

from phantoms.volume import Volume
from planner import library
from planner.engines.cone_physics import cone_physics
from planner.library.tables import medium
from planner.treatment.constant import Constant, Frozen

_WATER, _BRAIN, _BONE, _AIR = "water", "brain_icrp", "bone_cortical_icrp", "air_dry"


class DensityPhysics(Frozen):
    """Densities that part media, ``library/physics/density.toml``; those of the media stand in ``media.csv``.

    Attributes
    ----------
    gas_below_g_cm3, tissue_below_g_cm3 : Constant
        Below these a voxel is gas, or soft tissue without bone.
    thinnest_in_body_g_cm3 : Constant
        What gas inside a body is taken for where an engine gives none of it dose.
    """

    gas_below_g_cm3: Constant[float]
    tissue_below_g_cm3: Constant[float]
    thinnest_in_body_g_cm3: Constant[float]


@cache
def density_physics() -> DensityPhysics:
    """Return the constants of the library."""
    return library.load("physics", "density", DensityPhysics)


def is_gas(density: np.ndarray) -> np.ndarray:
    """Tell where matter is gas, of a density in g/cm3: thinner than any tissue."""
    return np.asarray(density < density_physics().gas_below_g_cm3.value)


@dataclass(frozen=True, eq=False)
class Media:
    """A density volume by composition, float32.

    Attributes
    ----------
    water, bone : ndarray (x, y, z)
        Water with the same electrons (air scaled), and cortical bone, g per cm3 of the voxel.
    stopping : ndarray (x, y, z)
        Density that scales the kernels, relative to water. Mass density in matter: bone has 6 % fewer electrons per
        gram, but scatters them more; with this the dose behind bone agrees with the bone slab of the reference.
    """

    water: np.ndarray
    bone: np.ndarray
    stopping: np.ndarray


def media_of(density: np.ndarray, spacing_mm: tuple[float, float, float]) -> Media:
    """Return the composition of a density volume, g/cm3."""
    parting, solid = density_physics(), medium(_BONE).density
    tissue = parting.tissue_below_g_cm3.value
    volume_of_bone = np.clip((density - tissue) / (solid - tissue), 0.0, 1.0)
    bone = np.where(density >= solid, density, volume_of_bone * solid)
    gas = is_gas(density)
    air = _electrons_per_gram(_AIR)
    water = np.where(gas, air * density, density - bone)
    stopping = density
    if gas.any():
        stopping = np.where(gas, density * _stopping_of_gas(gas, air, spacing_mm), density)
    return Media(*(np.ascontiguousarray(part, dtype=np.float32) for part in (water, bone, stopping)))


def _stopping_of_gas(gas: np.ndarray, enclosed: float, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Return what a gram of gas stops, relative to water: `enclosed` in narrow spaces, less in wide ones."""
    physics = cone_physics()
    # Vacuum around the volume is as open as gas.
    box = [max(1, round(physics.open_air_mm.value / step) | 1) for step in spacing_mm]
    share = uniform_filter(gas.astype(np.float32), box, mode="nearest")
    openness = np.clip(2.0 * share, 0.0, 1.0)
    return np.asarray(enclosed + openness * (physics.open_air.value - enclosed))


def electron_density(density: Volume) -> np.ndarray:
    """Return the electron density relative to water, shape of the volume, float32.

    Electrons per gram are interpolated in density between water, brain and cortical bone, and held beyond.
    """
    nodes = (_WATER, _BRAIN, _BONE)
    ratio = np.interp(density.data, [medium(n).density for n in nodes], [_electrons_per_gram(n) for n in nodes])
    return np.ascontiguousarray(density.data * ratio, dtype=np.float32)


def _electrons_per_gram(name: str) -> float:
    """Return the electrons per gram of a medium relative to water."""
    return medium(name).z_over_a / medium(_WATER).z_over_a
