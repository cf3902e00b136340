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
    maps : dict of str to ndarray, shape ``grid.shape``, float32
    """

    def __init__(
        self,
        grid: Grid,
        palettes: Mapping[str, Mapping[str, float]],
        background: str | Mapping[str, np.ndarray] = "air",
    ) -> None:
        self.grid = grid
        self._palettes = palettes
        self.maps: dict[str, np.ndarray] = {}
        for name, values in palettes.items():
            if isinstance(background, str):
                self.maps[name] = np.full(grid.shape, values.get(background, 0.0), np.float32)
            else:
                self.maps[name] = background[name].copy()

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
        fraction = np.ascontiguousarray(fraction, np.float32)

        def planes(low: int, high: int) -> None:
            for name, values in self._palettes.items():
                paint(fraction, values.get(tissue, 0.0), offset, (low, high), self.maps[name])

        run_chunks(planes, chunks(fraction.shape[0], 16))
