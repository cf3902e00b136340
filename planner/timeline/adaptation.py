"""How a plan is made to fit the anatomy that was imaged on the day of a treatment.

Adapt to position moves the plan as a whole by what its target has moved; adapt to shape plans again, with the
objectives and the prescription of the reference plan (the two workflows of an MR-linac: Winkel et al. 2019, Clin Transl
Radiat Oncol 18:54). Both know the image of the day as the observer drew it, never the truth.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from phantoms.grid import Grid
from phantoms.patient import Epoch
from phantoms.volume import Volume
from planner.optimise.prescribing import gtv_of
from planner.timeline.strategy import Adaptation
from planner.treatment.delivery import Delivery
from planner.treatment.dose import Dose
from planner.treatment.plan import Plan


class Planner(Protocol):
    """Who plans again."""

    def replan_on(self, belief: Epoch, reference: Plan) -> Plan:
        """Return a plan on what is believed now, of the prescription of an older one."""
        ...


@dataclass(frozen=True, eq=False)
class Adapted:
    """What is delivered on a day.

    Attributes
    ----------
    plan : Plan
        The reference plan, or what became of it.
    planned_on : Epoch
        Belief on which the dose of `plan` was computed.
    how : str
        ``none``, ``position`` or ``shape``.
    shift_mm : ndarray (3,)
        How far the reference plan was moved, LPS; 0 unless adapted to position.
    """

    plan: Plan
    planned_on: Epoch
    how: Adaptation
    shift_mm: np.ndarray

    @property
    def density(self) -> Volume | None:
        """What the dose of `plan` was computed on; None if the plan was moved since."""
        return None if self.shift_mm.any() else self.planned_on.volumes["density"]

    @property
    def distance_mm(self) -> float:
        """How far the plan was moved."""
        return float(np.linalg.norm(self.shift_mm))

    @property
    def told(self) -> str:
        """The adaptation in words; empty if there was none."""
        words = {"none": "", "position": f"moved by {self.distance_mm:.1f} mm", "shape": "planned again"}
        return words[self.how]


def adapted(how: Adaptation, reference: tuple[Plan, Epoch], belief: Epoch, planner: Planner) -> Adapted:
    """Return the plan for a day.

    Parameters
    ----------
    how : str
    reference : tuple of (Plan, Epoch)
        The plan, and what it was made on.
    belief : Epoch
        The image of the day as it was drawn.
    planner : Planner

    Raises
    ------
    PlanningError
        If nothing to treat is drawn on the image, or no plan can be made.
    """
    plan, planned_on = reference
    none = np.zeros(3)
    if how == "none" or belief is planned_on:  # the plan was made on this very image
        return Adapted(plan, planned_on, how, none)
    if how == "shape":
        return Adapted(planner.replan_on(belief, plan), belief, how, none)
    shift = gtv_of(belief.structures).centroid_mm - plan.targets["gtv"].centroid_mm
    return Adapted(moved(plan, shift), planned_on, how, shift)


def moved(plan: Plan, shift_mm: np.ndarray) -> Plan:
    """Return a plan whose isocentre, apertures, targets and dose are moved by `shift_mm` in the patient.

    Apertures move with the isocentre by any fraction of a leaf width, as if a table had moved the patient. The dose
    moves as a whole (static dose cloud).
    """
    delivery = plan.delivery
    return replace(
        plan,
        beams=tuple(replace(beam, isocentre_mm=_plus(beam.isocentre_mm, shift_mm)) for beam in plan.beams),
        targets={name: replace(part, grid=_moved_grid(part.grid, shift_mm)) for name, part in plan.targets.items()},
        dose=_moved_dose(plan.dose, shift_mm),
        delivery=None if delivery is None else _moved_delivery(delivery, shift_mm),
    )


def _moved_delivery(delivery: Delivery, shift_mm: np.ndarray) -> Delivery:
    beams = (replace(beam, isocentre_mm=_plus(beam.isocentre_mm, shift_mm)) for beam in delivery.beams)
    return replace(delivery, beams=tuple(beams))


def _moved_dose(dose: Dose, shift_mm: np.ndarray) -> Dose:
    def at(volume: Volume) -> Volume:
        return Volume(_moved_grid(volume.grid, shift_mm), volume.data, volume.quantity)

    return replace(dose, volume=at(dose.volume), deviation=None if dose.deviation is None else at(dose.deviation))


def _moved_grid(grid: Grid, shift_mm: np.ndarray) -> Grid:
    return replace(grid, origin_mm=_plus(grid.origin_mm, shift_mm))


def _plus(point: tuple[float, float, float], shift_mm: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (np.asarray(point) + shift_mm).tolist()
    return x, y, z
