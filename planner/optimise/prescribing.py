"""The doctor's part of a plan: which dose, and to which volumes."""

from collections.abc import Mapping
from contextlib import suppress

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from phantoms.distance import distance_field, has_surface, level_surface
from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from planner.optimise.barriers import held_back
from planner.optimise.extension import TUMOUR_BEFORE, extended
from planner.optimise.margins import expand
from planner.treatment.errors import PlanningError
from planner.treatment.prescription import Prescription
from planner.treatment.rules import MarginRule, PrescriptionRule

_UNIT = {"volume_cc": "cc", "diameter_mm": "mm"}
_WHAT = {"volume_cc": "volume", "diameter_mm": "largest diameter"}


def prescribe(rule: PrescriptionRule, target: Structure) -> Prescription:
    """Return the dose that a rule gives to a target, by its volume or largest diameter.

    Parameters
    ----------
    rule : PrescriptionRule
    target : Structure
        What the rule is about: the cavity (GTV), or the tumour.

    Raises
    ------
    PlanningError
        If the target is empty, or larger than the last row of the rule.
    """
    if not has_surface(target):
        raise PlanningError(f"structure '{target.name}' is empty: there is nothing to prescribe to")
    size = target.volume_cc if rule.size == "volume_cc" else largest_diameter_mm(target)
    return prescribe_size(rule, size)


def prescribe_size(rule: PrescriptionRule, size: float) -> Prescription:
    """Return the dose that a rule gives to a size, in the rule's unit (cc or mm).

    Raises
    ------
    PlanningError
        If the size is larger than the last row of the rule.
    """
    unit, below = _UNIT[rule.size], 0.0
    for row in rule.rows.value:
        if row.up_to is None or size < row.up_to or (rule.bounds_included and size == row.up_to):
            band = f"{below:g} to {row.up_to:g} {unit}" if row.up_to is not None else f"above {below:g} {unit}"
            what = f"{_WHAT[rule.size]} {size:.1f} {unit} ({band})"
            dose = f"{row.dose_gy:g} Gy in {row.fractions}"
            return Prescription(row.dose_gy, row.fractions, rule.name, f"{what}: {dose}")
        below = row.up_to
    raise PlanningError(
        f"prescription rule '{rule.name}' ends at {below:g} {unit}, but the target's {_WHAT[rule.size]} is "
        f"{size:.1f} {unit}; choose a rule for larger targets"
    )


def largest_diameter_mm(structure: Structure) -> float:
    """Return the largest distance between two points of a structure, mm, on its sub-voxel surface."""
    reach = 2 * max(structure.grid.spacing_mm)
    points = level_surface(distance_field(structure, reach)).points_mm
    with suppress(QhullError):  # a surface without volume has no hull
        points = points[ConvexHull(points).vertices]
    return float(pdist(points).max(initial=0.0))


def targets(structures: Mapping[str, Structure], rule: MarginRule) -> dict[str, Structure]:
    """Return ``gtv``, ``ctv`` and ``ptv``.

    The GTV is the cavity with the residual tumour, where there is a cavity; else the tumour. The CTV stays inside the
    rule's barrier and does not cross those that it names, except for the GTV itself; tract and extensions along
    surfaces belong to it where the rule says so and they are drawn (`left_out`). The PTV stays inside ``external``.

    Parameters
    ----------
    structures : mapping of str to Structure
        As the planner drew them.
    rule : MarginRule

    Raises
    ------
    PlanningError
        If there is nothing to treat, or the barrier is not among the structures.
    """
    gtv = gtv_of(structures)
    ctv = expand(gtv, rule.gtv_to_ctv_mm.value, "ctv", _barrier(structures, gtv, rule))
    if rule.crosses_not is not None:
        ctv = held_back(ctv, gtv, [structures[name] for name in rule.crosses_not.value if name in structures])
    for part in _followed(ctv, structures, rule):
        ctv = united("ctv", [ctv, _beyond(part, ctv)])
    ptv = expand(ctv, rule.ctv_to_ptv_mm.value, "ptv", structures.get("external"))
    return {"gtv": gtv, "ctv": ctv, "ptv": ptv}


def gtv_of(structures: Mapping[str, Structure]) -> Structure:
    """Return the cavity with the residual tumour, where there is a cavity; else the tumour.

    Raises
    ------
    PlanningError
        If none of them is drawn.
    """
    drawn = [s for name in ("cavity", "residual") if (s := structures.get(name)) is not None and has_surface(s)]
    if not drawn:
        drawn = [s for s in (structures.get("tumour"),) if s is not None and has_surface(s)]
    if not drawn:
        raise PlanningError("there is nothing to treat: no cavity, residual or tumour is drawn, or all are empty")
    return united("gtv", drawn)


def left_out(structures: Mapping[str, Structure], rule: MarginRule) -> list[str]:
    """Return what a rule asks for and the patient's structures cannot give, one sentence each."""
    missing = [name for name in rule.follows if name not in structures]
    told = [f"margin rule '{rule.name}' asks for '{name}', which is not drawn: left out" for name in missing]
    if any(part.along.value in structures for part in rule.extensions) and TUMOUR_BEFORE not in structures:
        told.append("contact is judged on the target of the day: no tumour is drawn from before surgery")
    return told


def _followed(ctv: Structure, structures: Mapping[str, Structure], rule: MarginRule) -> list[Structure]:
    """Return the tract and the strips along surfaces that belong to a CTV."""
    tract = structures.get("tract")
    found: list[Structure] = []
    if rule.whole_tract is not None and rule.whole_tract.value and tract is not None and has_surface(tract):
        found.append(tract)
    reached = united("ctv", [ctv, *found])
    strips = (extended(reached, structures, part) for part in rule.extensions)
    return found + [strip for strip in strips if strip is not None]


def _beyond(part: Structure, ctv: Structure) -> Structure:
    """Return what of a part the CTV does not occupy yet."""
    return Structure(part.name, part.role, part.grid, np.minimum(part.occupancy, 1.0 - ctv.on(part.grid)))


def united(name: str, parts: list[Structure]) -> Structure:
    """Return the union of structures that touch or overlap: the larger occupancy, or the sum where both are partial.

    Two structures that share a voxel without filling it are taken as neighbours (a cavity and the residual tumour in
    its wall), so their fractions add up, to at most 1.
    """
    first = parts[0].grid
    low = np.min([part.grid.low_mm for part in parts], axis=0)
    high = np.max([part.grid.high_mm for part in parts], axis=0)
    start = np.rint(first.index_of(low + 0.5 * np.asarray(first.spacing_mm))).astype(int)
    shape = np.rint((high - low) / np.asarray(first.spacing_mm)).astype(int)
    grid: Grid = first.window(start, start + shape)
    placed = [part.on(grid) for part in parts]
    whole = np.maximum.reduce(placed)
    partial = np.minimum(np.sum([np.where(p < 1, p, 0) for p in placed], axis=0), 1)
    return Structure(name, Role.TARGET, grid, np.maximum(whole, partial)).cropped()


def _barrier(structures: Mapping[str, Structure], gtv: Structure, rule: MarginRule) -> Structure | None:
    """Return the barrier with the GTV filled in: a brain is often drawn without the cavity."""
    if not rule.barrier.value:
        return None
    found = structures.get(rule.barrier.value)
    if found is None:
        raise PlanningError(f"margin rule '{rule.name}' needs the structure '{rule.barrier.value}', which is not drawn")
    filled = np.minimum(found.occupancy + gtv.on(found.grid), 1)
    return Structure(found.name, found.role, found.grid, filled)
