"""The Monte Carlo engine: dose of photon beams in any matter and in a magnetic field, the reference of all others.

Coupled photon and electron transport (``kernels.history``, ``kernels.track``, ``kernels.electron``); one run for all
beams. Dose is to the local medium. Outside the volume is vacuum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.engines.base import Capability
from planner.engines.monte_carlo_calibration import GY_G_PER_MEV, fluence_per_mu
from planner.engines.photon_source import emission
from planner.engines.transport_run import Effort, Progress, simulated, watched
from planner.engines.transport_scene import VACUUM_G_CM3, Splitting, scene
from planner.treatment.beam import Beam
from planner.treatment.dose import Dose
from planner.treatment.errors import CapabilityError
from planner.treatment.machine import Machine


@dataclass(frozen=True)
class MonteCarlo:
    """The Monte Carlo engine.

    Attributes
    ----------
    name : str
    can : Capability
    effort : Effort
        Of `dose`.
    splitting : Splitting
    """

    name: str = "monte_carlo"
    can: Capability = Capability.PHOTON | Capability.BFIELD | Capability.REFERENCE
    effort: Effort = field(default_factory=Effort)
    splitting: Splitting = field(default_factory=Splitting)

    def dose(
        self,
        density: Volume,
        beams: Sequence[Beam],
        weights: Sequence[np.ndarray],
        machine: Machine,
        *,
        ignore_field: bool,
    ) -> Dose:
        """Return the dose of `beams` with `weights` on the grid of `density`, with its uncertainty."""
        return self.run(density, beams, weights, machine)

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
        per_mu, doubt = (1.0, 0.0) if machine.kind == "point" else self._photons_per_mu(machine)
        found = emission(beams, weights, machine, per_mu)
        if found is None:
            nothing = Volume(density.grid, np.zeros(density.grid.shape), Quantity.DOSE)
            return Dose(nothing, f"{self.name} {__version__}", False, 0.0, nothing)
        source, photons = found
        where = scene(density, machine.magnetic_field_t.value, labels, self.splitting)
        tally = simulated(where, source, self.effort, region, progress)
        per_energy = photons * GY_G_PER_MEV / _grams(density)
        per_energy[density.data <= VACUUM_G_CM3] = 0.0
        dose, deviation = tally.mean() * per_energy, tally.deviation() * per_energy
        reached = tally.uncertainty(watched(tally.total, region, density.data))
        return Dose(
            Volume(density.grid, dose, Quantity.DOSE),
            f"{self.name} {__version__}",
            False,
            float(np.hypot(reached, doubt)),
            Volume(density.grid, deviation, Quantity.DOSE),
        )

    def influence(
        self, density: Volume, beams: Sequence[Beam], machine: Machine, points_mm: np.ndarray, *, ignore_field: bool
    ) -> NoReturn:
        """Refuse: Monte Carlo computes whole plans; the influence of single bixels is the pencil beam's.

        Raises
        ------
        CapabilityError
            Always.
        """
        raise CapabilityError(f"engine '{self.name}' has no influence of single bixels: choose one with INFLUENCE")

    def _photons_per_mu(self, machine: Machine) -> tuple[float, float]:
        """Return the fluence (1/mm2) of one monitor unit by this engine's own dose, and its relative uncertainty."""
        if machine.calibration is None:
            raise ValueError(f"machine '{machine.name}' is a linac without calibration")
        return fluence_per_mu(machine, machine.calibration, self.effort.seed)


def _grams(density: Volume) -> np.ndarray:
    return np.asarray(np.maximum(density.data.astype(float), VACUUM_G_CM3) * density.grid.voxel_cc)
