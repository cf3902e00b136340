"""Planar contours to occupied fractions: even-odd filling, sub-pixel areas, slabs of stated thickness.

Everything is in the voxel index of an image: contours lie in planes of constant third index, which need not be slices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Lines of sub-pixels in each row of voxels; along a line areas are exact. A disc of five pixels is right to 0.05 %.
LINES = 16
# Planes further apart than this part of the usual gap belong to separate bodies.
_APART = 1.5
# Contours on every third slice are still one body; wider gaps in all of it mean single slices.
_WIDEST_SLICES = 3.0


@dataclass(frozen=True, eq=False)
class Filled:
    """Occupied fractions in a box of voxels.

    Attributes
    ----------
    low : tuple of 3 int
        Index of the first voxel of the box in the image; it may be negative.
    occupancy : ndarray, shape (n0, n1, n2), float32
    """

    low: tuple[int, int, int]
    occupancy: np.ndarray

    def share_within(self, shape: Sequence[int]) -> float:
        """Return the part of the body that lies on an image of a shape."""
        inside = tuple(slice(max(-a, 0), max(n - a, 0)) for a, n in zip(self.low, shape, strict=True))
        return float(self.occupancy[inside].sum(dtype=np.float64) / self.occupancy.sum(dtype=np.float64))


def box_of(planes: Mapping[float, Sequence[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last voxel, each shape (3,), of the box that holds all contours and their slabs."""
    points = np.concatenate([polygon for polygons in planes.values() for polygon in polygons])
    edges = slabs(sorted(planes))
    low = np.floor(np.append(points.min(axis=0), edges.min()) + 0.5)
    high = np.ceil(np.append(points.max(axis=0), edges.max()) - 0.5)
    return low.astype(int), np.maximum(high, low).astype(int)


def slabs(places: Sequence[float]) -> np.ndarray:
    """Return where the slab of each plane begins and ends, shape (n, 2), in slices.

    A slab reaches half-way to the neighbouring planes. Ends are capped by half the usual gap, the smallest between
    planes; where planes lie further apart than 1.5 of it, nothing was drawn and the body ends.

    Parameters
    ----------
    places : sequence of float
        Third index of the planes, growing.
    """
    at = np.asarray(places, float)
    gaps, usual = np.diff(at), _usual_gap(at)
    half = np.where(gaps > _APART * usual, usual, gaps) / 2
    ends = np.array([usual / 2])
    return np.stack([at - np.concatenate([ends, half]), at + np.concatenate([half, ends])], axis=1)


def skipped(places: Sequence[float]) -> int:
    """Return how many planes have no contour although planes on both sides have one: the body is empty there."""
    at = np.asarray(places, float)
    gaps, usual = np.diff(at), _usual_gap(at)
    return int(np.sum(np.round(gaps[gaps > _APART * usual] / usual) - 1))


def _usual_gap(at: np.ndarray) -> float:
    gaps = np.diff(at)
    return float(gaps.min()) if len(gaps) and gaps.min() <= _WIDEST_SLICES else 1.0


def filled(planes: Mapping[float, Sequence[np.ndarray]]) -> Filled:
    """Return the body within contours.

    Parameters
    ----------
    planes : mapping of float to sequence of ndarray, shape (n, 2)
        Closed polygons, first and second index, by the third index of their plane. Where polygons of a plane overlap,
        what lies in an even number of them is outside: holes and keyholes are empty.
    """
    low, high = box_of(planes)
    occupancy = np.zeros(tuple(high - low + 1), np.float32)
    places = sorted(planes)
    for place, (start, end) in zip(places, slabs(places), strict=True):
        area = coverage([polygon - low[:2] for polygon in planes[place]], occupancy.shape[:2])
        first, last = int(np.floor(start + 0.5)) - low[2], int(np.ceil(end - 0.5)) - low[2]
        for k in range(max(first, 0), min(last + 1, occupancy.shape[2])):
            middle = k + low[2]
            occupancy[:, :, k] += area * max(min(end, middle + 0.5) - max(start, middle - 0.5), 0.0)
    return Filled((int(low[0]), int(low[1]), int(low[2])), np.clip(occupancy, 0.0, 1.0))


def coverage(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return which fraction of each pixel lies within an odd number of polygons.

    Parameters
    ----------
    polygons : sequence of ndarray, shape (n, 2)
        Closed (the last point joins the first), in pixels; pixel centres have whole coordinates.
    shape : tuple of 2 int

    Returns
    -------
    ndarray, shape `shape`
    """
    rows, columns = shape
    line, place = (np.concatenate(parts) for parts in zip(*(_crossings(p, columns) for p in polygons), strict=True))
    order = np.lexsort((place, line))
    line, place = line[order], np.clip(place[order] + 0.5, 0.0, rows)
    rank = np.arange(len(line)) - np.searchsorted(line, line)
    sign = np.where(rank % 2 == 0, 1.0, -1.0)
    pixel = np.minimum(place.astype(int), rows - 1)
    part = pixel + 1 - place
    # Each crossing fills or empties all that follows on its line: sums of these steps are the covered lengths.
    steps = np.zeros((columns * LINES, rows + 1))
    np.add.at(steps, (line, pixel), sign * part)
    np.add.at(steps, (line, pixel + 1), sign * (1.0 - part))
    lengths = np.cumsum(steps, axis=1)[:, :rows]
    return np.clip(lengths.reshape(columns, LINES, rows).mean(axis=1).T, 0.0, 1.0)


def _crossings(polygon: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the line (whole number) and the first coordinate of every crossing of the edges with the lines."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    # Half-open: a line through a corner crosses one of its two edges, or both, or none, so that pairs stay pairs.
    first, last = (np.clip(np.ceil((v + 0.5) * LINES - 0.5), 0, columns * LINES).astype(int) for v in (low, high))
    count = np.maximum(last - first, 0)
    edge = np.repeat(np.arange(len(polygon)), count)
    line = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    at = (line + 0.5) / LINES - 0.5
    slope = (end[edge, 0] - start[edge, 0]) / (end[edge, 1] - start[edge, 1])
    return line, start[edge, 0] + (at - start[edge, 1]) * slope
