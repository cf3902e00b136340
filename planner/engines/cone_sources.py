"""Released energy of groups of beams, packed for the sweep."""

from dataclasses import dataclass

import numpy as np

from kernels.cone import Sources

NEGLIGIBLE = 1e-4
"""Share of the largest release below which a voxel's is left out: air outside of fields, the last tail of a penumbra.
Of the voxels of arcs that is two in five, with 0.02 % of the energy; their dose changes by 0.02 % of the prescription
at most. Below 1e-7 all is rounding: a difference of integrated fluence, of any sign."""


@dataclass(frozen=True, eq=False)
class Released:
    """What one group of beams of similar direction releases.

    Attributes
    ----------
    axis : ndarray (3,)
        Mean direction of flight.
    energy : ndarray (FIELDS, n), float32
        MeV, where any is released.
    tilt : ndarray (3, n), float32
        Direction of flight minus `axis`.
    voxel : ndarray (n,)
        Flat index of the voxels.
    """

    axis: np.ndarray
    energy: np.ndarray
    tilt: np.ndarray
    voxel: np.ndarray


def released_of(energy: np.ndarray, flight: np.ndarray) -> Released:
    """Return the compact form of dense `energy` (FIELDS, x, y, z) and energy-weighted `flight` (3, x, y, z)."""
    flat, momentum = energy.reshape(len(energy), -1), flight.reshape(3, -1)
    sums = flat.sum(axis=0)
    voxel = np.flatnonzero(sums > NEGLIGIBLE * sums.max(initial=0.0))
    here, flown = (np.stack([row[voxel] for row in rows]) for rows in (flat, momentum))
    mean = flown.sum(axis=1, dtype=float)
    axis = mean / max(float(np.linalg.norm(mean)), 1e-300)
    tilt = flown / sums[voxel] - axis[:, None].astype(np.float32)
    return Released(axis, here, tilt.astype(np.float32), voxel)


def within(released: Released, shape: tuple[int, ...], window: tuple[slice, slice, slice]) -> Released:
    """Return what a window of the voxels, of an array of `shape`, releases, numbered in the window."""
    inside = np.zeros(shape, bool)
    inside[window] = True
    kept = inside.ravel()[released.voxel]
    at = np.unravel_index(released.voxel[kept], shape)
    size = tuple(part.stop - part.start for part in window)
    local = np.ravel_multi_index(tuple(i - part.start for i, part in zip(at, window, strict=True)), size)
    return Released(released.axis, released.energy[:, kept], released.tilt[:, kept], local)


def normalised(released: Released, direction: np.ndarray, share: np.ndarray) -> Released:
    """Return `released` with every field divided by what all cones together carry of it, voxel by voxel.

    `direction` (cones, 3), `share` (cones, FIELDS, 4, 3): a finite set of directions does not sum to one by itself.
    """
    carried = share.sum(axis=2)
    constant = carried[..., 0].sum(axis=0)
    slope = np.einsum("nf,ni->fi", carried[..., 1], direction)
    bend = np.einsum("nf,ni,nj->fij", carried[..., 2], direction, direction)
    t = released.tilt.astype(float)
    total = constant[:, None] + slope @ t + np.einsum("fiv,iv->fv", bend @ t, t)
    return Released(released.axis, (released.energy / total).astype(np.float32), released.tilt, released.voxel)


def pack(groups: list[Released], shape: tuple[int, int, int], axis: int) -> Sources:
    """Return the sources for rays along `axis`, in the layout of ``cone_rays.layouts``."""
    order = ((0, 1, 2), (1, 0, 2), (2, 0, 1))[axis]
    planes, rows = shape[order[0]], shape[order[1]]
    parts = [_stretches(group, shape, order) for group in groups]
    row, low, width = (np.concatenate([part[k] for part in parts]) for k in range(3))
    group = np.repeat(np.arange(len(groups)), [len(part[0]) for part in parts])
    # Groups come one after the other with rows rising: a stable sort by plane keeps both orders within a plane.
    by_plane = np.argsort(row // rows, kind="stable")
    row, low, width, group = row[by_plane], low[by_plane], width[by_plane], group[by_plane]
    start = np.cumsum(width) - width
    energy = np.zeros((len(groups[0].energy), int(width.sum())), np.float32)
    tilt = np.zeros((3, energy.shape[1]), np.float32)
    place = np.empty(len(start), np.int64)
    place[by_plane] = start
    done = 0
    for released, (rows_here, low_here, _, in_order, count, column) in zip(groups, parts, strict=True):
        at = np.repeat(place[done : done + len(rows_here)] - low_here, count) + column
        # Row by row: indexing both axes at once takes more than twice as long.
        for to, given in zip((*energy, *tilt), (*released.energy, *released.tilt), strict=True):
            to[at] = given[in_order]
        done += len(rows_here)
    change = np.flatnonzero(np.diff((row // rows) * len(groups) + group, prepend=-1))
    ends = np.append(start[change[1:]], energy.shape[1])
    by_row = np.argsort(row, kind="stable")
    return Sources(
        np.searchsorted(row[change] // rows, np.arange(planes + 1)),
        np.stack([group[change], start[change], ends], axis=1).astype(np.int64),
        np.searchsorted(row[by_row], np.arange(planes * rows + 1)),
        np.stack([low, low + width, start], axis=1)[by_row].astype(np.int64),
        energy,
        tilt,
    )


def _stretches(
    group: Released, shape: tuple[int, int, int], order: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return row, first column and width of the stretches of a group, from the first to the last voxel of each row.

    And, of its voxels: their order by row and column, how many stand in each stretch, and their columns in that order.
    What lies between two voxels of a stretch and releases nothing will be zero.
    """
    index = np.unravel_index(group.voxel, shape)
    row, column = index[order[0]] * shape[order[1]] + index[order[1]], index[order[2]]
    in_order = np.argsort(row * shape[order[2]] + column, kind="stable")
    row, column = row[in_order], column[in_order]
    opens = np.flatnonzero(np.diff(row, prepend=-1))
    closes = np.append(opens[1:], len(row)) - 1
    low = column[opens]
    return row[opens], low, column[closes] + 1 - low, in_order, closes + 1 - opens, column
