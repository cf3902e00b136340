"""Dose-volume histograms."""

from dataclasses import dataclass, field

import numpy as np

from kernels.histogram import Dose, Histogram, accumulate, read_points, volume_above
from kernels.surface import EMPTY, PATCH
from kernels.threads import chunks, run_chunks
from phantoms.distance import has_surface, surface_of
from phantoms.structure import Structure
from phantoms.volume import Volume

# Bins of the histogram between 0 and the maximum dose, and the planes of voxels that share a partial histogram.
_BINS = 8192
_PLANES = 16
# Share of the maximum dose that a sub-voxel may span along an axis; coarser for structures with many voxels, where it
# averages out.
_SPAN, _SPAN_LARGE, _LARGE = 0.03, 0.06, 50_000
# A peak between two dose voxels may be higher than both.
_HEADROOM = 1.1
# Samples along each axis of a dose voxel that an isodose surface crosses.
_ISODOSE_SPLIT = 5


@dataclass(frozen=True, eq=False)
class Dvh:
    """Cumulative dose-volume histogram of one structure.

    All volumes refer to the whole structure, whose volume comes from its own geometry. The part of it outside the dose
    grid is never scaled away: it is told by `covered_fraction` and counts as receiving no dose.

    Attributes
    ----------
    structure : str
    volume_cc : float
    covered_fraction : float
        Part of the volume inside the dose grid, 0 to 1.
    min_gy, max_gy, mean_gy : float
        Over the covered part; NaN if nothing is covered.
    edges_gy : ndarray (n,)
        Doses, ascending from 0.
    at_least_cc : ndarray (n,)
        Volume that receives at least each of these, never increasing.
    """

    structure: str
    volume_cc: float
    covered_fraction: float
    min_gy: float
    max_gy: float
    mean_gy: float
    edges_gy: np.ndarray
    at_least_cc: np.ndarray

    def dose_at_volume_cc(self, volume_cc: float) -> float:
        """Return the least dose in the hottest `volume_cc` (D0.03cc), Gy; 0 if not so much of it is covered.

        For more than the whole structure it is the minimum dose.
        """
        if self.covered_fraction == 0.0:
            return float("nan")
        wanted = min(volume_cc, self.volume_cc)
        if wanted > self.covered_fraction * self.volume_cc * (1.0 + 1e-6):
            return 0.0
        found = float(np.interp(-wanted, -self.at_least_cc, self.edges_gy))
        return min(max(found, self.min_gy), self.max_gy)

    def dose_at_volume_percent(self, volume_percent: float) -> float:
        """Return the least dose in the hottest `volume_percent` of the structure (D98), Gy."""
        return self.dose_at_volume_cc(volume_percent / 100.0 * self.volume_cc)

    def volume_at_dose_cc(self, dose_gy: float) -> float:
        """Return the volume that receives at least `dose_gy`, cm3."""
        if self.covered_fraction == 0.0 or dose_gy > self.max_gy:
            return 0.0
        if dose_gy <= self.min_gy:
            return self.covered_fraction * self.volume_cc
        return float(np.interp(dose_gy, self.edges_gy, self.at_least_cc))

    def volume_at_dose_percent(self, dose_gy: float) -> float:
        """Return the share of the structure that receives at least `dose_gy`, percent."""
        return 100.0 * self.volume_at_dose_cc(dose_gy) / self.volume_cc

    def curve(self, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        """Return `points` doses from 0 to the maximum, Gy, and the percentage of volume that receives at least each."""
        doses = np.linspace(0.0, self.max_gy if np.isfinite(self.max_gy) else 0.0, points)
        return doses, np.array([self.volume_at_dose_percent(float(d)) for d in doses])


def dvh(dose: Volume, structure: Structure) -> Dvh:
    """Return the dose-volume histogram of a structure.

    The dose is read at sub-voxels of the structure's own grid, which need not be that of the dose: trilinearly, with
    the second-order term that trilinear leaves out. A cut voxel counts with its occupied fraction, on the inner side of
    the structure's sub-voxel surface.

    Parameters
    ----------
    dose : Volume
        Gy.
    structure : Structure

    Raises
    ------
    ValueError
        If the structure is empty.
    """
    volume_cc = structure.volume_cc
    if volume_cc <= 0.0:
        raise ValueError(f"structure {structure.name} is empty: it has no dose-volume histogram")
    surface = surface_of(structure, edges=False)
    # Slivers carry no weight worth telling but would set minimum and maximum.
    least = EMPTY if has_surface(structure) else 0.0
    f, here = np.where(surface.occupancy > least, surface.occupancy, np.float32(0)), surface.grid.lattice
    field = Dose(dose.grid.lattice, dose.data)
    patches = surface.patches if len(surface.patches) else np.zeros((1, PATCH))
    bin_gy = _HEADROOM * max(float(dose.data.max()), 1e-9) / _BINS

    span = _SPAN if np.count_nonzero(f) < _LARGE else _SPAN_LARGE
    span_gy = span * max(float(dose.data.max()), 1e-9)

    def part(low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        curvature, extremes = np.zeros(_BINS + 3), np.array([np.inf, -np.inf, 0.0, 0.0])
        accumulate(here, f, surface.own, patches, field, (low, high), Histogram(bin_gy, span_gy, curvature, extremes))
        return curvature, extremes

    parts = run_chunks(part, chunks(f.shape[0], _PLANES))
    curvature = np.sum([c for c, _ in parts], axis=0)
    extremes = np.array([e for _, e in parts])
    scale = volume_cc / (float(f.sum(dtype=np.float64)) * surface.grid.voxel_cc) / 1000.0
    covered_cc, integral = scale * extremes[:, 2].sum(), scale * extremes[:, 3].sum()
    below = scale * np.concatenate([[0.0], np.cumsum(np.cumsum(curvature))])[1 : _BINS + 3]
    return Dvh(
        structure=structure.name,
        volume_cc=volume_cc,
        covered_fraction=float(min(covered_cc / volume_cc, 1.0)),
        min_gy=float(extremes[:, 0].min()) if covered_cc > 0 else float("nan"),
        max_gy=float(extremes[:, 1].max()) if covered_cc > 0 else float("nan"),
        mean_gy=float(integral / covered_cc) if covered_cc > 0 else float("nan"),
        edges_gy=bin_gy * np.arange(_BINS + 1),
        at_least_cc=np.maximum(covered_cc - below[: _BINS + 1], 0.0),
    )


@dataclass(frozen=True, eq=False)
class Histograms:
    """The histograms of one dose, each computed once: metrics and curves ask for the same ones.

    Attributes
    ----------
    dose : Volume
        Gy.
    """

    dose: Volume
    _known: dict[Structure, Dvh] = field(default_factory=dict, init=False, repr=False)

    def of(self, structure: Structure) -> Dvh:
        """Return the histogram of a structure; structures are told apart by identity.

        Raises
        ------
        ValueError
            If the structure is empty.
        """
        if structure not in self._known:
            self._known[structure] = dvh(self.dose, structure)
        return self._known[structure]


def dose_at(dose: Volume, points_mm: np.ndarray, outside_gy: float = 0.0) -> np.ndarray:
    """Return the dose at points (n, 3), LPS mm, read as in a histogram: to second order between the voxel centres."""
    points, out = np.ascontiguousarray(points_mm, dtype=np.float64), np.empty(len(points_mm))
    field = Dose(dose.grid.lattice, dose.data)
    run_chunks(lambda lo, hi: read_points(field, points[lo:hi], outside_gy, out[lo:hi]), chunks(len(points), 16384))
    return out


def isodose_volume_cc(dose: Volume, level_gy: float) -> float:
    """Return the volume of the whole dose grid that receives at least `level_gy`, cm3, counted in sub-voxels."""
    parts = run_chunks(
        lambda lo, hi: volume_above(dose.grid.lattice, dose.data, float(level_gy), _ISODOSE_SPLIT, (lo, hi)),
        chunks(dose.grid.shape[0], _PLANES),
    )
    return float(sum(parts)) / 1000.0
