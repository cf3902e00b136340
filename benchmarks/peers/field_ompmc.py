"""The Monte Carlo job by ompMC. Arguments: histories."""

import sys

import numpy as np
import ompmc
from field import BATCHES, HALF_ON_SURFACE_CM, SHAPE, SSD_CM, VOXEL_CM, depth_dose, relative_deviation, spectrum
from stages import Stages

clock = Stages()
clock.end("import")

edges, photons = spectrum()
x, y = ((np.arange(n + 1) - 0.5 * n) * VOXEL_CM for n in SHAPE[:2])
z = np.arange(SHAPE[2] + 1) * VOXEL_CM
water, ones = np.ones(SHAPE, np.float64, order="F"), np.ones(SHAPE, np.int32, order="F")
geometry = ompmc.Geometry(x, y, z, ["H2O700ICRU"], water, ones)
half = HALF_ON_SURFACE_CM
job = (geometry, ompmc.CollimatedSource(SSD_CM, -half, half, -half, half))
beam = ompmc.Spectrum.from_histogram(edges[1:], photons, edges[0])
ompmc.calc_cube(*job, beam, n_histories=BATCHES, n_batches=BATCHES)
_, tables = clock.end("first run")

histories = int(sys.argv[1])
dose, relative = ompmc.calc_cube(*job, beam, n_histories=histories, n_batches=BATCHES)
_, cpu = clock.end("transport")
# It reads its tables again in every call; they are not transport.
cpu -= tables
deviation = relative_deviation(dose, dose * relative)
clock.note(histories=histories, deviation=deviation, merit=1 / (deviation**2 * cpu), **depth_dose(dose))
clock.tell()
