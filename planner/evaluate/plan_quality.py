"""Everything that is told of one plan: metrics of its dose, figures of its delivery, coverage under setup errors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from phantoms.structure import Structure
from phantoms.volume import Volume
from planner import library
from planner.evaluate.apertures import ApertureFigures, aperture_figures
from planner.evaluate.deliverability import (
    Violation,
    clinical_violations,
    machine_violations,
    template_violations,
)
from planner.evaluate.delivery_time import DeliveryTime, delivery_time
from planner.evaluate.dvh import Histograms
from planner.evaluate.metrics import Metric, case_metrics, limits_for
from planner.evaluate.robustness import Robustness, robustness
from planner.treatment.delivery import Delivery
from planner.treatment.limits import Limits
from planner.treatment.machine import Machine
from planner.treatment.objective import ObjectiveTemplate
from planner.treatment.prescription import Prescription
from planner.treatment.scenario import SETUP, ScenarioSet
from planner.treatment.timing import TimingRules

TIMING = "standard"
ONE_FRACTION_GY = 12.0
"""The brain above it is told of every plan, whatever its fractions: HyTEC brain (PMC11069632)."""
DELIVERY_UNITS = {
    "mu_per_fraction": "MU",
    "modulation_factor": "MU/cGy",
    "aperture_mean_cm2": "cm²",
    "beam_on_min": "min",
    "delivery_min": "min",
    "machine_limits_violated": "",
}
"""Metrics of a delivery and their units; times and monitor units are those of one fraction."""


@dataclass(frozen=True)
class PlanQuality:
    """What is told of one plan.

    Attributes
    ----------
    metrics : tuple of Metric
    apertures : ApertureFigures
    time : DeliveryTime
        Of one fraction.
    robustness : Robustness or None
        Of the GTV; None if not asked for.
    machine, clinical, wished : tuple of Violation
        Violated limits of the machine, mandatory ones of organs and of the template, optimal ones of organs.
    unlimited : tuple of str
        Organs that no limit knows by their name for this number of fractions.
    brain_gy : tuple of float
        Doses whose volume of the brain is told first: 12 Gy, and what predicts necrosis in this number of fractions.
    """

    metrics: tuple[Metric, ...]
    apertures: ApertureFigures
    time: DeliveryTime
    robustness: Robustness | None
    machine: tuple[Violation, ...]
    clinical: tuple[Violation, ...]
    wished: tuple[Violation, ...]
    unlimited: tuple[str, ...]
    brain_gy: tuple[float, ...]

    def value(self, structure: str, name: str) -> float:
        """Return a metric.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        for metric in self.metrics:
            if (metric.structure, metric.name) == (structure, name):
                return metric.value
        raise KeyError(f"{structure}: {name}")


@dataclass(frozen=True, eq=False)
class Planned:
    """A plan as it is evaluated: the delivery, the dose and the anatomy.

    Attributes
    ----------
    delivery : Delivery
    machine : Machine
    prescription : Prescription
    template : ObjectiveTemplate
        What the plan was asked to achieve.
    dose : Volume
        Gy for the whole course.
    structures, targets : mapping of str to Structure
    """

    delivery: Delivery
    machine: Machine
    prescription: Prescription
    template: ObjectiveTemplate
    dose: Volume
    structures: Mapping[str, Structure]
    targets: Mapping[str, Structure]


def delivery_metrics(delivery: Delivery, machine: Machine, prescription_gy: float) -> list[Metric]:
    """Return the metrics of what is delivered, as of a structure called ``delivery``.

    Parameters
    ----------
    delivery : Delivery
    machine : Machine
    prescription_gy : float
        Dose of the whole course.

    Raises
    ------
    ValueError
        If the machine has no limits of delivery or another number of leaves.
    """
    made = aperture_figures(delivery, machine, prescription_gy)
    when = delivery_time(delivery, machine, library.load("timing", TIMING, TimingRules))
    values = (
        made.mu,
        made.modulation_factor,
        made.aperture_cm2,
        when.beam_on_s / 60.0,
        when.total_s / 60.0,
        float(len(machine_violations(delivery, machine))),
    )
    return [Metric("delivery", n, v, u) for (n, u), v in zip(DELIVERY_UNITS.items(), values, strict=True)]


def plan_quality(plan: Planned, histograms: Histograms, *, scenarios: bool) -> PlanQuality:
    """Return what is told of a plan.

    Parameters
    ----------
    plan : Planned
    histograms : Histograms
        Of its dose.
    scenarios : bool
        Whether the setup scenarios of the library are evaluated.

    Raises
    ------
    ValueError
        If the machine has no limits of delivery or another number of leaves.
    """
    prescription = plan.prescription
    violated = tuple(machine_violations(plan.delivery, plan.machine))
    metrics = tuple(case_metrics(histograms, plan.structures, plan.targets, prescription))
    limits = limits_for(prescription.fractions)
    clinical = clinical_violations(metrics, limits) if limits else []
    clinical += template_violations(metrics, plan.template, prescription.dose_gy)
    moved = None
    if scenarios:
        chosen = library.load("scenarios", SETUP, ScenarioSet)
        isocentre = plan.delivery.beams[0].isocentre_mm
        moved = robustness(plan.dose, plan.targets["gtv"], prescription.dose_gy, isocentre, chosen)
    return PlanQuality(
        metrics=metrics,
        apertures=aperture_figures(plan.delivery, plan.machine, prescription.dose_gy),
        time=delivery_time(plan.delivery, plan.machine, library.load("timing", TIMING, TimingRules)),
        robustness=moved,
        machine=violated,
        clinical=tuple(clinical),
        wished=tuple(clinical_violations(metrics, limits, "optimal") if limits else ()),
        unlimited=_unlimited(plan.structures, limits),
        brain_gy=_brain_gy(metrics, plan),
    )


def _brain_gy(metrics: Iterable[Metric], plan: Planned) -> tuple[float, ...]:
    told = {metric.name for metric in metrics if metric.structure == "brain"}
    goals = [g.dose_gy for g in plan.template.brain_volume.value if g.fractions == plan.prescription.fractions]
    return tuple(dose for dose in dict.fromkeys((ONE_FRACTION_GY, *goals)) if f"V{dose:g}_cc" in told)


def _unlimited(structures: Mapping[str, Structure], limits: Limits | None) -> tuple[str, ...]:
    known = {"external"}.union(*(limit.structures for limit in limits.limits)) if limits else {"external"}
    return tuple(sorted(set(structures) - known))
