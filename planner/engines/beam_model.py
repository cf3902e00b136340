"""The head of a machine as photon engines see it: weights of bixels to photon fluence in the isocentre plane.

The fluence of a beam is a step function on rectangular cells, the bixels and some margin, whose edges are blurred by
the focal spot and the leaves (``Source.blur_mm``). It has three parts, each linear in the weights:

- primary photons, uniform in solid angle times the machine's radial fluence, where leaves are open;
- the same through closed leaves and jaws: their transmission times the mean weight of the open bixels, which is right
  for one aperture, and a lower bound for a modulated beam, as it is delivered in more monitor units than its mean;
- photons scattered in the head, an extra-focal source seen through each open bixel: a rectangle magnified and blurred.

All of it is fluence in the isocentre plane: engines let every photon come from the focal spot. A Monte Carlo engine may
sample the cells likewise, or the two sources of the machine's data themselves.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from kernels.raytrace import Fan
from planner.treatment.beam import BixelGrid
from planner.treatment.geometry import solid_angle_sr
from planner.treatment.machine import Calibration, Machine

# Numerical: widths of the cells outside the bixels, which get leakage and head scatter only; the widest cell inside.
_PADS_MM = (8.0, 20.0, 45.0)
_CELL_MM = 5.0

Axes = tuple[np.ndarray, np.ndarray]
Ranges = tuple[tuple[float, float], tuple[float, float]]


class Cells(NamedTuple):
    """Fluence (1/mm2) that is even within cells, shape (cells along X, cells along Y), and the borders of these, mm."""

    edges: Axes
    fluence: np.ndarray


@dataclass(frozen=True, eq=False)
class FluenceMap:
    """Weights of the open bixels to fluence on cells, and back. All photons per mm2 of the isocentre plane.

    Attributes
    ----------
    edges : tuple of 2 ndarray
        Borders of the cells along X and Y, mm.
    blur_mm : tuple of 2 float
        Standard deviation of the Gaussian that blurs the edges of cells, along X and Y.
    open_range : tuple of 2 tuple of 2 float
        Outer edges of the open bixels along X and Y.
    reach : tuple of 2 tuple of 2 float
        From where to where along X and Y more than scatter arrives: the open bixels and what jaws leave open.
    bixels : BixelGrid
    per_weight : ndarray, shape of ``bixels.open``
        Fluence on the axis in an open field per unit of weight.
    inside : tuple of 2 ndarray (cells, bixels)
        1 where a cell belongs to a bixel, along X and Y.
    primary, leakage : ndarray (cx, cy)
        Share of the fluence of an open field that a cell gets of its own bixel, and of the mean weight.
    scattered : tuple of 2 ndarray (cells, bixels) or None
        Mean extra-focal fluence in each cell through each bixel; the product along X and Y.
    """

    edges: Axes
    blur_mm: tuple[float, float]
    open_range: Ranges
    reach: Ranges
    bixels: BixelGrid
    per_weight: np.ndarray
    inside: Axes
    primary: np.ndarray
    leakage: np.ndarray
    scattered: Axes | None

    @property
    def _bare(self) -> bool:
        """Whether cells are bixels: no head but its focal spot."""
        return self.primary.shape == self.bixels.open.shape

    def forward(self, weights: np.ndarray) -> np.ndarray:
        """Return the fluence, shape (cells along X, cells along Y), of the weights of the open bixels."""
        plane = self.bixels.plane(np.asarray(weights, float)) * self.per_weight
        if self._bare:
            return plane
        out = self.primary * _both(self.inside, plane)
        out += self.leakage * (plane.sum() / max(self.bixels.count, 1))
        if self.scattered is not None:
            out += _both(self.scattered, plane)
        return out

    def parted(self, weights: np.ndarray) -> tuple[Cells, Cells]:
        """Return the fluence of the field, and of what arrives about it; their sum is that of `forward`.

        The field is the smallest rectangle about the open bixels, with what leaks there. The second leaks or is
        scattered in the head. It goes on within the field as it is on average beside its edge, or as the lowest fluence
        of the field, so that it is nearly smooth and the first is nowhere negative. A bixel has to be open.
        """
        fluence = self.forward(weights)
        (left, right), (lower, upper) = (
            np.flatnonzero((edge[1:] > low) & (edge[:-1] < high))[[0, -1]] + (0, 1)
            for edge, (low, high) in zip(self.edges, self.open_range, strict=True)
        )
        field = fluence[left:right, lower:upper]
        beside = np.zeros(fluence.shape, bool)
        beside[max(left - 1, 0) : right + 1, max(lower - 1, 0) : upper + 1] = True
        beside[left:right, lower:upper] = False
        even = min(float(fluence[beside].mean()) if beside.any() else 0.0, float(field.min()))
        about = fluence.copy()
        about[left:right, lower:upper] = even
        edges = (self.edges[0][left : right + 1], self.edges[1][lower : upper + 1])
        return Cells(edges, field - even), Cells(self.edges, about)

    def adjoint(self, cells: np.ndarray) -> np.ndarray:
        """Return the transpose of `forward` applied to values of cells, shape (open bixels,), float64."""
        if self._bare:
            return np.asarray((cells * self.per_weight)[self.bixels.open])
        plane = _both(_turned(self.inside), self.primary * cells)
        plane += (self.leakage * cells).sum() / max(self.bixels.count, 1)
        if self.scattered is not None:
            plane += _both(_turned(self.scattered), cells)
        return np.asarray((plane * self.per_weight)[self.bixels.open])


def _both(matrices: Axes, plane: np.ndarray) -> np.ndarray:
    return np.asarray(matrices[0] @ plane @ matrices[1].T)


def _turned(matrices: Axes) -> Axes:
    return matrices[0].T, matrices[1].T


def fluence_map(bixels: BixelGrid, machine: Machine, per_weight: np.ndarray | float = 1.0) -> FluenceMap:
    """Return the map from bixel weights to fluence.

    Parameters
    ----------
    bixels : BixelGrid
    machine : Machine
    per_weight : float or ndarray, shape of ``bixels.open``
        Fluence (1/mm2) on the axis in an open field per unit of weight. See `per_photon` for point sources; a linac
        engine gives the one that makes its own dose that of the calibration.
    """
    factor = np.broadcast_to(np.asarray(per_weight, float), bixels.open.shape)
    whole = bixels.edges_mm
    field = (_range(whole[0], bixels.open.sum(axis=1)), _range(whole[1], bixels.open.sum(axis=0)))
    blur = machine.source.blur_mm(machine.sad_mm.value)
    if machine.extra_focal is None and machine.collimation is None and machine.radial_fluence is None:
        one = np.ones(bixels.open.shape)
        inside = (np.eye(len(whole[0]) - 1), np.eye(len(whole[1]) - 1))
        return FluenceMap(whole, blur, field, field, bixels, factor, inside, one, 0.0 * one, None)
    edges = (_cell_edges(whole[0]), _cell_edges(whole[1]))
    inside = (_inside(edges[0], whole[0]), _inside(edges[1], whole[1]))
    share, scattered = _extra_focal(machine, edges, whole)
    profile = (1.0 - share) * _radial(machine, edges)
    closed, reach = _behind_leaves(machine, edges, field)
    through = machine.collimation.transmission.value if machine.collimation else 0.0
    primary = (1.0 - through) * profile
    return FluenceMap(edges, blur, field, reach, bixels, factor, inside, primary, closed * profile, scattered)


def per_photon(bixels: BixelGrid, sad_mm: float) -> np.ndarray:
    """Return the fluence (1/mm2, on the sphere through the isocentre) of one photon emitted into each bixel, (bx, by).

    Photons of a point source are even in solid angle.
    """
    return 1.0 / (solid_angle_sr(*bixels.edges_mm, sad_mm) * sad_mm**2)


def calibration_of(machine: Machine) -> tuple[Calibration, BixelGrid]:
    """Return what one monitor unit of a linac is, and its open field as one bixel.

    Raises
    ------
    ValueError
        If the machine is a linac without calibration.
    """
    reference = machine.calibration
    if reference is None:
        raise ValueError(f"machine '{machine.name}' is a linac without calibration")
    side = reference.field_mm.value
    return reference, BixelGrid((-0.5 * side, -0.5 * side), (side, side), np.ones((1, 1), bool))


def softening(machine: Machine, radius_mm: np.ndarray) -> np.ndarray:
    """Return the attenuation coefficient over that on the axis, at radii in the isocentre plane."""
    if machine.softening is None:
        return np.ones_like(radius_mm, dtype=float)
    return _at_radius(machine.softening.value, radius_mm)


def soften(depths: np.ndarray, fan: Fan, machine: Machine) -> None:
    """Multiply radiological depths along the rays of a fan, (u, v, planes), by the softening there, in place."""
    if machine.softening is not None:
        u, v = (low + fan.step * np.arange(n) for low, n in zip(fan.low, fan.shape[:2], strict=True))
        depths *= softening(machine, np.hypot(u[:, None], v)).astype(np.float32)[:, :, None]


def _at_radius(table: tuple[tuple[float, float], ...], radius_mm: np.ndarray) -> np.ndarray:
    radii, ratios = np.array(table).T
    return np.asarray(np.interp(radius_mm, radii, ratios))


def _range(edges: np.ndarray, used: np.ndarray) -> tuple[float, float]:
    """Return the outer edges of the used bixels along an axis; the middle if none is used."""
    index = np.flatnonzero(used)
    if not len(index):
        return float(edges.mean()), float(edges.mean())
    return float(edges[index[0]]), float(edges[index[-1] + 1])


def _cell_edges(edges: np.ndarray) -> np.ndarray:
    """Return the borders of the cells: bixels, cut where they are wide, and a margin outside."""
    width = np.diff(edges)[:, None]
    parts = max(1, int(np.ceil(float(width.max()) / _CELL_MM - 1e-9)))
    out = np.cumsum(_PADS_MM)
    within = edges[:-1, None] + width * (np.arange(parts) / parts)
    return np.concatenate([edges[0] - out[::-1], within.ravel(), edges[-1:], edges[-1] + out])


def _inside(cells: np.ndarray, edges: np.ndarray) -> np.ndarray:
    middle = 0.5 * (cells[1:] + cells[:-1])
    return ((middle[:, None] > edges[None, :-1]) & (middle[:, None] < edges[None, 1:])).astype(float)


def _extra_focal(machine: Machine, edges: Axes, whole: Axes) -> tuple[float, Axes | None]:
    """Return the weight of the extra-focal source and what each bixel lets through to each cell, along X and Y."""
    if machine.extra_focal is None:
        return 0.0, None
    share = machine.extra_focal.weight.value
    seen = machine.extra_focal.seen_past(machine.source.collimator_mm.value, machine.sad_mm.value)
    return share, (share * _scattered(edges[0], whole[0], seen), _scattered(edges[1], whole[1], seen))


def _scattered(cells: np.ndarray, edges: np.ndarray, seen: tuple[float, float]) -> np.ndarray:
    """Return the mean over each cell of each bixel, magnified and blurred, along one axis."""
    magnification, sigma = seen
    at = (cells[:, None] - magnification * edges[None, :]) / sigma
    running = sigma * (at * ndtr(at) + np.exp(-0.5 * at**2) / np.sqrt(2.0 * np.pi))
    up_to = running[:, :-1] - running[:, 1:]
    return np.asarray(np.diff(up_to, axis=0) / np.diff(cells)[:, None])


def _radial(machine: Machine, edges: Axes) -> np.ndarray:
    """Return the primary fluence of cells over that on the axis."""
    x, y = (0.5 * (edge[1:] + edge[:-1]) for edge in edges)
    if machine.radial_fluence is None:
        return np.ones((len(x), len(y)))
    return _at_radius(machine.radial_fluence.value, np.hypot(x[:, None], y[None, :]))


def _behind_leaves(machine: Machine, edges: Axes, field: Ranges) -> tuple[np.ndarray, Ranges]:
    """Return what each cell gets through closed leaves (and jaws), and what the jaws leave open along X and Y."""
    collimation = machine.collimation
    if collimation is None:
        return np.zeros((len(edges[0]) - 1, len(edges[1]) - 1)), field
    margin = collimation.jaw_margin_mm.value
    reach = (_between_jaws(edges[0], field[0], margin[0]), _between_jaws(edges[1], field[1], margin[1]))
    in_jaws = np.outer(_part_between(edges[0], *reach[0]), _part_between(edges[1], *reach[1]))
    through = in_jaws + collimation.jaw_transmission.value * (1.0 - in_jaws)
    return collimation.transmission.value * through, reach


def _between_jaws(edges: np.ndarray, field: tuple[float, float], margin: float) -> tuple[float, float]:
    return max(field[0] - margin, float(edges[0])), min(field[1] + margin, float(edges[-1]))


def _part_between(edges: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0.0, None) / np.diff(edges)
