"""Where the tumours lie: their place and size on the outline of a head, seen from three sides."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from phantoms.grid import Grid
from planner.report.naming import figure

GAP, MARGIN, LABEL = 18.0, 6.0, 16.0
# Name, axis looked along, axis to the right, axis downwards or upwards, and which it is; letters at left and right.
_SIDES = (("from below", 2, 0, 1, 1.0, "R", "L"), ("from the front", 1, 0, 2, -1.0, "R", "L"),
          ("from the left", 0, 1, 2, -1.0, "A", "P"))  # fmt: skip


@dataclass(frozen=True)
class Spot:
    """One tumour in one view."""

    patient: str
    x: float
    y: float
    r: float
    told: str


@dataclass(frozen=True)
class View:
    """One side: outlines as paths, tumours as circles, the letters of the directions."""

    name: str
    left: float
    width: float
    letters: tuple[str, str]
    outlines: tuple[tuple[str, str], ...]
    spots: tuple[Spot, ...]


@dataclass(frozen=True, eq=False)
class Head:
    """Whose outline is shown: occupancies of skin and brain, 0 to 255, on a grid."""

    patient: str
    grid: Grid
    skin: np.ndarray
    brain: np.ndarray


@dataclass(frozen=True)
class Projections:
    """Three views side by side, one unit a millimetre; `head` is the patient whose outline is shown."""

    width: float
    height: float
    head: str
    views: tuple[View, ...]


def projections(head: Head, facts: Mapping[str, Mapping[str, float | str]]) -> Projections | None:
    """Return the tumours of all patients over one head, or None where no place is told."""
    placed = {p: known for p, known in facts.items() if "tumour_x_mm" in known}
    if not placed:
        return None
    views, left = [], MARGIN
    for side in _SIDES:
        view = _view(side, head, placed, left)
        views.append(view)
        left += view.width + GAP
    height = LABEL + float(max(_extent(head.grid, side[3]) for side in _SIDES)) + MARGIN
    return Projections(round(left - GAP + MARGIN, 1), round(height, 1), head.patient, tuple(views))


def _extent(grid: Grid, axis: int) -> float:
    return float(grid.shape[axis] * grid.spacing_mm[axis])


def _view(side: tuple, head: Head, facts: Mapping[str, Mapping], left: float) -> View:
    name, along, across, down, sign, *letters = side
    grid = head.grid
    x0 = float(grid.low_mm[across])
    y0 = float(grid.low_mm[down]) if sign > 0 else -float(grid.high_mm[down])

    def place(u: float, v: float) -> tuple[float, float]:
        return round(left + u - x0, 1), round(LABEL + sign * v - y0, 1)

    axes = grid.axes_mm()
    outlines = []
    for kind, occupancy in (("skin", head.skin), ("brain", head.brain)):
        silhouette = occupancy.max(axis=along).astype(float)
        ordered = silhouette if across < down else silhouette.T
        outlines.append((kind, _outline(axes[across], axes[down], ordered, place)))
    spots = []
    for patient, known in facts.items():
        centre = [float(known[f"tumour_{axis}_mm"]) for axis in "xyz"]
        volume = float(known.get("tumour_volume_cc", known.get("cavity_initial_cc", 1.0)))
        radius = 10.0 * math.pow(3.0 * volume / (4.0 * math.pi), 1 / 3)
        told = f"{patient}: {figure(volume, 'cc')}"
        told += "".join(f", {known[key]}" for key in ("site", "histology") if key in known)
        spots.append(Spot(patient, *place(centre[across], centre[down]), round(radius, 1), told))
    return View(name, left, _extent(grid, across), (letters[0], letters[1]), tuple(outlines), tuple(spots))


def _outline(across: np.ndarray, down: np.ndarray, silhouette: np.ndarray, place) -> str:  # type: ignore[no-untyped-def]
    """Return the path around a silhouette, shape (across, down), 0 to 255."""
    if not silhouette.any():
        return ""
    padded = np.pad(silhouette, 1)
    u = np.concatenate([[2 * across[0] - across[1]], across, [2 * across[-1] - across[-2]]])
    v = np.concatenate([[2 * down[0] - down[1]], down, [2 * down[-1] - down[-2]]])
    lines = Figure().subplots().contour(u, v, padded.T, levels=[127.5]).allsegs[0]
    return "".join("M" + "L".join(f"{x} {y}" for x, y in (place(*p) for p in line[::2])) + "Z" for line in lines)
