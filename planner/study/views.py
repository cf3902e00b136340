"""The pictures of a case as small arrays: what the report draws slices from."""

from collections.abc import Collection, Mapping

import numpy as np

from phantoms.grid import Grid
from phantoms.patient import Epoch
from phantoms.structure import Structure
from phantoms.volume import Volume
from planner.timeline.state import Course

# Fine enough for slices on a screen; a case stays within a few megabytes.
SPACING_MM = 1.5
MR = "t1gd"


def views_of(course: Course, told: Collection[str]) -> dict[str, np.ndarray]:
    """Return the arrays of ``views.npz``.

    Parameters
    ----------
    course : Course
        Its truth gives the image of the last day, the structures and the delivered dose; its plan the planned dose and
        the planned targets; its belief the image that the plan was drawn on, and the cavity as drawn.
    told : collection of str
        Structures with metrics; beside the outline, only these are shown.
    """
    truth, plan, belief = course.truth, course.plan, course.belief
    grid = view_grid(truth)
    known: dict[str, Structure] = {**truth.structures, **plan.targets}
    shown = {name: structure for name, structure in known.items() if name in told or name == "external"}
    if "cavity" in belief.structures:
        shown["believed_cavity"] = belief.structures["cavity"]
    return {
        "origin_mm": np.array(grid.origin_mm),
        "spacing_mm": np.array(grid.spacing_mm),
        "image": _grey(truth.volumes, grid),
        "belief_image": _grey(belief.volumes, grid),
        "dose_gy": course.dose.volume.on(grid).data.astype(np.float16),
        "planned_gy": plan.dose.volume.on(grid).data.astype(np.float16),
        **{f"occupancy_{name}": _bytes(structure.on(grid)) for name, structure in sorted(shown.items())},
    }


def view_grid(epoch: Epoch) -> Grid:
    """Return the grid of the views: the head with a little air around it."""
    external = epoch.structures["external"].cropped()
    low = np.maximum(external.grid.low_mm - 4, epoch.grid.low_mm)
    high = np.minimum(external.grid.high_mm + 4, epoch.grid.high_mm)
    return Grid.covering(low, high, SPACING_MM)


def _grey(volumes: Mapping[str, Volume], grid: Grid) -> np.ndarray:
    """Return an MR volume in 256 greys, black at 0 and white at the 99th percentile of what is not air.

    What is brighter are vessels and the brightest of the rim: shown white, or the brain would be dark.
    """
    data = volumes[MR].on(grid).data
    bright = data[data > 0.05 * data.max()] if data.any() else np.ones(1, np.float32)
    return _bytes(data / float(np.percentile(bright, 99.0)))


def _bytes(fraction: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(fraction, 0, 1)).astype(np.uint8)
