"""Shapes as signed distances (mm, negative inside): analytic bodies, their combinations, and their occupancy on grids.

The analytic bodies have exact distances, volumes and grown volumes, so they are the oracle of margins; the ellipsoid
is the exception (its distance is first order, exact on the surface). Combinations with ``|``, ``&`` and ``-`` have
exact zero surfaces; their distance is a bound.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernels.threads import chunks, run_chunks
from phantoms.grid import Grid, Triple
from phantoms.noise import Noise
from phantoms.structure import Role, Structure

# How much slower the noise of a bow varies than itself.
_SLOW = np.float32(0.35)
_EVERYWHERE = (np.full(3, -np.inf), np.full(3, np.inf))


class Shape:
    """A body given by its signed distance."""

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm, at coordinates that broadcast against each other (mm)."""
        raise NotImplementedError

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner, mm, of a box that holds the body (infinite for half-spaces)."""
        return _EVERYWHERE

    def __or__(self, other: "Shape") -> "Shape":
        return Blend(self, other)

    def __and__(self, other: "Shape") -> "Shape":
        return Both(self, other)

    def __sub__(self, other: "Shape") -> "Shape":
        return Both(self, Outside(other))

    def eased(self, other: "Shape", width_mm: float) -> "Shape":
        """Return the intersection with another shape, its edges rounded over `width_mm`."""
        return Eased(self, other, width_mm)

    def grown(self, by_mm: float) -> "Shape":
        """Return the shape whose surface lies `by_mm` further out (inwards if negative)."""
        return Grown(self, by_mm)

    def moved(self, by_mm: Triple) -> "Shape":
        """Return the shape translated by `by_mm`."""
        return Placed(self, np.eye(3), np.asarray(by_mm, float))

    def rotated(self, matrix: np.ndarray, about_mm: Triple = (0.0, 0.0, 0.0)) -> "Shape":
        """Return the shape turned by the 3x3 rotation `matrix` about a point."""
        about = np.asarray(about_mm, float)
        return Placed(self, np.asarray(matrix, float), about - np.asarray(matrix, float) @ about)

    def bowed(self, noise: Noise, by_mm: float) -> "Shape":
        """Return the shape bowed sideways by ``by_mm`` times a slow noise."""
        return Bowed(self, noise, by_mm)

    def roughened(self, noise: Noise, by_mm: float) -> "Shape":
        """Return the shape with its surface pushed out by ``by_mm`` times a unit noise field."""
        return Rough(self, noise, by_mm)


def turned(axis: int, angle_deg: float) -> np.ndarray:
    """Return the rotation matrix about a coordinate axis."""
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    a, b = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[a, a], turn[a, b], turn[b, a], turn[b, b] = c, -s, s, c
    return turn


def _box_of(centre: Triple, half: np.ndarray | Triple | float) -> tuple[np.ndarray, np.ndarray]:
    middle, reach = np.asarray(centre, float), np.broadcast_to(np.asarray(half, float), 3)
    return middle - reach, middle + reach


@dataclass(frozen=True)
class Sphere(Shape):
    """A ball."""

    centre: Triple
    radius: float

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        cx, cy, cz = self.centre
        return np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) - self.radius

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        return _box_of(self.centre, self.radius)

    @property
    def volume_cc(self) -> float:
        """Exact volume, cm3."""
        return self.grown_cc(0.0)

    def grown_cc(self, by_mm: float) -> float:
        """Return the exact volume, cm3, of the ball with a margin."""
        return 4.0 / 3.0 * np.pi * (self.radius + by_mm) ** 3 / 1000.0


@dataclass(frozen=True)
class Ellipsoid(Shape):
    """An axis-aligned ellipsoid. Its distance is first order: exact on the surface, a bound in size elsewhere."""

    centre: Triple
    radii: Triple

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        a, b, c = ((v - m) ** 2 for v, m in zip((x, y, z), self.centre, strict=True))
        p, q, r = self.radii
        # A trace is added so that the quotient at the very centre is the smallest radius, and not 0 / 0.
        level = np.sqrt((a / p**2 + 1e-6) + b / q**2 + c / r**2)
        steep = (a / p**4 + 1e-6 / min(self.radii) ** 2) + b / q**4 + c / r**4
        np.sqrt(steep, out=steep)
        np.divide(level, steep, out=steep)
        level -= 1.0
        level *= steep
        return level

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        return _box_of(self.centre, self.radii)

    @property
    def volume_cc(self) -> float:
        """Exact volume, cm3."""
        return 4.0 / 3.0 * np.pi * float(np.prod(self.radii)) / 1000.0


@dataclass(frozen=True)
class Capsule(Shape):
    """A cylinder between two points with half balls at its ends; the radius may taper linearly (then first order)."""

    start: Triple
    end: Triple
    radius: float
    end_radius: float | None = None

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        axis = np.subtract(self.end, self.start)
        sx, sy, sz = self.start
        per = axis / float(axis @ axis)
        along = np.clip((x - sx) * float(per[0]) + (y - sy) * float(per[1]) + (z - sz) * float(per[2]), 0.0, 1.0)
        off = (
            (x - sx - along * float(axis[0])) ** 2
            + (y - sy - along * float(axis[1])) ** 2
            + (z - sz - along * float(axis[2])) ** 2
        )
        taper = 0.0 if self.end_radius is None else self.end_radius - self.radius
        return np.sqrt(off) - (self.radius + taper * along)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        reach = max(self.radius, self.end_radius or 0.0)
        return np.minimum(self.start, self.end) - reach, np.maximum(self.start, self.end) + reach

    @property
    def volume_cc(self) -> float:
        """Exact volume, cm3, of the untapered capsule."""
        return self.grown_cc(0.0)

    def grown_cc(self, by_mm: float) -> float:
        """Return the exact volume, cm3, of the untapered capsule with a margin."""
        r, length = self.radius + by_mm, float(np.linalg.norm(np.subtract(self.end, self.start)))
        return np.pi * r**2 * (length + 4.0 / 3.0 * r) / 1000.0


@dataclass(frozen=True)
class Box(Shape):
    """An axis-aligned box, its edges rounded by `rounding` mm within its size."""

    centre: Triple
    half: Triple
    rounding: float = 0.0

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        qx, qy, qz = (
            np.abs(v - c) - (h - self.rounding) for v, c, h in zip((x, y, z), self.centre, self.half, strict=True)
        )
        outside = np.sqrt(np.maximum(qx, 0.0) ** 2 + np.maximum(qy, 0.0) ** 2 + np.maximum(qz, 0.0) ** 2)
        return outside + np.minimum(np.maximum(np.maximum(qx, qy), qz), 0.0) - self.rounding

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        return _box_of(self.centre, self.half)

    @property
    def volume_cc(self) -> float:
        """Exact volume, cm3."""
        return self.grown_cc(0.0)

    def grown_cc(self, by_mm: float) -> float:
        """Return the exact volume, cm3, of the box with a margin (Steiner's formula: rounded edges)."""
        a, b, c = (2.0 * (h - self.rounding) for h in self.half)
        r = self.rounding + by_mm
        return (a * b * c + 2 * r * (a * b + b * c + c * a) + np.pi * r**2 * (a + b + c) + 4 / 3 * np.pi * r**3) / 1e3


@dataclass(frozen=True)
class Torus(Shape):
    """A ring around the z axis through its centre."""

    centre: Triple
    ring: float
    radius: float

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        cx, cy, cz = self.centre
        off = np.sqrt((x - cx) ** 2 + (y - cy) ** 2) - self.ring
        return np.sqrt(off**2 + (z - cz) ** 2) - self.radius

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        wide = self.ring + self.radius
        return _box_of(self.centre, (wide, wide, self.radius))

    @property
    def volume_cc(self) -> float:
        """Exact volume, cm3."""
        return self.grown_cc(0.0)

    def grown_cc(self, by_mm: float) -> float:
        """Return the exact volume, cm3, with a margin that does not yet close the hole."""
        return 2.0 * np.pi**2 * self.ring * (self.radius + by_mm) ** 2 / 1000.0


@dataclass(frozen=True)
class Below(Shape):
    """The half-space on the side of a plane that its normal points away from."""

    point: Triple
    normal: Triple

    @cached_property
    def _unit(self) -> list[float]:
        return [float(n) for n in np.asarray(self.normal, float) / np.linalg.norm(self.normal)]

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        (px, py, pz), (nx, ny, nz) = self.point, self._unit
        return (x - px) * nx + (y - py) * ny + (z - pz) * nz


@dataclass(frozen=True)
class Blend(Shape):
    """Union of two shapes, its crease filled over `width` mm (a quadratic smooth minimum)."""

    first: Shape
    second: Shape
    width: float = 0.0

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        a, b = self.first.distance(x, y, z), self.second.distance(x, y, z)
        least = np.minimum(a, b)
        if self.width <= 0:
            return least
        return least - np.maximum(self.width - np.abs(a - b), 0.0) ** 2 * (0.25 / self.width)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        (a, b), (c, d) = self.first.bounds, self.second.bounds
        return np.minimum(a, c) - self.width / 4, np.maximum(b, d) + self.width / 4


@dataclass(frozen=True)
class Both(Shape):
    """Intersection of two shapes."""

    first: Shape
    second: Shape

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        return np.maximum(self.first.distance(x, y, z), self.second.distance(x, y, z))

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        (a, b), (c, d) = self.first.bounds, self.second.bounds
        return np.maximum(a, c), np.minimum(b, d)


@dataclass(frozen=True)
class Eased(Both):
    """Intersection of two shapes whose edges are rounded over `width` mm."""

    width: float

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        a, b = self.first.distance(x, y, z), self.second.distance(x, y, z)
        return np.maximum(a, b) + np.maximum(self.width - np.abs(a - b), 0.0) ** 2 * (0.25 / self.width)


@dataclass(frozen=True)
class Outside(Shape):
    """The complement of a shape."""

    inner: Shape

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        return -self.inner.distance(x, y, z)


@dataclass(frozen=True)
class Grown(Shape):
    """A shape with its surface moved out by `by_mm`."""

    inner: Shape
    by_mm: float

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        return self.inner.distance(x, y, z) - self.by_mm

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        low, high = self.inner.bounds
        return low - self.by_mm, high + self.by_mm


@dataclass(frozen=True, eq=False)
class Placed(Shape):
    """A shape turned by a rotation matrix, then moved: ``p -> matrix p + shift``."""

    inner: Shape
    matrix: np.ndarray
    shift: np.ndarray

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        x, y, z = (v - float(s) for v, s in zip((x, y, z), self.shift, strict=True))
        if np.array_equal(self.matrix, np.eye(3)):
            return self.inner.distance(x, y, z)
        back = self.matrix.T
        turned = (x * float(row[0]) + y * float(row[1]) + z * float(row[2]) for row in back)
        return self.inner.distance(*turned)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        low, high = self.inner.bounds
        if not np.isfinite([low, high]).all():
            return _EVERYWHERE
        middle = self.matrix @ ((low + high) / 2) + self.shift
        reach = np.abs(self.matrix) @ ((high - low) / 2)
        return middle - reach, middle + reach


@dataclass(frozen=True, eq=False)
class Rough(Shape):
    """A shape whose surface is pushed out by `by_mm` times a unit noise field, cut at three deviations."""

    inner: Shape
    noise: Noise
    by_mm: float

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        return self.inner.distance(x, y, z) - self.by_mm * np.clip(self.noise.at(x, y, z), -3.0, 3.0)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        low, high = self.inner.bounds
        return low - 3 * self.by_mm, high + 3 * self.by_mm


@dataclass(frozen=True, eq=False)
class Bowed(Shape):
    """A shape bowed to the left and right by ``by_mm`` times a slow noise of y and z alone, cut at two deviations."""

    inner: Shape
    noise: Noise
    by_mm: float

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        level = np.zeros((1, 1, 1), np.float32)
        return self.inner.distance(
            x - self.by_mm * np.clip(self.noise.at(level, _SLOW * y, _SLOW * z), -2.0, 2.0), y, z
        )

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        low, high = self.inner.bounds
        reach = np.array([2 * self.by_mm, 0.0, 0.0])
        return low - reach, high + reach


@dataclass(frozen=True)
class Union(Shape):
    """Union of many shapes, creases filled over `width` mm; farther than `reach` from all of them it returns `reach`.

    Each part is evaluated only near itself, which makes unions of many small parts cheap.
    """

    parts: tuple[Shape, ...]
    width: float = 0.0
    reach: float = 12.0

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the signed distance, mm."""
        x, y, z = (np.asarray(v) for v in (x, y, z))
        out = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), self.reach, np.result_type(x, np.float32))
        mesh = _is_mesh(x, y, z)
        for part in self.parts:
            if not mesh:
                self._merge(out, part.distance(x, y, z))
                continue
            low, high = part.bounds
            block = tuple(
                slice(*np.searchsorted(axis.ravel(), (lo - self.reach, hi + self.reach)))
                for axis, lo, hi in zip((x, y, z), low, high, strict=True)
            )
            if all(side.stop > side.start for side in block):
                a, b, c = block
                self._merge(out[block], part.distance(x[a], y[:, b], z[:, :, c]))
        return out

    def _merge(self, into: np.ndarray, other: np.ndarray) -> None:
        if self.width > 0:
            crease = np.maximum(self.width - np.abs(into - other), 0.0)
            crease *= crease
            crease *= 0.25 / self.width
            np.minimum(into, other, out=into)
            into -= crease
        else:
            np.minimum(into, other, out=into)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of a box that holds the body, mm."""
        corners = [part.bounds for part in self.parts]
        swell = self.width / 4
        return np.min([c[0] for c in corners], axis=0) - swell, np.max([c[1] for c in corners], axis=0) + swell


def _is_mesh(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> bool:
    """Whether coordinates are an open mesh of ascending axes."""
    return x.ndim == 3 and x.shape[1:] == (1, 1) and y.shape[::2] == (1, 1) and z.shape[:2] == (1, 1)


def union(*shapes: Shape, width: float = 0.0, reach: float = 12.0) -> Shape:
    """Return the union of shapes, creases filled over `width` mm, its distance cut off at `reach` mm or farther out."""
    # A part must still be seen where its crease begins, or the surface would have steps.
    return Union(shapes, width, max(reach, width + 6.0))


def sampled(shape: Shape, grid: Grid) -> np.ndarray:
    """Return the signed distance, mm, shape ``grid.shape``, float32, at the voxel centres."""
    x, y, z = (axis.astype(np.float32) for axis in grid.axes_mm())
    out = np.empty(grid.shape, np.float32)

    def slab(low: int, high: int) -> None:
        out[low:high] = shape.distance(x[low:high, None, None], y[None, :, None], z[None, None, :])

    run_chunks(slab, chunks(grid.shape[0], 4))
    return out


def window_of(shape: Shape, grid: Grid, margin_voxels: int = 1) -> Grid:
    """Return the window of `grid` (voxels coincide, clipped to it) that holds a shape and a margin.

    Raises
    ------
    ValueError
        If the shape lies wholly outside the grid.
    """
    low, high = shape.bounds
    first = np.maximum(np.floor(np.clip(grid.index_of(low), -1e6, 1e6)) - margin_voxels, 0).astype(int)
    last = np.minimum(np.ceil(np.clip(grid.index_of(high), -1e6, 1e6)) + margin_voxels + 1, grid.shape).astype(int)
    if (last <= first).any():
        raise ValueError(f"shape between {low} and {high} mm lies outside the grid {grid.low_mm} to {grid.high_mm}")
    return grid.window(first, last)


def occupancy(shape: Shape, grid: Grid, samples: int = 1) -> np.ndarray:
    """Return the fraction of each voxel inside a shape, shape ``grid.shape``, float32.

    Parameters
    ----------
    shape : Shape
    grid : Grid
    samples : int
        Sub-voxels along each axis. In each the surface counts as a plane across its middle: the fraction falls
        linearly over one sub-voxel of signed distance.
    """
    if samples == 1:
        return covered(sampled(shape, grid), grid)
    total = np.zeros(grid.shape, np.float32)
    step = np.asarray(grid.spacing_mm)
    for shift in np.ndindex(samples, samples, samples):
        offset = (np.asarray(shift) + 0.5) / samples - 0.5
        at = Grid(grid.shape, grid.spacing_mm, tuple(np.asarray(grid.origin_mm) + offset * step))
        total += covered(sampled(shape, at), grid, samples)
    return total / np.float32(samples**3)


def covered(distance_mm: np.ndarray, grid: Grid, samples: int = 1) -> np.ndarray:
    """Return the occupied fraction for a signed distance at (sub-)voxel centres: linear over one (sub-)voxel."""
    width = float(np.prod(grid.spacing_mm)) ** (1 / 3) / samples
    return np.clip(0.5 - distance_mm / np.float32(width), 0.0, 1.0)


def structure_of(name: str, role: Role, shape: Shape, grid: Grid) -> Structure:
    """Return a shape as a structure on the window of `grid` that holds it."""
    window = window_of(shape, grid)
    return Structure(name, role, window, occupancy(shape, window))
