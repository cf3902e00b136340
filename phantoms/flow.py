"""How brain tissue moves as the cavity changes: the true deformation between any two days of a course.

Tissue moves along rays from a point inside the cavity, by the volume that the wall gains or loses: volumes are kept
where there is room, and what is displaced is taken up near the dura, where cerebrospinal fluid yields. Nothing moves
beyond the dura (the course's room). A registration or an accumulation of dose can be judged against it.
"""

from functools import cached_property

import numpy as np

from kernels.radial import flow_lattice, flow_points, warp
from kernels.threads import chunks, run_chunks
from phantoms.cavity import fitted_patch
from phantoms.cited import Cited
from phantoms.course import SurgicalCourse
from phantoms.grid import Grid
from phantoms.rays import COLUMNS, ROWS, directions, first_exit, smoothed
from phantoms.structure import Structure

REACH_MM = Cited(62.0, "tissue rests beyond this distance from the cavity's centre", "assumed")
YIELDING_SHARE = Cited(0.25, "where displaced volume is taken up: share of the cube of the dura's distance", "assumed")
MENINGES_MM = Cited(1.0, "tissue that always stays between cavity and dura", "assumed")

AT_REST_DAY = -1e-6
"""The head is drawn as it is just before surgery: it is the state that later days are told against."""
_SOLVE_MM = 1.5
_HALVINGS = 24
# Motion that is not worth an interpolation, in voxels.
_STILL = 0.02


class TissueFlow:
    """The motion of tissue over one course; walls of days that were asked for are kept.

    The cavity's wall is followed where it lies at least the thickness of the meninges from the dura; where it touches
    the dura, a layer of that thickness stays.

    Parameters
    ----------
    course : SurgicalCourse

    Attributes
    ----------
    course : SurgicalCourse
    centre_mm : tuple of 3 float
        Where all rays meet.
    """

    def __init__(self, course: SurgicalCourse) -> None:
        self.course = course
        centre = np.asarray(course.lesion.centre_mm) + course.shift_mm[0] + 0.5 * course.shift_mm[1]
        self.centre_mm = (float(centre[0]), float(centre[1]), float(centre[2]))
        self._walls: dict[float, np.ndarray] = {}

    def window(self, grid: Grid) -> Grid:
        """Return the voxels of a grid in which tissue can move."""
        low = np.maximum(np.floor(grid.index_of(np.asarray(self.centre_mm) - REACH_MM.value)).astype(int), 0)
        high = np.ceil(grid.index_of(np.asarray(self.centre_mm) + REACH_MM.value)).astype(int) + 1
        return grid.window(low.tolist(), np.minimum(high, grid.shape).tolist())

    def displacement(self, day_from: float, day_to: float, grid: Grid) -> np.ndarray:
        """Return how far the tissue at each voxel centre on `day_from` has moved by `day_to`.

        Parameters
        ----------
        day_from, day_to : float
            Days since surgery; before it the tumour stands for the cavity.
        grid : Grid

        Returns
        -------
        ndarray, shape (3, *grid.shape), float32
            Components along x, y, z, mm.
        """
        tables = self._tables(day_from, day_to)
        out = np.empty((3, *grid.shape), np.float32)
        share = YIELDING_SHARE.value
        run_chunks(
            lambda low, high: flow_lattice(grid.lattice, self.centre_mm, tables, share, (low, high), out),
            chunks(grid.shape[0], 8),
        )
        return out

    def moved(self, points_mm: np.ndarray, day_from: float, day_to: float) -> tuple[np.ndarray, np.ndarray]:
        """Return where points of `day_from` lie on `day_to`, and the Jacobian determinant of the map there.

        Parameters
        ----------
        points_mm : ndarray, shape (n, 3)
            LPS mm.
        day_from, day_to : float

        Returns
        -------
        points : ndarray, shape (n, 3)
        jacobian : ndarray, shape (n,)
            Volume on `day_to` of a unit of volume on `day_from`; positive.
        """
        points = np.ascontiguousarray(points_mm, np.float64)
        out, jacobian = np.empty_like(points), np.empty(len(points))
        flow_points(self.centre_mm, self._tables(day_from, day_to), YIELDING_SHARE.value, points, out, jacobian)
        return out, jacobian

    def _tables(self, day_from: float, day_to: float) -> np.ndarray:
        return np.ascontiguousarray(np.stack([self._wall(day_from), self._wall(day_to), self._limit]) ** 3)

    @cached_property
    def _limit(self) -> np.ndarray:
        """Distance to the dura along each ray, mm, smoothed over neighbouring rays."""
        if self.course.within is None:
            return np.full((ROWS + 1, COLUMNS), REACH_MM.value)
        exits = first_exit(self.course.within, np.asarray(self.centre_mm), REACH_MM.value)
        return np.maximum(smoothed(exits), 2.0 * MENINGES_MM.value)

    def _wall(self, day: float) -> np.ndarray:
        """Distance to tumour or cavity wall along each ray, mm."""
        if day not in self._walls:
            course = self.course
            form, centre = course.form(day), course.centre_mm(day)
            around = Grid.covering(self.centre_mm, self.centre_mm, _SOLVE_MM)
            _, _, scale = fitted_patch(around, centre, form, course.bed_cc(day), course.within)
            rays = directions().reshape(-1, 3)
            offset = np.asarray(self.centre_mm) - centre
            low, high = np.zeros(len(rays)), np.full(len(rays), REACH_MM.value)
            for _ in range(_HALVINGS):
                middle = 0.5 * (low + high)
                x, y, z = (rays * middle[:, None] + offset).T.astype(np.float32)
                length = np.maximum(np.sqrt(x**2 + y**2 + z**2), np.float32(1e-3))
                inside = length < np.float32(scale) * form.radius((x, y, z), length)
                low, high = np.where(inside, middle, low), np.where(inside, high, middle)
            wall = np.clip(low.reshape(self._limit.shape), 0.5 * MENINGES_MM.value, self._limit - MENINGES_MM.value)
            self._walls[day] = wall
        return self._walls[day]


class Carried:
    """What the tissue's motion makes of volumes and structures of one day, or of the resting head, on another.

    Parameters
    ----------
    flow : TissueFlow
    day : float
    grid : Grid
        Of the volumes; structures lie on its voxels.
    from_day : float
        The day on which volumes and structures are as they are given.

    Attributes
    ----------
    window : Grid
        The voxels of `grid` in which tissue can move.
    """

    def __init__(self, flow: TissueFlow, day: float, grid: Grid, from_day: float = AT_REST_DAY) -> None:
        self._grid = grid
        self.window = flow.window(grid)
        # From the day back: each voxel takes what lay where its tissue came from.
        self._shift = flow.displacement(day, from_day, self.window)
        self._moves = (self._shift != 0).any(axis=0)
        self._longest = int(np.ceil(np.abs(self._shift).max() / min(grid.spacing_mm)))

    def carry(self, data: np.ndarray) -> None:
        """Move the tissue of a volume on the grid, in place; what does not move keeps its bits."""
        here, _ = _overlap(self.window, self._grid)
        data[here] = np.where(self._moves, self._warped(self._grid, data, self.window), data[here])

    def structure(self, structure: Structure) -> Structure:
        """Return a structure with its tissue moved; itself if none of it moves by a fiftieth of a voxel."""
        part = structure.cropped(self._longest)
        of_part, of_window = _overlap(self.window, part.grid)
        shift = np.abs(self._shift[(slice(None), *of_window)])
        moving = (shift > _STILL * min(self._grid.spacing_mm)).any(axis=0)
        if not moving.any() or not (part.occupancy[of_part][moving] > 0).any():
            return structure
        window = self.window.window([s.start for s in of_window], [s.stop for s in of_window])
        occupancy = part.occupancy.copy()
        occupancy[of_part] = np.clip(self._warped(part.grid, part.occupancy, window), 0.0, 1.0)
        return Structure(structure.name, structure.role, part.grid, occupancy)

    def _warped(self, grid: Grid, data: np.ndarray, window: Grid) -> np.ndarray:
        """Return `data` on `grid` at the voxels of a part of the window, each taken from where it came."""
        shift = np.ascontiguousarray(self._shift[(slice(None), *_overlap(window, self.window)[0])])
        out = np.empty(window.shape, np.float32)
        run_chunks(
            lambda low, high: warp(grid.lattice, data, window.lattice, shift, (low, high), out),
            chunks(window.shape[0], 8),
        )
        return np.rint(out) if data.dtype.kind in "iu" else out


def _overlap(inner: Grid, outer: Grid) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the voxels that two grids of one lattice share, as slices of `outer` and of `inner`."""
    offset = inner.offset_in(outer)
    if offset is None:
        raise ValueError("the grids do not share their voxels")
    low = np.maximum(offset, 0)
    high = np.maximum(np.minimum(np.add(offset, inner.shape), outer.shape), low)
    ours = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    theirs = tuple(slice(int(a - o), int(b - o)) for a, b, o in zip(low, high, offset, strict=True))
    return ours, theirs
