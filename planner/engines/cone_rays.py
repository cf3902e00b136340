"""Directions of the collapsed cones, and what share of a beam's energy goes along each.

One beam: rings about its axis, dense forwards where kernels are steep. Many beams: a spiral of equal cones over the
whole sphere, fixed in the patient, shared by all. The share of a cone is the kernel at its direction times its solid
angle (averaging the kernel over the cone blurs it a second time: 0.14 % of the dose on the axis of a 1x1 cm field), a
parabola in the cosine to the photon's flight, so that every voxel has its own tilt.
"""

from dataclasses import dataclass

import numpy as np

from kernels.cone import FIELDS, RATES, SLOWEST_RATE, Layout, Rays
from planner.engines.cone_kernel import WIDTHS_MM, ConeKernel

# Numerical, not physics: rings of directions about a beam; the angle that spreads points evenly over a sphere, and the
# plastic number, which does so over a square; angles of the tables of kernels, and the least window of their fits.
_RING_EDGES_DEG = (0, 4, 8, 12, 16, 20, 25, 30, 36, 42, 49, 56, 64, 73, 83, 95, 110, 130, 155, 180)
_RING_COUNTS = (4, 6, 8, 10, 10, 12, 12, 14, 14, 14, 14, 14, 14, 14, 12, 12, 10, 8, 4)
_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
_PLASTIC = 1.32471795724474602596
_TABLE = np.linspace(0.0, np.pi, 361)
_MIN_WINDOW = 0.05
# Axes of rows and columns of the planes that rays along x, y and z cross.
_ROW_COLUMN = ((1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, eq=False)
class Cones:
    """A set of directions.

    Attributes
    ----------
    direction : ndarray (n, 3)
        Unit vectors, LPS.
    solid_angle : ndarray (n,)
        Their sum is 4 pi.
    jitter : ndarray (n, 2)
        Displacement of the rays within a voxel, -0.5 to 0.5, opposite in pairs of directions that carry the same, so
        that the field does not move.
    """

    direction: np.ndarray
    solid_angle: np.ndarray
    jitter: np.ndarray


def rings_about(axis: np.ndarray) -> Cones:
    """Return rings of cones about a beam axis, dense forwards."""
    cosines = np.cos(np.radians(_RING_EDGES_DEG))
    # Rounded, or the rounding errors of an axis along the grid would choose how the rings are turned about it.
    u = np.cross(axis, np.eye(3)[np.argmin(np.round(np.abs(axis), 6))])
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    directions, solid, pairs = [], [], []
    for ring, count in enumerate(_RING_COUNTS):
        c = 0.5 * (cosines[ring] + cosines[ring + 1])
        s = np.sqrt(1.0 - c * c)
        phi = ring * _GOLDEN_ANGLE + 2.0 * np.pi * np.arange(count) / count
        directions.append(c * axis + s * (np.cos(phi)[:, None] * u + np.sin(phi)[:, None] * v))
        solid.append(np.full(count, 2.0 * np.pi * (cosines[ring] - cosines[ring + 1]) / count))
        pairs.append(np.arange(count) % (count // 2) + sum(_RING_COUNTS[:ring]))
    sign = np.concatenate([np.repeat([1.0, -1.0], count // 2) for count in _RING_COUNTS])
    return Cones(np.concatenate(directions), np.concatenate(solid), _jitter(np.concatenate(pairs), sign))


def sphere(count: int) -> Cones:
    """Return `count` cones of equal solid angle on a spiral over the sphere."""
    z = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    phi = _GOLDEN_ANGLE * np.arange(count) + 0.3
    s = np.sqrt(1.0 - z * z)
    direction = np.stack([s * np.cos(phi), s * np.sin(phi), z], axis=1)
    pair, sign = _neighbours(direction)
    return Cones(direction, np.full(count, 4.0 * np.pi / count), _jitter(pair, sign))


def _neighbours(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a pair number and a sign for each direction; pairs are near each other on the sphere."""
    near = direction @ direction.T
    pair, sign = np.full(len(direction), -1), np.ones(len(direction))
    for n in range(len(direction)):
        if pair[n] < 0:
            pair[n] = n
            free = np.where(pair < 0, near[n], -2.0)
            if free.max() > -2.0:
                pair[free.argmax()], sign[free.argmax()] = n, -1.0
    return pair, sign


def _jitter(pair: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """Return points spread evenly over a square (Roberts' plastic sequence), one a pair, mirrored by the sign."""
    spread = np.mod(0.5 + np.outer(pair + 1, [1.0 / _PLASTIC, 1.0 / _PLASTIC**2]), 1.0) - 0.5
    return spread * sign[:, None]


def shares(kernel: ConeKernel, cones: Cones, axes: np.ndarray, tilt: float) -> np.ndarray:
    """Return the shares (cones, groups, FIELDS, 4, 3), see ``Rays.share``, for groups of beams with `axes` (groups, 3).

    Parameters
    ----------
    kernel : ConeKernel
    cones : Cones
    axes : ndarray (groups, 3)
        Unit vectors.
    tilt : float
        Largest angle (radians) between a photon's flight and the axis of its group.
    """
    angle = np.arccos(np.clip(cones.direction @ axes.T, -1.0, 1.0))
    table = _parabolas(_per_steradian(kernel), max(tilt, _MIN_WINDOW))
    at = angle / _TABLE[1]
    low = np.minimum(at.astype(int), len(_TABLE) - 2)
    part = (at - low)[..., None, None, None]
    share = cones.solid_angle[:, None, None, None, None] * (table[low] * (1.0 - part) + table[low + 1] * part)
    return share * _quadrature(kernel, angle, share[..., 0])[..., None, None]


def _quadrature(kernel: ConeKernel, angle: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return factors a + b cos(angle), shape (cones, groups, FIELDS), that make few directions act like all of them.

    For each group and field, the sum over the directions and the energy within a cylinder about the axis (half as wide
    as `WIDTHS_MM`: the output of a small field) become those of the kernel itself.
    """
    slant = 0.5 * np.asarray(WIDTHS_MM) / np.maximum(np.sin(angle), 1e-6)[..., None]
    stays = 1.0 - np.exp(-slant[..., None] * RATES)
    terms = np.stack([share.sum(axis=-1), (share * stays).sum(axis=-1)], axis=-1)
    basis = np.stack([np.ones_like(angle), np.cos(angle)], axis=-1)
    matrix = np.einsum("ngfm,ngj->gfmj", terms, basis)
    wanted = np.stack([np.ones(FIELDS), kernel.in_cylinder], axis=-1)
    solved = np.linalg.solve(matrix, np.broadcast_to(wanted, matrix.shape[:-1])[..., None])[..., 0]
    return np.einsum("gfj,ngj->ngf", solved, basis)


def _per_steradian(kernel: ConeKernel) -> np.ndarray:
    """Return the kernel per steradian at the angles of `_TABLE`, shape (angles, FIELDS, 4)."""
    edges = kernel.theta_edges
    density = kernel.share / (2.0 * np.pi * -np.diff(np.cos(edges)))
    flat = density.reshape(-1, density.shape[-1])
    values = np.stack([np.interp(_TABLE, 0.5 * (edges[1:] + edges[:-1]), row) for row in flat], axis=-1)
    return values.reshape(len(_TABLE), *density.shape[:2])


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


def dominant(cones: Cones, step: tuple[float, float, float]) -> np.ndarray:
    """Return the axis (0, 1, 2) along which each direction crosses most planes."""
    return np.argmax(np.abs(cones.direction) / np.asarray(step), axis=1)


def rays_along(
    axis: int,
    chosen: np.ndarray,
    cones: Cones,
    share: np.ndarray,
    step: tuple[float, float, float],
    outside: tuple[int, int] = (0, 0),
) -> Rays:
    """Return the rays of the `chosen` directions, all with dominant axis `axis`.

    `outside` are the planes of a larger lattice below and above this one: its rays are continued in these voxels.
    """
    direction = cones.direction[chosen]
    along = np.abs(direction[:, axis])
    slope = np.stack([direction[:, k] / along * step[axis] / step[k] for k in _ROW_COLUMN[axis]], axis=1)
    upwards = direction[:, axis] > 0
    offset = cones.jitter[chosen] + np.where(upwards, *outside)[:, None] * slope
    return Rays(
        np.ascontiguousarray(direction, dtype=np.float32),
        np.where(upwards, 1, -1).astype(np.int64),
        np.ascontiguousarray(slope),
        np.ascontiguousarray(offset - np.floor(offset + 0.5)),
        (SLOWEST_RATE * step[axis] / along).astype(np.float32),
        np.ascontiguousarray(share[chosen].transpose(0, 1, 3, 4, 2), dtype=np.float32),
    )
