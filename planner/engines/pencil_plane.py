"""The fluence plane of one beam: where its nodes are, and the two small matrices that blur cells of fluence onto it."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from kernels.pencil import Nodes, blur, unblur
from planner.engines.beam_model import FluenceMap
from planner.engines.pencil_kernel import COMPONENTS, PencilKernel

# Numerical. Nodes are fine as far outside the field as its penumbra reaches, and coarse from there on, up to where
# little is left of any kernel; the fine step is at most this part of the narrowest Gaussian.
_MARGIN_MM, _COARSE_MM, _REACH_MM, _FINEST = 8.0, 4.0, 160.0, 0.7
# Numerical. Shares of a Gaussian below this are left out, in rows taken together as the kernel of the blur takes them.
_NEGLIGIBLE, _TOGETHER = 1e-7, 4


@dataclass(frozen=True, eq=False)
class Plane:
    """Bixels to blurred fluence and back, for one beam.

    Attributes
    ----------
    axes : tuple of 2 Nodes
        Nodes along u and v.
    fluence : FluenceMap
        Weights to fluence on the cells that are blurred.
    left, right, spans, mixture : ndarray
        See ``kernels.pencil.blur``.
    """

    axes: tuple[Nodes, Nodes]
    fluence: FluenceMap
    left: np.ndarray
    right: np.ndarray
    spans: np.ndarray
    mixture: np.ndarray

    @property
    def field(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """From where to where along u and v primary photons arrive, mm."""
        return self.fluence.reach

    def forward(self, weights: np.ndarray) -> np.ndarray:
        """Return the blurred fluence, shape (u, v, 4), float32, of the weights of the open bixels."""
        fluence = self.fluence.forward(weights)
        cells = np.zeros((self.left.shape[2], self.right.shape[1]), np.float32)
        cells[:, : fluence.shape[1]] = fluence
        out = np.empty((self.axes[0].size, self.axes[1].size, COMPONENTS), np.float32)
        blur(self.left, self.right, self.spans, self.mixture, cells, out)
        return out

    def adjoint(self, plane: np.ndarray) -> np.ndarray:
        """Return the transpose of `forward` applied to a plane, shape (open bixels,), float64."""
        cells = np.empty((self.left.shape[2], self.right.shape[1]))
        unblur(self.left, self.right, self.spans, self.mixture, plane, cells)
        return self.fluence.adjoint(cells[:, : len(self.fluence.edges[1]) - 1])


def beam_plane(
    fluence: FluenceMap,
    kernel: PencilKernel,
    step_mm: float,
    seen_mm: tuple[tuple[float, float], tuple[float, float]],
) -> Plane:
    """Return the plane of a beam.

    Parameters
    ----------
    fluence : FluenceMap
        The blur of its edges adds to the variances of the kernel.
    kernel : PencilKernel
    step_mm : float
        Distance of the fine nodes; finer where the narrowest Gaussian, blurred, asks for it.
    seen_mm : tuple of 2 tuple of 2 float
        Range along u and v in which the plane is wanted.
    """
    step = min(step_mm, _FINEST * float(np.hypot(kernel.sigma_mm.min(), min(fluence.blur_mm))))
    field = fluence.open_range
    axes = (_nodes(field[0], seen_mm[0], step), _nodes(field[1], seen_mm[1], step))
    # Interpolating between nodes widens by the variance of a triangle of that half width: taken off beforehand.
    variance = [kernel.sigma_mm**2 + sigma**2 - step**2 / 6 for sigma in fluence.blur_mm]
    along_u, along_v = (
        _integrals(_positions(axes[n]), fluence.edges[n], np.sqrt(variance[n])).astype(np.float32) for n in range(2)
    )
    along_u[along_u < _NEGLIGIBLE] = 0.0
    fill = -along_v.shape[2] % _TOGETHER
    right = np.ascontiguousarray(np.pad(along_v, ((0, 0), (0, 0), (0, fill))).transpose(0, 2, 1))
    mixture = np.ascontiguousarray(kernel.mixture.T, dtype=np.float32)
    return Plane(axes, fluence, np.ascontiguousarray(along_u), right, _spans(right), mixture)


def _nodes(field: tuple[float, float], seen: tuple[float, float], step: float) -> Nodes:
    """Return nodes that cover what is seen, fine about the field, symmetric about its middle as far as they go.

    A multiple of `step` from the middle of the field is a node, so that a symmetric beam gives a symmetric dose.
    """
    low, high = max(seen[0], field[0] - _REACH_MM), min(seen[1], field[1] + _REACH_MM)
    middle = 0.5 * (field[0] + field[1])
    first = int(np.floor((np.clip(field[0] - _MARGIN_MM, low, high) - middle) / step))
    inner = max(1, int(np.ceil((np.clip(field[1] + _MARGIN_MM, low, high) - middle) / step)) - first)
    start, end = middle + first * step, middle + (first + inner) * step
    before = max(0, int(np.ceil((start - low) / _COARSE_MM)))
    after = max(0, int(np.ceil((high - end) / _COARSE_MM)))
    return Nodes(start, end, step, _COARSE_MM, before, inner, before + inner + 1 + after)


def _positions(nodes: Nodes) -> np.ndarray:
    before = nodes.low - nodes.coarse * np.arange(nodes.before, 0, -1)
    inner = nodes.low + nodes.fine * np.arange(nodes.inner + 1)
    after = nodes.high + nodes.coarse * np.arange(1, nodes.size - nodes.before - nodes.inner)
    return np.concatenate([before, inner, after])


def _integrals(positions: np.ndarray, edges: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return the integrals of Gaussians centred on the positions over the bixels, shape (sigma, positions, bixels)."""
    distance = (edges[None, None, :] - positions[None, :, None]) / sigma[:, None, None]
    # Differences of upper tails where both edges lie above: small values keep their relative accuracy.
    lower = np.diff(ndtr(distance), axis=2)
    upper = -np.diff(ndtr(-distance), axis=2)
    return np.where(distance[..., :-1] > 0, upper, lower)


def _spans(right: np.ndarray) -> np.ndarray:
    """Return the range of the last axis that matters to each four rows; clear what does not matter to a row."""
    right[right < _NEGLIGIBLE] = 0.0
    gaussians, rows, length = right.shape
    used = np.any(right.reshape(gaussians, rows // _TOGETHER, _TOGETHER, length) > 0, axis=2)
    first = np.where(used.any(axis=2), used.argmax(axis=2), 0)
    last = np.where(used.any(axis=2), length - used[..., ::-1].argmax(axis=2), 0)
    return np.ascontiguousarray(np.repeat(np.stack([first, last], axis=-1), _TOGETHER, axis=1).astype(np.int64))
