"""The photons of a plan: all beams and cells of their fluence as one source, and what a monitor unit is."""

from collections.abc import Sequence

import numpy as np

from kernels.history import Emission
from planner.engines.beam_model import fluence_map, per_photon, softening
from planner.engines.monte_carlo_physics import monte_carlo_physics
from planner.library.tables import spectrum
from planner.treatment.beam import Beam
from planner.treatment.geometry import solid_angle_sr
from planner.treatment.machine import Machine

_SOFTENING_STEP_MM = 5.0  # between the radii that the kernel interpolates


def emission(
    beams: Sequence[Beam], weights: Sequence[np.ndarray], machine: Machine, fluence_per_mu: float
) -> tuple[Emission, float] | None:
    """Return the source of all beams and how many photons it emits; None if it emits none.

    Parameters
    ----------
    beams : sequence of Beam
    weights : sequence of ndarray
        Photons of each open bixel of a point source, monitor units of a linac.
    machine : Machine
    fluence_per_mu : float
        Photons per mm2 on the axis, at the isocentre in vacuum, of one monitor unit. Not used for a point source.
    """
    sad = machine.sad_mm.value
    frames = [beam.frame(sad) for beam in beams]
    blur = (0.0, 0.0)
    owner, edges, photons = [], [], []
    for n, (beam, weight) in enumerate(zip(beams, weights, strict=True)):
        per_weight = per_photon(beam.bixels, sad) if machine.kind == "point" else fluence_per_mu
        fluence = fluence_map(beam.bixels, machine, per_weight)
        blur = fluence.blur_mm
        x, y = fluence.edges
        number = fluence.forward(np.asarray(weight, float)) * solid_angle_sr(x, y, sad) * sad**2
        i, j = np.nonzero(number > 0)
        owner.append(np.full(len(i), n))
        edges.append(np.stack([x[i], x[i + 1], y[j], y[j + 1]], axis=1))
        photons.append(number[i, j])
    all_photons = np.concatenate(photons) if photons else np.zeros(0)
    total = float(all_photons.sum())
    if total <= 0:
        return None
    energies = spectrum(machine.spectrum.value)
    source = Emission(
        np.ascontiguousarray(np.stack([frame.source_mm for frame in frames])),
        np.ascontiguousarray(np.stack([frame.axes for frame in frames])),
        float(sad),
        (float(blur[0]), float(blur[1])),
        np.concatenate(owner).astype(np.int64),
        np.ascontiguousarray(np.concatenate(edges)),
        _running(all_photons),
        np.ascontiguousarray(energies.edges_mev, dtype=float),
        _running(energies.probability),
        _energy_factor(machine),
        _SOFTENING_STEP_MM,
    )
    return source, total


def _running(numbers: np.ndarray) -> np.ndarray:
    """Return the running share, ending at exactly 1."""
    running = np.cumsum(numbers) / numbers.sum()
    running[-1] = 1.0
    return running


def _energy_factor(machine: Machine) -> np.ndarray:
    if machine.softening is None:
        return np.ones(1)
    farthest = machine.softening.value[-1][0]
    radii = _SOFTENING_STEP_MM * np.arange(int(np.ceil(farthest / _SOFTENING_STEP_MM)) + 2)
    return np.ascontiguousarray(softening(machine, radii) ** -monte_carlo_physics().softening_exponent.value)
