"""Compute a reference case with an engine and compare bin by bin, in absolute dose."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.engines.base import Engine
from planner.library import load
from planner.treatment.beam_list import OpenField, weighted_beam
from planner.treatment.constant import Constant, Status
from planner.treatment.dose import Dose
from planner.treatment.machine import Machine
from planner.validation.case import REFERENCE, Gate, ReferenceCase, Region

SHIFTS = 9
"""Positions along each axis, within the distance to agreement either way, where agreement is looked for."""


@dataclass(frozen=True)
class Row:
    """One line of the commissioning report.

    Attributes
    ----------
    case, engine, quantity : str
    ours, reference, uncertainty : float
        `uncertainty` is the statistical one (1 sigma) of the comparison, in the unit of `ours`.
    tolerance : str
        In words.
    passed : bool or None
        None for a figure that is told and not judged.
    status : str
        Of the reference: ``computed`` (EGSnrc, another engine); of a published figure, how well it is known, and
        ``fitted`` if a constant was fitted to it.
    conflict : str
        Why a reference cannot be met beside the others, if that is known; then a miss is no failure of ours.
    """

    case: str
    engine: str
    quantity: str
    ours: float
    reference: float
    uncertainty: float
    tolerance: str
    passed: bool | None
    status: str = "computed"
    conflict: str = ""

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.passed is None:
            return "told"
        return "met" if self.passed else "CONFLICT" if self.conflict else "MISSED"


@dataclass(frozen=True, eq=False)
class Table:
    """Doses in bins.

    Attributes
    ----------
    edges_mm : tuple of 3 ndarray
        Bin edges along x, y, z.
    dose, sigma : ndarray (x, y, z)
        Gy per emitted photon, and standard deviation (1 sigma).
    """

    edges_mm: tuple[np.ndarray, np.ndarray, np.ndarray]
    dose: np.ndarray
    sigma: np.ndarray

    @property
    def centres_mm(self) -> list[np.ndarray]:
        """Middles of the bins along x, y, z."""
        return [0.5 * (edges[1:] + edges[:-1]) for edges in self.edges_mm]


@dataclass(frozen=True, eq=False)
class Comparison:
    """A case as computed by an engine.

    Attributes
    ----------
    case : ReferenceCase
    engine : str
    reference, ours : Table
    gamma : ndarray (x, y, z)
        NaN where a bin does not count.
    rows : tuple of Row
    """

    case: ReferenceCase
    engine: str
    reference: Table
    ours: Table
    gamma: np.ndarray
    rows: tuple[Row, ...]


def read_table(case: ReferenceCase) -> Table:
    """Return the reference doses of a case, in blocks of ``case.block`` voxels."""
    with np.load(case.table_file, allow_pickle=False) as data:
        names = [f"{axis}_edges_cm" for axis in "xyz"]
        x, y, z = (10.0 * np.round(data[name].astype(float), 5) for name in names)
        dose = data["dose_Gy_per_history"].astype(float).transpose(2, 1, 0)
        sigma = data["sigma_Gy_per_history"].astype(float).transpose(2, 1, 0)
    return _blocks(Table((x, y, z), dose, sigma), case.block)


def compare(name: str, case: ReferenceCase, engine: Engine) -> Comparison:
    """Compute a case with an engine and compare it with its reference.

    Parameters
    ----------
    name : str
        Of the case, for the rows.
    case : ReferenceCase
    engine : Engine

    Raises
    ------
    ValueError
        If the case has no gate for the engine.
    """
    gates = [gate for gate in case.gates if gate.engine == engine.name]
    if not gates:
        raise ValueError(f"case '{name}' states nothing about engine '{engine.name}'")
    gate = gates[0]
    dose = _computed(case, engine)
    reference = read_table(case)
    averages = BinAverages(dose.volume)
    ours = Table(reference.edges_mm, averages.over(reference.edges_mm), _sigma(dose, reference.edges_mm))
    gamma = _gamma(reference, ours, averages, gate)
    counted = ~np.isnan(gamma)
    share = 100.0 * float((gamma[counted] <= 1.0).mean())
    criterion = f"{gate.dose_percent:g} %/{gate.distance_mm:g} mm, >= {gate.pass_percent:g} % of bins"
    rows = [Row(name, engine.name, "gamma pass rate, %", share, 100.0, 0.0, criterion, share >= gate.pass_percent)]
    rows += [
        _region_row(name, engine.name, region, reference, ours)
        for region in case.regions
        if engine.name in region.percent
    ]
    return Comparison(case, engine.name, reference, ours, gamma, tuple(rows))


class BinAverages:
    """Averages of a voxel dose over any boxes, exact for a dose that is constant in each voxel."""

    def __init__(self, dose: Volume) -> None:
        sums = np.zeros(tuple(n + 1 for n in dose.grid.shape))
        sums[1:, 1:, 1:] = dose.data.astype(float).cumsum(0).cumsum(1).cumsum(2) * (1000.0 * dose.grid.voxel_cc)
        edges = [
            low + step * np.arange(n + 1)
            for low, step, n in zip(dose.grid.low_mm, dose.grid.spacing_mm, dose.grid.shape, strict=True)
        ]
        self._edges = edges
        self._integral = RegularGridInterpolator(edges, sums)

    def over(self, edges_mm: Sequence[np.ndarray], shift_mm: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
        """Return the averages over the bins between `edges_mm`, moved by `shift_mm`; beyond the volume is nothing."""
        moved = [
            np.clip(edges + shift, own[0], own[-1])
            for edges, shift, own in zip(edges_mm, shift_mm, self._edges, strict=True)
        ]
        integral = self._integral(tuple(np.meshgrid(*moved, indexing="ij")))
        for axis in range(3):
            integral = np.diff(integral, axis=axis)
        sizes = np.einsum("i,j,k->ijk", *(np.diff(edges) for edges in edges_mm))
        return integral / sizes


def phantom_density(case: ReferenceCase) -> Volume:
    """Return the density (g/cm3) of the phantom of a case."""
    phantom = case.phantom
    if phantom.file is not None:
        with np.load(REFERENCE / phantom.file, allow_pickle=False) as data:
            edges = 10.0 * np.round(data["edges_cm"].astype(float), 5)
            density = data["density"].astype(float).transpose(2, 1, 0)
        step = float(np.diff(edges).mean())
        return Volume(Grid(density.shape, (step,) * 3, (float(edges[0]) + step / 2,) * 3), density, Quantity.DENSITY)
    assert phantom.size_mm is not None and phantom.spacing_mm is not None
    x, y, z = phantom.size_mm
    grid = Grid.covering((-x / 2, -y / 2, 0.0), (x / 2, y / 2, z), phantom.spacing_mm)
    density = np.zeros(grid.shape)
    above = 0.0
    centres = grid.axes_mm()[2]
    for slab in phantom.slabs:
        density[:, :, (centres > above) & (centres < slab.to_mm)] = slab.density
        above = slab.to_mm
    return Volume(grid, density, Quantity.DENSITY)


def _computed(case: ReferenceCase, engine: Engine) -> Dose:
    """Return the dose of the case, Gy per emitted photon."""
    machine = load("machines", case.machine, Machine)
    field = Constant[tuple[float, float, float]](
        value=case.magnetic_field_t, source=case.source, status=Status.PUBLISHED
    )
    machine = machine.model_copy(update={"magnetic_field_t": field})
    # Gantry 90 and couch 90 degrees: the beam runs along +z, its X along y and its Y along x.
    opening = OpenField(
        machine=case.machine,
        gantry_deg=90.0,
        couch_deg=90.0,
        isocentre_mm=case.isocentre_mm,
        field_mm=(case.field_mm[1], case.field_mm[0]),
    )
    made = weighted_beam(opening, machine)
    return engine.dose(phantom_density(case), [made.beam], [made.weights], machine, ignore_field=False)


def _sigma(dose: Dose, edges_mm: Sequence[np.ndarray]) -> np.ndarray:
    """Return the standard deviation of the averages over bins, of independent voxels; 0 of an engine without noise."""
    if dose.deviation is None:
        return np.zeros(tuple(len(edges) - 1 for edges in edges_mm))
    grid = dose.deviation.grid
    sizes = np.einsum("i,j,k->ijk", *(np.diff(edges) for edges in edges_mm))
    # A bin smaller than a voxel has the noise of that voxel.
    voxels = np.maximum(1.0, sizes / (1000.0 * grid.voxel_cc))
    variance = Volume(grid, dose.deviation.data.astype(float) ** 2, Quantity.DOSE)
    return np.sqrt(np.maximum(BinAverages(variance).over(edges_mm), 0.0) / voxels)


def output_rows(done: Sequence[Comparison]) -> list[Row]:
    """Return the output factors among computed cases that name a reference field, by engine.

    An output factor is the mean dose of a case in its first region over that of the case it refers to, both per photon
    fluence at the isocentre; fields of a point source carry one photon each, so areas are divided out.
    """
    by_name = {(row.rows[0].case, row.engine): row for row in done}
    rows = []
    for comparison in done:
        output = comparison.case.output
        wide = by_name.get((output.relative_to, comparison.engine)) if output else None
        if output is None or wide is None or comparison.engine not in output.percent:
            continue
        small = [_output(comparison, table) for table in (comparison.ours, comparison.reference)]
        large = [_output(wide, table) for table in (wide.ours, wide.reference)]
        ours, reference = small[0][0] / large[0][0], small[1][0] / large[1][0]
        noise = ours * float(np.hypot(small[1][1] / small[1][0], large[1][1] / large[1][0]))
        percent = output.percent[comparison.engine]
        rows.append(
            Row(
                comparison.rows[0].case,
                comparison.engine,
                f"output factor to {output.relative_to}",
                ours,
                reference,
                noise,
                f"{percent:g} %, 2 sigma",
                abs(ours - reference) <= percent / 100.0 * reference + 2.0 * noise,
            )
        )
    return rows


def _output(comparison: Comparison, table: Table) -> tuple[float, float]:
    """Return the dose in the first region per photon fluence at the isocentre, and its standard deviation."""
    weights = _weights(comparison.case.regions[0], table)
    area = float(np.prod(comparison.case.field_mm))
    mean = float((weights * table.dose).sum())
    return mean * area, float(np.sqrt((weights**2 * table.sigma**2).sum())) * area


def _gamma(reference: Table, ours: Table, averages: BinAverages, gate: Gate) -> np.ndarray:
    """Return gamma per bin: our bin averages at shifted bins against the reference, beyond two sigma of its noise.

    The comparison is absolute: nothing is normalised but the criterion, which is a share of the reference maximum.
    """
    largest = _maximum(reference)
    counted = (reference.dose >= gate.threshold_percent / 100.0 * largest) & (
        reference.centres_mm[2][None, None, :] >= gate.from_depth_mm
    )
    noise = 2.0 * np.hypot(reference.sigma, ours.sigma)
    limit = gate.dose_percent / 100.0 * largest
    best = np.full(reference.dose.shape, np.inf)
    positions = np.linspace(-1.0, 1.0, SHIFTS)
    for a in positions:
        for b in positions:
            for c in positions:
                square = a * a + b * b + c * c
                if square > 1.0:
                    continue
                moved = averages.over(reference.edges_mm, [gate.distance_mm * s for s in (a, b, c)])
                off = np.maximum(0.0, np.abs(moved - reference.dose) - noise) / limit
                best = np.minimum(best, np.sqrt(off * off + square))
    return np.where(counted, best, np.nan)


def _maximum(table: Table) -> float:
    """Return the largest dose among the bins that are known to 5 %: the maximum of a noisy dose is noise."""
    well_known = table.sigma < 0.05 * np.maximum(table.dose, 1e-300)
    return float(table.dose[well_known].max()) if well_known.any() else float(table.dose.max())


def _region_row(name: str, engine: str, region: Region, reference: Table, ours: Table) -> Row:
    weights = _weights(region, reference)
    mean = float((weights * reference.dose).sum())
    own = float((weights * ours.dose).sum())
    noise = float(np.sqrt((weights**2 * reference.sigma**2).sum()))
    # The engine's own noise is that of independent voxels; a deterministic engine has none.
    noise = float(np.hypot(noise, np.sqrt((weights**2 * ours.sigma**2).sum())))
    tolerance = region.percent[engine]
    passed = abs(own - mean) <= tolerance / 100.0 * mean + 2.0 * noise
    return Row(
        name,
        engine,
        f"mean dose, {region.name}, ratio",
        own / mean,
        1.0,
        noise / mean,
        f"{tolerance:g} %, 2 sigma",
        passed,
    )


def _weights(region: Region, table: Table) -> np.ndarray:
    """Return the share of each bin in the mean over a region: by overlap of volumes."""
    overlaps = [
        np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0.0, None)
        for edges, low, high in zip(table.edges_mm, region.low_mm, region.high_mm, strict=True)
    ]
    weights = np.einsum("i,j,k->ijk", *overlaps)
    return weights / weights.sum()


def _blocks(table: Table, size: int) -> Table:
    if size == 1:
        return table
    shape = [n // size for n in table.dose.shape]
    cut = tuple(slice(0, n * size) for n in shape)
    split = (shape[0], size, shape[1], size, shape[2], size)
    dose = table.dose[cut].reshape(split).mean(axis=(1, 3, 5))
    sigma = np.sqrt((table.sigma[cut] ** 2).reshape(split).mean(axis=(1, 3, 5)) / size**3)
    x, y, z = (edges[: n * size + 1 : size] for edges, n in zip(table.edges_mm, shape, strict=True))
    return Table((x, y, z), dose, sigma)
