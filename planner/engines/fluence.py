"""Photon fluence in the isocentre plane: its running integral, which kernels average over voxels."""

import numpy as np
from scipy.special import ndtr

from kernels.terma import FluencePlane
from planner.engines.beam_model import Axes

# Numerical: where a blurred edge ends.
_SIGMAS = 4.0
# Numerical: the share of a blur's variance that voxels leave of it, at least.
_LEAST_BLUR = 0.2


def fluence_plane(edges: Axes, fluence: np.ndarray, blur_mm: tuple[float, float], step_mm: float) -> FluencePlane:
    """Return the running integral of a fluence that is even within each cell, blurred by a Gaussian.

    Parameters
    ----------
    edges : tuple of 2 ndarray
        Borders of the cells along X and Y.
    fluence : ndarray (cells along X, cells along Y)
        1/mm2 in the isocentre plane.
    blur_mm : tuple of 2 float
        Standard deviation along X and Y in the isocentre plane; 0 is exact for cells of one width, whose borders are
        the nodes.
    step_mm : float
        The widest step of nodes, else; borders between two of them are blurred by as much.
    """
    axes = [_axis(edges[axis], blur_mm[axis], step_mm) for axis in (0, 1)]
    (nodes_u, left), (nodes_v, right) = axes
    return FluencePlane(
        (float(nodes_u[0]), float(nodes_v[0])),
        (float(nodes_u[1] - nodes_u[0]), float(nodes_v[1] - nodes_v[0])),
        np.ascontiguousarray(left @ fluence @ right.T),
    )


def narrowed(blur_mm: tuple[float, float], width_mm: tuple[float, float]) -> tuple[float, float]:
    """Return the blur (mm) that, averaged over voxels, has the variance of `blur_mm`.

    Parameters
    ----------
    blur_mm : tuple of 2 float
        Standard deviation along X and Y.
    width_mm : tuple of 2 float
        Width of a voxel along X and Y, whose mean adds a twelfth of its square to the variance. Of a blur that is
        narrower than this, a fifth of the variance is left: such edges become wider with the voxels.
    """
    x, y = (
        float(np.sqrt(max(blur**2 - width**2 / 12.0, _LEAST_BLUR * blur**2)))
        for blur, width in zip(blur_mm, width_mm, strict=True)
    )
    return x, y


def _axis(edges: np.ndarray, sigma: float, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and the integral up to each node of the blurred unit fluence of each cell, along one axis."""
    if sigma == 0.0:
        widths = np.diff(edges)
        even = np.allclose(widths, widths[0])
        nodes = edges if even else np.linspace(edges[0], edges[-1], int(np.ceil((edges[-1] - edges[0]) / step_mm)) + 1)
        reached = np.clip(nodes[:, None] - edges[None, :-1], 0.0, np.diff(edges)[None, :])
        return nodes, reached
    low, high = edges[0] - _SIGMAS * sigma, edges[-1] + _SIGMAS * sigma
    nodes = np.linspace(low, high, int(np.ceil((high - low) / min(step_mm, 0.5 * sigma))) + 1)
    distance = (nodes[:, None] - edges[None, :]) / sigma
    running = sigma * (distance * ndtr(distance) + np.exp(-0.5 * distance**2) / np.sqrt(2 * np.pi))
    return nodes, running[:, :-1] - running[:, 1:]
