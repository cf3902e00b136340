"""Figures that were measured in the magnetic field of a machine, by Monte Carlo in that field.

One run for each field and distance: depth doses are means over the middle of the field, profiles over the middle across
and 20 mm of depth. The noise of a figure is that of the voxels, resampled.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.monte_carlo import MonteCarlo
from planner.engines.transport_run import Effort
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.dose import Dose
from planner.treatment.geometry import beam_frame
from planner.treatment.machine import Machine
from planner.validation import scans
from planner.validation.published import Figure, MachineCheck, Published

HISTORIES = 1_000_000
_STEP_MM, _BESIDE_MM, _DEEP_MM = 2.0, 30.0, 160.0
_MIDDLE_MM = 12.0
_HALF_DEPTH_MM = 10.0
_OF_DEPTH: dict[str, scans.Scan] = {"pdd10": scans.ten_over_maximum, "dmax_mm": scans.depth_of_maximum}
_OF_PROFILE: dict[str, scans.Scan] = {"penumbra_mm": scans.penumbra, "shift_mm": scans.shift}


def in_field_checks(histories: int = HISTORIES) -> Iterator[MachineCheck]:
    """Yield a line for each figure that was measured in a magnetic field."""
    for name in library.names("commissioning"):
        published = library.load("commissioning", name, Published)
        machine = library.load("machines", name, Machine)
        runs: dict[tuple[tuple[float, float], float | None], _Run] = {}
        for figure in published.figure:
            if figure.in_field:
                key = (figure.field_mm, figure.ssd_mm)
                if key not in runs:
                    runs[key] = _run(machine, figure, histories)
                yield runs[key].check(figure)


@dataclass(frozen=True, eq=False)
class _Run:
    """A machine's dose in water, with the field."""

    machine: Machine
    dose: Dose
    surface_mm: float

    def check(self, figure: Figure) -> MachineCheck:
        deep = figure.quantity in _OF_DEPTH
        of = (_OF_DEPTH if deep else _OF_PROFILE)[figure.quantity]
        at, dose, sigma = self._depth_dose() if deep else self._profile(figure)
        noise = scans.noise_of(of, at, dose, sigma)
        return MachineCheck(self.machine.name, "monte_carlo", figure.label, of(at, dose), figure, noise)

    def _depth_dose(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y, z = self.dose.volume.grid.axes_mm()
        middle = np.ix_(np.abs(x) < _MIDDLE_MM, np.ones(len(y), bool), np.abs(z) < _MIDDLE_MM)
        return (y - self.surface_mm, *self._mean(middle, (0, 2)))

    def _profile(self, figure: Figure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the profile along X or Y of the beam limiting device, on the patient axis that it lies along."""
        assert figure.depth_mm is not None
        axes = beam_frame(0.0, 0.0, self.machine.collimator_deg.value, (0.0, 0.0, 0.0), self.machine.sad_mm.value).axes
        along = int(np.abs(axes[0 if figure.axis == "x" else 1]).argmax())
        at = self.dose.volume.grid.axes_mm()
        keep = [np.abs(positions) < _MIDDLE_MM for positions in at]
        keep[1] = np.abs(at[1] - self.surface_mm - figure.depth_mm) < _HALF_DEPTH_MM
        keep[along] = np.ones(len(at[along]), bool)
        others = tuple(n for n in range(3) if n != along)
        return (at[along], *self._mean(np.ix_(*keep), others))

    def _mean(self, where: tuple[np.ndarray, ...], over: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean over axes and its standard deviation, of voxels that are independent."""
        assert self.dose.deviation is not None
        dose = self.dose.volume.data[where].astype(float)
        variance = self.dose.deviation.data[where].astype(float) ** 2
        number = np.prod([dose.shape[n] for n in over])
        return dose.mean(axis=over), np.sqrt(variance.sum(axis=over)) / number


def _run(machine: Machine, figure: Figure, histories: int) -> _Run:
    assert figure.ssd_mm is not None
    surface = figure.ssd_mm - machine.sad_mm.value
    half = 0.5 * max(figure.field_mm) + _BESIDE_MM
    grid = Grid.covering((-half, surface, -half), (half, surface + _DEEP_MM, half), (_STEP_MM,) * 3)
    water = Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY)
    corner = (-0.5 * figure.field_mm[0], -0.5 * figure.field_mm[1])
    opening = BixelGrid(corner, figure.field_mm, np.ones((1, 1), bool))
    beam = Beam(0.0, 0.0, machine.collimator_deg.value, (0.0, 0.0, 0.0), opening)
    engine = MonteCarlo(effort=Effort(histories=histories))
    return _Run(machine, engine.dose(water, [beam], [np.ones(1)], machine, ignore_field=False), surface)
