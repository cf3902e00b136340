"""The commissioning table of the machines: what an engine makes of a machine's beam model, beside published figures.

Geometry as measured: water, gantry 0, surface at the stated distance from the source, no magnetic field; output factors
are dose per monitor unit over that of the reference field at the same point. Figures measured in a magnetic field are
left to `planner.validation.in_field`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner import library
from planner.engines.base import Capability, Engine
from planner.engines.registry import engine_named
from planner.treatment.beam import Beam, BixelGrid
from planner.treatment.machine import Machine
from planner.validation import scans
from planner.validation.published import Figure, MachineCheck, Measured, Published

_HALF_MM, _DEEP_MM = 200.0, 330.0
_TRACED_MM, _COMPUTED_MM, _FINE_MM, _NARROW_MM = 10.0, 2.5, 1.0, 30.0
_MEASURED_DEPTHS_MM = np.arange(30.0, 211.0, 20.0)
_WIDEST_MM = 200.0
_DEPTHS_MM = np.append(np.arange(5.0, 31.0, 0.5), [100.0, 200.0])


def machine_checks(engine_name: str = "pencil", machines: Sequence[str] = ()) -> list[MachineCheck]:
    """Return the commissioning table, of all machines with published figures unless some are named.

    The magnetic field of a machine is left out. Tables of measured data are compared by engines with an influence
    only: others would compute a volume for each of their depths.

    Raises
    ------
    InputError
        If an engine or a machine is unknown, or a file does not fit.
    """
    engine, rows = engine_named(engine_name), []
    for name in machines or library.names("commissioning"):
        published = library.load("commissioning", name, Published)
        water = _Water(engine, library.load("machines", name, Machine))
        rows += [water.check(figure) for figure in published.figure if not figure.in_field]
        if published.measured and Capability.INFLUENCE in engine.can:
            rows += list(_measured(water, published.measured))
    return rows


@dataclass(frozen=True)
class _Water:
    """A machine over a water phantom, computed by an engine."""

    engine: Engine
    machine: Machine

    def check(self, figure: Figure, label: str = "") -> MachineCheck:
        of = {
            "tpr20_10": self._tpr20_10,
            "pdd10": lambda figure: scans.ten_over_maximum(*self._depth_dose(figure)),
            "pdd20_10": lambda figure: scans.twenty_over_ten(*self._depth_dose(figure)),
            "dmax_mm": lambda figure: scans.depth_of_maximum(*self._depth_dose(figure)),
            "penumbra_mm": lambda figure: scans.penumbra(*self._profile(figure)),
            "output_factor": self._output_factor,
        }[figure.quantity]
        return self.row(label or figure.label, of(figure), figure)

    def row(self, label: str, ours: float, figure: Figure) -> MachineCheck:
        return MachineCheck(self.machine.name, self.engine.name, label, ours, figure)

    def dose(self, field_mm: tuple[float, float], ssd_mm: float, across: np.ndarray, depths: np.ndarray) -> np.ndarray:
        """Return the dose per weight at points: (n, 2) mm across along X and Y, and depths (n,)."""
        corner = (-0.5 * field_mm[0], -0.5 * field_mm[1])
        beam = Beam(0.0, 0.0, 0.0, (0.0, 0.0, 0.0), BixelGrid(corner, field_mm, np.ones((1, 1), bool)))
        surface = ssd_mm - self.machine.sad_mm.value
        points = np.stack([across[:, 0], surface + depths, -across[:, 1]], axis=1)
        if Capability.INFLUENCE in self.engine.can:
            water = _water((-_HALF_MM, surface, -_HALF_MM), (_HALF_MM, surface + _DEEP_MM, _HALF_MM), (_TRACED_MM,) * 3)
            influence = self.engine.influence(water, [beam], self.machine, points, ignore_field=True)
            return influence.forward(np.ones(1))
        wide = np.minimum(0.5 * np.array(field_mm) + 60.0, _HALF_MM)
        # Voxels blur: fine ones where the dose varies, along a profile and across a narrow field.
        step = [
            _FINE_MM if w <= _NARROW_MM or np.ptp(at) > 0 else _COMPUTED_MM
            for w, at in zip(field_mm, across.T, strict=True)
        ]
        deep = min(depths.max() + 100.0, _DEEP_MM)
        # Whole voxels and a half to either side: the axis runs through the middle of one.
        x, z = (step[n] * (np.ceil(wide[n] / step[n]) + 0.5) for n in (0, 1))
        water = _water((-x, surface, -z), (x, surface + deep, z), (step[0], _COMPUTED_MM, step[1]))
        dose = self.engine.dose(water, [beam], [np.ones(1)], self.machine, ignore_field=True)
        return dose.volume.at(points).astype(float)

    def on_axis(self, field_mm: tuple[float, float], ssd_mm: float, depths: np.ndarray) -> np.ndarray:
        return self.dose(field_mm, ssd_mm, np.zeros((len(depths), 2)), depths)

    def at_isocentre(self, field_mm: tuple[float, float], depth_mm: float) -> float:
        return float(self.on_axis(field_mm, self.machine.sad_mm.value - depth_mm, np.array([depth_mm]))[0])

    def _tpr20_10(self, figure: Figure) -> float:
        return self.at_isocentre(figure.field_mm, 200.0) / self.at_isocentre(figure.field_mm, 100.0)

    def _depth_dose(self, figure: Figure) -> tuple[np.ndarray, np.ndarray]:
        # A field at the surface, as measured at that distance, not at the isocentre.
        scale = self.machine.sad_mm.value / _given(figure.ssd_mm)
        field = (figure.field_mm[0] * scale, figure.field_mm[1] * scale)
        return _DEPTHS_MM, self.on_axis(field, _given(figure.ssd_mm), _DEPTHS_MM)

    def _profile(self, figure: Figure) -> tuple[np.ndarray, np.ndarray]:
        along = 0 if figure.axis == "x" else 1
        at = np.arange(0.0, figure.field_mm[along] + 20.0, 0.25)
        across = np.zeros((len(at), 2))
        across[:, along] = at
        depths = np.full(len(at), _given(figure.depth_mm))
        return at, self.dose(figure.field_mm, _given(figure.ssd_mm), across, depths)

    def _output_factor(self, figure: Figure) -> float:
        depth, ssd = np.array([_given(figure.depth_mm)]), _given(figure.ssd_mm)
        reference = (figure.reference_mm, figure.reference_mm)
        return float(self.on_axis(figure.field_mm, ssd, depth)[0] / self.on_axis(reference, ssd, depth)[0])


def _given(value: float | None) -> float:
    if value is None:
        raise ValueError("a published figure lacks its distance or depth")
    return value


def _water(low: tuple[float, ...], high: tuple[float, ...], spacing_mm: tuple[float, ...]) -> Volume:
    grid = Grid.covering(low, high, spacing_mm)
    return Volume(grid, np.ones(grid.shape, np.float32), Quantity.DENSITY)


def _measured(water: _Water, measured: Measured) -> Iterator[MachineCheck]:
    """Yield one line for each measured output factor, and the worst tissue phantom ratio of each field."""
    file = library.ROOT / "reference" / "beamdata" / measured.folder
    stated = dict(line.split()[:2] for line in _lines(file / "params.dat"))
    depth, ssd = float(stated["dose_reference_depth"]), float(stated["dose_reference_ssd"])
    for side, value in _numbers(file / "of.dat"):
        if side <= _WIDEST_MM and side != 100.0:
            figure = _table_figure("output_factor", side, value, measured)
            figure = figure.model_copy(update={"depth_mm": depth, "ssd_mm": ssd})
            yield water.check(figure, f"{figure.label}, measured table")
    table = _numbers(file / "tpr.dat")
    for column, side in enumerate(table[0, 1:], start=1):
        if 0 < side <= _WIDEST_MM:
            ratio = np.interp(_MEASURED_DEPTHS_MM, table[1:, 0], table[1:, column])
            ratio /= np.interp(100.0, table[1:, 0], table[1:, column])
            ours = np.array([water.at_isocentre((side, side), d) for d in _MEASURED_DEPTHS_MM])
            ours /= water.at_isocentre((side, side), 100.0)
            worst = int(np.abs(ours / ratio - 1.0).argmax())
            label = f"worst TPR 30-210 mm, {side:g}x{side:g} mm (at {_MEASURED_DEPTHS_MM[worst]:g} mm)"
            yield water.row(label, float(ours[worst]), _table_figure("tpr20_10", side, ratio[worst], measured))


def _table_figure(quantity: str, side: float, value: float, measured: Measured) -> Figure:
    low, high = measured.fitted_output_mm if quantity == "output_factor" else measured.fitted_tpr_mm
    return Figure.model_validate(
        {
            "quantity": quantity,
            "value": value,
            "tolerance": 2.0,
            "source": f"library/reference/beamdata/{measured.folder}",
            "status": "published",
            "field_mm": (side, side),
            "fitted": low <= side <= high,
        }
    )


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]


def _numbers(file: Path) -> np.ndarray:
    return np.array([[float(part) for part in line.split()] for line in _lines(file)])
