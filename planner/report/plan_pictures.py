"""Pictures of one plan: dose on slices through the isocentre, dose-volume curves, apertures, arcs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.ndimage import binary_closing, gaussian_filter

from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner.evaluate.dvh import Histograms
from planner.report.isodoses import ORGAN_COLOURS, isodoses
from planner.techniques.aperture import project, target_points
from planner.treatment.delivery import ControlPoint, Delivery
from planner.treatment.geometry import beam_frame
from planner.treatment.machine import Machine

TARGET_COLOURS = {"ptv": "#ff4d4d", "gtv": "#ffe08a"}
# Axes of a plane, names of its directions, and which of them run downwards in the picture.
_PLANES = (("axial", 2, 0, 1, True), ("coronal", 1, 0, 2, False), ("sagittal", 0, 1, 2, False))
_DIRECTIONS = (("R", "L"), ("A", "P"), ("I", "S"))
_STEP_MM = 0.75
_ROOM_MM = 30.0
_WASH_FROM = 0.1
_MOST_APERTURES = 12


def dose_figure(
    dose: Volume,
    density: Volume,
    structures: Mapping[str, Structure],
    isocentre_mm: tuple[float, float, float],
    prescription_gy: float,
) -> Figure:
    """Return axial, coronal and sagittal slices through the isocentre: all of the body, and near the target.

    Parameters
    ----------
    dose, density : Volume
    structures : mapping of str to Structure
        What is outlined; ``ptv`` sets how far the near view reaches.
    isocentre_mm : tuple of 3 float
    prescription_gy : float
    """
    figure = Figure(figsize=(12.5, 8.6), layout="constrained", facecolor="white")
    axes = figure.subplots(2, 3)
    target = structures["ptv"].cropped().grid
    near = float(np.max(target.high_mm - target.low_mm)) / 2 + _ROOM_MM
    lines = isodoses(prescription_gy)
    for column, plane in enumerate(_PLANES):
        for row, reach in enumerate((None, near)):
            box = _box(density, isocentre_mm, reach)
            _slice(axes[row, column], (dose, density, structures), plane, (isocentre_mm, box), (prescription_gy, lines))
    handles = [axes[0, 0].plot([], [], color=line["colour"], lw=1.6, label=line["label"])[0] for line in lines]
    for number, name in enumerate(structures):
        shown = name.replace("_", " ") if name not in TARGET_COLOURS else name.upper()
        handles += axes[0, 0].plot([], [], "--", color=_colour(name, number), lw=1.4, label=shown)
    figure.legend(handles=handles, loc="outside lower center", ncols=8, frameon=False, fontsize=8)
    return figure


def _box(density: Volume, centre: Sequence[float], reach: float | None) -> tuple[np.ndarray, np.ndarray]:
    low, high = density.grid.low_mm, density.grid.high_mm
    if reach is None:
        return low, high
    return np.maximum(low, np.asarray(centre) - reach), np.minimum(high, np.asarray(centre) + reach)


def _slice(
    axes: Axes,
    volumes: tuple[Volume, Volume, Mapping[str, Structure]],
    plane: tuple[str, int, int, int, bool],
    place: tuple[Sequence[float], tuple[np.ndarray, np.ndarray]],
    levels: tuple[float, list[dict]],
) -> None:
    """Draw one slice: density, colour wash, isodose lines, outlines, isocentre."""
    (dose, density, structures), (name, across, x_axis, y_axis, down) = volumes, plane
    (centre, (low, high)), (prescription, lines) = place, levels
    x = np.arange(low[x_axis], high[x_axis] + _STEP_MM / 2, _STEP_MM)
    y = np.arange(low[y_axis], high[y_axis] + _STEP_MM / 2, _STEP_MM)
    points = np.empty((len(y), len(x), 3))
    points[..., across], points[..., x_axis], points[..., y_axis] = centre[across], x[None, :], y[:, None]

    def read(volume: Volume) -> np.ndarray:
        return volume.at(points.reshape(-1, 3)).reshape(len(y), len(x))

    extent = (x[0], x[-1], y[0], y[-1])
    axes.imshow(read(density), cmap="gray", vmin=0.0, vmax=1.9, origin="lower", extent=extent)
    gy = read(dose)
    shown = np.ma.masked_less(gy / prescription, _WASH_FROM)
    axes.imshow(shown, cmap="plasma", vmin=0.0, vmax=1.3, alpha=0.5, origin="lower", extent=extent)
    for line in lines:
        if gy.min() < line["gy"] < gy.max():
            axes.contour(x, y, gy, levels=[line["gy"]], colors=[line["colour"]], linewidths=1.2)
    for number, (key, structure) in enumerate(structures.items()):
        share = read(Volume(structure.grid, structure.occupancy, Quantity.OCCUPANCY))
        if share.max() > 0.5 > share.min():
            colour = _colour(key, number)
            axes.contour(x, y, share, levels=[0.5], colors=[colour], linewidths=1.2, linestyles="--")
    axes.plot(centre[x_axis], centre[y_axis], "+", color="white", ms=8, mew=0.8)
    if down:
        axes.invert_yaxis()
    axes.set_title(f"{name}, {'xyz'[across]} = {centre[across]:.1f} mm", fontsize=9)
    axes.set_xlabel(f"{'xyz'[x_axis]} (LPS), mm", fontsize=7)
    axes.set_ylabel(f"{'xyz'[y_axis]} (LPS), mm", fontsize=7)
    axes.tick_params(labelsize=7)
    for text, where in zip(_DIRECTIONS[x_axis], (0.03, 0.97), strict=True):
        axes.text(where, 0.5, text, color="white", transform=axes.transAxes, ha="center", va="center", fontsize=9)


def _colour(name: str, number: int) -> str:
    return TARGET_COLOURS.get(name, ORGAN_COLOURS[number % len(ORGAN_COLOURS)])


def dvh_figure(histograms: Histograms, structures: Mapping[str, Structure], prescription_gy: float) -> Figure:
    """Return the cumulative dose-volume histograms."""
    figure = Figure(figsize=(7.6, 4.8), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for number, (name, structure) in enumerate(structures.items()):
        if structure.is_empty:
            continue
        curve = histograms.of(structure)
        doses, percent = curve.curve(300)
        shown = name.upper() if name in TARGET_COLOURS else name.replace("_", " ")
        label = f"{shown}, {curve.volume_cc:.{2 if curve.volume_cc < 100 else 0}f} cc"
        dark = {"ptv": "#c1121f", "gtv": "#b8860b"}.get(name, f"C{number % 10}")
        axes.plot(doses, percent, color=dark, lw=1.8 if name in TARGET_COLOURS else 1.1, label=label)
    axes.axvline(prescription_gy, color="#555555", lw=0.8, ls=":")
    axes.annotate(f"{prescription_gy:g} Gy", (prescription_gy, 101), ha="center", fontsize=8, annotation_clip=False)
    axes.set(xlabel="dose, Gy", ylabel="volume, %", xlim=(0, None), ylim=(0, 100.5))
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False)
    return figure


def apertures_figure(delivery: Delivery, machine: Machine, target: Structure, most: int = _MOST_APERTURES) -> Figure:
    """Return beam's-eye views of at most `most` apertures, spread evenly: leaves, jaws, projected target."""
    flat = [
        (beam.label, beam.isocentre_mm, n, point)
        for beam in delivery.beams
        for n, point in enumerate(beam.control_points, start=1)
    ]
    chosen = np.unique(np.linspace(0, len(flat) - 1, min(most, len(flat))).round().astype(int))
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(3.1 * columns, 3.25 * rows), layout="constrained", facecolor="white")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.supxlabel("X along the leaves, mm at the isocentre (beam limiting device, IEC 61217)", fontsize=9)
    figure.supylabel("Y across the leaves, mm", fontsize=9)
    points = target_points(target)
    for panel in panels[len(chosen) :]:
        panel.set_axis_off()
    for panel, number in zip(panels, chosen, strict=False):
        label, isocentre, n, point = flat[number]
        frame = beam_frame(point.gantry_deg, point.couch_deg, point.collimator_deg, isocentre, machine.sad_mm.value)
        seen = project(points, frame, machine.sad_mm.value)
        _aperture(panel, point, machine, seen, max(target.grid.spacing_mm))
        angles = f"gantry {point.gantry_deg:.0f}, couch {point.couch_deg:.0f}, coll. {point.collimator_deg:.0f}"
        panel.set_title(f"{label}, no. {n}: {point.mu:.0f} MU\n{angles}", fontsize=8)
    return figure


def _aperture(axes: Axes, point: ControlPoint, machine: Machine, seen: np.ndarray, voxel_mm: float) -> None:
    borders = machine.leaf_borders_mm
    room = 12.0
    tips = np.concatenate([[seen[:, 0].min(), seen[:, 0].max()], [0.0]])
    half_x = float(np.abs(tips).max()) + room
    half_y = float(np.abs(seen[:, 1]).max()) + room
    for low, high, left, right in zip(borders[:-1], borders[1:], point.left_mm, point.right_mm, strict=True):
        if high < -half_y or low > half_y:
            continue
        for start, stop in ((-half_x, left), (right, half_x)):
            if stop > start:
                leaf = Rectangle((start, low), stop - start, high - low, fc="#9aa5b1", ec="#5c6773", lw=0.4, alpha=0.85)
                axes.add_patch(leaf)
    for low, high in ((-half_y, point.jaw_y_mm[0]), (point.jaw_y_mm[1], half_y)):
        if high > low:
            axes.add_patch(Rectangle((-half_x, low), 2 * half_x, high - low, fc="#d9a05b", ec="none", alpha=0.45))
    _outline(axes, seen, voxel_mm)
    axes.plot(0, 0, "+", color="#222222", ms=6, mew=0.7)
    axes.set(xlim=(-half_x, half_x), ylim=(-half_y, half_y), aspect="equal")
    axes.tick_params(labelsize=6)


def _outline(axes: Axes, seen: np.ndarray, voxel_mm: float) -> None:
    """Draw the outline of projected points that lie a voxel or less apart."""
    step = voxel_mm / 4
    low = seen.min(axis=0) - 8 * step
    shape = np.ceil((seen.max(axis=0) + 8 * step - low) / step).astype(int) + 1
    hit = np.zeros(shape, bool)
    index = ((seen - low) / step).astype(int)
    hit[index[:, 0], index[:, 1]] = True
    filled = gaussian_filter(binary_closing(hit, iterations=6).astype(float), 2.0)
    x, y = (low[n] + step * (np.arange(shape[n]) + 0.5) for n in range(2))
    axes.contour(x, y, filled.T, levels=[0.5], colors=[TARGET_COLOURS["ptv"]], linewidths=1.4)


def arcs_figure(delivery: Delivery, machine: Machine) -> Figure:
    """Return the arc diagram: gantry angles by table angle with monitor units, and the beams about the head."""
    figure = Figure(figsize=(10.5, 5.0), layout="constrained", facecolor="white")
    dial: Any = figure.add_subplot(1, 2, 1, projection="polar")  # polar axes have methods of their own
    dial.set_theta_zero_location("N")
    dial.set_theta_direction(-1)
    head = figure.add_subplot(1, 2, 2, projection="3d")
    couches = sorted({beam.control_points[0].couch_deg for beam in delivery.beams})
    most = max((p.mu for beam in delivery.beams for p in beam.control_points), default=0.0) or 1.0
    colours = ListedColormap([f"C{n}" for n in range(10)])
    for beam in delivery.beams:
        ring = couches.index(beam.control_points[0].couch_deg)
        colour = colours(ring % 10)
        for point in beam.control_points:
            width = np.radians(max(abs(point.span_deg), 1.5))
            bottom, height = 1.0 + 0.55 * ring, 0.48 * point.mu / most
            dial.bar(np.radians(point.gantry_deg), height, width=width, bottom=bottom, color=colour, lw=0)
        places = np.array([_source(point, machine) for point in beam.control_points])
        head.plot(*places.T, color=colour, lw=1.0 if beam.kind == "arc" else 0.0)
        head.scatter(*places.T, s=4 + 26 * np.array([p.mu for p in beam.control_points]) / most, color=colour)
    for ring, couch in enumerate(couches):
        dial.plot([], [], color=colours(ring % 10), lw=4, label=f"couch {couch:g} deg")
    dial.set_yticks([1.0 + 0.55 * n for n in range(len(couches))], labels=[])
    dial.set_ylim(0, 1.0 + 0.55 * len(couches))
    dial.set_title("gantry, deg (IEC 61217); height: monitor units", fontsize=9)
    dial.legend(loc="center", fontsize=7, frameon=True)
    _ball(head)
    return figure


def _source(point: ControlPoint, machine: Machine) -> np.ndarray:
    """Return the direction of the source from the isocentre, LPS."""
    frame = beam_frame(point.gantry_deg, point.couch_deg, point.collimator_deg, (0.0, 0.0, 0.0), machine.sad_mm.value)
    return np.asarray(frame.source_mm / machine.sad_mm.value)


def _ball(axes: Axes) -> None:
    """Draw a ball for the head, and name the sides of the patient."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13))
    mesh = (0.45 * np.cos(u) * np.sin(v), 0.45 * np.sin(u) * np.sin(v), 0.45 * np.cos(v))
    drawn: Any = axes  # what matplotlib adds for three dimensions has no types
    drawn.plot_surface(*mesh, color="#e8d5c4", alpha=0.5, lw=0)
    for text, place in (("L", (1.2, 0, 0)), ("R", (-1.2, 0, 0)), ("P", (0, 1.2, 0)), ("A", (0, -1.2, 0))):
        drawn.text(*place, text)
    drawn.text(0, 0, 1.2, "S")
    for fit in (drawn.set_xlim, drawn.set_ylim, drawn.set_zlim):
        fit(-0.8, 0.8)
    drawn.view_init(elev=20, azim=-35)
    drawn.set_box_aspect((1, 1, 1))
    drawn.set_axis_off()
    drawn.set_title("sources about the head", fontsize=9)
