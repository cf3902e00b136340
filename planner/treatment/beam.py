"""Delivery elements: what a machine is told to do, as plain data."""

from dataclasses import dataclass

import numpy as np

from planner.treatment.geometry import BeamFrame, beam_frame


@dataclass(frozen=True)
class BixelGrid:
    """A regular grid of bixels in the isocentre plane, in beam limiting device coordinates (IEC 61217 X, Y).

    Attributes
    ----------
    low_mm : tuple of 2 float
        Lower edges (X, Y) of bixel (0, 0).
    size_mm : tuple of 2 float
        Width along X and Y.
    open : ndarray of bool, shape (nx, ny)
        Which bixels may carry fluence; a beam has one weight for each of these, in C order.
    """

    low_mm: tuple[float, float]
    size_mm: tuple[float, float]
    open: np.ndarray

    @property
    def count(self) -> int:
        """Number of bixels that may carry fluence."""
        return int(self.open.sum())

    @property
    def edges_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Borders of the bixels along X, shape (nx + 1,), and Y, shape (ny + 1,)."""
        x, y = (
            low + size * np.arange(count + 1)
            for low, size, count in zip(self.low_mm, self.size_mm, self.open.shape, strict=True)
        )
        return x, y

    def plane(self, weights: np.ndarray) -> np.ndarray:
        """Return the fluence as an array of the shape of `open`, zero where closed."""
        out = np.zeros(self.open.shape)
        out[self.open] = weights
        return out


@dataclass(frozen=True)
class Beam:
    """One beam direction with a fluence grid; an arc is a sequence of these that share an `arc` label.

    Attributes
    ----------
    gantry_deg, couch_deg, collimator_deg : float
        IEC 61217.
    isocentre_mm : tuple of 3 float
        LPS.
    bixels : BixelGrid
    arc : str
        Label of the arc that the direction samples; empty for a static beam.
    """

    gantry_deg: float
    couch_deg: float
    collimator_deg: float
    isocentre_mm: tuple[float, float, float]
    bixels: BixelGrid
    arc: str = ""

    def frame(self, sad_mm: float) -> BeamFrame:
        """Return where the beam comes from, for a source-axis distance."""
        return beam_frame(self.gantry_deg, self.couch_deg, self.collimator_deg, self.isocentre_mm, sad_mm)
