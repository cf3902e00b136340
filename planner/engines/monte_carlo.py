"""The Monte Carlo engine: dose of photon beams in any matter and in a magnetic field, the reference of all others.

Coupled photon and electron transport (``kernels.history``, ``kernels.track``, ``kernels.electron``); one run for all
beams. Dose is to the local medium. Outside the volume is vacuum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.engines.base import GY_PER_MEV_G, Capability, WholePlans
from planner.engines.monte_carlo_calibration import fluence_per_mu
from planner.engines.photon_source import emission
from planner.engines.surround import cut, in_air, reach_mm
from planner.engines.transport_run import Effort, Progress, simulated, watched
from planner.engines.transport_scene import VACUUM_G_CM3, Splitting, scene
from planner.treatment.beam import Beam
from planner.treatment.dose import Dose
from planner.treatment.machine import Machine


@dataclass(frozen=True)
class MonteCarlo(WholePlans):
    """The Monte Carlo engine.

    Attributes
    ----------
    name : str
    can : Capability
    effort : Effort
        Of `dose`.
    splitting : Splitting
    air : bool
        Surround the volume by air where `dose` has to do with a magnetic field.
    """

    name: str = "monte_carlo"
    can: Capability = Capability.PHOTON | Capability.BFIELD | Capability.REFERENCE
    effort: Effort = field(default_factory=Effort)
    splitting: Splitting = field(default_factory=Splitting)
    air: bool = False

    def dose(
        self,
        density: Volume,
        beams: Sequence[Beam],
        weights: Sequence[np.ndarray],
        machine: Machine,
        *,
        ignore_field: bool,
        region: Structure | None = None,
    ) -> Dose:
        """Return the dose of `beams` with `weights` on the grid of `density`, with its uncertainty."""
        strength = machine.field_strength_t
        whole = in_air(density, reach_mm(strength)) if self.air and strength > 0 else density
        inside = None if region is None else region.on(whole.grid) >= 0.5
        if inside is not None and not inside.any():
            inside = None
        dose = self.run(whole, beams, weights, machine, region=inside)
        if whole is density or dose.deviation is None:
            return dose
        return replace(dose, volume=cut(dose.volume, density.grid), deviation=cut(dose.deviation, density.grid))

    def for_patient(self, uncertainty_percent: float) -> "MonteCarlo":
        """Return this engine for plans: with the uncertainty to reach in the target, and air around the patient."""
        return replace(self, effort=replace(self.effort, uncertainty_percent=uncertainty_percent), air=True)

    def with_histories(self, histories: int) -> "MonteCarlo":
        """Return this engine with a fixed number of photons to simulate."""
        return replace(self, effort=replace(self.effort, histories=histories))

    def run(
        self,
        density: Volume,
        beams: Sequence[Beam],
        weights: Sequence[np.ndarray],
        machine: Machine,
        *,
        region: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> Dose:
        """Return the dose; see `dose`.

        Parameters
        ----------
        density, beams, weights, machine
            As of `planner.engines.base.Engine`.
        region : ndarray of bool, shape of the density, or None
            Where the uncertainty is to be met; None: where the dose is above half of its maximum.
        labels : ndarray, shape of the density, or None
            Materials by the numbers of ``library/physics/materials.toml``; 0 or None: by density.
        progress : callable or None

        Raises
        ------
        InputError
            If a label is unknown.
        ValueError
            If a linac has no calibration.
        """
        per_mu, doubt = (1.0, 0.0) if machine.kind == "point" else fluence_per_mu(machine, self.effort.seed)
        found = emission(beams, weights, machine, per_mu)
        if found is None:
            nothing = Volume(density.grid, np.zeros(density.grid.shape), Quantity.DOSE)
            return Dose(nothing, f"{self.name} {__version__}", False, 0.0, nothing)
        source, photons = found
        where = scene(density, machine.magnetic_field_t.value, labels, self.splitting, region)
        tally = simulated(where, source, self.effort, region, progress)
        per_score = photons * GY_PER_MEV_G / density.grid.voxel_cc * (density.data > VACUUM_G_CM3)
        dose, deviation = tally.mean() * per_score, tally.deviation() * per_score
        reached = tally.uncertainty(watched(tally.total, region, density.data))
        return Dose(
            Volume(density.grid, dose, Quantity.DOSE),
            f"{self.name} {__version__}",
            False,
            float(np.hypot(reached, doubt)),
            Volume(density.grid, deviation, Quantity.DOSE),
        )
