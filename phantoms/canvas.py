"""A canvas on which tissues are painted in order; each later layer covers the earlier ones by its occupancy.

Several maps are painted at once: density, one noise-free MR signal per weighting, and the shares of bone and of white
matter. The partial volume of every map is therefore the same, and no label map is kept.
"""

from collections.abc import Mapping

import numpy as np

from kernels.paint import paint
from kernels.threads import chunks, run_chunks
from phantoms.grid import Grid


class Canvas:
    """Maps on one grid, painted together.

    Parameters
    ----------
    grid : Grid
    palettes : mapping of str to (mapping of str to float)
        For each map, the value of each tissue; a tissue that is not listed is worth 0.
    background : str or mapping of str to ndarray
        The tissue that fills the canvas at first, or the maps to paint upon (copied).

    Attributes
    ----------
    grid : Grid
    names : tuple of str
        The maps.
    maps : ndarray, shape (m, nx, ny, nz), float32
    """

    def __init__(
        self,
        grid: Grid,
        palettes: Mapping[str, Mapping[str, float]],
        background: str | Mapping[str, np.ndarray] = "air",
    ) -> None:
        self.grid = grid
        self.names = tuple(palettes)
        self._palettes = palettes
        self.maps = np.empty((len(self.names), *grid.shape), np.float32)
        for number, name in enumerate(self.names):
            if isinstance(background, str):
                self.maps[number].fill(palettes[name].get(background, 0.0))
            else:
                self.maps[number] = background[name]

    def _values(self, tissue: str) -> np.ndarray:
        return np.array([self._palettes[name].get(tissue, 0.0) for name in self.names], np.float32)

    def fill(self, tissue: str, fraction: np.ndarray, window: Grid | None = None) -> None:
        """Paint a tissue by its occupied fractions, on the whole grid or on a window that lies inside it.

        Raises
        ------
        ValueError
            If the window's voxels are not voxels of the grid.
        """
        offset = (0, 0, 0) if window is None else window.offset_in(self.grid)
        if offset is None or min(offset) < 0 or np.any(np.add(offset, fraction.shape) > self.grid.shape):
            raise ValueError(f"{tissue}: the window does not lie on the voxels of the canvas")
        values = self._values(tissue)
        fraction = np.ascontiguousarray(fraction, np.float32)
        run_chunks(
            lambda low, high: paint(fraction, values, offset, (low, high), self.maps),
            chunks(fraction.shape[0], 16),
        )

    def taken(self, name: str) -> np.ndarray:
        """Return a map, shape ``grid.shape``."""
        return self.maps[self.names.index(name)]
