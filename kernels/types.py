"""What kernels are handed besides arrays: small NamedTuples of floats and integers."""

from typing import NamedTuple


class Lattice(NamedTuple):
    """An axis-aligned lattice of voxel centres. Arrays on it are indexed ``[i, j, k]`` along x, y, z.

    Attributes
    ----------
    origin : tuple of 3 float
        Centre of voxel (0, 0, 0), mm, LPS.
    step : tuple of 3 float
        Distance between neighbouring centres along x, y, z, mm, positive.
    shape : tuple of 3 int
        Number of voxels along x, y, z.
    """

    origin: tuple[float, float, float]
    step: tuple[float, float, float]
    shape: tuple[int, int, int]
