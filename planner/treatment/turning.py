"""Arcs as they turn: what passes between the control points of a delivery.

Between the middles of two neighbouring control points the gantry, leaves, jaws and the cumulative monitor units move
linearly, as DICOM RT Plan has it (PS3.3 C.8.8.14: cumulative meterset weight of each control point). Half of the
monitor units of a control point are delivered before its middle and half after it; before the first and after the last
middle of an arc its leaves rest.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.sparse import block_diag, csr_matrix, identity

from planner.treatment.delivery import Delivery, TreatmentBeam
from planner.treatment.geometry import signed_deg

ARC_STEP_DEG = 2.0
"""Numerical: how finely the dose of an arc is sampled. Twice as finely changes it by less than 0.1 % of the dose."""


@dataclass(frozen=True, eq=False)
class Passage:
    """The m apertures that stand for n control points, as linear functions of them.

    Attributes
    ----------
    tips : csr_matrix (m, n)
        Positions of leaves and jaws in the middle of each part; rows sum to 1.
    mu : csr_matrix (m, n)
        Monitor units of each part; columns sum to 1.
    way_deg, span_deg : ndarray (m,)
        Gantry from the middle of the first control point to that of the part, in the sense of rotation, and what it
        turns through.
    """

    tips: csr_matrix
    mu: csr_matrix
    way_deg: np.ndarray
    span_deg: np.ndarray

    @classmethod
    def at_rest(cls, count: int) -> "Passage":
        """Return the passage of control points that do not turn: they themselves."""
        still = csr_matrix(identity(count))
        return cls(still, still, np.zeros(count), np.zeros(count))

    @classmethod
    def of(cls, span_deg: np.ndarray, step_deg: float) -> "Passage":
        """Return the passage of an arc, in parts of at most `step_deg`.

        Parameters
        ----------
        span_deg : ndarray (n,)
            Of the control points, positive.
        step_deg : float

        Raises
        ------
        ValueError
            If the step is not positive.
        """
        if not step_deg > 0:
            raise ValueError(f"arcs cannot be sampled every {step_deg} degrees")
        half, count = 0.5 * np.asarray(span_deg, float), len(span_deg)
        middle = np.concatenate([[0.0], np.cumsum(half[1:] + half[:-1])])
        borders = np.concatenate([[-half[0]], middle, [middle[-1] + half[-1]]])
        before, after = np.maximum(np.arange(-1, count), 0), np.minimum(np.arange(count + 1), count - 1)
        parts = np.maximum(np.ceil(np.diff(borders) / step_deg - 1e-9).astype(int), 1)
        of = np.repeat(np.arange(count + 1), parts)
        at = (np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts) + 0.5) / parts[of]
        row, shape = np.arange(len(of)), (len(of), count)
        tips = csr_matrix((np.stack([1 - at, at]).ravel(), (np.tile(row, 2), np.r_[before[of], after[of]])), shape)
        # The rest before the first middle and after the last one has half of one control point.
        single = before[of] == after[of]
        each = np.where(single, 0.25, 0.5) / parts[of]
        mu = csr_matrix((np.tile(each, 2), (np.tile(row, 2), np.r_[before[of], after[of]])), shape)
        span = np.diff(borders)[of]
        return cls(tips, mu, borders[of] + at * span, span / parts[of])

    @classmethod
    def joined(cls, parts: list["Passage"]) -> "Passage":
        """Return the passages of several arcs, one after another."""
        return cls(
            csr_matrix(block_diag([part.tips for part in parts])),
            csr_matrix(block_diag([part.mu for part in parts])),
            np.concatenate([part.way_deg for part in parts]),
            np.concatenate([part.span_deg for part in parts]),
        )


def turning(delivery: Delivery, step_deg: float = ARC_STEP_DEG) -> Delivery:
    """Return a delivery whose arcs are cut into parts of at most `step_deg`, each with the aperture in its middle.

    The dose of a delivery is that of its parts. Static beams stay as they are.

    Raises
    ------
    ValueError
        If the step is not positive.
    """
    beams = tuple(_turning(beam, step_deg) if beam.kind == "arc" else beam for beam in delivery.beams)
    return replace(delivery, beams=beams)


def _turning(beam: TreatmentBeam, step_deg: float) -> TreatmentBeam:
    points = beam.control_points
    first, pairs = points[0], len(points[0].left_mm)
    sense = np.sign(sum(signed_deg(b.gantry_deg - a.gantry_deg) for a, b in pairwise(points))) or 1.0
    passage = Passage.of(np.abs([point.span_deg for point in points]), step_deg)
    tips = passage.tips @ np.array([[*p.left_mm, *p.right_mm, *p.jaw_y_mm] for p in points])
    mu = passage.mu @ np.array([point.mu for point in points])
    made = tuple(
        replace(
            first,
            gantry_deg=float((first.gantry_deg + sense * way) % 360),
            left_mm=at[:pairs],
            right_mm=at[pairs:-2],
            jaw_y_mm=(float(at[-2]), float(at[-1])),
            mu=float(units),
            span_deg=float(span),
        )
        for way, at, units, span in zip(passage.way_deg, tips, mu, passage.span_deg, strict=True)
    )
    return replace(beam, control_points=made)
