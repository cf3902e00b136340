"""What a monitor unit is to Monte Carlo: the fluence that gives the calibration dose, by this engine's own transport.

By reciprocity: what all rays of the field give to the calibration point is what the ray on the axis gives to the plane
at that depth, so a needle beam does, and every history counts. The spectrum on the axis stands for all of the field.
"""

from functools import cache

import numpy as np

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.engines.base import GY_PER_MEV_G
from planner.engines.beam_model import calibration_of, fluence_map
from planner.engines.photon_source import emission
from planner.engines.transport_run import LEAST_BATCHES, batches
from planner.engines.transport_scene import Splitting, scene
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.machine import Machine

# Numerical: side and voxels of the water, histories in each of LEAST_BATCHES batches, width of the needle beam.
_PHANTOM_MM, _STEP_MM = 300.0, 5.0
_HISTORIES = 10_000
_NEEDLE_MM = 0.02


@cache
def fluence_per_mu(machine: Machine, seed: int) -> tuple[float, float]:
    """Return the fluence (1/mm2, on the axis at the isocentre, in vacuum) of a monitor unit, and its uncertainty.

    The uncertainty is relative, one sigma. The field of a magnet is left out: the calibration states the dose without.

    Raises
    ------
    ValueError
        If the machine is a linac without calibration.
    """
    reference, square = calibration_of(machine)
    count = int(_PHANTOM_MM / _STEP_MM) | 1
    low = -(count // 2) * _STEP_MM
    surface = reference.ssd_mm.value - machine.sad_mm.value
    grid = Grid((count, count, count), (_STEP_MM,) * 3, (low, surface + 0.5 * _STEP_MM, low))
    needle = BixelGrid((-0.5 * _NEEDLE_MM,) * 2, (_NEEDLE_MM,) * 2, np.ones((1, 1), bool))
    found = emission([Beam(0.0, 0.0, 0.0, (0.0, 0.0, 0.0), needle)], [np.ones(1)], _bare(machine), 1.0)
    assert found is not None
    water = Volume(grid, np.ones(grid.shape), Quantity.DENSITY)
    where = scene(water, (0.0, 0.0, 0.0), None, Splitting())
    plane_mm = reference.ssd_mm.value + reference.depth_mm.value
    shares = _field_in_plane(machine, square, machine.sad_mm.value / plane_mm, grid)
    depths = _STEP_MM * (np.arange(count) + 0.5)
    doses = []
    for energy, _ in batches(where, found[0], seed, _HISTORIES, LEAST_BATCHES):
        by_depth = np.einsum("ijk,ik->j", energy, shares)
        energy[:] = 0.0
        doses.append(np.interp(reference.depth_mm.value, depths, by_depth))
    per_fluence = np.array(doses) * GY_PER_MEV_G / (_HISTORIES * grid.voxel_cc)
    mean = float(per_fluence.mean())
    return reference.gy_per_mu.value / mean, float(per_fluence.std(ddof=1)) / mean / LEAST_BATCHES**0.5


def _bare(machine: Machine) -> Machine:
    """Return the machine as a point source with its spectrum."""
    spot = machine.source.spot_sigma_mm.model_copy(update={"value": (0.0, 0.0)})
    source = machine.source.model_copy(update={"spot_sigma_mm": spot, "edge_sigma_mm": None})
    head = dict.fromkeys(("extra_focal", "radial_fluence", "softening", "collimation"))
    return machine.model_copy(update={"kind": "point", "source": source, **head})


def _field_in_plane(machine: Machine, square: BixelGrid, scale: float, grid: Grid) -> np.ndarray:
    """Return the integral of the relative fluence of an open field over each voxel, seen at the isocentre.

    Returns
    -------
    ndarray (nx, nz), mm2
    """
    fluence = fluence_map(square, machine, 1.0)
    overlaps = []
    for axis, cells in zip((0, 2), fluence.edges, strict=True):
        borders = scale * (grid.low_mm[axis] + grid.spacing_mm[axis] * np.arange(grid.shape[axis] + 1))
        upper, lower = np.minimum(borders[1:, None], cells[1:]), np.maximum(borders[:-1, None], cells[:-1])
        overlaps.append(np.clip(upper - lower, 0.0, None))
    return np.asarray(overlaps[0] @ fluence.forward(np.ones(1)) @ overlaps[1].T)
