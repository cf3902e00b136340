"""The planning job by Lacuna: matrix-free pencil beam. Arguments: the phantom's file, file for the dose."""

import sys

import numpy as np
from stages import Stages
from tg119 import BIXEL_MM, CORE_GY, DOSE_GRID_MM, GANTRY_DEG, PRIORITY, REST_GY, TARGET_GY

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.pencil import PencilBeam
from planner.engines.pencil_view import Resolution
from planner.optimise.fluence import optimise_fluence, start_weights
from planner.optimise.objectives import Objective, Overdose, Underdose
from planner.optimise.sampling import Budget, Samples, sample
from planner.techniques.aperture import bixels_on, project, target_points
from planner.techniques.beams import bixel_slices
from planner.treatment.beam import Beam
from planner.treatment.geometry import beam_frame
from planner.treatment.machine import Machine

# Until the peer's own objective is reached.
EVALUATIONS = 140
# The phantom's targets hold 8778 voxels; the body's objective is smooth and needs fewer points than voxels.
BUDGET = Budget(target=8000, outside=8000, organ=1400)
# As fine as the peer's rays and dose grid; nodes of the fluence stay finer than the penumbra by the engine's own rule.
RESOLUTION = Resolution(node_mm=0.5 * DOSE_GRID_MM, ray_mm=DOSE_GRID_MM, plane_mm=DOSE_GRID_MM)


def beams_around(ptv: Structure, machine: Machine) -> tuple[Beam, ...]:
    """Return the beams; their bixels lie within one width of the target, as the peer chooses them."""
    x, y, z = (float(at) for at in ptv.centroid_mm)
    points, sad = target_points(ptv), machine.sad_mm.value
    seen = [project(points, beam_frame(angle, 0.0, 0.0, (x, y, z), sad), sad) for angle in GANTRY_DEG]
    bixels = [bixels_on(where, BIXEL_MM, BIXEL_MM, machine) for where in seen]
    return tuple(Beam(angle, 0.0, 0.0, (x, y, z), b) for angle, b in zip(GANTRY_DEG, bixels, strict=True))


def objective_at(samples: Samples, core: Structure, grid: Grid) -> Objective:
    """Return the objective of the peer; points of the core do not count as body."""
    target, organ, outside = samples.target, samples.organs["core"], samples.outside
    voxel = np.rint(grid.index_of(samples.points_mm[outside.index])).astype(int)
    volume = outside.volume_cc * (1 - core.on(grid)[tuple(voxel.T)])
    return Objective(
        [
            Underdose("target", target.index, target.share, TARGET_GY, 1.0, PRIORITY["target"]),
            Overdose("target", target.index, target.share, TARGET_GY, 1.0, PRIORITY["target"]),
            Overdose("core", organ.index, organ.share, CORE_GY, 1.0, PRIORITY["core"]),
            Overdose("body", outside.index, volume / volume.sum(), REST_GY, 1.0, PRIORITY["body"]),
        ]
    )


clock = Stages()
clock.end("import")

with np.load(sys.argv[1]) as case:
    ct = Grid(case["density"].shape, tuple(case["spacing"]), tuple(case["origin"]))
    density = Volume(ct, case["density"], Quantity.DENSITY)
    body = Structure("body", Role.EXTERNAL, ct, case["outline"]).cropped(2)
    ptv = Structure("target", Role.TARGET, ct, case["target"]).cropped(1)
    core = Structure("core", Role.ORGAN, ct, case["core"]).cropped(1)
grid = body.grid
density = density.on(grid)
machine = library.load("machines", "artiste", Machine)
beams = beams_around(ptv, machine)
samples = sample(grid, ptv, {"external": body, "brain": body, "core": core}, (("core",), 5.0), BUDGET)
clock.end("setup")

engine = PencilBeam(resolution=RESOLUTION)
influence = engine.influence(density, beams, machine, samples.points_mm, ignore_field=False)
clock.end("influence")

start = start_weights(influence, samples.target.index, TARGET_GY)
fluence = optimise_fluence(influence, [(objective_at(samples, core, grid), EVALUATIONS)], start)
clock.end("optimisation")

weights = [fluence.weights[part] for part in bixel_slices(beams)]
dose = engine.dose(density, beams, weights, machine, ignore_field=False).volume.on(ct)
clock.end("dose")

np.save(sys.argv[2], dose.data)
clock.note(bixels=len(start))
clock.tell()
