"""Monte Carlo of single Co-60 channels: circles of 4 and 16 mm on a water sphere, in rings about the beam.

The tables are those of EGSnrc (`planner/library/reference/ORIGIN.md`): dose in rings 0.5 mm wide and 2 mm long, Gy per
photon emitted into the circle. What a Gamma Knife shot is made of, and the softest photons that the engine is judged
on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from phantoms.grid import Grid
from phantoms.volume import Quantity, Volume
from planner.engines.monte_carlo import MonteCarlo
from planner.engines.transport_run import Effort
from planner.library import load
from planner.treatment.beam_list import OpenField, weighted_beam
from planner.treatment.dose import Dose
from planner.treatment.machine import Machine
from planner.validation.case import REFERENCE
from planner.validation.compare import Row

HISTORIES = 1_000_000
MACHINE = "point-co60"
DIAMETERS_MM = (4, 16)
_SPHERE_MM, _STEP_MM, _SLICE_MM = 80.0, 0.5, 2.0
_SPLIT = 5  # sub-voxels along x and y
# The criterion, and where it holds: those of the cases in water.
_PERCENT, _DISTANCE_MM, _THRESHOLD, _FROM_MM, _PASS_PERCENT = 1.0, 1.0, 0.1, 3.0, 98.0
_SHIFTS = 9
# The axis, for output factors: half the length about the focus, and the radius in units of that of the field.
_FOCUS_MM, _AXIS = 10.0, 0.5


@dataclass(frozen=True, eq=False)
class Rings:
    """Doses in rings about the beam.

    Attributes
    ----------
    radii_mm, depths_mm : ndarray
        Edges.
    dose, sigma : ndarray (radius, depth)
        Gy per emitted photon, and its standard deviation.
    """

    radii_mm: np.ndarray
    depths_mm: np.ndarray
    dose: np.ndarray
    sigma: np.ndarray


def read_rings(diameter_mm: int) -> Rings:
    """Return the reference doses of a circle; depths count from the surface of the sphere on the axis."""
    with np.load(REFERENCE / "co60" / f"circle_{diameter_mm}mm.npz", allow_pickle=False) as data:
        radii, depths = 10.0 * data["r_edges_cm"], 10.0 * data["z_edges_cm"] + _SPHERE_MM
        dose, sigma = (data[f"{name}_Gy_per_history"].astype(float) for name in ("dose", "sigma"))
    return Rings(np.round(radii, 4), np.round(depths, 4), dose, sigma)


class RingSums:
    """Integrals of a voxel dose over cylinders about the z axis, for means over any rings."""

    def __init__(self, volume: Volume) -> None:
        x, y, _ = volume.grid.axes_mm()
        part = _STEP_MM * ((np.arange(_SPLIT) + 0.5) / _SPLIT - 0.5)
        radius = np.hypot((x[:, None] + part).reshape(-1, 1), (y[:, None] + part).reshape(1, -1))
        self._fine = _STEP_MM / _SPLIT
        bins = (radius / self._fine).astype(int)
        voxels = volume.data.astype(float).repeat(_SPLIT, axis=0).repeat(_SPLIT, axis=1)
        count = bins.max() + 1
        sums = np.stack(
            [np.bincount(bins.ravel(), plane.ravel(), count) for plane in np.moveaxis(voxels, 2, 0)], axis=1
        )
        self._areas = np.concatenate([[0.0], np.bincount(bins.ravel()).cumsum()])
        self._sums = np.pad(sums.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        self._low, self._length = float(volume.grid.low_mm[2]), volume.grid.spacing_mm[2]

    def over(self, radii_mm: np.ndarray, depths_mm: np.ndarray) -> np.ndarray:
        """Return the mean over each ring, shape (radii - 1, depths - 1); infinite over one of no width."""
        edges = np.arange(len(self._areas)) * self._fine
        steps = (np.asarray(depths_mm) - self._low) / self._length
        at = np.clip(steps, 0, self._sums.shape[1] - 1)
        along = np.array([np.interp(at, np.arange(self._sums.shape[1]), row) for row in self._sums])
        inside = np.array([np.interp(radii_mm, edges, column) for column in along.T]).T
        areas = np.diff(np.interp(radii_mm, edges, self._areas))[:, None] * np.diff(steps)
        return np.divide(
            np.diff(np.diff(inside, axis=0), axis=1), areas, out=np.full(areas.shape, np.inf), where=areas > 0
        )


def cobalt_rows(histories: int = HISTORIES) -> Iterator[Row]:
    """Yield for each circle the share of rings that agree, the dose on its axis, and the output factor at the focus.

    Parameters
    ----------
    histories : int
        Photons of each circle.
    """
    focus: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for diameter in DIAMETERS_MM:
        reference = read_rings(diameter)
        dose = _computed(diameter, histories)
        assert dose.deviation is not None
        sums = RingSums(dose.volume)
        sigma = _ring_sigma(dose.deviation, reference)
        ours = Rings(reference.radii_mm, reference.depths_mm, sums.over(reference.radii_mm, reference.depths_mm), sigma)
        yield _agreement(diameter, reference, ours, sums)
        axis = _weights(reference, 0.5 * diameter * _AXIS, (30.0, 130.0))
        both = _mean(ours, axis), _mean(reference, axis)
        yield _ratio(diameter, "mean dose on the axis, 30 to 130 mm deep, ratio", *both)
        near = _weights(reference, 0.5 * diameter * _AXIS, (_SPHERE_MM - _FOCUS_MM, _SPHERE_MM + _FOCUS_MM))
        area = diameter**2
        focus[diameter] = (area * _mean(ours, near), area * _mean(reference, near))
    small, wide = (focus[diameter] for diameter in DIAMETERS_MM)
    ours_of, reference_of = (_quotient(a, b) for a, b in zip(small, wide, strict=True))
    title = f"output factor at the focus to {DIAMETERS_MM[1]} mm"
    yield _ratio(DIAMETERS_MM[0], title, ours_of, reference_of, relative=False)


def _computed(diameter_mm: int, histories: int) -> Dose:
    half = (_SPHERE_MM,) * 3
    low = (-_SPHERE_MM, -_SPHERE_MM, 0.0)
    grid = Grid.covering(low, (_SPHERE_MM, _SPHERE_MM, 2 * _SPHERE_MM), (_STEP_MM, _STEP_MM, _SLICE_MM))
    x, y, z = np.meshgrid(*grid.axes_mm(), indexing="ij", sparse=True)
    water = (x**2 + y**2 + (z - half[2]) ** 2 <= _SPHERE_MM**2).astype(np.float32)
    machine = load("machines", MACHINE, Machine)
    # Gantry 90 and couch 90 degrees: the beam runs along +z.
    opening = OpenField(
        machine=MACHINE, gantry_deg=90.0, couch_deg=90.0, isocentre_mm=(0.0, 0.0, _SPHERE_MM), radius_mm=diameter_mm / 2
    )
    made = weighted_beam(opening, machine)
    engine = MonteCarlo(effort=Effort(histories=histories))
    return engine.dose(Volume(grid, water, Quantity.DENSITY), [made.beam], [made.weights], machine, ignore_field=False)


def _ring_sigma(deviation: Volume, rings: Rings) -> np.ndarray:
    """Return the standard deviation of ring means, of voxels that are independent."""
    variance = RingSums(Volume(deviation.grid, deviation.data.astype(float) ** 2, Quantity.DOSE))
    areas = np.pi * np.diff(rings.radii_mm**2)[:, None] * np.diff(rings.depths_mm)
    voxels = np.maximum(1.0, areas / (1000.0 * deviation.grid.voxel_cc))
    return np.sqrt(np.maximum(variance.over(rings.radii_mm, rings.depths_mm), 0.0) / voxels)


def _agreement(diameter_mm: int, reference: Rings, ours: Rings, sums: RingSums) -> Row:
    """Return the share of rings with gamma of at most 1 beyond two standard deviations of the difference."""
    known = reference.sigma < 0.05 * reference.dose
    largest = float(reference.dose[known].max())
    middle = 0.5 * (reference.depths_mm[1:] + reference.depths_mm[:-1])
    counted = (reference.dose >= _THRESHOLD * largest) & (middle >= _FROM_MM)
    noise, best = 2.0 * np.hypot(reference.sigma, ours.sigma), np.full(reference.dose.shape, np.inf)
    for out in np.linspace(-1.0, 1.0, _SHIFTS):
        for down in np.linspace(-1.0, 1.0, _SHIFTS):
            square = out * out + down * down
            if square <= 1.0:
                radii = np.maximum(reference.radii_mm + _DISTANCE_MM * out, 0.0)
                moved = sums.over(radii, reference.depths_mm + _DISTANCE_MM * down)
                off = np.maximum(0.0, np.abs(moved - reference.dose) - noise) / (_PERCENT / 100.0 * largest)
                best = np.minimum(best, np.sqrt(off * off + square))
    share = 100.0 * float((best[counted] <= 1.0).mean())
    words = f"{_PERCENT:g} %/{_DISTANCE_MM:g} mm, >= {_PASS_PERCENT:g} % of rings"
    return Row(
        _case(diameter_mm), "monte_carlo", "gamma pass rate, %", share, 100.0, 0.0, words, share >= _PASS_PERCENT
    )


def _ratio(diameter_mm: int, quantity: str, ours: np.ndarray, reference: np.ndarray, *, relative: bool = True) -> Row:
    """Return a line on (mean, standard deviation) of ours and of the reference, as their ratio or side by side."""
    noise = float(np.hypot(ours[1], reference[1]))
    unit = float(reference[0]) if relative else 1.0
    return Row(
        _case(diameter_mm),
        "monte_carlo",
        quantity,
        float(ours[0]) / unit,
        float(reference[0]) / unit,
        noise / unit,
        f"{_PERCENT:g} %, 2 sigma",
        abs(ours[0] - reference[0]) <= _PERCENT / 100.0 * reference[0] + 2.0 * noise,
    )


def _case(diameter_mm: int) -> str:
    return f"co60-circle-{diameter_mm}mm"


def _weights(rings: Rings, radius_mm: float, depths_mm: tuple[float, float]) -> np.ndarray:
    """Return the share of each ring in the mean over a cylinder, by volume."""
    radii = np.clip(rings.radii_mm, 0.0, radius_mm) ** 2
    length = np.clip(rings.depths_mm, *depths_mm)
    weights = np.diff(radii)[:, None] * np.diff(length)
    return weights / weights.sum()


def _quotient(small: np.ndarray, wide: np.ndarray) -> np.ndarray:
    ratio = small[0] / wide[0]
    return np.array([ratio, ratio * np.hypot(small[1] / small[0], wide[1] / wide[0])])


def _mean(rings: Rings, weights: np.ndarray) -> np.ndarray:
    return np.array([(weights * rings.dose).sum(), np.sqrt((weights**2 * rings.sigma**2).sum())])
