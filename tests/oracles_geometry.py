"""Exact shapes for the geometry tests: signed distances, occupancies by super-sampling, volumes of offset bodies."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Quantity, Volume

# The real root of x^4 = x + 1, whose powers spread points evenly over a cube.
PLASTIC = 1.2207440846057596


@dataclass(frozen=True)
class Shape:
    """A body: its sign function (negative inside), the volume of its offset, and half of the box that holds it."""

    sign: Callable[[np.ndarray], np.ndarray]
    volume_mm3: Callable[[float], float]
    reach_mm: float


def sphere(r: float) -> Shape:
    return Shape(lambda p: np.linalg.norm(p, axis=-1) - r, lambda m: 4 / 3 * np.pi * (r + m) ** 3, r)


def torus(big: float, small: float) -> Shape:
    return Shape(
        lambda p: np.hypot(np.hypot(p[..., 0], p[..., 1]) - big, p[..., 2]) - small,
        lambda m: 2 * np.pi**2 * big * (small + m) ** 2,
        big + small,
    )


def overlapping(r: float, half: float) -> Shape:
    """Two balls whose centres are 2 `half` apart; the volume holds while they overlap, as they do however they grow."""

    def volume(m):
        cap = np.pi * (r + m - half) ** 2 * (2 * (r + m) + half) / 3
        return 2 * (4 / 3 * np.pi * (r + m) ** 3 - cap)

    def sign(p):
        return np.hypot(np.hypot(p[..., 0], p[..., 1]), np.abs(p[..., 2]) - half) - r

    return Shape(sign, volume, r + half)


def hemisphere(r: float) -> Shape:
    def volume(m):
        mean = 2 * np.pi * r + np.pi**2 * r / 2
        return 2 / 3 * np.pi * r**3 + 3 * np.pi * r**2 * m + mean * m**2 + 4 / 3 * np.pi * m**3

    return Shape(lambda p: np.maximum(np.linalg.norm(p, axis=-1) - r, -p[..., 2]), volume, r)


def capsule(r: float, half: float) -> Shape:
    def sign(p):
        z = p[..., 2] - np.clip(p[..., 2], -half, half)
        return np.sqrt(p[..., 0] ** 2 + p[..., 1] ** 2 + z**2) - r

    return Shape(sign, lambda m: np.pi * (r + m) ** 2 * 2 * half + 4 / 3 * np.pi * (r + m) ** 3, r + half)


def box(a: float, b: float, c: float) -> Shape:
    half = np.array([a, b, c])

    def volume(m):
        area = 8 * (a * b + b * c + a * c)
        return (2 * half).prod() + area * m + np.pi * m**2 * (2 * half).sum() + 4 / 3 * np.pi * m**3

    return Shape(lambda p: (np.abs(p) - half).max(axis=-1), volume, float(np.linalg.norm(half)))


def cylinder(r: float, half: float) -> Shape:
    def volume(m):
        rim = np.pi * r**2 * m + np.pi**2 * r * m**2 / 2 + 2 / 3 * np.pi * m**3
        return np.pi * (r + m) ** 2 * 2 * half + 2 * rim

    return Shape(
        lambda p: np.maximum(np.hypot(p[..., 0], p[..., 1]) - r, np.abs(p[..., 2]) - half),
        volume,
        float(np.hypot(r, half)),
    )


def cone(r: float, height: float) -> Shape:
    """Steiner's formula with the mean curvature integral of axis and rim; centred on the middle of the axis."""
    slant = float(np.hypot(r, height))
    area, bend = np.pi * r * (r + slant), np.pi * (height + r * (np.pi / 2 + np.arctan2(r, height)))

    def sign(p):
        side = (np.hypot(p[..., 0], p[..., 1]) * height + (p[..., 2] - height / 2) * r) / slant
        return np.maximum(side, -height / 2 - p[..., 2])

    return Shape(
        sign,
        lambda m: np.pi * r**2 * height / 3 + area * m + bend * m**2 + 4 / 3 * np.pi * m**3,
        float(np.hypot(r, height / 2)),
    )


def polyhedron(corners: list[tuple[float, ...]], cc: float) -> tuple[Shape, np.ndarray]:
    """Convex, with its centre of corners at the origin, of so many cm3, and its corners (n, 3); Steiner's formula."""
    at = np.array(corners, float) - np.mean(corners, axis=0)
    at *= (cc * 1000 / ConvexHull(at).volume) ** (1 / 3)
    hull = ConvexHull(at)
    beside: dict[tuple[int, ...], list[np.ndarray]] = {}
    for simplex, plane in zip(hull.simplices, hull.equations, strict=True):
        for pair in (simplex[[0, 1]], simplex[[1, 2]], simplex[[2, 0]]):
            beside.setdefault(tuple(sorted(pair)), []).append(plane[:3])
    bend = sum(
        np.linalg.norm(at[a] - at[b]) * np.arccos(np.clip(n @ m, -1, 1)) / 2 for (a, b), (n, m) in beside.items()
    )
    planes = np.unique(hull.equations.round(9), axis=0)
    shape = Shape(
        lambda p: (p @ planes[:, :3].T + planes[:, 3]).max(axis=-1),
        lambda m: hull.volume + hull.area * m + bend * m**2 + 4 / 3 * np.pi * m**3,
        float(np.linalg.norm(at, axis=1).max()),
    )
    return shape, at


TETRAHEDRON = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
OCTAHEDRON = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
PYRAMID = [(1, 1, 0), (1, -1, 0), (-1, 1, 0), (-1, -1, 0), (0, 0, 1.5)]
PRISM = [(x, y, z) for x, y in ((1, 0), (-0.5, 0.866025), (-0.5, -0.866025)) for z in (-0.8, 0.8)]


def ellipsoid(a: float, b: float, c: float) -> Shape:
    """Steiner's formula: area and mean curvature integral from the support function, by quadrature over the sphere."""
    axes = np.array([a, b, c])
    u, w = np.polynomial.legendre.leggauss(200)
    azimuth = np.arange(400) / 400 * 2 * np.pi
    flat = np.sqrt(1 - u**2)[:, None]
    normal = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), u[:, None] + 0 * azimuth], -1)
    weight = w[:, None] * (2 * np.pi / 400) + 0 * azimuth
    area = (np.linalg.norm(normal / axes, axis=-1) * axes.prod() * weight).sum()
    bend = (np.linalg.norm(normal * axes, axis=-1) * weight).sum()
    own = 4 / 3 * np.pi * axes.prod()
    return Shape(
        lambda p: (np.linalg.norm(p / axes, axis=-1) - 1) * axes.min(),
        lambda m: own + area * m + bend * m**2 + 4 / 3 * np.pi * m**3,
        float(axes.max()),
    )


def turn(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def structure(
    shape: Shape,
    spacing: tuple[float, float, float],
    shift: tuple[float, float, float] = (0, 0, 0),
    split: int | None = None,
    rotation: np.ndarray | None = None,
    points: int = 1000,
) -> Structure:
    """The body, centred on the origin, on a grid shifted by a fraction of a voxel; `split` 1 is a binary mask.

    Fractions are counted on so many `points` of a Kronecker sequence: a regular lattice (`split` along each axis) is
    off by up to 1/16 of a voxel where a face is parallel to it.
    """
    h = np.array(spacing, float)
    n = np.ceil(2 * shape.reach_mm / h).astype(int) + 4
    grid = Grid(tuple(n), tuple(h), tuple(-(n - 1) / 2 * h + np.array(shift) * h))
    offsets = (np.arange(1, points + 1)[:, None] / PLASTIC ** np.arange(1, 4)) % 1 - 0.5
    if split is not None:
        axis = (np.arange(split) + 0.5) / split - 0.5
        offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    turned = np.eye(3) if rotation is None else rotation
    centres = np.stack(np.meshgrid(*grid.axes_mm(), indexing="ij"), -1)
    rough = shape.sign(centres @ turned)
    occupancy = (rough < 0).astype(float)
    cut = np.abs(rough) < 2 * np.linalg.norm(h)
    found = np.zeros(int(cut.sum()))
    for offset in offsets:
        found += shape.sign((centres[cut] + offset * h) @ turned) < 0
    occupancy[cut] = found / len(offsets)
    return Structure("body", Role.TARGET, grid, occupancy)


def dose_of(function: Callable[[np.ndarray], np.ndarray], half_mm: float, step_mm: float) -> Volume:
    """A dose given by a function of position, on a cube about the origin."""
    grid = Grid.covering((-half_mm,) * 3, (half_mm + 0.3,) * 3, step_mm)
    points = np.stack(np.meshgrid(*grid.axes_mm(), indexing="ij"), -1)
    return Volume(grid, function(points), Quantity.DOSE)
