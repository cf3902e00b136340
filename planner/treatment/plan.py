"""Plans: what was decided, for whom, and the dose that the planner expects."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from phantoms.structure import Structure
from planner.treatment.beam import Beam
from planner.treatment.delivery import Delivery
from planner.treatment.dose import Dose
from planner.treatment.prescription import Prescription


@dataclass(frozen=True, eq=False)
class Plan:
    """A plan made on what the planner believed on one day.

    Attributes
    ----------
    day : float
        Day of the image that it was drawn on.
    machine : str
    technique : str
    prescription : Prescription
    targets : mapping of str to Structure
        ``gtv``, ``ctv``, ``ptv`` as drawn.
    beams : tuple of Beam
    weights : tuple of ndarray
        One array of bixel weights a beam.
    dose : Dose
        Planned dose, on the planner's density.
    facts : mapping of str to (float or str)
        Objective, iterations, normalisation and the like; units in the keys.
    delivery : Delivery or None
        Apertures and monitor units that give `beams` and `weights`; None where fluence is free.
    """

    day: float
    machine: str
    technique: str
    prescription: Prescription
    targets: Mapping[str, Structure]
    beams: tuple[Beam, ...]
    weights: tuple[np.ndarray, ...]
    dose: Dose
    facts: Mapping[str, float | str]
    delivery: Delivery | None = None
