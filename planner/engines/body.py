"""Dose as a patient's body gets it: none outside, and in gas that of the tissue that would be there."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner.engines.media import is_gas
from planner.engines.monte_carlo_physics import monte_carlo_physics
from planner.treatment.dose import Dose


def in_body(dose: Dose, external: Structure, density: Volume) -> Dose:
    """Return a dose with none outside of the body, and in gas that to water, averaged by mass over the voxels around.

    Dose is to the medium. To gas it is a tenth less than to the tissue beside it, though the same electrons pass: read
    on the wall of a cavity or averaged over a target, that would be a cold spot which no tissue has. And one electron
    that stops in a voxel of gas is a large dose, of a statistical engine: outside it is nobody's, inside it is a spike
    of several times the prescription in sinuses far from the target, though the mean is right. By mass, gas beside
    tissue has the dose of that tissue, and gas amid gas that of the electrons which pass. Engines without noise compute
    gas in a body as thin water (`thinnest_in_body_g_cm3`) and keep what they have.

    Parameters
    ----------
    dose : Dose
    external : Structure
    density : Volume
        What the dose was computed on, g/cm3.
    """
    grid = dose.volume.grid
    body = external.on(grid) > 0

    def masked(data: np.ndarray) -> Volume:
        return Volume(grid, np.where(body, data, np.float32(0.0)), Quantity.DOSE)

    if dose.deviation is None:
        return replace(dose, volume=masked(dose.volume.data))
    rho = np.where(body, density.on(grid).data, np.float32(0.0))
    gas = is_gas(rho) & body
    # Sums over a voxel and its 26 neighbours; of independent voxels the variances add.
    share = rho * np.where(gas, np.float32(monte_carlo_physics().water_to_gas.value), np.float32(1.0))
    mass = np.maximum(_sum_about(rho), np.finfo(np.float32).tiny)
    mean = _sum_about(share * dose.volume.data) / mass
    deviation = np.sqrt(_sum_about((share * dose.deviation.data) ** 2)) / mass
    return replace(
        dose,
        volume=masked(np.where(gas, mean, dose.volume.data)),
        deviation=masked(np.where(gas, deviation, dose.deviation.data)),
    )


def _sum_about(data: np.ndarray) -> np.ndarray:
    return np.maximum(np.float32(27.0) * ndimage.uniform_filter(data, 3, mode="constant"), np.float32(0.0))
