"""What the file commands compute, as plain dictionaries, and how those are printed."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import typer

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.evaluate.dvh import Dvh
from planner.evaluate.dvh import dvh as histogram
from planner.io.digest import sha256_of
from planner.io.nifti import read_occupied, read_structure, read_volume, stem, write_structure
from planner.treatment.errors import InputError

MAX_MARGIN_MM = 100.0
# A dose resampled by splines dips below 0 by less than this share of its maximum; no treatment gives so many Gy.
_ODD_SHARE, _ODD_GY = 0.02, 500.0
Found = dict[str, Any]


def dvh_of(dose_file: Path, mask_files: list[Path], label: int | None) -> Found:
    """Return dose-volume metrics of every mask, keyed by its stem.

    Raises
    ------
    InputError
        If a file is not usable, two masks have the same stem, or a mask lies outside the dose.
    """
    dose = _dose(dose_file)
    structures: Found = {}
    for path in mask_files:
        name = stem(path)
        if name in structures:
            raise InputError(path, "", f"a second mask of the name '{name}': results are keyed by it")
        structures[name] = _dose_volume(histogram(dose, _inside(path, label, dose, dose_file)))
    return {"structures": structures, "provenance": _provenance([dose_file, *mask_files], dose.grid)}


def metrics_of(dose_file: Path, target_file: Path, prescription_gy: float, brain_file: Path | None) -> Found:
    """Return plan-quality metrics of one target, flat, with their units.

    Raises
    ------
    InputError
        If a file or the prescription is not usable, or a mask lies outside the dose.
    """
    from planner.evaluate.metrics import plan_metrics

    if not (math.isfinite(prescription_gy) and prescription_gy > 0):
        raise InputError("--prescription-gy", "", f"must be positive and finite, got {prescription_gy:g}")
    dose = _dose(dose_file)
    target = _inside(target_file, None, dose, dose_file)
    brain = _inside(brain_file, None, dose, dose_file) if brain_file else None
    if _at_edge(dose) >= prescription_gy / 2:
        typer.echo(f"{dose_file}: half the prescription reaches its outermost voxels: gi, r50 read low", err=True)
    rows = plan_metrics(dose, target, prescription_gy, brain)
    files = [dose_file, target_file, *([brain_file] if brain_file else [])]
    return {
        **{row.name: row.value for row in rows},
        "units": {row.name: row.unit for row in rows},
        "provenance": {**_provenance(files, dose.grid), "prescription_gy": prescription_gy},
    }


def gamma_of(reference_file: Path, evaluated_file: Path, criteria: Mapping[str, Any]) -> Found:
    """Return the result of a gamma comparison.

    Raises
    ------
    InputError
        If a file or a criterion is not usable, or the doses do not overlap.
    """
    from planner.evaluate.gamma import Criteria, gamma

    try:
        chosen = Criteria(**criteria)
    except ValueError as error:
        name, _, problem = str(error).partition(" ")
        raise InputError(f"--{name.replace('_', '-')}", "", problem) from None
    reference = read_volume(reference_file, Quantity.DOSE)
    evaluated = read_volume(evaluated_file, Quantity.DOSE)
    if not reference.grid.overlaps(evaluated.grid):
        raise InputError(evaluated_file, "", f"does not overlap {reference_file.name}: another frame of reference?")
    try:
        found = gamma(reference, evaluated, chosen)
    except ValueError as error:
        raise InputError(reference_file, "", str(error)) from None
    if found.beyond:
        typer.echo(f"{evaluated_file}: {found.beyond} points of the reference lie too far from it to compare", err=True)
    return {
        "pass_rate_percent": found.pass_percent,
        "points": found.points,
        "points_beyond": found.beyond,
        "mean_gamma": found.mean,
        "max_gamma": found.maximum,
        "criteria": dict(criteria),
        "provenance": _provenance([reference_file, evaluated_file], reference.grid),
    }


def expanded(mask_file: Path, margin_mm: float, out: Path, label: int | None) -> Found:
    """Write a mask expanded by a margin and return volumes and the grid of the result.

    Raises
    ------
    InputError
        If a file or the margin is not usable, or nothing is left.
    """
    from planner.optimise.margins import expand

    if not (math.isfinite(margin_mm) and abs(margin_mm) <= MAX_MARGIN_MM):
        raise InputError("--mm", "", f"must be finite and at most {MAX_MARGIN_MM:g} mm, got {margin_mm:g}")
    mask, turn = read_occupied(mask_file, label)
    grown = expand(mask, margin_mm).cropped()
    if grown.is_empty:
        raise InputError(mask_file, "--mm", f"nothing is left after {margin_mm:g} mm")
    grid = _holding(mask.grid, grown)
    write_structure(out, grown, grid, turn=turn)
    origin = grid.affine if turn is None else np.linalg.inv(turn) @ grid.affine
    return {
        "out": str(out),
        "margin_mm": margin_mm,
        "volume_before_cc": mask.volume_cc,
        "volume_cc": grown.volume_cc,
        "grid": "as the mask" if grid == mask.grid else "as the mask, with more voxels: the margin leaves its grid",
        "shape": list(grid.shape),
        "origin_mm": origin[:3, 3].tolist(),
        "spacing_mm": list(grid.spacing_mm),
    }


def _holding(grid: Grid, structure: Structure) -> Grid:
    """Return `grid`, or the smallest larger window of its lattice that holds a structure."""
    offset = structure.grid.offset_in(grid)
    if offset is None:
        raise ValueError(f"{structure.name} does not lie on the voxels of its mask")
    low = np.minimum(offset, 0)
    high = np.maximum(np.add(offset, structure.grid.shape), grid.shape)
    if not low.any() and tuple(high) == grid.shape:
        return grid
    return grid.window(low.tolist(), high.tolist())


def _dose(path: Path) -> Volume:
    """Return a dose; what is odd about its values is told on standard error."""
    dose = read_volume(path, Quantity.DOSE)
    low, high = float(dose.data.min()), float(dose.data.max())
    if low < -_ODD_SHARE * high:
        typer.echo(f"{path}: doses down to {low:g} Gy: those below 0 count as 0", err=True)
    if high > _ODD_GY:
        typer.echo(f"{path}: doses up to {high:g} Gy: are they in cGy?", err=True)
    return dose


def _at_edge(dose: Volume) -> float:
    """Return the largest dose in the outermost voxels, Gy: what lies beyond them is in no volume of an isodose."""
    return max(float(dose.data.take(end, axis=axis).max()) for axis in range(3) for end in (0, -1))


def _inside(path: Path, label: int | None, dose: Volume, dose_file: Path) -> Structure:
    """Return a mask that overlaps the dose; a partly covered one is told on standard error."""
    structure = read_structure(path, label=label, role=Role.TARGET)
    box = structure.cropped().grid
    if not box.overlaps(dose.grid):
        raise InputError(
            path, "", f"the mask does not overlap the dose {dose_file.name}: wrong pair, or another frame of reference?"
        )
    if np.any(box.low_mm < dose.grid.low_mm - 1e-3) or np.any(box.high_mm > dose.grid.high_mm + 1e-3):
        typer.echo(f"{path}: partly outside the dose grid: that part counts as without dose", err=True)
    return structure


def _dose_volume(curve: Dvh) -> Found:
    doses = {f"D{percent}_gy": curve.dose_at_volume_percent(percent) for percent in (98, 95, 50, 2)}
    return {
        "volume_cc": curve.volume_cc,
        **doses,
        "D0.03cc_gy": curve.dose_at_volume_cc(0.03),
        "Dmin_gy": curve.min_gy,
        "Dmax_gy": curve.max_gy,
        "Dmean_gy": curve.mean_gy,
        "covered_fraction": curve.covered_fraction,
    }


def _provenance(files: list[Path], grid: Grid) -> Found:
    return {
        "software": f"lacuna {__version__}",
        "files": {str(path): sha256_of(path) for path in files},
        "dose_grid": {"shape": list(grid.shape), "spacing_mm": list(grid.spacing_mm)},
        "method": "dose interpolated to second order at sub-voxels; volumes from the mask, not from the dose grid",
    }


def show(found: Found, as_json: bool, table: Callable[[Found], None] | None = None) -> None:
    """Print a result on standard output: as JSON (NaN as null), or as a table for a reader."""
    if as_json:
        typer.echo(json.dumps(_plain(found), indent=1, allow_nan=False))
    elif table is not None:
        table(found)
    else:
        show_rows(found)


def show_structures(found: Found) -> None:
    """Print a table of structures x metrics."""
    from rich.console import Console
    from rich.table import Table

    structures = found["structures"]
    table = Table()
    table.add_column("structure")
    for key in next(iter(structures.values())):
        table.add_column(key, justify="right")
    for name, values in structures.items():
        table.add_row(name, *(_shown(value) for value in values.values()))
    Console(width=None if Console().is_terminal else 180).print(table)


def show_rows(found: Found) -> None:
    """Print a table of names, values and units."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    units = found.get("units", {})
    for key, value in found.items():
        if key not in ("units", "provenance"):
            table.add_row(key, _shown(value), units.get(key, ""))
    Console(width=None if Console().is_terminal else 160).print(table)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return str(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
