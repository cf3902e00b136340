"""Second calculation: Monte Carlo against the collapsed cone on every linac, in water and without a field.

Monte Carlo knows the machines through the same beam model, but counts photons where the cone sums fluence, and finds by
its own transport what a monitor unit is. Published figures are left to the engines without noise, but for those
measured in a magnetic field (`planner.validation.in_field`).
"""

from collections.abc import Iterator

import numpy as np

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.cone import CollapsedCone
from planner.engines.monte_carlo import MonteCarlo
from planner.engines.transport_run import Effort
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.dose import Dose
from planner.treatment.machine import Machine
from planner.validation.compare import Row

HISTORIES = 400_000
_FIELDS_MM = ((20.0, 2.0), (80.0, 4.0))  # side, and voxels across
_DEPTH_MM, _THICK_MM = 100.0, 20.0
_HALF_MM, _DEEP_MM, _SLICE_MM = 80.0, 250.0, 4.0
_TOLERANCE_PERCENT = 2.0  # MPPG 5.b: agreement in the field


def second_calculation() -> Iterator[Row]:
    """Yield for every linac the mean dose in the middle of a small and a wide field, 100 mm deep, over the cone's."""
    for name in library.names("commissioning"):
        machine = library.load("machines", name, Machine)
        off = machine.magnetic_field_t.model_copy(update={"value": (0.0, 0.0, 0.0)})
        machine = machine.model_copy(update={"magnetic_field_t": off})
        for side, step in _FIELDS_MM:
            yield _row(machine, side, step)


def _row(machine: Machine, side: float, step: float) -> Row:
    low, high = (-_HALF_MM, 0.0, -_HALF_MM), (_HALF_MM, _DEEP_MM, _HALF_MM)
    grid = Grid.covering(low, high, (step, _SLICE_MM, step))
    water = Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY)
    square = BixelGrid((-0.5 * side, -0.5 * side), (side, side), np.ones((1, 1), bool))
    beams, weights = [Beam(0.0, 0.0, 0.0, (0.0, _DEPTH_MM, 0.0), square)], [np.array([100.0])]
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij", sparse=True)
    middle = (np.abs(x) < 0.3 * side) & (np.abs(z) < 0.3 * side) & (np.abs(y - _DEPTH_MM) < 0.5 * _THICK_MM)
    cone = CollapsedCone().dose(water, beams, weights, machine, ignore_field=False)
    own = MonteCarlo(effort=Effort(histories=HISTORIES)).dose(water, beams, weights, machine, ignore_field=False)
    mean, noise = _mean(own, middle)
    reference, _ = _mean(cone, middle)
    return Row(
        machine.name,
        "monte_carlo",
        f"dose in the middle of {side:g}x{side:g} mm, {_DEPTH_MM:g} mm deep, over that of the cone",
        mean / reference,
        1.0,
        noise / reference,
        f"{_TOLERANCE_PERCENT:g} %, 2 sigma",
        abs(mean - reference) <= _TOLERANCE_PERCENT / 100.0 * reference + 2.0 * noise,
    )


def _mean(dose: Dose, where: np.ndarray) -> tuple[float, float]:
    mean = float(dose.volume.data[where].mean(dtype=float))
    if dose.deviation is None:
        return mean, 0.0
    return mean, float(np.sqrt((dose.deviation.data[where].astype(float) ** 2).sum()) / where.sum())
