"""Electron density from mass density: what megavoltage photons are attenuated by.

Above 0.3 MeV photons are lost to Compton scatter, which counts electrons, and cortical bone has 6 % fewer of them per
gram than water. Taken with its mass density, 8 mm of skull would shadow the dose behind it by 0.4 % too much.
"""

import numpy as np

from phantoms.volume import Volume
from planner.library.tables import medium

_TISSUES = ("water", "brain_icrp", "bone_cortical_icrp")


def electron_density(density: Volume) -> np.ndarray:
    """Return the electron density relative to water, shape of the volume, float32.

    Electrons per gram are interpolated in density between water, brain and cortical bone, and held beyond.
    """
    nodes = [medium(name) for name in _TISSUES]
    per_gram = [node.z_over_a / nodes[0].z_over_a for node in nodes]
    ratio = np.interp(density.data, [node.density for node in nodes], per_gram)
    return np.ascontiguousarray(density.data * ratio, dtype=np.float32)
