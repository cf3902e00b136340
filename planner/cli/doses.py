"""What the command ``dose`` computes: a list of open fields on a density volume of any origin."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.engines.monte_carlo import MonteCarlo
from planner.engines.registry import engine_named
from planner.engines.surround import in_air, window
from planner.engines.transport_run import Effort
from planner.io.nifti import read_image, read_structure, read_volume, write_volume
from planner.library import choose, parse, read_toml
from planner.treatment.beam_list import BeamList, WeightedBeam, weighted_beam
from planner.treatment.constant import Constant, Status
from planner.treatment.dose import Dose
from planner.treatment.errors import InputError
from planner.treatment.machine import Machine

DENSEST_G_CM3 = 25.0  # above any element: what is denser is no density


@dataclass(frozen=True)
class Request:
    """How a dose is to be computed.

    Attributes
    ----------
    engine : str
    air : bool
        Surround the volume by air instead of vacuum.
    ignore_field : bool
        See `planner.engines.base`.
    histories, uncertainty_percent, seed
        See `planner.engines.transport_run.Effort`; of Monte Carlo only, as what follows.
    region : Path or None
        Mask where the uncertainty is to be reached.
    uncertainty_out : Path or None
        File for the standard deviation.
    materials : Path or None
        Labels of materials on the grid of the density.
    """

    engine: str = "pencil"
    air: bool = False
    ignore_field: bool = False
    histories: int | None = None
    uncertainty_percent: float = 1.0
    region: Path | None = None
    seed: int = 1
    uncertainty_out: Path | None = None
    materials: Path | None = None


def dose_of(beams: Path, density: Path, out: Path, request: Request) -> dict[str, Any]:
    """Compute the dose of a beam list, write it on the grid of the density, and return what to tell.

    Parameters
    ----------
    beams, density, out : Path
        TOML of beams; mass density, g/cm3; file to write.
    request : Request

    Raises
    ------
    InputError
        If a file, a machine, an engine, an option or a beam is not usable.
    CapabilityError
        If the machine has a magnetic field that the engine does not know, unless it is to be ignored.
    """
    chosen = engine_named(request.engine, "--engine")
    groups = weighted_beams(beams)
    medium = read_volume(density, Quantity.DENSITY)
    low, high = float(medium.data.min()), float(medium.data.max())
    if low < 0 or high > DENSEST_G_CM3:
        raise InputError(density, "", f"values from {low:g} to {high:g} are no densities in g/cm3 (0 to 25 expected)")
    patient = in_air(medium) if request.air else medium
    if isinstance(chosen, MonteCarlo):
        compute = _monte_carlo(chosen, request, medium, patient)
    else:
        _refuse_options(request)

        def compute(machine: Machine, group: list[WeightedBeam]) -> Dose:
            fields, weights = [b.beam for b in group], [b.weights for b in group]
            return chosen.dose(patient, fields, weights, machine, ignore_field=request.ignore_field)

    done = [compute(machine, group) for machine, group in groups]
    total = _sum([part.volume for part in done], medium)
    write_volume(out, total)
    if request.uncertainty_out is not None:
        write_volume(request.uncertainty_out, _deviation(done, medium))
    return {
        "file": str(out),
        "max_gy": float(total.data.max()),
        "mean_gy": float(total.data.mean(dtype=np.float64)),
        "engine": done[0].engine,
        "field_ignored": any(part.field_ignored for part in done),
        "uncertainty": max(part.uncertainty for part in done),
        "version": __version__,
    }


def _monte_carlo(
    engine: MonteCarlo, request: Request, medium: Volume, patient: Volume
) -> Callable[[Machine, list[WeightedBeam]], Dose]:
    """Return the function that computes the dose of beams as asked for."""
    effort = Effort(request.histories, request.uncertainty_percent, seed=request.seed)
    region = None if request.region is None else read_structure(request.region).on(patient.grid) >= 0.5
    if region is not None and not region.any():
        raise InputError(str(request.region), "", "no voxel of the density lies in this region")
    labels = None if request.materials is None else _labels(request.materials, medium, patient)
    asked = replace(engine, effort=effort)

    def compute(machine: Machine, group: list[WeightedBeam]) -> Dose:
        fields, weights = [b.beam for b in group], [b.weights for b in group]
        return asked.run(patient, fields, weights, machine, region=region, labels=labels, progress=_tell)

    return compute


def _tell(histories: int, uncertainty: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{histories / 1e6:.2f} M histories, {100 * uncertainty:.2f} % ")
        sys.stderr.flush()


def _labels(file: Path, medium: Volume, patient: Volume) -> np.ndarray:
    """Return the material labels on the grid of the patient; by density (0) beyond the density volume."""
    image = read_image(file).upright
    if image.grid.shape != medium.grid.shape or image.grid.offset_in(medium.grid) != (0, 0, 0):
        raise InputError(file, "", "material labels must be on the grid of the density")
    labels = np.zeros(patient.grid.shape, np.float32)
    labels[window(medium.grid, patient.grid)] = image.data
    return labels


def _refuse_options(request: Request) -> None:
    """Refuse what only Monte Carlo can do.

    Raises
    ------
    InputError
        Naming the option.
    """
    for option in ("histories", "region", "uncertainty_out", "materials"):
        if getattr(request, option) is not None:
            name = "--" + option.replace("_", "-")
            raise InputError(name, "", f"only engine 'monte_carlo' has this option, not '{request.engine}'")


def weighted_beams(file: Path) -> list[tuple[Machine, list[WeightedBeam]]]:
    """Return the machines named in a beam list, each with its beams.

    Raises
    ------
    InputError
        Naming the file and the key.
    """
    listed = parse(BeamList, read_toml(file), file)
    machines = {name: _machine(name, listed, file) for name in sorted({field.machine for field in listed.beam})}
    beams: list[tuple[str, WeightedBeam]] = []
    for n, field in enumerate(listed.beam):
        try:
            beams.append((field.machine, weighted_beam(field, machines[field.machine])))
        except ValueError as error:
            raise InputError(file, f"beam.{n}", str(error)) from None
    beams.sort(key=lambda item: item[0])
    return [(machines[name], [beam for _, beam in group]) for name, group in groupby(beams, key=lambda item: item[0])]


def _machine(name: str, listed: BeamList, file: Path) -> Machine:
    where = next(f"beam.{n}.machine" for n, field in enumerate(listed.beam) if field.machine == name)
    machine = choose("machines", name, Machine, str(file), where, beside=file.parent)
    if listed.magnetic_field_t is None:
        return machine
    field = Constant[tuple[float, float, float]](
        value=listed.magnetic_field_t, source=f"{file.name}: magnetic_field_t", status=Status.ASSUMED
    )
    return machine.model_copy(update={"magnetic_field_t": field})


def _sum(parts: list[Volume], medium: Volume) -> Volume:
    total = np.zeros(medium.grid.shape)
    for part in parts:
        total += part.data[window(medium.grid, part.grid)]
    return Volume(medium.grid, total, Quantity.DOSE)


def _deviation(done: list[Dose], medium: Volume) -> Volume:
    """Return the standard deviation of the sum of doses of independent runs."""
    squares = np.zeros(medium.grid.shape)
    for part in done:
        assert part.deviation is not None
        squares += part.deviation.data[window(medium.grid, part.deviation.grid)].astype(float) ** 2
    return Volume(medium.grid, np.sqrt(squares), Quantity.DOSE)
