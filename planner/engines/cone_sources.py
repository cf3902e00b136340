"""Released energy of groups of beams, packed for the sweep."""

from dataclasses import dataclass

import numpy as np

from kernels.cone import Sources


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
    voxel = np.flatnonzero(momentum.any(axis=0))
    mean = momentum[:, voxel].sum(axis=1, dtype=float)
    axis = mean / np.linalg.norm(mean)
    here = flat[:, voxel]
    tilt = momentum[:, voxel] / here.sum(axis=0) - axis[:, None].astype(np.float32)
    return Released(axis, here, tilt.astype(np.float32), voxel)


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
    rows, columns = shape[order[0]] * shape[order[1]], shape[order[2]]
    stretches, where, starts, energies, tilts, used = [], [], [], [], [], 0
    for g, group in enumerate(groups):
        index = np.unravel_index(group.voxel, shape)
        row, column = index[order[0]] * shape[order[1]] + index[order[1]], index[order[2]]
        in_order = np.argsort(row * columns + column, kind="stable")
        row, column = row[in_order], column[in_order]
        opens = np.flatnonzero(np.diff(row, prepend=-1))
        closes = np.append(opens[1:], len(row)) - 1
        low, width = column[opens], column[closes] + 1 - column[opens]
        start = np.cumsum(width) - width
        # A stretch runs from the first to the last voxel of its row; what lies between and releases nothing is zero.
        at = np.repeat(start - low, closes + 1 - opens) + column
        energy, tilt = np.zeros((len(group.energy), int(width.sum())), np.float32), np.zeros((3, width.sum()), np.float32)
        energy[:, at], tilt[:, at] = group.energy[:, in_order], group.tilt[:, in_order]
        stretches.append(np.stack([np.full(len(low), g), low, low + width], axis=1))
        where.append(row[opens])
        starts.append(used + start)
        energies.append(energy)
        tilts.append(tilt)
        used += energy.shape[1]
    rows_of = np.concatenate(where)
    by_row = np.argsort(rows_of, kind="stable")
    return Sources(
        np.searchsorted(rows_of[by_row], np.arange(rows + 1)),
        np.concatenate(stretches)[by_row].astype(np.int32),
        np.concatenate(starts)[by_row].astype(np.int64),
        np.concatenate(energies, axis=1),
        np.concatenate(tilts, axis=1),
    )
