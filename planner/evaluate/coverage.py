"""Coverage of surfaces, parallel surfaces and shells; distances between surfaces."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phantoms.distance import distance_field, level_surface, occupancy_of
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner.evaluate.dvh import dose_at


@dataclass(frozen=True)
class Rim:
    """What the parallel surface at one distance from a structure receives.

    Attributes
    ----------
    margin_mm : float
        Distance from the structure's surface.
    area_cm2 : float
    covered_percent : float
        Share of the area that receives at least the prescription; NaN if there is no area.
    min_gy : float
        Lowest dose on it; NaN if there is no area.
    """

    margin_mm: float
    area_cm2: float
    covered_percent: float
    min_gy: float


def rim_coverage(
    dose: Volume,
    structure: Structure,
    prescription_gy: float,
    margins_mm: Sequence[float] = (0.0,),
    within: Structure | None = None,
) -> list[Rim]:
    """Return the coverage, by area, of the surface of a structure and of the surfaces parallel to it.

    Parameters
    ----------
    dose : Volume
        Gy. Points outside its grid count as not covered, with a dose of 0.
    structure : Structure
    prescription_gy : float
    margins_mm : sequence of float
        Distances from the surface; negative ones lie inside.
    within : Structure, optional
        Only the part of each surface inside this structure counts (the intracranial space).

    Raises
    ------
    ValueError
        If the structure is empty.
    """
    field = distance_field(structure, max(abs(m) for m in margins_mm) + max(structure.grid.spacing_mm))
    room = None if within is None else Volume(within.grid, within.occupancy, Quantity.OCCUPANCY)
    rims = []
    for margin in margins_mm:
        samples = level_surface(field, margin)
        points, area = samples.points_mm, samples.area_mm2
        if room is not None:
            kept = room.at(points) >= 0.5
            points, area = points[kept], area[kept]
        total = float(area.sum())
        if total <= 0.0:
            rims.append(Rim(margin, 0.0, float("nan"), float("nan")))
            continue
        received = dose_at(dose, points)
        covered = 100.0 * float(area[received >= prescription_gy].sum()) / total
        rims.append(Rim(margin, total / 100.0, covered, float(received.min())))
    return rims


def shell(structure: Structure, inner_mm: float, outer_mm: float, name: str = "shell") -> Structure:
    """Return the region between two distances from a structure's surface (negative: inside it).

    Raises
    ------
    ValueError
        If the structure is empty or `outer_mm` is not the larger one.
    """
    if not outer_mm > inner_mm:
        raise ValueError(f"shell of {structure.name}: outer {outer_mm} mm must exceed inner {inner_mm} mm")
    field = distance_field(structure, max(abs(inner_mm), abs(outer_mm)))
    occupancy = occupancy_of(field, outer_mm) - occupancy_of(field, inner_mm)
    return Structure(name, structure.role, field.grid, np.clip(occupancy, 0.0, 1.0)).cropped(1)


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces lie apart, symmetric in the two.

    Attributes
    ----------
    mean_mm : float
        Mean over both surfaces, by area.
    hausdorff95_mm, hausdorff_mm : float
        95th percentile, by area, and maximum of the distance to the other surface; the larger of the two directions.
    """

    mean_mm: float
    hausdorff95_mm: float
    hausdorff_mm: float


def surface_distances(first: Structure, second: Structure) -> SurfaceDistances:
    """Return the distances between the sub-voxel surfaces of two structures.

    Raises
    ------
    ValueError
        If one is empty.
    """
    low = np.minimum(first.grid.low_mm, second.grid.low_mm)
    high = np.maximum(first.grid.high_mm, second.grid.high_mm)
    reach = float(np.linalg.norm(high - low))
    a, b = first.cropped(), second.cropped()
    needed = [_overhang(a, b), _overhang(b, a)]
    fields = [distance_field(s, min(n, reach)) for s, n in zip((a, b), needed, strict=True)]
    away, area, worst, worst95 = [], [], 0.0, 0.0
    for own, other in ((0, 1), (1, 0)):
        samples = level_surface(fields[own])
        distance = np.abs(fields[other].at(samples.points_mm, outside=needed[other]))
        order = np.argsort(distance)
        share = np.cumsum(samples.area_mm2[order]) / samples.area_mm2.sum()
        worst95 = max(worst95, float(distance[order][min(np.searchsorted(share, 0.95), len(order) - 1)]))
        worst = max(worst, float(distance.max()))
        away.append(distance)
        area.append(samples.area_mm2)
    mean = float(np.average(np.concatenate(away), weights=np.concatenate(area)))
    return SurfaceDistances(mean, worst95, worst)


def _overhang(inner: Structure, outer: Structure) -> float:
    """Return a distance that no point of `outer` exceeds from the surface of `inner`, mm."""
    beyond = np.maximum(inner.grid.low_mm - outer.grid.low_mm, outer.grid.high_mm - inner.grid.high_mm)
    half = 0.5 * float((inner.grid.high_mm - inner.grid.low_mm).max())
    return float(np.linalg.norm(np.maximum(beyond, 0.0))) + half + max(inner.grid.spacing_mm)
