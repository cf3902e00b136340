"""The practice that carries out a strategy for one patient: the observer, the planner, the machine."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from phantoms.grid import Grid
from phantoms.patient import Epoch
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner.contouring.observer import Observing
from planner.engines.base import Capability, Engine
from planner.engines.body import in_body
from planner.engines.media import density_physics
from planner.optimise.control_points import undeliverable
from planner.optimise.deliverable import make_deliverable
from planner.optimise.extension import TUMOUR_BEFORE
from planner.optimise.free_fluence import make_plan
from planner.optimise.planning import Effort, PlanRequest
from planner.optimise.prescribing import left_out, prescribe, targets
from planner.timeline.arm import Arm
from planner.timeline.draws import drawn_day, generator
from planner.timeline.state import State
from planner.timeline.strategy import Step
from planner.treatment.dose import Dose
from planner.treatment.plan import Plan
from planner.treatment.prescription import Prescription


@dataclass(frozen=True, eq=False)
class Practice:
    """Who draws, plans and irradiates one patient under one strategy; see `planner.timeline.steps.Practice`.

    Attributes
    ----------
    arm : Arm
    engine : Engine
        Of planned and delivered dose.
    dose_grid_mm : float
        Spacing of the dose grid.
    ignore_field : bool
        Leave the machine's magnetic field out of the dose.
    observer : Observing
        Who draws the target on the images.
    seed, patient : int
        Of the study, and number of the patient: dates and contours are drawn from them, not from the strategy.
    fast : Engine or None
        Inside the optimiser; None if `engine` itself can.
    corrector : Engine or None
        Of the dose-correction loop; None: `engine`.
    corrections : int
        Rounds of the dose-correction loop.
    apertures : bool
        Plan apertures and monitor units where machine and technique can, instead of free fluence.
    tumour_before : Structure or None
        The tumour on the last image before surgery, for margins that follow what it touched.
    """

    arm: Arm
    engine: Engine
    dose_grid_mm: float
    ignore_field: bool
    observer: Observing
    seed: int
    patient: int
    fast: Engine | None = None
    corrector: Engine | None = None
    corrections: int = 0
    apertures: bool = False
    tumour_before: Structure | None = None

    def day_of(self, step: Step, state: State) -> float:
        """Return the day of a step: given, drawn from a range, or that of the step before."""
        random = generator(self.seed, self.patient, f"day of {step.step}", state.done(step.step))
        if step.day is not None:
            return drawn_day(step.day.value, random)
        if step.after_days is not None:
            return state.day + drawn_day(step.after_days.value, random)
        return state.day

    def contoured(self, truth: Epoch, occurrence: int) -> Epoch:
        """Return the anatomy with the target as the observer draws it."""
        habit = float(generator(self.seed, self.patient, "habit of the observer").standard_normal())
        return self.observer.contoured(
            truth, lambda purpose: generator(self.seed, self.patient, purpose, occurrence), habit
        )

    def plan_on(self, belief: Epoch) -> Plan:
        """Return a plan on the believed anatomy: dose by the size of the target as drawn."""
        return self._planned(belief, None)

    def replan_on(self, belief: Epoch, reference: Plan) -> Plan:
        """Return a plan on the believed anatomy, of the dose and fractions of an older one."""
        return self._planned(belief, reference.prescription)

    def _planned(self, belief: Epoch, prescription: Prescription | None) -> Plan:
        known = dict(belief.structures)
        if self.tumour_before is not None:
            known[TUMOUR_BEFORE] = self.tumour_before
        volumes = targets(known, self.arm.margins)
        request = PlanRequest(
            day=belief.day,
            density=self._density(belief),
            structures=belief.structures,
            targets=volumes,
            machine=self.arm.machine,
            technique=self.arm.technique,
            objectives=self.arm.objectives,
            prescription=prescription or prescribe(self.arm.prescription, volumes["gtv"]),
            ignore_field=self._ignored,
            effort=Effort(corrections=self.corrections),
            robust=self.arm.strategy.robust,
        )
        if self.apertures and not undeliverable(self.arm.machine, self.arm.technique):
            made, delivery = make_deliverable(request, self.engine, fast=self.fast, corrector=self.corrector)
            plan = replace(made, delivery=delivery)
        else:
            plan = make_plan(request, self.engine, fast=self.fast, corrector=self.corrector)
        lacking = left_out(known, self.arm.margins)
        facts = {**plan.facts, "margins_left_out": "; ".join(lacking)} if lacking else plan.facts
        return replace(plan, facts=facts)

    def dose_on(self, truth: Epoch, plan: Plan) -> Dose:
        """Return the dose of a plan on the anatomy of the day, aligned on the skull."""
        density = self._density(truth)
        dose = self.engine.dose(
            density,
            plan.beams,
            plan.weights,
            self.arm.machine,
            ignore_field=self._ignored,
            region=plan.targets["ptv"],
        )
        return in_body(dose, truth.structures["external"], density)

    @cached_property
    def _ignored(self) -> bool:
        return self.ignore_field and self.arm.has_field

    def _density(self, epoch: Epoch) -> Volume:
        """Return the density on the dose grid: the whole volume of the patient at the spacing of the study."""
        grid = Grid.covering(epoch.grid.low_mm.tolist(), epoch.grid.high_mm.tolist(), self.dose_grid_mm)
        density = epoch.volumes["density"].on(grid)
        if Capability.REFERENCE in self.engine.can:
            return density
        body = epoch.structures["external"].on(grid) >= 0.5
        thinnest = np.float32(density_physics().thinnest_in_body_g_cm3.value)
        raised = np.where(body, np.maximum(density.data, thinnest), density.data)
        return Volume(grid, raised, Quantity.DENSITY)
