"""The cases of "Plans of apertures" in docs/validation.md, as files for ``lacuna plan``; and their rows.

``plan_cases.py cases DIR`` writes density, brain and targets. ``plan_cases.py rows DIR`` plans all rows of the tables,
or those of techniques and templates that are named (``rows DIR dca srs-steep``), into ``DIR/rows``, and goes on where
it stopped. In the field of a machine the dose is Monte Carlo's.
"""

import sys
import time
from pathlib import Path

# Before numpy, which then has one BLAS thread: rows have the bits of `lacuna plan`.
import planner  # noqa: F401

# isort: split
import numpy as np

from phantoms.cohort import CohortSpec, SyntheticAnatomy
from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from planner.cli.plan_checks import CheckRequest, check_plan
from planner.cli.plan_inputs import PlanInputs
from planner.cli.plans import Wanted, plan_case
from planner.io.nifti import write_structure, write_volume

VOLUMES_CC = (0.5, 2.0, 5.0, 12.0, 30.0)
# Where the targets are in the head, from the centre of the brain, LPS mm.
OFFSET_MM = (30.0, 0.0, 5.0)
# Balls of the irregular target: centre and radius in units of the largest radius.
BALLS = {
    "ball": ((0.0, 0.0, 0.0, 1.0),),
    "irregular": ((0.0, 0.0, 0.0, 1.0), (1.1, 0.3, 0.2, 0.75), (-0.3, 0.9, 0.7, 0.6)),
}
_SPLIT = 4
MACHINES = {
    **dict.fromkeys(("ncvmat", "ncvmat-eight", "dca", "conformal"), "truebeam-stx"),
    "imrt": "elekta-unity",
}
_FEW = ("irregular-0.5", "irregular-2", "irregular-5", "irregular-12", "ball-2", "ball-12")
# Target, technique and template of every row.
ROWS = (
    *((f"{n}-{v:g}", t, "srs-marginal") for t in ("ncvmat", "dca", "imrt") for n in BALLS for v in VOLUMES_CC),
    *((name, "conformal", "srs-marginal") for name in _FEW),
    *((name, technique, "srs-homogeneous") for technique in ("ncvmat", "dca", "conformal", "imrt") for name in _FEW),
    *((name, "ncvmat", "srs-steep") for name in ("irregular-0.5", "ball-0.5", "irregular-2", "ball-2")),
    *((name, "ncvmat-eight", how) for how in ("srs-marginal", "srs-steep") for name in ("irregular-0.5", "ball-0.5")),
)


def target(name: str, volume_cc: float, centre_mm: np.ndarray) -> Structure:
    """Return a union of balls of a volume on voxels of 0.5 mm (1 mm from 5 cc), fractions of voxels counted."""
    balls = np.array(BALLS[name])
    step = 0.5 if volume_cc < 5 else 1.0
    units, fine = np.linspace(-1.8, 2.4, 211), 4.2 / 210
    inside = _inside(np.stack(np.meshgrid(units, units, units, indexing="ij"), axis=-1), balls, 1.0)
    radius = (1000.0 * volume_cc / (inside.sum() * fine**3)) ** (1 / 3)
    low, high = centre_mm - 1.8 * radius, centre_mm + 2.4 * radius
    grid = Grid.covering(low.tolist(), high.tolist(), step)
    total = np.zeros(grid.shape, np.float32)
    offsets = step * ((np.arange(_SPLIT) + 0.5) / _SPLIT - 0.5)
    x, y, z = (axis - c for axis, c in zip(grid.axes_mm(), centre_mm, strict=True))
    for a in offsets:
        for b in offsets:
            for c in offsets:
                total += _inside(np.stack(np.meshgrid(x + a, y + b, z + c, indexing="ij"), axis=-1), balls, radius)
    return Structure("target", Role.TARGET, grid, total / _SPLIT**3).cropped(2)


def _inside(points: np.ndarray, balls: np.ndarray, radius: float) -> np.ndarray:
    away = [np.linalg.norm(points - radius * ball[:3], axis=-1) <= radius * ball[3] for ball in balls]
    return np.any(away, axis=0)


def write_cases(folder: Path) -> None:
    """Write density, brain and the targets of every shape and volume."""
    folder.mkdir(parents=True, exist_ok=True)
    epoch = SyntheticAnatomy(CohortSpec(patients=1, seed=1, spacing_mm=2.0), 0).epoch(-1.0, images=False)
    brain = epoch.structures["brain"]
    write_volume(folder / "density.nii.gz", epoch.volumes["density"])
    write_structure(folder / "brain.nii.gz", brain)
    write_structure(folder / "external.nii.gz", epoch.structures["external"])
    for name in BALLS:
        for volume in VOLUMES_CC:
            at = np.array(brain.centroid_mm) + OFFSET_MM
            write_structure(folder / f"{name}-{volume:g}.nii.gz", target(name, volume, at))


def planned(folder: Path, name: str, technique: str, machine: str, template: str) -> str:
    """Plan one case as ``lacuna plan`` does, check it as ``lacuna plan-check`` does, and return a row of the table."""
    inputs = PlanInputs(
        folder / "density.nii.gz",
        folder / f"{name}.nii.gz",
        external=folder / "external.nii.gz",
        brain=folder / "brain.nii.gz",
    )
    dose_gy = 15.0 if name.endswith("-30") else 18.0
    out = folder / "plans" / f"{name}-{technique}-{template}"
    began = time.process_time()
    told = plan_case(inputs, Wanted(machine, technique, template, dose_gy, 1), out)
    cpu_s = time.process_time() - began
    check = check_plan(out, CheckRequest())
    again = f"{check['dose']['mean_percent']:.2f} %, {check['dose']['gamma_percent']:.1f} %"
    return (
        f"| {name.replace('-', ' ')} cc | {technique} | {template} | {told['V100_percent']:.2f} | "
        f"{told['paddick_ci']:.3f} | {told['gi']:.2f} | {told['max_percent']:.0f} | {told['mu_per_fraction']:.0f} | "
        f"{again} | {cpu_s:.0f} | {'yes' if check['passed'] else check['violations']} |"
    )


def rows(folder: Path, asked: list[str]) -> None:
    """Plan the rows of the tables whose technique or template is asked for, all if none is; finished ones are kept."""
    done = folder / "rows"
    done.mkdir(exist_ok=True)
    for name, technique, template in ROWS:
        file = done / f"{name}-{technique}-{template}.md"
        if not file.exists() and (not asked or technique in asked or template in asked):
            row = planned(folder, name, technique, MACHINES[technique], template)
            file.write_text(row + "\n")
            print(row, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "cases":
        write_cases(Path(sys.argv[2]))
    else:
        rows(Path(sys.argv[2]), sys.argv[3:])
