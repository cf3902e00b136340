"""Photon fluence in the isocentre plane: its running integral, which kernels average over voxels."""

import numpy as np
from scipy.special import ndtr

from kernels.terma import FluencePlane
from planner.treatment.beam import BixelGrid

_STEP_MM = 0.5
_SIGMAS = 4.0


def solid_angle(bixels: BixelGrid, sad_mm: float) -> np.ndarray:
    """Return the solid angle (sr) of each bixel seen from the source: exact for rectangles in a plane."""
    x, y = (_edges(bixels, axis) for axis in (0, 1))
    corner = np.arctan2(x[:, None] * y[None, :], sad_mm * np.sqrt(sad_mm**2 + x[:, None] ** 2 + y[None, :] ** 2))
    return np.diff(np.diff(corner, axis=0), axis=1)


def fluence_plane(bixels: BixelGrid, fluence: np.ndarray, blur_mm: tuple[float, float]) -> FluencePlane:
    """Return the running integral of a fluence that is even within each bixel, blurred by a Gaussian.

    Parameters
    ----------
    bixels : BixelGrid
    fluence : ndarray, shape of ``bixels.open``
        1/mm2 in the isocentre plane.
    blur_mm : tuple of 2 float
        Standard deviation along X and Y in the isocentre plane; 0 is exact.
    """
    axes = [_axis(_edges(bixels, axis), blur_mm[axis]) for axis in (0, 1)]
    (nodes_u, left), (nodes_v, right) = axes
    return FluencePlane(
        (float(nodes_u[0]), float(nodes_v[0])),
        (float(nodes_u[1] - nodes_u[0]), float(nodes_v[1] - nodes_v[0])),
        np.ascontiguousarray(left @ fluence @ right.T),
    )


def _edges(bixels: BixelGrid, axis: int) -> np.ndarray:
    return bixels.low_mm[axis] + bixels.size_mm[axis] * np.arange(bixels.open.shape[axis] + 1)


def _axis(edges: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and the integral up to each node of the blurred unit fluence of each bixel, along one axis."""
    if sigma == 0.0:
        nodes = edges
        reached = np.clip(nodes[:, None] - edges[None, :-1], 0.0, np.diff(edges)[None, :])
        return nodes, reached
    low, high = edges[0] - _SIGMAS * sigma, edges[-1] + _SIGMAS * sigma
    nodes = np.linspace(low, high, int(np.ceil((high - low) / min(_STEP_MM, 0.5 * sigma))) + 1)
    distance = (nodes[:, None] - edges[None, :]) / sigma
    running = sigma * (distance * ndtr(distance) + np.exp(-0.5 * distance**2) / np.sqrt(2 * np.pi))
    return nodes, running[:, :-1] - running[:, 1:]
