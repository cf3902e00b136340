"""What the command ``plan`` reads: files of any origin, made into a case that can be planned."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from phantoms.grid import Grid
from phantoms.outline import brain_of, outline_of
from phantoms.resampling import averaged
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner.cli.doses import DENSEST_G_CM3
from planner.engines.media import density_physics
from planner.io.digest import sha256_of
from planner.io.nifti import read_structure, read_volume
from planner.io.plan_file import InputFile
from planner.optimise.margins import expand
from planner.treatment.errors import InputError

USUAL_GRID_MM = 2.0
# Voxels round off the dose of small targets: below so many cc of PTV they are so many mm wide, 1.5 where 1 mm would be
# too many voxels. The cone takes less time for 1 mm about the target only than for 1.5 mm throughout. With Monte Carlo
# finer voxels are noisier ones, or cost as much time.
SMALL_TARGETS = ((3.0, 1.0), (3.0, 1.5))
SMALL_TARGETS_BY_MONTE_CARLO = ((0.4, 1.0), (3.0, 1.5))
# A density with voxels between these is planned on as it is, but for small targets.
FINEST_MM, COARSEST_MM = 1.5, 2.5
MOST_VOXELS = 40_000_000
# Share of the target that has to lie inside the density, and inside the body.
INSIDE_DENSITY, INSIDE_BODY = 0.99, 0.9
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OURS = ("external", "gtv", "ctv", "ptv", "skin", "all", "brain_minus_target", "machines", "techniques", "objectives")


@dataclass(frozen=True)
class PlanInputs:
    """Files of a case.

    Attributes
    ----------
    density, target : Path
    external, brain : Path or None
        None: found from the density.
    organs : mapping of str to Path
    margin_mm : float
        From the target to the PTV.
    grid_mm : float or None
        Spacing of the dose grid; None: that of small targets, for larger ones that of the density if it is about
        2 mm, else 2 mm.
    """

    density: Path
    target: Path
    external: Path | None = None
    brain: Path | None = None
    organs: Mapping[str, Path] = field(default_factory=dict)
    margin_mm: float = 0.0
    grid_mm: float | None = None


@dataclass(frozen=True, eq=False)
class PlanCase:
    """A case as read.

    Attributes
    ----------
    density : Volume
        On the dose grid.
    structures : mapping of str to Structure
        ``external``, ``brain`` and organs.
    targets : mapping of str to Structure
        ``gtv`` as given and ``ptv``.
    files : dict of str to InputFile
    derived : dict of str to str
        What was not given, and how it was found.
    """

    density: Volume
    structures: Mapping[str, Structure]
    targets: Mapping[str, Structure]
    files: dict[str, InputFile]
    derived: dict[str, str]


def named_organs(given: list[str]) -> dict[str, Path]:
    """Return the organs of ``NAME=MASK`` arguments.

    Raises
    ------
    InputError
        If one has another form, a name that is used twice or one that is not free.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        name = name.strip().lower().replace("-", "_")
        if not equals or not path or not _NAME.fullmatch(name):
            raise InputError("--organ", "", f"'{text}' is not NAME=MASK, as in brainstem=brainstem.nii.gz")
        if name in _OURS:
            raise InputError("--organ", name, f"this name is not free; it is one of {', '.join(_OURS)}")
        if name in found:
            raise InputError("--organ", name, "is given twice")
        found[name] = Path(path)
    return found


def read_case(inputs: PlanInputs, *, reference: bool) -> PlanCase:
    """Return the case of files.

    Parameters
    ----------
    inputs : PlanInputs
    reference : bool
        Whether the dose is that of a reference engine: no other gives any in thin air, so that for the others the body
        counts as at least as dense as ``thinnest_in_body_g_cm3``.

    Raises
    ------
    InputError
        If a file or an option is not usable, or the target does not lie in the density and in the body.
    """
    _check_options(inputs)
    organs = dict(inputs.organs)
    if inputs.brain is not None and "brain" in organs:
        raise InputError("--brain", "", "the brain is given twice, as --brain and as --organ")
    if inputs.brain is not None:
        organs["brain"] = inputs.brain
    density = read_volume(inputs.density, Quantity.DENSITY)
    if density.data.max() > DENSEST_G_CM3:
        problem = f"values up to {density.data.max():g} are no densities in g/cm3 (0 to {DENSEST_G_CM3:g} expected)"
        raise InputError(inputs.density, "voxels", problem)
    target = read_structure(inputs.target, name="gtv").cropped(1)
    _check_held(target, density.grid, inputs.target, inputs.density)
    derived: dict[str, str] = {}
    structures = {"external": _external(inputs, density, derived)}
    _check_inside(target, structures["external"], inputs.target)
    for name, path in sorted(organs.items()):
        structures[name] = _organ(name, path, density.grid, inputs.density)
    if "brain" not in structures:
        structures["brain"] = _brain(inputs.density, density, structures["external"], derived)
    ptv = expand(target, inputs.margin_mm, "ptv", structures["external"])
    paths = {"density": inputs.density, "target": inputs.target, **organs}
    if inputs.external is not None:
        paths["external"] = inputs.external
    spacing = inputs.grid_mm
    if spacing is None:
        small = SMALL_TARGETS_BY_MONTE_CARLO if reference else SMALL_TARGETS
        volume_mm3 = 1000.0 * density.grid.voxel_cc * math.prod(density.grid.shape)
        fits = [(below_cc, mm) for below_cc, mm in small if volume_mm3 < MOST_VOXELS * mm**3]
        spacing = next((mm for below_cc, mm in fits if ptv.volume_cc < below_cc), None)
    thinnest_g_cm3 = 0.0 if reference else density_physics().thinnest_in_body_g_cm3.value
    return PlanCase(
        density=_on_dose_grid(density, structures["external"], spacing, thinnest_g_cm3),
        structures=structures,
        targets={"gtv": target, "ptv": ptv},
        files={name: InputFile(path=path.as_posix(), sha256=sha256_of(path)) for name, path in paths.items()},
        derived=derived,
    )


def _check_options(inputs: PlanInputs) -> None:
    if not (math.isfinite(inputs.margin_mm) and 0 <= inputs.margin_mm <= 30):
        raise InputError("--margin-mm", "", f"must lie between 0 and 30 mm, got {inputs.margin_mm:g}")
    if inputs.grid_mm is not None and not 0.5 <= inputs.grid_mm <= 5:
        raise InputError("--grid-mm", "", f"must lie between 0.5 and 5 mm, got {inputs.grid_mm:g}")


def _check_held(target: Structure, grid: Grid, path: Path, density: Path) -> None:
    """Refuse a target that does not lie in the density."""
    _check_overlap(target, grid, path, density)
    held = _share_inside(target, [(axis >= low) & (axis <= high) for axis, low, high in _bounds(target, grid)])
    if held < INSIDE_DENSITY:
        raise InputError(path, "", f"only {100 * held:.0f} % of the target lie inside {density.name}")


def _bounds(target: Structure, grid: Grid) -> list[tuple[np.ndarray, float, float]]:
    return [
        (axis, float(low), float(high))
        for axis, low, high in zip(target.grid.axes_mm(), grid.low_mm, grid.high_mm, strict=True)
    ]


def _share_inside(target: Structure, inside: list[np.ndarray]) -> float:
    part = target.occupancy[np.ix_(*inside)].sum(dtype=float)
    return float(part / target.occupancy.sum(dtype=float))


def _check_inside(target: Structure, external: Structure, path: Path) -> None:
    body = np.minimum(target.occupancy, external.on(target.grid)).sum(dtype=float)
    share = body / target.occupancy.sum(dtype=float)
    if share < INSIDE_BODY:
        raise InputError(path, "", f"only {100 * share:.0f} % of the target lie inside the body")


def _external(inputs: PlanInputs, density: Volume, derived: dict[str, str]) -> Structure:
    if inputs.external is not None:
        given = read_structure(inputs.external, name="external", role=Role.EXTERNAL).cropped(1)
        _check_overlap(given, density.grid, inputs.external, inputs.density)
        return given
    try:
        found = outline_of(density)
    except ValueError as error:
        raise InputError(inputs.density, "voxels", str(error)) from None
    derived["external"] = "largest body in the density"
    return found


def _brain(path: Path, density: Volume, external: Structure, derived: dict[str, str]) -> Structure:
    try:
        found = brain_of(density, external)
    except ValueError as error:
        raise InputError(path, "voxels", f"no brain is given and none is found: {error}") from None
    derived["brain"] = "soft tissue within bone, or all of the body where there is no bone around it"
    return found


def _organ(name: str, path: Path, grid: Grid, density: Path) -> Structure:
    found = read_structure(path, name=name, role=Role.ORGAN).cropped(1)
    _check_overlap(found, grid, path, density)
    return found


def _check_overlap(structure: Structure, grid: Grid, path: Path, density: Path) -> None:
    if not structure.cropped().grid.overlaps(grid):
        raise InputError(path, "", f"does not overlap {density.name}: wrong pair, or another frame of reference?")


def _on_dose_grid(density: Volume, external: Structure, grid_mm: float | None, thinnest_g_cm3: float) -> Volume:
    """Return the density on the dose grid, with the air inside the body as dense as the engine needs it."""
    own = density.grid.spacing_mm
    if grid_mm is None and min(own) >= FINEST_MM and max(own) <= COARSEST_MM:
        grid = density.grid
    else:
        grid = Grid.covering(density.grid.low_mm.tolist(), density.grid.high_mm.tolist(), grid_mm or USUAL_GRID_MM)
    if math.prod(grid.shape) > MOST_VOXELS:
        raise InputError("--grid-mm", "", f"gives {math.prod(grid.shape)} voxels, more than {MOST_VOXELS}")
    there = density if grid == density.grid else averaged(density, grid)
    body = external.on(grid) >= 0.5
    raised = np.where(body, np.maximum(there.data, np.float32(thinnest_g_cm3)), there.data)
    return Volume(grid, raised, Quantity.DENSITY)
