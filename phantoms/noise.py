"""Smooth random fields: what makes shapes irregular, gyri folded and tissue textured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from kernels.spline import spline_mesh, spline_points
from kernels.types import Lattice

# Variance of a cubic B-spline series of unit white coefficients, averaged over a cell, along one axis: 151/315.
_VARIANCE = (151.0 / 315.0) ** 3


@dataclass(frozen=True, eq=False)
class Noise:
    """A smooth random field of zero mean and unit variance.

    Attributes
    ----------
    knots : Lattice
        Where the B-spline coefficients are, mm.
    coefficients : ndarray, shape ``knots.shape``, float32
    """

    knots: Lattice
    coefficients: np.ndarray

    @classmethod
    def draw(
        cls, rng: np.random.Generator, low_mm: Sequence[float], high_mm: Sequence[float], knot_mm: float
    ) -> "Noise":
        """Draw a field over the box from `low_mm` to `high_mm` with a coefficient every `knot_mm`, half a bump."""
        low, high = np.asarray(low_mm, float), np.asarray(high_mm, float)
        count = np.ceil((high - low) / knot_mm).astype(int) + 4
        origin = low - knot_mm
        draws = rng.standard_normal(tuple(count)) / np.sqrt(_VARIANCE)
        knots = Lattice(
            (float(origin[0]), float(origin[1]), float(origin[2])),
            (float(knot_mm),) * 3,
            (int(count[0]), int(count[1]), int(count[2])),
        )
        return cls(knots, draws.astype(np.float32))

    def without_long_waves(self, knots: float) -> "Noise":
        """Return the field less its mean over about `knots` coefficients around, so that its bumps are of one size."""
        rest = self.coefficients - ndimage.gaussian_filter(self.coefficients, knots)
        # The mean square over cells is that of the series: scalar products of neighbouring splines are known.
        weights = np.array([1, 120, 1191, 2416, 1191, 120, 1]) / 5040
        x, y, z = (weights.reshape(shape) for shape in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)))
        product = ndimage.convolve(rest, x * y * z)
        return Noise(self.knots, rest / np.sqrt((product * rest).mean()))

    def at(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the field, float32, at an open mesh (``x[:, None, None]`` ...) or at coordinates of any one shape."""
        if x.ndim == 3 and x.shape[1:] == (1, 1) and y.shape[::2] == (1, 1) and z.shape[:2] == (1, 1):
            out = np.empty((x.size, y.size, z.size), np.float32)
            spline_mesh(_flat(x), _flat(y), _flat(z), self.knots, self.coefficients, out)
            return out
        x, y, z = np.broadcast_arrays(x, y, z)
        values = np.empty(x.size, np.float32)
        spline_points(_flat(x), _flat(y), _flat(z), self.knots, self.coefficients, values)
        return values.reshape(x.shape)


def _flat(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).ravel()
