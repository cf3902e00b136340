"""The dose-correction loop: a fast engine inside the optimiser, an accurate one for what it gets wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.engines.base import Influence
from planner.treatment.beam import Beam
from planner.treatment.machine import Machine


def drifted(beams: Sequence[Beam], machine: Machine) -> tuple[Beam, ...]:
    """Return beams moved to where a magnetic field moves their dose: what an engine that knows no field should see.

    The electrons set in motion along the beam are pushed across it and across the field, by the Lorentz force. In a
    uniform medium that is most of what a transverse field does (Raaijmakers et al. 2008, Phys Med Biol 53:909, cited
    from memory); what it does at surfaces is left to the correction.

    Parameters
    ----------
    beams : sequence of Beam
    machine : Machine
        Without ``field_drift_mm_t`` the beams stay where they are.
    """
    if machine.field_drift_mm_t is None:
        return tuple(beams)
    along = machine.field_drift_mm_t.value * np.asarray(machine.magnetic_field_t.value)
    return tuple(replace(beam, isocentre_mm=_moved(beam, machine, along)) for beam in beams)


def _moved(beam: Beam, machine: Machine, along: np.ndarray) -> tuple[float, float, float]:
    forwards = beam.frame(machine.sad_mm.value).axes[2]
    x, y, z = (np.asarray(beam.isocentre_mm) - np.cross(forwards, along)).tolist()
    return x, y, z


@dataclass(frozen=True, eq=False)
class Corrected:
    """An influence with a fixed dose added at its points: what an accurate engine gave more for the last weights.

    The error of a pencil beam varies little with the weights, so a few rounds of optimising with the error of the round
    before converge (Siebers et al. 2001, Phys Med Biol 46:1575: correction-based Monte Carlo optimisation).

    Attributes
    ----------
    influence : Influence
    offset_gy : ndarray (points,)
    """

    influence: Influence
    offset_gy: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Number of points and of bixels."""
        return self.influence.shape

    @property
    def beam_slices(self) -> tuple[slice, ...]:
        """Where the bixels of each beam stand in a weight vector."""
        return self.influence.beam_slices

    def forward(self, weights: np.ndarray) -> np.ndarray:
        """Return the corrected dose (Gy), shape (points,)."""
        return self.influence.forward(weights) + self.offset_gy

    def adjoint(self, gradient: np.ndarray) -> np.ndarray:
        """Return the transpose of the linear part applied to `gradient`; shape (bixels,)."""
        return self.influence.adjoint(gradient)
