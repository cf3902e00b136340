"""How alike two structures are, and how alike what several observers drew."""

from collections.abc import Sequence

import numpy as np

from phantoms.grid import Grid
from phantoms.structure import Structure


def dice(one: Structure, other: Structure) -> float:
    """Return the Dice coefficient of two structures by occupied fractions: 2 |A and B| / (|A| + |B|).

    Raises
    ------
    ValueError
        If both are empty.
    """
    if one.is_empty and other.is_empty:
        raise ValueError(f"structures {one.name} and {other.name} are empty: they have nothing to agree on")
    grid = common_grid([one, other])
    a, b = one.on(grid), other.on(grid)
    total = a.sum(dtype=np.float64) + b.sum(dtype=np.float64)
    return float(2.0 * np.minimum(a, b).sum(dtype=np.float64) / total)


def fleiss_kappa(drawn: np.ndarray) -> float:
    """Return Fleiss' kappa of binary ratings (Fleiss 1971, Psychol Bull 76:378).

    Parameters
    ----------
    drawn : ndarray, shape (observers, voxels)
        1 where an observer drew, else 0.
    """
    count = len(drawn)
    yes = drawn.sum(axis=0, dtype=np.float64)
    agreed = float(np.mean((yes**2 + (count - yes) ** 2 - count) / (count * (count - 1))))
    share = float(yes.mean() / count)
    by_chance = share**2 + (1.0 - share) ** 2
    return (agreed - by_chance) / (1.0 - by_chance)


def common_grid(structures: Sequence[Structure], around_mm: float = 0.0) -> Grid:
    """Return the window of the lattice of the first structure that holds all of them and `around_mm` more."""
    grids = [structure.cropped().grid for structure in structures]
    first, half = grids[0], 0.5 * np.asarray(grids[0].spacing_mm)
    low = np.min([grid.low_mm for grid in grids], axis=0) - around_mm
    high = np.max([grid.high_mm for grid in grids], axis=0) + around_mm
    start = np.floor(first.index_of(low + half) + 1e-6).astype(int)
    stop = np.ceil(first.index_of(high - half) - 1e-6).astype(int) + 1
    return first.window(start.tolist(), stop.tolist())
