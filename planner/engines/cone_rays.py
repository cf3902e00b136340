"""Directions of the collapsed cones, and what share of a beam's energy goes along each.

One beam: rings about its axis, dense forwards where kernels are steep. Many beams: a spiral of equal cones over the
whole sphere, fixed in the patient, shared by all. In both cases the share of a cone is the kernel averaged over a cap of
the cone's solid angle, as a parabola in the cosine to the photon's flight, so that every voxel has its own tilt.
"""

from dataclasses import dataclass

import numpy as np

from kernels.cone import FIELDS, RATES, SLOWEST_RATE, Layout, Rays
from planner.engines.cone_kernel import ConeKernel

_RING_EDGES_DEG = (0, 6, 12, 18, 25, 33, 42, 52, 64, 78, 95, 120, 150, 180)
_RING_COUNTS = (4, 8, 12, 16, 18, 20, 20, 22, 22, 20, 18, 12, 6)
_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
_PLASTIC = 1.32471795724474602596
_TABLE = np.linspace(0.0, np.pi, 361)
_MIN_WINDOW = 0.05


@dataclass(frozen=True, eq=False)
class Cones:
    """A set of directions.

    Attributes
    ----------
    direction : ndarray (n, 3)
        Unit vectors, LPS.
    solid_angle : ndarray (n,)
        Their sum is 4 pi.
    """

    direction: np.ndarray
    solid_angle: np.ndarray


def rings_about(axis: np.ndarray) -> Cones:
    """Return rings of cones about a beam axis, dense forwards."""
    cosines = np.cos(np.radians(_RING_EDGES_DEG))
    u = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    directions, solid = [], []
    for ring, count in enumerate(_RING_COUNTS):
        c = 0.5 * (cosines[ring] + cosines[ring + 1])
        s = np.sqrt(1.0 - c * c)
        phi = ring * _GOLDEN_ANGLE + 2.0 * np.pi * np.arange(count) / count
        directions.append(c * axis + s * (np.cos(phi)[:, None] * u + np.sin(phi)[:, None] * v))
        solid.append(np.full(count, 2.0 * np.pi * (cosines[ring] - cosines[ring + 1]) / count))
    return Cones(np.concatenate(directions), np.concatenate(solid))


def sphere(count: int) -> Cones:
    """Return `count` cones of equal solid angle on a spiral over the sphere."""
    z = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    phi = _GOLDEN_ANGLE * np.arange(count) + 0.3
    s = np.sqrt(1.0 - z * z)
    return Cones(np.stack([s * np.cos(phi), s * np.sin(phi), z], axis=1), np.full(count, 4.0 * np.pi / count))


def shares(kernel: ConeKernel, cones: Cones, axes: np.ndarray, tilt: float) -> np.ndarray:
    """Return ``Rays.share`` (cones, groups, FIELDS, 4, 3) for groups of beams with `axes` (groups, 3).

    Parameters
    ----------
    kernel : ConeKernel
    cones : Cones
    axes : ndarray (groups, 3)
        Unit vectors.
    tilt : float
        Largest angle (radians) between a photon's flight and the axis of its group.
    """
    out = np.empty((len(cones.direction), len(axes), FIELDS, len(RATES), 3))
    angle = np.arccos(np.clip(cones.direction @ axes.T, -1.0, 1.0))
    for solid in np.unique(cones.solid_angle):
        table = _parabolas(_cap_averages(kernel, solid), max(tilt, _MIN_WINDOW))
        chosen = np.flatnonzero(cones.solid_angle == solid)
        at = angle[chosen] / _TABLE[1]
        low = np.minimum(at.astype(int), len(_TABLE) - 2)
        part = (at - low)[..., None, None, None]
        out[chosen] = solid * (table[low] * (1.0 - part) + table[low + 1] * part)
    return out


def _cap_averages(kernel: ConeKernel, solid: float) -> np.ndarray:
    """Return the kernel per steradian (angles, FIELDS, 4) averaged over caps of a solid angle."""
    edges = kernel.theta_edges
    density = kernel.share / (2.0 * np.pi * -np.diff(np.cos(edges)))
    centres = 0.5 * (edges[1:] + edges[:-1])
    rings, spokes = 6, 24
    tip = np.arccos(1.0 - solid / (2.0 * np.pi) * (np.arange(rings) + 0.5) / rings)[:, None]
    phi = 2.0 * np.pi * (np.arange(spokes) + 0.5) / spokes
    cosine = np.cos(_TABLE)[:, None, None] * np.cos(tip) + np.sin(_TABLE)[:, None, None] * np.sin(tip) * np.cos(phi)
    theta = np.arccos(np.clip(cosine, -1.0, 1.0))
    flat = density.reshape(-1, density.shape[-1])
    averaged = np.stack([np.interp(theta, centres, row).mean(axis=(1, 2)) for row in flat], axis=-1)
    return averaged.reshape(len(_TABLE), *density.shape[:2])


def _parabolas(values: np.ndarray, window: float) -> np.ndarray:
    """Return local parabolas in the change of the cosine: (angles, ..., 3) for `values` (angles, ...)."""
    out = np.empty((*values.shape, 3))
    for n, theta in enumerate(_TABLE):
        near = np.abs(_TABLE - theta) <= max(window, 2.5 * _TABLE[1])
        change = np.cos(_TABLE[near]) - np.cos(theta)
        # The value at no tilt is kept; slope and curvature are fitted over the window.
        design = np.stack([change, change**2], axis=1)
        excess = (values[near] - values[n]).reshape(len(change), -1)
        fitted = np.linalg.lstsq(design, excess, rcond=None)[0]
        out[n, ..., 0] = values[n]
        out[n, ..., 1:] = np.moveaxis(fitted.reshape(2, *values.shape[1:]), 0, -1)
    return out


def layouts(shape: tuple[int, int, int]) -> tuple[Layout, Layout, Layout]:
    """Return how to walk along x, y and z; the last for arrays transposed to (z, x, y)."""
    nx, ny, nz = shape
    return (
        Layout((nx, ny, nz), (ny * nz, nz)),
        Layout((ny, nx, nz), (nz, ny * nz)),
        Layout((nz, nx, ny), (nx * ny, ny)),
    )


_ROW_COLUMN = ((1, 2), (0, 2), (0, 1))


def dominant(cones: Cones, step: tuple[float, float, float]) -> np.ndarray:
    """Return the axis (0, 1, 2) along which each direction crosses most planes."""
    return np.argmax(np.abs(cones.direction) / np.asarray(step), axis=1)


def rays_along(
    axis: int, chosen: np.ndarray, cones: Cones, share: np.ndarray, step: tuple[float, float, float]
) -> Rays:
    """Return the rays of the `chosen` directions, all with dominant axis `axis`."""
    direction = cones.direction[chosen]
    along = np.abs(direction[:, axis])
    slope = np.stack([direction[:, k] / along * step[axis] / step[k] for k in _ROW_COLUMN[axis]], axis=1)
    spread = np.mod(0.5 + np.outer(chosen + 1, [1.0 / _PLASTIC, 1.0 / _PLASTIC**2]), 1.0) - 0.5
    return Rays(
        np.ascontiguousarray(direction, dtype=np.float32),
        np.where(direction[:, axis] > 0, 1, -1).astype(np.int64),
        np.ascontiguousarray(slope),
        np.ascontiguousarray(spread),
        (SLOWEST_RATE * step[axis] / along).astype(np.float32),
        np.ascontiguousarray(share[chosen], dtype=np.float32),
    )
