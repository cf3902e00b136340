"""From mass density to what photons and electrons see: a water-like and a bone part of every voxel.

Density is all that a plan gives. Up to `TISSUE` g/cm3 a voxel is water; from there to cortical bone it is a mixture by
volume of the two; denser is bone. Below `GAS` it is air: a gram of air is 0.899 gram of water in electrons, which at
megavoltage energies is all that counts.
"""

from dataclasses import dataclass

import numpy as np

TISSUE, BONE, GAS = 1.1, 1.85, 0.05
"""g/cm3: ICRU 46 soft tissues end near 1.1; cortical bone 1.85 (ICRP 23 value of the reference data); air is 0.0012."""
AIR_ELECTRONS = 0.49919 / 0.55508
BONE_ELECTRONS = 0.52130 / 0.55508
"""Electrons per gram relative to water: Z/A of ``library/physics/media.csv``."""


@dataclass(frozen=True, eq=False)
class Media:
    """A density volume by composition, float32.

    Attributes
    ----------
    water, bone : ndarray (x, y, z)
        Water with the same electrons (air scaled), and cortical bone, g per cm3 of the voxel.
    """

    water: np.ndarray
    bone: np.ndarray

    @property
    def electrons(self) -> np.ndarray:
        """Electron density relative to water."""
        return self.water + np.float32(BONE_ELECTRONS) * self.bone


def media_of(density: np.ndarray) -> Media:
    """Return the composition of a density volume, g/cm3."""
    volume_of_bone = np.clip((density - TISSUE) / (BONE - TISSUE), 0.0, 1.0)
    bone = np.where(density >= BONE, density, volume_of_bone * BONE)
    water = np.where(density < GAS, AIR_ELECTRONS * density, density - bone)
    return Media(water.astype(np.float32), bone.astype(np.float32))
