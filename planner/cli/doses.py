"""What the command ``dose`` computes: a list of open fields on a density volume of any origin."""

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from phantoms.volume import Quantity, Volume
from planner import __version__
from planner.engines.registry import engine_named
from planner.io.nifti import read_volume, write_volume
from planner.library import load, parse, read_toml
from planner.treatment.beam_list import BeamList, WeightedBeam, weighted_beam
from planner.treatment.constant import Constant, Status
from planner.treatment.dose import Dose
from planner.treatment.errors import InputError
from planner.treatment.machine import Machine

AIR_G_CM3 = 1.20479e-3  # dry air at 20 C and 1 atm (NIST)
AIR_REACH_MM = 100.0  # enough for electrons that leave the patient to return in a field of 0.3 T or more
DENSEST_G_CM3 = 25.0  # above any element: what is denser is no density


def dose_of(beams: Path, density: Path, out: Path, engine: str, options: dict[str, bool]) -> dict[str, Any]:
    """Compute the dose of a beam list, write it on the grid of the density, and return what to tell.

    Parameters
    ----------
    beams, density, out : Path
        TOML of beams; mass density, g/cm3; file to write.
    engine : str
    options : dict
        ``air``: surround the volume by air instead of vacuum. ``ignore_field``: see `planner.engines.base`.

    Raises
    ------
    InputError
        If a file, a machine, an engine or a beam is not usable.
    CapabilityError
        If the machine has a magnetic field that the engine does not know, unless it is to be ignored.
    """
    chosen = engine_named(engine, "--engine")
    groups = weighted_beams(beams)
    medium = read_volume(density, Quantity.DENSITY)
    low, high = float(medium.data.min()), float(medium.data.max())
    if low < 0 or high > DENSEST_G_CM3:
        raise InputError(density, "", f"values from {low:g} to {high:g} are no densities in g/cm3 (0 to 25 expected)")
    patient = _in_air(medium) if options["air"] else medium
    done = [
        chosen.dose(
            patient, [b.beam for b in group], [b.weights for b in group], machine, ignore_field=options["ignore_field"]
        )
        for machine, group in groups
    ]
    total = _sum(done, medium)
    write_volume(out, total)
    return {
        "file": str(out),
        "max_gy": float(total.data.max()),
        "mean_gy": float(total.data.mean(dtype=np.float64)),
        "engine": done[0].engine,
        "field_ignored": any(part.field_ignored for part in done),
        "uncertainty": max(part.uncertainty for part in done),
        "version": __version__,
    }


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
    machine = load("machines", name, Machine, str(file), where)
    if listed.magnetic_field_t is None:
        return machine
    field = Constant[tuple[float, float, float]](
        value=listed.magnetic_field_t, source=f"{file.name}: magnetic_field_t", status=Status.ASSUMED
    )
    return machine.model_copy(update={"magnetic_field_t": field})


def _in_air(medium: Volume) -> Volume:
    """Return the density inside a layer of air; inside the volume, too, nothing is thinner than air."""
    voxels = [int(n) for n in np.ceil(AIR_REACH_MM / np.asarray(medium.grid.spacing_mm))]
    grid = medium.grid.window(
        [-n for n in voxels], [n + size for n, size in zip(voxels, medium.grid.shape, strict=True)]
    )
    data = np.full(grid.shape, AIR_G_CM3, np.float32)
    inner = tuple(slice(n, n + size) for n, size in zip(voxels, medium.grid.shape, strict=True))
    data[inner] = np.maximum(medium.data, AIR_G_CM3)
    return Volume(grid, data, Quantity.DENSITY)


def _sum(done: list[Dose], medium: Volume) -> Volume:
    offset = medium.grid.offset_in(done[0].volume.grid)
    assert offset is not None
    window = tuple(slice(low, low + size) for low, size in zip(offset, medium.grid.shape, strict=True))
    total = np.zeros(medium.grid.shape)
    for part in done:
        total += part.volume.data[window]
    return Volume(medium.grid, total, Quantity.DOSE)
