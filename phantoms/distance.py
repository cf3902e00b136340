"""Signed distance of a structure's sub-voxel surface, and back from a distance to occupancy."""

from dataclasses import dataclass

import numpy as np

from kernels.coverage import count_level, fraction_inside, sample_level
from kernels.distance import BESIDE, Frame, Sites, measure, place, seed, sweep
from kernels.edges import ALIKE, CREASED, FAR, NEAR, PLANE, SOURCES, TRIED, find_edges, fit_planes, mark
from kernels.quadric import refine
from kernels.ridges import fraction_by_ridges, settle
from kernels.slivers import inherit
from kernels.surface import EMPTY, KIND, PATCH, count_cut, fit_patches, list_cut, spread, stencil
from kernels.threads import chunks, run_chunks
from kernels.tips import find_tips, reach_tips, solidity
from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume

# Width (one sigma) of the smoothing under which normals and curvatures are read, in mean voxel edges. A binary mask
# needs more, because the steps of its surface must average out. Not less than _FLOOR of that in the longest edge.

_SMOOTHING = {False: 1.0, True: 1.2}
_FLOOR = 0.75
# Binary masks of fewer voxels have no surface to smooth: their voxels count as they are.
_SMALL = 64
# How much farther than asked distances are told, longest voxel edges: the fraction of a voxel that lies half a diagonal
# off a level needs the distances of its neighbours.
_BEYOND = 2.5
_PLANES = 8
# Rounds of mending distances beside ridges, one voxel each.
_SETTLED = 2

Split = tuple[int, int, int]
# For a margin outwards, voxels are split in two where they are longer than this share of it and than this length, mm;
# inwards, where the result has edges of its own, where they are longer than the second one. Never in bodies of so many.
_SHARE, _OUTWARDS, _INWARDS, _PARTS = 0.75, 1.0, 0.6, 2
_LARGE = 2_000_000


@dataclass(frozen=True)
class Surface:
    """The sub-voxel surface of a structure as curved patches.

    Attributes
    ----------
    grid : Grid
        Where `cells` index.
    occupancy : ndarray
        On that grid.
    own : ndarray, int32
        Number of the patch of each voxel, -1 where there is none.
    cells : ndarray (n, 3), int32
    patches : ndarray (n, 26)
        See ``kernels.surface``.
    tips : ndarray (n, 3)
        Points in which the body ends, mm from voxel (0, 0, 0).
    """

    grid: Grid
    occupancy: np.ndarray
    own: np.ndarray
    cells: np.ndarray
    patches: np.ndarray
    tips: np.ndarray


def is_binary(occupancy: np.ndarray) -> bool:
    """Whether an occupancy holds (nearly) nothing but empty and full voxels."""
    return not ((occupancy > EMPTY) & (occupancy < 1 - EMPTY)).any()


def _is_digitised(occupancy: np.ndarray) -> bool:
    """Whether a mask is one whose steps stand for a smooth surface: binary, not tiny, and not simply a cuboid."""
    count = np.count_nonzero(occupancy > EMPTY)
    if not is_binary(occupancy) or count < _SMALL:
        return False
    sides = [np.count_nonzero((occupancy > EMPTY).any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return bool(count < sides[0] * sides[1] * sides[2])


def has_surface(structure: Structure) -> bool:
    """Whether a structure occupies any voxel by more than a trace, so that distances from it can be told."""
    return bool((structure.occupancy > EMPTY).any())


def _told_in_fractions(structure: Structure) -> Structure:
    """Return a structure to measure from: a mask that is digitised has the fractions below its smooth surface."""
    if not has_surface(structure):
        raise ValueError(f"structure {structure.name} is empty: it has no surface to measure from")
    if not _is_digitised(structure.occupancy):
        return structure
    field, _ = transform(surface_of(structure), 0.0, 0.0)
    shaded = Structure(structure.name, structure.role, field.grid, occupancy_of(field))
    return shaded if has_surface(shaded) else structure


def _extent(hit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the half-open box (low, high), each (3,), of what is set."""
    along = [np.flatnonzero(hit.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return np.array([on[0] for on in along]), np.array([on[-1] + 1 for on in along])


def surface_of(structure: Structure, edges: bool = True) -> Surface:
    """Return the surface of a structure on its own window, cropped and padded by a few voxels.

    Without `edges` it is smooth everywhere, which is enough to tell the side of a voxel that is occupied.
    """
    smoothed = _is_digitised(structure.occupancy)
    step = np.asarray(structure.grid.spacing_mm)
    width = _SMOOTHING[smoothed] * max(float(np.cbrt(step.prod())), _FLOOR * float(step.max()))
    # A voxel that averages has smoothed already, with the variance of its own width.
    sigma = np.sqrt(width**2 - (0.0 if smoothed else 1.0) * step**2 / 12.0)
    x, y, z = (stencil(float(s)) for s in sigma / step)
    radius = (x.shape[1] // 2, y.shape[1] // 2, z.shape[1] // 2)
    low, high = _extent(structure.occupancy > (EMPTY if has_surface(structure) else 0.0))
    pad = np.asarray(radius) + 2
    grid = structure.grid.window(low - pad, high + pad)
    f = structure.on(grid)
    planes = chunks(grid.shape[0], _PLANES)
    counts = run_chunks(lambda lo, hi: count_cut(f, smoothed, radius, (lo, hi)), planes)
    ends = np.cumsum(counts)
    cells = np.empty((int(ends[-1]), 3), np.int32)
    run_chunks(
        lambda lo, hi, start, end: list_cut(f, smoothed, radius, (lo, hi), cells[start:end]),
        [(lo, hi, end - n, end) for (lo, hi), n, end in zip(planes, counts, ends, strict=True)],
    )
    patches = np.empty((len(cells), PATCH))
    h = grid.spacing_mm
    run_chunks(
        lambda lo, hi: fit_patches(f, smoothed, h, (x, y, z), sigma, cells, (lo, hi), patches),
        chunks(len(cells), 512),
    )
    own = np.full(grid.shape, -1, np.int32)
    own[tuple(cells.T)] = np.arange(len(cells), dtype=np.int32)
    tips = _sharpen(f, own, h, cells, patches) if edges and not smoothed else np.empty((0, 3))
    return Surface(grid, f, own, cells, patches, tips)


def _is_hollow(patches: np.ndarray) -> np.ndarray:
    """Return which patches (n,) are bent inwards along some direction: their mean or Gaussian curvature is negative."""
    k0, k1, k2, k3, k4, k5 = patches[:, 4:10].T
    gauss = k0 * k1 + k0 * k2 + k1 * k2 - k3**2 - k4**2 - k5**2
    return np.asarray((k0 + k1 + k2 < 0.0) | (gauss < 0.0))


def _sharpen(
    f: np.ndarray, own: np.ndarray, h: tuple[float, float, float], cells: np.ndarray, patches: np.ndarray
) -> np.ndarray:
    """Restore, in `patches`, edges, corners and creases that smoothing rounded; return the tips (n, 3)."""
    rows, count = chunks(len(cells), 512), len(cells)
    curved, zone = np.zeros(count, bool), np.zeros(count, bool)
    run_chunks(lambda lo, hi: mark(patches, h, (lo, hi), curved), rows)
    if not curved.any():
        return np.empty((0, 3))
    spread(own, cells, curved, NEAR, zone)
    misfit, planes = np.empty(count), np.zeros((count, SOURCES, PLANE))
    run_chunks(lambda lo, hi: refine(f, cells, patches, h, zone, (lo, hi), misfit), rows)
    near = np.zeros(count, bool)
    spread(own, cells, misfit > TRIED, FAR, near)
    near &= zone
    if not near.any():
        return np.empty((0, 3))
    wanted = np.where(near, misfit, np.inf)
    run_chunks(lambda lo, hi: fit_planes(f, own, h, cells, patches, wanted, (lo, hi), planes), rows)
    hollow = _is_hollow(patches)
    run_chunks(lambda lo, hi: find_edges(f, own, h, cells, planes, misfit, ALIKE, (lo, hi), patches), rows)
    folded = np.zeros(count, bool)
    spread(own, cells, patches[:, KIND] > 0.0, NEAR, folded)
    hollow &= ~folded & (misfit > TRIED)
    if hollow.any():
        # A crease is an edge of what lies around the body.
        turned, around = planes.copy(), 1.0 - f
        turned[:, :, 1:] *= -1.0
        turned[misfit > TRIED, -1, 0] = 0.0
        patches[hollow, :10] *= -1.0
        wanted = np.where(hollow, misfit, 0.0)
        run_chunks(lambda lo, hi: find_edges(around, own, h, cells, turned, wanted, CREASED, (lo, hi), patches), rows)
        patches[hollow, :10] *= -1.0
        patches[hollow, KIND] *= -1.0
    beside = np.zeros(count, bool)
    spread(own, cells, patches[:, KIND] > 0.0, FAR, beside)
    beside &= zone
    lost = np.zeros(count, bool)
    run_chunks(lambda lo, hi: inherit(f, own, h, cells, beside, (lo, hi), patches, lost), rows)
    solid, tips = np.empty(count), np.empty((count, 3))
    run_chunks(lambda lo, hi: solidity(f, cells, (lo, hi), solid), rows)
    run_chunks(lambda lo, hi: find_tips(own, h, cells, patches, planes, solid, (lo, hi), tips), rows)
    own[tuple(cells[lost].T)] = -1
    return tips[~np.isnan(tips[:, 0])]


def distance_field(structure: Structure, reach_mm: float, split: Split = (1, 1, 1)) -> Volume:
    """Return the signed distance (mm, negative inside) on the structure's window padded by `reach_mm`.

    Parameters
    ----------
    structure : Structure
    reach_mm : float
        Distance up to which the field is exact, outside and inside; beyond, plus or minus a little more is written.
    split : tuple of 3 int
        The field's lattice has so many voxels in each of the structure's, along each axis.

    Raises
    ------
    ValueError
        If the structure is empty.
    """
    return transform(surface_of(_told_in_fractions(structure)), reach_mm, reach_mm, split)[0]


def _lattice(surface: Surface, around_mm: float, split: Split) -> tuple[Grid, Frame]:
    """Return the grid of a field of distances, on a window of the surface's lattice, and how kernels see it."""
    h = surface.grid.spacing_mm
    pad = np.ceil((around_mm + _BEYOND * max(h)) / np.asarray(h)).astype(int)
    first, end = surface.cells.min(axis=0) - pad, surface.cells.max(axis=0) + 1 + pad
    fine = surface.grid.window(first, end).split(split)
    x, y, z = (float(a - b) for a, b in zip(fine.origin_mm, surface.grid.origin_mm, strict=True))

    def indices(of: np.ndarray) -> tuple[int, int, int]:
        i, j, k = (int(n) for n in of)
        return i, j, k

    low, high = indices(pad * split), indices(fine.shape - pad * split)
    return fine, Frame(h, (x, y, z), fine.spacing_mm, indices(first), split, low, high)


@dataclass(frozen=True, eq=False)
class Feet:
    """What distances are to.

    Attributes
    ----------
    ids : ndarray, int32
        Patch that the distance of each voxel is to, -1 beyond reach.
    own : ndarray, int32
        Patch of each voxel of the surface's lattice.
    sites : Sites
    frame : Frame
    """

    ids: np.ndarray
    own: np.ndarray
    sites: Sites
    frame: Frame


def transform(surface: Surface, reach_mm: float, around_mm: float, split: Split = (1, 1, 1)) -> tuple[Volume, Feet]:
    """Return the signed distance to a surface, exact within `reach_mm`, in a window of `around_mm` and a little more.

    The window is of the surface's lattice, every voxel split. The second value tells what the distances are to.
    """
    h, cells, own = surface.grid.spacing_mm, surface.cells, surface.own
    points, origins = np.empty((len(cells), 3)), np.empty((len(cells), 3))
    seed(cells, surface.patches, h, points, origins)
    sharp = np.zeros(len(cells), bool)
    spread(own, cells, surface.patches[:, KIND] != 0.0, BESIDE, sharp)
    sites = Sites(cells, surface.patches, points, origins, sharp)
    fine, frame = _lattice(surface, around_mm, split)
    reach = reach_mm + _BEYOND * max(h)
    ids = np.full(fine.shape, -1, np.int32)
    place(own, sites, frame, ids)
    for axis, rows in ((0, (frame.low[1], frame.high[1])), (1, (0, fine.shape[0]))):
        lines = [(low + rows[0], high + rows[0]) for low, high in chunks(rows[1] - rows[0], _PLANES)]
        run_chunks(lambda lo, hi, axis=axis: sweep(ids, points, frame, axis, reach**2, (lo, hi)), lines)
    out = np.empty(fine.shape, np.float32)
    run_chunks(
        lambda lo, hi: measure(surface.occupancy, ids, own, sites, frame, reach, (lo, hi), out),
        chunks(fine.shape[0], _PLANES),
    )
    for _ in range(_SETTLED):
        before, out, ids_before, ids = out, out.copy(), ids, ids.copy()
        run_chunks(
            lambda lo, hi, phi=before, to=ids_before, mended=out, mended_ids=ids: settle(
                phi, to, own, sites, frame, (lo, hi), mended, mended_ids
            ),
            chunks(fine.shape[0], _PLANES),
        )
    run_chunks(lambda lo, hi: reach_tips(out, surface.tips, frame, reach, (lo, hi)), chunks(fine.shape[0], _PLANES))
    return Volume(fine, out, Quantity.DISTANCE), Feet(ids, own, sites, frame)


def occupancy_of(distance: Volume, level_mm: float = 0.0) -> np.ndarray:
    """Return the fraction of each voxel where a signed distance is below a level.

    Parameters
    ----------
    distance : Volume
        Signed distance, mm.
    level_mm : float

    Returns
    -------
    ndarray, shape of the grid, float32
    """
    out = np.empty(distance.grid.shape, np.float32)
    run_chunks(
        lambda lo, hi: fraction_inside(distance.data, distance.grid.spacing_mm, float(level_mm), (lo, hi), out),
        chunks(distance.grid.shape[0], _PLANES),
    )
    return out


def grown(structure: Structure, mm: float) -> Structure:
    """Return all that lies within `mm` of a structure, or what lies deeper inside than `mm` if that is negative.

    Where voxels are coarse for the margin they are split, and fractions told from the parts: a surface that is
    parallel to an edge is no rounder than the margin, and one that lies inside has edges itself.

    Raises
    ------
    ValueError
        If the structure is empty.
    """
    shaded = _told_in_fractions(structure)
    finest = max(_SHARE * mm, _OUTWARDS) if mm > 0.0 else _INWARDS
    most = _PARTS if np.count_nonzero(structure.occupancy) < _LARGE else 1
    nx, ny, nz = (min(int(np.ceil(step / finest - 1e-6)), most) for step in structure.grid.spacing_mm)
    split = (nx, ny, nz)
    field, feet = transform(surface_of(shaded), abs(mm), max(mm, 0.0), split)
    fractions = occupancy_of(field, mm)
    if mm < 0.0:
        run_chunks(
            lambda lo, hi: fraction_by_ridges(
                field.data, feet.ids, feet.own, feet.sites, feet.frame, float(mm), (lo, hi), fractions
            ),
            chunks(field.grid.shape[0], _PLANES),
        )
    nx, ny, nz = (n // parts for n, parts in zip(field.grid.shape, split, strict=True))
    fractions = fractions.reshape(nx, split[0], ny, split[1], nz, split[2]).mean(axis=(1, 3, 5))
    return Structure(structure.name, structure.role, field.grid.merged(split), fractions)


@dataclass(frozen=True, eq=False)
class SurfaceSamples:
    """Points spread over a surface.

    Attributes
    ----------
    points_mm : ndarray (n, 3)
        LPS.
    area_mm2 : ndarray (n,)
        The area that each point stands for.
    """

    points_mm: np.ndarray
    area_mm2: np.ndarray


def level_surface(distance: Volume, level_mm: float = 0.0) -> SurfaceSamples:
    """Return points on the parallel surface where a signed distance has a value, weighted by area.

    Parameters
    ----------
    distance : Volume
        Signed distance, mm, that reaches beyond the level.
    level_mm : float
    """
    phi, lattice, level = distance.data, distance.grid.lattice, float(level_mm)
    planes = chunks(distance.grid.shape[0], _PLANES)
    counts = run_chunks(lambda lo, hi: count_level(phi, lattice.step, level, (lo, hi)), planes)
    ends = np.cumsum(counts)
    points, area = np.empty((int(ends[-1]), 3)), np.empty(int(ends[-1]))
    run_chunks(
        lambda lo, hi, start, end: sample_level(lattice, phi, level, (lo, hi), points[start:end], area[start:end]),
        [(lo, hi, end - n, end) for (lo, hi), n, end in zip(planes, counts, ends, strict=True)],
    )
    return SurfaceSamples(points, area)
