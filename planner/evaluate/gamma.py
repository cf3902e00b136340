"""Gamma comparison of two doses."""

from dataclasses import dataclass

import numpy as np

from kernels.gamma import gamma_rows, shells
from kernels.threads import chunks, run_chunks
from phantoms.grid import Grid
from phantoms.volume import Volume

LIMITS = {"dose_percent": 100.0, "distance_mm": 50.0, "max_gamma": 10.0}
"""Largest criteria; the spheres of `max_gamma` distances hold so many points that more takes all memory."""


@dataclass(frozen=True)
class Criteria:
    """Criteria of a gamma comparison.

    Attributes
    ----------
    dose_percent : float
        Dose difference, percent of the reference maximum (global) or of the reference dose at the point (local).
    distance_mm : float
        Distance to agreement.
    threshold_percent : float
        Reference points below this share of the reference maximum are left out.
    local : bool
    max_gamma : float
        Search ends here: a larger gamma is told as this value.
    interp_fraction : int
        The evaluated dose is read at points ``distance_mm / interp_fraction`` apart. 10 is the usual convention; the
        continuous minimum is reached as it grows, and pass rates in steep gradients rise by a per cent or so.

    Raises
    ------
    ValueError
        If a criterion is not positive and below its `LIMITS`, or the threshold is not between 0 and 100.
    """

    dose_percent: float
    distance_mm: float
    threshold_percent: float = 10.0
    local: bool = False
    max_gamma: float = 2.0
    interp_fraction: int = 10

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            if not 0 < getattr(self, name) <= most:
                raise ValueError(f"{name} must be positive and at most {most:g}, got {getattr(self, name):g}")
        if self.interp_fraction < 1:
            raise ValueError(f"interp_fraction must be at least 1, got {self.interp_fraction}")
        if not 0 <= self.threshold_percent < 100:
            raise ValueError(f"threshold_percent must be in [0, 100), got {self.threshold_percent:g}")


@dataclass(frozen=True, eq=False)
class Gamma:
    """Result of a gamma comparison.

    Attributes
    ----------
    values : ndarray, float64
        Gamma at the reference voxels, NaN where the reference dose is below the threshold or no evaluated dose is
        near enough.
    criteria : Criteria
    beyond : int
        Number of reference points above the threshold that are farther than ``max_gamma`` distances from the evaluated
        dose: they are not compared.
    """

    values: np.ndarray
    criteria: Criteria
    beyond: int

    @property
    def points(self) -> int:
        """Number of reference points compared."""
        return int(np.isfinite(self.values).sum())

    @property
    def pass_percent(self) -> float:
        """Percentage of the compared points with gamma of at most 1."""
        return 100.0 * float((self.values <= 1.0).sum()) / self.points

    @property
    def mean(self) -> float:
        """Mean gamma of the compared points."""
        return float(np.nanmean(self.values, dtype=np.float64))

    @property
    def maximum(self) -> float:
        """Largest gamma, at most ``criteria.max_gamma``."""
        return float(np.nanmax(self.values))


def gamma(reference: Volume, evaluated: Volume, criteria: Criteria) -> Gamma:
    """Return the gamma index at the reference voxels, searched in the interpolated evaluated dose.

    Conventions of Low et al., Med Phys 25:656 (1998), and of pymedphys: normalised to the reference maximum, the
    evaluated dose is trilinear, it ends at its outermost voxel centres, the grids need not agree; points that it is far
    from are left out and counted.

    Parameters
    ----------
    reference, evaluated : Volume
        Dose, Gy.
    criteria : Criteria

    Raises
    ------
    ValueError
        If the reference has no positive dose or none near the evaluated dose, or the evaluated dose has fewer than two
        voxels along an axis.
    """
    peak = float(reference.data.max())
    if not peak > 0:
        raise ValueError("gamma: the reference dose is nowhere positive")
    if min(evaluated.grid.shape) < 2:
        raise ValueError(f"gamma: the evaluated dose needs two voxels along each axis, got {evaluated.grid.shape}")
    scale = criteria.dose_percent / 100.0
    packed = (
        scale if criteria.local else scale * peak,
        float(criteria.distance_mm),
        # A share of no dose is no criterion.
        max(criteria.threshold_percent / 100.0 * peak, 1e-12 * peak if criteria.local else 0.0),
        float(criteria.max_gamma),
        float(criteria.local),
    )
    fine = criteria.interp_fraction
    spheres = shells(criteria.distance_mm / fine, int(criteria.max_gamma * fine + 1e-9), evaluated.grid.spacing_mm)
    out = np.empty(reference.grid.shape)
    here, there = reference.grid.lattice, evaluated.grid.lattice
    run_chunks(
        lambda lo, hi: gamma_rows(here, reference.data, there, evaluated.data, packed, spheres, (lo, hi), out),
        chunks(reference.grid.shape[0], 2),
    )
    far = _far(reference.grid, evaluated.grid, float(spheres.radius[-1])) & np.isfinite(out)
    out[far] = np.nan
    if not np.isfinite(out).any():
        raise ValueError("no point of the reference above the threshold lies near the evaluated dose")
    return Gamma(out, criteria, int(far.sum()))


def _far(reference: Grid, evaluated: Grid, reach_mm: float) -> np.ndarray:
    """Return which reference voxels are farther than `reach_mm` from the outermost voxel centres of the other grid."""
    squared = np.zeros(())
    for axis, other in zip(reference.axes_mm(), evaluated.axes_mm(), strict=True):
        away = np.maximum(np.maximum(other[0] - axis, axis - other[-1]), 0.0)
        squared = np.add.outer(squared, away**2)
    return squared > (reach_mm + 1e-9) ** 2
