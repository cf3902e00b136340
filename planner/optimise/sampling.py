"""The points at which a plan is optimised: dense at the target's edge, thin where dose changes slowly.

Voxels that the target's surface cuts are split into sub-voxels, so that the points tell inside from outside to a
fraction of a voxel; elsewhere points are voxel centres. Each point stands for a volume, so that sums over points
estimate integrals: the outside of the target is cut into layers by distance, each layer gets a fixed number of points
drawn without replacement, and each point stands for its part of the layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from phantoms.grid import Grid
from phantoms.structure import Structure
from planner.engines.nesting import far_grid

SPLIT = 4
"""Sub-voxels along an axis of a voxel that the target's surface cuts."""

# Outer bounds (mm from the PTV) of the layers outside the target. The first layers decide conformity, the next the
# gradient, the rest low dose; beyond the last bound lies one more layer.
_LAYERS_MM = (1.5, 3.0, 5.0, 8.0, 12.0, 18.0, 35.0)
# Shares of the points: the cut voxels first, then the layers.
_SHARES = (0.12, 0.14, 0.16, 0.16, 0.14, 0.10, 0.08, 0.06, 0.04)
# Share of an organ's points that are those nearest to the target.
_NEAREST = 0.6


@dataclass(frozen=True)
class Budget:
    """How many points a plan is optimised at, at most, and the seed that draws them.

    Attributes
    ----------
    target, outside, organ, skin : int
        `organ` counts for each organ.
    seed : int
    """

    target: int = 8000
    outside: int = 16000
    organ: int = 400
    skin: int = 1500
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the points and the volume that each stands for.

    Attributes
    ----------
    index : ndarray of int, shape (m,)
        Into the points.
    volume_cc : ndarray (m,)
    """

    index: np.ndarray
    volume_cc: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """The volumes divided by their sum."""
        return self.volume_cc / max(float(self.volume_cc.sum()), 1e-12)

    def only(self, chosen: np.ndarray) -> "Part":
        """Return the chosen points (bool, shape (m,)), which stand for the others too."""
        if chosen.all():
            return self
        kept = self.volume_cc[chosen]
        return Part(self.index[chosen], kept * (self.volume_cc.sum() / kept.sum()))


@dataclass(frozen=True, eq=False)
class Samples:
    """Points of an optimisation.

    Attributes
    ----------
    points_mm : ndarray (n, 3)
        LPS.
    distance_mm : ndarray (n,)
        From the surface of the PTV; 0 inside.
    target, outside, brain, skin : Part
        `outside` is the body without the PTV, `brain` is the whole brain with what of the target lies in it, `skin`
        the outer layer of the body without the PTV.
    organs : mapping of str to Part
    scenarios : tuple of Part
        The target again, as each scenario moves it; none unless the plan is to be robust.
    """

    points_mm: np.ndarray
    distance_mm: np.ndarray
    target: Part
    outside: Part
    brain: Part
    skin: Part
    organs: Mapping[str, Part]
    scenarios: tuple[Part, ...] = ()


def sample(
    density_grid: Grid,
    target: Structure,
    structures: Mapping[str, Structure],
    goals: tuple[tuple[str, ...], float],
    budget: Budget,
) -> Samples:
    """Return the points for optimising a plan.

    Parameters
    ----------
    density_grid : Grid
        Points are placed on its voxels; those of the skin on wider ones where these are finer than 2 mm.
    target : Structure
        The PTV.
    structures : mapping of str to Structure
        With ``external`` and ``brain``.
    goals : tuple of (tuple of str, float)
        Names of the structures that get points of their own; thickness of the skin, mm.
    budget : Budget
    """
    random, grid, (organs, skin_mm) = np.random.default_rng(budget.seed), density_grid, goals
    inside, body = target.on(grid), structures["external"].on(grid)
    distance, wide = _distance(grid, inside), far_grid(grid)
    groups = [
        drawn(*filled(grid, inside, SPLIT), budget.target, random),
        _layers(grid, inside, body, distance, (budget.outside, random)),
    ]
    points, volume = _skin(wide, target, structures["external"], skin_mm, (budget.skin, random))
    groups.append((points, volume * (wide.voxel_cc / grid.voxel_cc)))
    for name in organs:
        groups.append(_near_and_far(grid, structures[name].on(grid), distance, (budget.organ, random)))
    ends = np.cumsum([0, *(len(points) for points, _ in groups)])
    parts = [
        Part(np.arange(start, end), volume * grid.voxel_cc)
        for start, end, (_, volume) in zip(ends[:-1], ends[1:], groups, strict=True)
    ]
    points = np.concatenate([points for points, _ in groups])
    around = np.concatenate([part.volume_cc for part in parts[:2]])
    around *= structures["brain"].on(grid).ravel()[voxel_of(grid, points[: len(around)])]
    some = np.flatnonzero(around)
    away = distance[voxel_of(grid, points)].astype(float)
    away[parts[0].index] = 0
    return Samples(
        points,
        away,
        parts[0],
        parts[1],
        Part(some, around[some]),
        parts[2],
        {name: part for name, part in zip(organs, parts[3:], strict=True) if len(part.index)},
    )


def filled(grid: Grid, occupancy: np.ndarray, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points that fill a region, shape (n, 3), LPS mm, and the volume, in voxels, that each stands for.

    The centres of full voxels; of a voxel that is occupied to the fraction f, those of its `split` cubed sub-voxels
    that lie farthest inward, a share f of them (at least one). Volumes sum to the region's.

    Parameters
    ----------
    grid : Grid
    occupancy : ndarray, shape ``grid.shape``
    split : int
        Sub-voxels along an axis.
    """
    full = np.argwhere(occupancy >= 1)
    cut = np.argwhere((occupancy > 0) & (occupancy < 1))
    fraction = occupancy[tuple(cut.T)].astype(float)
    steps = (np.arange(split) + 0.5) / split - 0.5
    inner = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    depth = _inward(occupancy, cut) @ inner.T
    rank = np.argsort(np.argsort(-depth, axis=1, kind="stable"), axis=1, kind="stable")
    count = np.maximum(1, np.rint(fraction * len(inner))).astype(int)
    voxel, place = np.nonzero(rank < count[:, None])
    points = np.concatenate([full, cut[voxel] + inner[place]])
    volume = np.concatenate([np.ones(len(full)), (fraction / count)[voxel]])
    return grid.point_of(points), volume


def _inward(occupancy: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the direction in which occupancy rises at voxels (n, 3), in voxels, shape (n, 3)."""
    out = np.empty(index.shape)
    last = np.array(occupancy.shape) - 1
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        up, down = np.minimum(index + step, last), np.maximum(index - step, 0)
        out[:, axis] = occupancy[tuple(up.T)].astype(float) - occupancy[tuple(down.T)]
    return out


def voxel_of(grid: Grid, points_mm: np.ndarray) -> np.ndarray:
    """Return the flat index of the voxel that holds each point."""
    index = np.clip(np.rint(grid.index_of(points_mm)).astype(int), 0, np.array(grid.shape) - 1)
    return np.ravel_multi_index(tuple(index.T), grid.shape)


def _distance(grid: Grid, inside: np.ndarray) -> np.ndarray:
    """Return the distance (flat, mm, float32) from the target, exact to a half voxel up to the last layer's bound."""
    out = np.full(grid.shape, np.float32(np.inf))
    occupied = np.argwhere(inside > 0)
    reach = np.ceil(_LAYERS_MM[-1] / np.asarray(grid.spacing_mm)).astype(int)
    low = np.maximum(occupied.min(axis=0) - reach, 0)
    high = np.minimum(occupied.max(axis=0) + reach + 1, grid.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    level = min(0.5, float(inside.max()))
    near = distance_transform_edt(inside[box] < level, sampling=grid.spacing_mm)
    # Distances are to the centre of the last voxel inside; the surface lies about half a voxel beyond it.
    out[box] = np.maximum(near - 0.5 * min(grid.spacing_mm), 0)
    return out.ravel()


def drawn(
    points: np.ndarray, volume: np.ndarray, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `count` of the points (or voxels); their volumes sum to what they did before."""
    if len(points) <= count:
        return points, volume
    some = np.sort(random.choice(len(points), count, replace=False))
    return points[some], volume[some] * (volume.sum() / volume[some].sum())


def _layers(
    grid: Grid, inside: np.ndarray, body: np.ndarray, distance: np.ndarray, draw: tuple[int, np.random.Generator]
) -> tuple[np.ndarray, np.ndarray]:
    """Return points of the body outside the target, layer by layer."""
    count, random = draw
    rim = np.where(inside > 0, np.maximum(body - inside, 0), np.float32(0))
    beyond = np.flatnonzero((body > 0) & (inside == 0))
    layer = np.searchsorted(_LAYERS_MM, distance[beyond], side="right")
    rim_points, rim_volume = filled(grid, rim, SPLIT)
    found = [drawn(rim_points, rim_volume, max(1, int(_SHARES[0] * count)), random)]
    for n, share in enumerate(_SHARES[1:]):
        voxels = beyond[layer == n]
        voxels, volume = drawn(voxels, body.ravel()[voxels].astype(float), max(1, int(share * count)), random)
        found.append((_centres(grid, voxels), volume))
    return np.concatenate([points for points, _ in found]), np.concatenate([volume for _, volume in found])


def _skin(
    grid: Grid, target: Structure, external: Structure, thickness_mm: float, draw: tuple[int, np.random.Generator]
) -> tuple[np.ndarray, np.ndarray]:
    """Return points of the outer layer of the body, without the target."""
    inside, body = target.on(grid), external.on(grid)
    depth = distance_transform_edt(np.pad(body >= 0.5, 1), sampling=grid.spacing_mm)[1:-1, 1:-1, 1:-1]
    # Depths are those of voxel centres below the centre of the first voxel outside.
    shallow = depth - 0.5 * min(grid.spacing_mm) <= thickness_mm
    skin = np.where(shallow & (inside == 0), body, np.float32(0))
    return _near_and_far(grid, skin, _distance(grid, inside), draw)


def _near_and_far(
    grid: Grid, occupancy: np.ndarray, distance: np.ndarray, draw: tuple[int, np.random.Generator]
) -> tuple[np.ndarray, np.ndarray]:
    """Return points of an organ: those nearest to the target, where its maximum lies, and some of the rest."""
    count, random = draw
    flat = occupancy.ravel()
    voxels = np.flatnonzero(flat)
    voxels = voxels[np.argsort(distance[voxels], kind="stable")]
    near, far = voxels[: int(_NEAREST * count)], voxels[int(_NEAREST * count) :]
    far, volume = drawn(far, flat[far].astype(float), count - len(near), random)
    return _centres(grid, np.concatenate([near, far])), np.concatenate([flat[near].astype(float), volume])


def _centres(grid: Grid, voxels: np.ndarray) -> np.ndarray:
    """Return the centres (n, 3), LPS mm, of voxels given by flat index."""
    return grid.point_of(np.stack(np.unravel_index(voxels, grid.shape), axis=1))
