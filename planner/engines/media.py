"""From mass density to what photons and electrons see: a water-like and a bone part of every voxel, and electrons.

Density is all that a plan gives. Up to `TISSUE` g/cm3 a voxel is water; from there to cortical bone it is a mixture by
volume of the two; denser is bone. Below `GAS` it is air: a gram of air is 0.899 gram of water in electrons, which at
megavoltage energies is all that counts for photons.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from planner.engines.cone_physics import cone_physics

TISSUE, BONE, GAS = 1.1, 1.85, 0.05
"""g/cm3: soft tissues end near 1.1 (ICRU 46); cortical bone 1.85 (reference data); air is 0.0012."""
AIR_ELECTRONS = 0.49919 / 0.55508
"""Electrons per gram relative to water: Z/A of ``library/physics/media.csv``."""


@dataclass(frozen=True, eq=False)
class Media:
    """A density volume by composition, float32.

    Attributes
    ----------
    water, bone : ndarray (x, y, z)
        Water with the same electrons (air scaled), and cortical bone, g per cm3 of the voxel.
    stopping : ndarray (x, y, z)
        Density that scales the kernels, relative to water. Mass density in matter: bone has 6 % fewer electrons per
        gram, but scatters them more; with this the dose behind bone agrees with reference case c2.
    """

    water: np.ndarray
    bone: np.ndarray
    stopping: np.ndarray


def media_of(density: np.ndarray, spacing_mm: tuple[float, float, float]) -> Media:
    """Return the composition of a density volume, g/cm3."""
    volume_of_bone = np.clip((density - TISSUE) / (BONE - TISSUE), 0.0, 1.0)
    bone = np.where(density >= BONE, density, volume_of_bone * BONE)
    gas = density < GAS
    water = np.where(gas, AIR_ELECTRONS * density, density - bone)
    stopping = density
    if gas.any():
        physics = cone_physics()
        # Vacuum around the volume is as open as gas.
        box = [max(1, round(physics.open_air_mm.value / step) | 1) for step in spacing_mm]
        share = uniform_filter(gas.astype(np.float32), box, mode="nearest")
        openness = np.clip(2.0 * share, 0.0, 1.0)
        stopping = np.where(
            gas, density * (AIR_ELECTRONS + openness * (physics.open_air.value - AIR_ELECTRONS)), density
        )
    return Media(*(np.ascontiguousarray(part, dtype=np.float32) for part in (water, bone, stopping)))
