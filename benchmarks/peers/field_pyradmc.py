"""The Monte Carlo job by pyRadMC on its Warp backend on the CPU. Arguments: histories."""

import sys

import numpy as np
from field import BATCHES, HALF_ON_SURFACE_CM, SHAPE, SSD_CM, VOXEL_CM, depth_dose, relative_deviation, spectrum
from pyradmc import AnalyticCrossSections, SpectralBeamSource, Spectrum, VoxelGrid, WarpEngine
from stages import Stages

clock = Stages()
clock.end("import")

edges, photons = spectrum()
edges[0] = 0.01  # it takes no bin from zero, and transports nothing below its cut of 0.05 MeV
width = 2 * HALF_ON_SURFACE_CM
corner = (-0.5 * SHAPE[0] * VOXEL_CM, -0.5 * SHAPE[1] * VOXEL_CM, 0.0)
grid = VoxelGrid.uniform_water(shape=SHAPE, spacing=(VOXEL_CM,) * 3, origin=corner)
source = SpectralBeamSource(Spectrum(edges, photons), (0.0, 0.0, -SSD_CM), (0.0, 0.0, 0.0), width, width)
engine = WarpEngine(grid, AnalyticCrossSections(geometry_densities=grid.max_density_by_material()), device="cpu")
engine.run(source, 1000 * BATCHES, BATCHES, seed=1)
clock.end("first run")

histories = int(sys.argv[1]) // BATCHES * BATCHES
found = engine.run(source, histories, BATCHES, seed=2)
wall, cpu = clock.end("transport")
dose = np.asarray(found.dose)
deviation = relative_deviation(dose, np.asarray(found.dose_sigma))
clock.note(histories=histories, deviation=deviation, merit=1 / (deviation**2 * cpu), **depth_dose(dose))
clock.tell()
