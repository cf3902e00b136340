"""Bodies along rays from a point inside: radii on a lattice of directions, and star-shaped forms made of them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from phantoms.grid import Triple
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume

ROWS, COLUMNS = 90, 180
_MARCH_MM = 0.5
# Contours are drawn slice by slice: rays are smoothed over their neighbours, in steps of the lattice.
_SMOOTH = 1.0


@lru_cache(maxsize=1)
def directions() -> np.ndarray:
    """Return the unit vectors of the rays, shape (ROWS + 1, COLUMNS, 3), from the pole along z to the other."""
    polar = np.pi * np.arange(ROWS + 1)[:, None] / ROWS
    around = 2.0 * np.pi * np.arange(COLUMNS)[None, :] / COLUMNS
    flat = np.broadcast_to(np.cos(polar), (ROWS + 1, COLUMNS))
    return np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), flat], axis=-1)


def along(structure: Structure, centre_mm: np.ndarray, reach_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return distances, shape (n,), mm, and the occupancy of a structure there on every ray, shape (rays, n)."""
    distance = np.arange(0.0, reach_mm + _MARCH_MM, _MARCH_MM)
    rays = directions().reshape(-1, 3)
    points = centre_mm + rays[:, None, :] * distance[None, :, None]
    occupied = Volume(structure.grid, structure.occupancy, Quantity.OCCUPANCY).at(points.reshape(-1, 3))
    return distance, occupied.reshape(len(rays), -1)


def smoothed(radii: np.ndarray) -> np.ndarray:
    """Return radii on the lattice, smoothed over neighbouring rays; a pole is one point."""
    smooth = ndimage.gaussian_filter(radii, _SMOOTH, mode=("nearest", "wrap"))
    smooth[[0, -1]] = smooth[[0, -1]].mean(axis=1, keepdims=True)
    return smooth


def first_exit(room: Structure, centre_mm: np.ndarray, reach_mm: float) -> np.ndarray:
    """Return the distance, shape (ROWS + 1, COLUMNS), mm, at which rays first leave a room, at most the reach."""
    distance, inside = along(room, centre_mm, reach_mm)
    inside[:, -1] = 0.0
    first = np.maximum(np.argmax(inside < 0.5, axis=1), 1)
    row = np.arange(len(inside))
    before, after = inside[row, first - 1], inside[row, first]
    part = np.clip((before - 0.5) / np.maximum(before - after, 1e-6), 0.0, 1.0)
    return np.minimum(distance[first - 1] + part * _MARCH_MM, reach_mm).reshape(ROWS + 1, COLUMNS)


def equal_volume(body: Structure, centre_mm: np.ndarray, reach_mm: float) -> np.ndarray:
    """Return the radii, shape (ROWS + 1, COLUMNS), mm, that hold the volume of `body` on each ray from a point."""
    distance, inside = along(body, centre_mm, reach_mm)
    cubes = 3.0 * np.trapezoid(inside * distance**2, distance, axis=1)
    return smoothed(np.cbrt(cubes).reshape(ROWS + 1, COLUMNS))


@dataclass(frozen=True, eq=False)
class RayForm:
    """A star-shaped body of about unit radius, as radii on the lattice of rays.

    Attributes
    ----------
    radii : ndarray, shape (ROWS + 1, COLUMNS)
    """

    radii: np.ndarray

    @classmethod
    def of(cls, radii_mm: np.ndarray) -> "RayForm":
        """Return the form of a body: its radii over the radius of the ball of its volume."""
        weight = np.sin(np.pi * np.arange(ROWS + 1) / ROWS)[:, None]
        mean = np.cbrt((weight * radii_mm**3).sum() / (weight.sum() * COLUMNS))
        return cls(radii_mm / mean)

    def radius(self, offset: tuple[np.ndarray, np.ndarray, np.ndarray], length: np.ndarray) -> np.ndarray:
        """Return the radius in the directions of offset vectors; see `phantoms.lesion.Form.radius`."""
        x, y, z = (np.broadcast_to(v, length.shape) / length for v in offset)
        polar = np.arccos(np.clip(z, -1.0, 1.0)) * (ROWS / np.pi)
        around = (np.arctan2(y, x) * (COLUMNS / (2.0 * np.pi))) % COLUMNS
        row = np.minimum(polar.astype(np.intp), ROWS - 1)
        column = around.astype(np.intp) % COLUMNS
        below, beside = polar - row, around - np.floor(around)
        after = (column + 1) % COLUMNS
        upper = self.radii[row, column] * (1.0 - beside) + self.radii[row, after] * beside
        lower = self.radii[row + 1, column] * (1.0 - beside) + self.radii[row + 1, after] * beside
        return (upper * (1.0 - below) + lower * below).astype(np.float32)


def deepest_mm(structure: Structure) -> Triple:
    """Return the point, LPS mm, that lies deepest in a structure.

    Raises
    ------
    ValueError
        If nothing of it is more than half occupied.
    """
    part = structure.cropped(1)
    inside = part.occupancy > 0.5
    if not inside.any():
        raise ValueError(f"{structure.name} is nowhere occupied")
    depth = ndimage.distance_transform_edt(inside, sampling=part.grid.spacing_mm)
    x, y, z = part.grid.point_of(np.argwhere(depth == depth.max())[:1])[0]
    return float(x), float(y), float(z)
