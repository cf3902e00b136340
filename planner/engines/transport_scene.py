"""The phantom of Monte Carlo: from density (and labels) to rows of cross sections and the room around voxels."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import (
    binary_dilation,
    distance_transform_cdt,
    distance_transform_edt,
    maximum_filter,
    minimum_filter,
)

from kernels.electron import FIRST, LENGTH
from kernels.particle import Medium, Scene, Tables
from phantoms.volume import Volume
from planner.engines.media import is_gas
from planner.engines.monte_carlo_physics import monte_carlo_physics
from planner.engines.transport_tables import close, transport_tables, usual
from planner.library.materials import by_density, by_label, material

VACUUM_G_CM3 = 1e-6
"""Thinner is vacuum: it takes this density, so that lengths stay finite, and has no dose."""

# Numerical: voxels across the neighbourhood that is compared, and the farthest that uint8 is asked to tell.
_UNIFORM = 3
_FARTHEST = 250


@dataclass(frozen=True)
class Splitting:
    """Optical distances between the interactions of a photon.

    Attributes
    ----------
    primary, scattered : float
        Of a photon from the source and of a scattered one. 0: it interacts once.
    coarser : float
        Factor on them outside the region where the dose is wanted; there, electrons near gas are followed as elsewhere.
    margin_mm : float
        Around the region: electrons from beyond it, fewer and of more weight, hardly reach the region.
    """

    primary: float = 0.007
    scattered: float = 0.02
    coarser: float = 15.0
    margin_mm: float = 10.0


def scene(
    density: Volume,
    field_t: tuple[float, float, float],
    labels: np.ndarray | None,
    splitting: Splitting,
    region: np.ndarray | None = None,
) -> Scene:
    """Return what transport takes.

    Parameters
    ----------
    density : Volume, g/cm3
    field_t : tuple of 3 float
        Magnetic field, tesla, LPS.
    labels : ndarray, shape of the density, or None
        Materials by number; without, they follow from the density.
    splitting : Splitting
    region : ndarray of bool, shape of the density, or None
        Where the dose is wanted; None: everywhere.
    """
    data = np.maximum(density.data, np.float32(VACUUM_G_CM3))
    names, index = by_density(data) if labels is None else by_label(labels, data)
    coarse = np.zeros(data.shape, np.uint8)
    if region is not None:
        coarse[distance_transform_edt(~region, density.grid.spacing_mm) > splitting.margin_mm] = 1
    near = near_gas(data, density.grid.spacing_mm) & (coarse == 0)
    used, row = np.unique(index + len(names) * near.astype(np.int64), return_inverse=True)
    rows = [(material(names[n % len(names)]), close() if n >= len(names) else usual()) for n in used]
    row = row.reshape(data.shape).astype(np.uint8)
    lattice = density.grid.lattice
    tables = transport_tables(rows)
    widths = np.array([[splitting.primary], [splitting.scattered]])
    kind = family(tables)[row]
    return Scene(
        Medium(lattice, data, row, clearance(data, row, coarse), kind, room(data, kind), coarse),
        tables,
        _basis(np.asarray(field_t, float)),
        float(np.linalg.norm(field_t)),
        np.hstack([widths, splitting.coarser * widths]),
        monte_carlo_physics().density_tolerance.value,
    )


def near_gas(density: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Return which voxels are gas or close to it."""
    gas = is_gas(density)
    if not gas.any() or gas.all():
        return gas
    reach = [int(np.ceil(monte_carlo_physics().near_gas_mm.value / step - 1e-9)) for step in spacing_mm]
    return np.asarray(binary_dilation(gas, np.ones([2 * n + 1 for n in reach], bool)))


def clearance(*volumes: np.ndarray) -> np.ndarray:
    """Return in how many voxels around each voxel nothing changes in any of the volumes, uint8.

    The distance is Chebyshev's; beyond the border all changes.
    """
    return _inward(np.logical_and.reduce([_largest(values) == _least(values) for values in volumes]))


def room(density: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Return in how many voxels around each voxel an electron meets the same kind of matter, of much the same density.

    As `clearance`, but from voxel to voxel the density may differ a little.
    """
    most = 1.0 + monte_carlo_physics().density_tolerance.value
    return _inward((_largest(kind) == _least(kind)) & (_largest(density) <= most * _least(density)))


def family(tables: Tables) -> np.ndarray:
    """Return for each row of the tables the first row whose electrons step and scatter alike, uint8."""
    # At energies that electrons are transported at; the same care is part of being alike.
    ln = tables.ln_low + np.arange(tables.electron.shape[1]) / tables.per_ln
    seen = tables.electron[:, (ln > np.log(0.2)) & (ln < np.log(6.0))][:, :, [LENGTH, FIRST]]
    first, tolerance = [], monte_carlo_physics().alike.value
    for n, own in enumerate(seen):
        alike = (np.abs(own / seen[: n + 1] - 1.0).max(axis=(1, 2)) <= tolerance) & (
            tables.limits[: n + 1] == tables.limits[n]
        ).all(axis=1)
        first.append(int(np.argmax(alike)))
    return np.array(first, np.uint8)


def _largest(values: np.ndarray) -> np.ndarray:
    return np.asarray(maximum_filter(values, _UNIFORM, mode="nearest"))


def _least(values: np.ndarray) -> np.ndarray:
    return np.asarray(minimum_filter(values, _UNIFORM, mode="nearest"))


def _inward(same: np.ndarray) -> np.ndarray:
    """Return how far (Chebyshev, voxels) it is from each voxel to one that is not `same`, uint8."""
    shape = same.shape
    # A voxel on the border has a neighbour outside.
    inner = np.zeros_like(same)
    inner[1:-1, 1:-1, 1:-1] = same[1:-1, 1:-1, 1:-1]
    if not inner.any():
        return np.zeros(shape, np.uint8)
    far = distance_transform_cdt(inner, "chessboard")
    return np.ascontiguousarray(np.minimum(far, _FARTHEST).astype(np.uint8))


def _basis(field: np.ndarray) -> np.ndarray:
    """Return right-handed orthonormal rows, the last along the field (along z without one)."""
    strength = float(np.linalg.norm(field))
    axis = field / strength if strength > 0 else np.array([0.0, 0.0, 1.0])
    across = np.cross(axis, np.eye(3)[int(np.argmin(np.abs(axis)))])
    across /= np.linalg.norm(across)
    return np.ascontiguousarray(np.stack([across, np.cross(axis, across), axis]))
