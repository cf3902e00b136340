"""What keeps a search from apertures that are smaller than a machine permits: a penalty on the area that is missing."""

from dataclasses import dataclass

import numpy as np

from planner.optimise.apertures import ApertureSet, areas_mm2, opened_mm


@dataclass(frozen=True, eq=False)
class Smallness:
    """``weight sum_n max(0, 1 - area_n / least)^2`` over control points.

    Without it the search ends in apertures that then have to be widened, at a loss it does not know of.

    Attributes
    ----------
    borders_mm : ndarray (pairs + 1,)
        Of the leaf pairs along Y.
    least_mm2, weight : float
    """

    borders_mm: np.ndarray
    least_mm2: float
    weight: float

    def evaluate(self, apertures: ApertureSet, gradient: ApertureSet) -> float:
        """Return the value and add the derivative by tips and jaws to `gradient`."""
        missing = np.maximum(1.0 - areas_mm2(apertures, self.borders_mm) / self.least_mm2, 0.0)
        if not missing.any():
            return 0.0
        by_area = (-2.0 * self.weight / self.least_mm2 * missing)[:, None]
        by_tip = by_area * opened_mm(apertures, self.borders_mm)
        gradient.left_mm[...] -= by_tip
        gradient.right_mm[...] += by_tip
        widths = apertures.right_mm - apertures.left_mm
        for side, sign in ((0, -1.0), (1, 1.0)):
            at = apertures.jaw_mm[:, side, None]
            cut = (at >= self.borders_mm[:-1]) & (at < self.borders_mm[1:])
            gradient.jaw_mm[:, side] += sign * by_area[:, 0] * (widths * cut).sum(axis=1)
        return float(self.weight * (missing**2).sum())
