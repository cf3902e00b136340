"""Apertures as variables: leaf tips, jaws and monitor units to the weights of fine bixels, and derivatives back.

What shines are the apertures that an arc passes, between its control points too: linear functions of those.

A leaf pair opens part of each bixel in its row; a bixel that a tip cuts carries the fraction that is open. The weight
of a bixel is then piecewise linear in the tips, and the dose nearly as smooth as with bixels much finer than the
blur: the derivative by a tip is the derivative by the bixel under it, times monitor units over the bixel's width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planner.treatment.beam import Beam
from planner.treatment.machine import Machine
from planner.treatment.turning import Passage


@dataclass(frozen=True, eq=False)
class ApertureSet:
    """One aperture and its monitor units for each of n control points, or the derivative by each of these numbers.

    Attributes
    ----------
    left_mm, right_mm : ndarray (n, pairs)
        Leaf tips along X in the isocentre plane.
    jaw_mm : ndarray (n, 2)
        Lower and upper jaw along Y.
    mu : ndarray (n,)
    """

    left_mm: np.ndarray
    right_mm: np.ndarray
    jaw_mm: np.ndarray
    mu: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """The four arrays."""
        return self.left_mm, self.right_mm, self.jaw_mm, self.mu

    def chosen(self, which: np.ndarray) -> "ApertureSet":
        """Return some of the control points."""
        return ApertureSet(*(part[which] for part in self.parts))


def opened_mm(apertures: ApertureSet, borders_mm: np.ndarray) -> np.ndarray:
    """Return the height along Y that each pair has between the jaws, shape (n, pairs)."""
    low, high = apertures.jaw_mm[:, :1], apertures.jaw_mm[:, 1:]
    return np.clip(np.minimum(borders_mm[1:], high) - np.maximum(borders_mm[:-1], low), 0.0, None)


def areas_mm2(apertures: ApertureSet, borders_mm: np.ndarray) -> np.ndarray:
    """Return the area between leaves and jaws, nominal positions, shape (n,)."""
    widths = np.maximum(apertures.right_mm - apertures.left_mm, 0.0)
    return np.asarray((widths * opened_mm(apertures, borders_mm)).sum(axis=1))


@dataclass(frozen=True, eq=False)
class ApertureMap:
    """The map from the apertures of n control points to the weights of bixels that fill rectangles, and its derivative.

    A strip is the part of a leaf pair that lies in one row of bixels.

    Attributes
    ----------
    passage : Passage
        From control points to the m apertures that shine.
    nearest : ndarray of int (m,)
        The control point through whose bixels an aperture shines.
    point, pair : ndarray of int (strips,)
        Aperture, of the m, and leaf pair of a strip.
    low_mm, high_mm : ndarray (strips,)
        Its borders along Y.
    start_mm : ndarray (strips,)
        Lowest X of its bixels.
    index : ndarray of int (strips, bixels along X)
        Number of each of its bixels in the vector of all weights; `size` where there is none.
    step_mm : tuple of 2 float
        Size of a bixel.
    behind_mm : float
        How far the field reaches behind the nominal leaf tips.
    size : int
        Number of bixels.
    bounds_mm : ndarray (n, 4)
        Lowest and highest X, lowest and highest Y of the bixels of each control point.
    """

    passage: Passage
    nearest: np.ndarray
    point: np.ndarray
    pair: np.ndarray
    low_mm: np.ndarray
    high_mm: np.ndarray
    start_mm: np.ndarray
    index: np.ndarray
    step_mm: tuple[float, float]
    behind_mm: float
    size: int
    bounds_mm: np.ndarray

    @classmethod
    def of(
        cls, beams: Sequence[Beam], beam_of: np.ndarray, machine: Machine, passage: Passage | None = None
    ) -> "ApertureMap":
        """Return the map for beams whose bixels are all open and of one size.

        Parameters
        ----------
        beams : sequence of Beam
        beam_of : ndarray of int (n,)
            Number of the beam of each control point; segments of a field share one.
        machine : Machine
        passage : Passage, optional
            Of the n control points; at rest if not given.
        """
        passage = passage or Passage.at_rest(len(beam_of))
        nearest = np.asarray(passage.tips.argmax(axis=1)).ravel()
        borders, behind = machine.leaf_borders_mm, machine.field_behind_tips_mm
        first = np.cumsum([0, *(beam.bixels.count for beam in beams)])
        longest = max(beam.bixels.open.shape[0] for beam in beams)
        rows = [_strips(beam, borders, int(first[n]), (longest, int(first[-1]))) for n, beam in enumerate(beams)]
        shines = np.asarray(beam_of)[nearest]
        point = np.concatenate([np.full(len(rows[b][0]), n) for n, b in enumerate(shines)])
        pair, low, high, start, index = (np.concatenate([rows[b][k] for b in shines]) for k in range(5))
        edges = [beam.bixels.edges_mm for beam in beams]
        bounds = np.array([[x[0], x[-1], y[0], y[-1]] for x, y in edges])[np.asarray(beam_of)]
        size = beams[0].bixels.size_mm
        return cls(passage, nearest, point, pair, low, high, start, index, size, behind, int(first[-1]), bounds)

    @cached_property
    def used(self) -> np.ndarray:
        """Which pairs of a control point lie before its bixels, shape (n, pairs up to the last that does)."""
        found = np.zeros((len(self.bounds_mm), int(self.pair.max()) + 1), bool)
        found[self.nearest[self.point], self.pair] = True
        return found

    def _passed(self, apertures: ApertureSet) -> ApertureSet:
        """Return the m apertures that shine."""
        tips = self.passage.tips
        left, right, jaw = tips @ apertures.left_mm, tips @ apertures.right_mm, tips @ apertures.jaw_mm
        return ApertureSet(left, right, jaw, self.passage.mu @ apertures.mu)

    def forward(self, apertures: ApertureSet) -> np.ndarray:
        """Return the weights of all bixels, monitor units, shape (size,)."""
        passed = self._passed(apertures)
        share, cover = self._open(passed)
        values = (passed.mu[self.point] * share)[:, None] * cover
        return np.bincount(self.index.ravel(), values.ravel(), self.size + 1)[: self.size]

    def backward(self, apertures: ApertureSet, by_weight: np.ndarray) -> ApertureSet:
        """Return the derivative by apertures of a function whose derivative by weight is `by_weight` (size,)."""
        passed = self._passed(apertures)
        share, cover = self._open(passed)
        slope = np.append(by_weight, 0.0)[self.index]
        whole = (cover * slope).sum(axis=1)
        mu, shape = passed.mu[self.point], passed.left_mm.shape
        place = (self.point, self.pair)
        left, right, jaw = np.zeros(shape), np.zeros(shape), np.zeros(passed.jaw_mm.shape)
        per_mm = mu * share / self.step_mm[0]
        np.add.at(left, place, -per_mm * self._under(passed.left_mm[place] - self.behind_mm, slope))
        np.add.at(right, place, per_mm * self._under(passed.right_mm[place] + self.behind_mm, slope))
        for side, sign in ((0, -1.0), (1, 1.0)):
            at = passed.jaw_mm[self.point, side]
            cut = (at >= self.low_mm) & (at < self.high_mm) if side == 0 else (at > self.low_mm) & (at <= self.high_mm)
            by_jaw = np.where(cut, sign * mu * whole / self.step_mm[1], 0.0)
            jaw[:, side] = np.bincount(self.point, by_jaw, len(jaw))
        back, by_mu = self.passage.tips.T, np.bincount(self.point, share * whole, len(jaw))
        return ApertureSet(back @ left, back @ right, back @ jaw, self.passage.mu.T @ by_mu)

    def _open(self, passed: ApertureSet) -> tuple[np.ndarray, np.ndarray]:
        """Return the open share of each strip along Y, (strips,), and of each of its bixels along X."""
        low, high = passed.jaw_mm[self.point].T
        height = np.minimum(self.high_mm, high) - np.maximum(self.low_mm, low)
        place = (self.point, self.pair)
        edges = self.start_mm[:, None] + self.step_mm[0] * np.arange(self.index.shape[1] + 1)
        left = (passed.left_mm[place] - self.behind_mm)[:, None]
        right = (passed.right_mm[place] + self.behind_mm)[:, None]
        cover = np.minimum(edges[:, 1:], right) - np.maximum(edges[:, :-1], left)
        return np.clip(height, 0.0, None) / self.step_mm[1], np.clip(cover, 0.0, None) / self.step_mm[0]

    def _under(self, tips_mm: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return the values of the bixels that hold the tips, 0 beyond the last bixel."""
        column = np.floor((tips_mm - self.start_mm) / self.step_mm[0]).astype(int)
        inside = (column >= 0) & (column < slope.shape[1])
        return np.where(inside, slope[np.arange(len(slope)), np.clip(column, 0, slope.shape[1] - 1)], 0.0)


def _strips(beam: Beam, borders: np.ndarray, first: int, longest: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Return pair, borders along Y, lowest X and bixel numbers of the strips of one beam.

    `first` is the number of its first bixel, `longest` the most bixels along X of any beam and the number of none.
    """
    (nx, ny), (x, y) = beam.bixels.open.shape, beam.bixels.edges_mm
    low = np.maximum(borders[:-1, None], y[None, :-1])
    high = np.minimum(borders[1:, None], y[None, 1:])
    pair, row = np.nonzero(high - low > 1e-6)
    along = np.arange(longest[0])
    index = np.where(along[None, :] < nx, first + along[None, :] * ny + row[:, None], longest[1])
    return pair, low[pair, row], high[pair, row], np.full(len(pair), x[0]), index
