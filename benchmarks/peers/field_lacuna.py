"""The Monte Carlo job by Lacuna. Arguments: histories."""

import sys

import numpy as np
from field import (
    FIELD_CM,
    SAD_CM,
    SHAPE,
    SSD_CM,
    VOXEL_CM,
    depth_dose,
    relative_deviation,
    relative_deviation_above_half,
)
from stages import Stages

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.monte_carlo import MonteCarlo
from planner.engines.transport_run import Effort
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.dose import Dose
from planner.treatment.machine import Machine

clock = Stages()
clock.end("import")

# Gantry 0: the beam goes along +y, which comes second here and last in the job.
across, along = SHAPE[0], SHAPE[2]
edge, step = 5.0 * across * VOXEL_CM, 10.0 * VOXEL_CM
grid = Grid((across, along, across), (step,) * 3, (-edge + step / 2, step / 2, -edge + step / 2))
water = Volume(grid, np.ones(grid.shape), Quantity.DENSITY)
opening = BixelGrid((-5.0 * FIELD_CM,) * 2, (10.0 * FIELD_CM,) * 2, np.ones((1, 1), bool))
beam = Beam(0.0, 0.0, 0.0, (0.0, 10.0 * (SAD_CM - SSD_CM), 0.0), opening)
machine = library.load("machines", "point-6mv", Machine)


def run(histories: int, seed: int) -> Dose:
    """Return the dose of one run."""
    engine = MonteCarlo(effort=Effort(histories=histories, seed=seed))
    return engine.run(water, [beam], [np.ones(1)], machine)


run(20_000, 1)
clock.end("first run")

histories = int(sys.argv[1])
found = run(histories, 2)
_, cpu = clock.end("transport")
if found.deviation is None:
    raise TypeError("Monte Carlo dose without its deviation")
dose, spread = (volume.data.transpose(0, 2, 1) for volume in (found.volume, found.deviation))
deviation = relative_deviation(dose, spread)
clock.note(histories=histories, deviation=deviation, merit=1 / (deviation**2 * cpu), **depth_dose(dose))
clock.note(merit_above_half=1 / (relative_deviation_above_half(dose, spread) ** 2 * cpu))
clock.tell()
