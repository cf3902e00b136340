"""Automatic segmentation of a resection cavity from a point inside it, blind to anything but the images.

Fluid is what looks like the seed. Soon after surgery air lies before it and settled blood behind it, for patients lie
on their backs; both are looked for where a level bounds the fluid. A level set with curvature grows over the three and
does not follow them into sulci; the edge is then placed between the voxels, where the signal is half-way from what is
inside to the wall beside it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK
from scipy import ndimage

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Volume
from planner.contouring.cavity_look import cavity_look
from planner.contouring.itk import array_of, image_of, single
from planner.treatment.errors import PlanningError

# Numerical: curvature and iterations of the level set, and how often the edge is looked for.
_CURVATURE, _STEPS, _ROUNDS = 0.6, 60, 2


def segment_cavity(images: Sequence[Volume], seed_mm: Sequence[float], name: str = "cavity") -> Structure:
    """Return the cavity around a seed as occupancy on the lattice of the first image.

    Parameters
    ----------
    images : sequence of Volume
        Of one frame of reference: T1-weighted after gadolinium first, then T2-weighted where there is one. FLAIR adds
        nothing: its fluid is as dark as vessels.
    seed_mm : sequence of 3 float
        A point in the fluid of the cavity, LPS mm.
    name : str

    Raises
    ------
    PlanningError
        If the seed lies outside the first image, does not stand out of the brain, or no closed cavity is about it.
    """
    grid, seed, cut = _window(images[0].grid, seed_mm)
    data = [image.on(grid).data for image in images]
    noise = [_noise(array) for array in data]
    near = _near(data, grid, seed_mm)
    brain = [float(np.median(part)) for part in near]
    white = float(np.percentile(near[0], cavity_look().white_percentile.value))
    look = _Look(data, noise, brain, white)
    likeness = _likeness(look, _distance(grid, seed_mm))
    _add_layers(likeness, look, seed, grid)
    inside = _grown(likeness, seed, grid, cut)
    grid, view = _close(grid, inside)
    data, inside = [array[view] for array in data], inside[view]
    for _ in range(_ROUNDS):
        occupancy = _edge(data, noise, inside, grid.spacing_mm)
        inside = occupancy >= 0.5
    return Structure(name, Role.TARGET, grid, occupancy).cropped(1)


def _window(whole: Grid, seed_mm: Sequence[float]) -> tuple[Grid, tuple[int, int, int], tuple[bool, ...]]:
    """Return the window about the seed, the voxel of the seed in it, and which of its faces cut the image off."""
    index = np.rint(whole.index_of(np.asarray(seed_mm, float))).astype(int)
    if np.any(index < 0) or np.any(index >= whole.shape):
        raise PlanningError(f"seed {_told(seed_mm)} mm (LPS) lies outside the image")
    reach = np.ceil(cavity_look().reach_mm.value / np.asarray(whole.spacing_mm)).astype(int)
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, whole.shape)
    i, j, k = (int(n) for n in index - low)
    cut = (*(low > 0).tolist(), *(high < whole.shape).tolist())
    return whole.window(low.tolist(), high.tolist()), (i, j, k), cut


def _close(grid: Grid, inside: np.ndarray) -> tuple[Grid, tuple[slice, ...]]:
    """Return the window of the voxels inside and what the search for their edge needs, and where it is."""
    margin = np.ceil(cavity_look().inside_mm.value[1] / np.asarray(grid.spacing_mm)).astype(int)
    occupied = np.argwhere(inside)
    low = np.maximum(occupied.min(axis=0) - margin, 0)
    high = np.minimum(occupied.max(axis=0) + margin + 1, grid.shape)
    view = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return grid.window(low.tolist(), high.tolist()), view


def _told(point: Sequence[float]) -> str:
    return "(" + ", ".join(f"{x:.1f}" for x in point) + ")"


def _distance(grid: Grid, seed_mm: Sequence[float]) -> np.ndarray:
    x, y, z = (axis - s for axis, s in zip(grid.axes_mm(), seed_mm, strict=True))
    return np.sqrt(x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2)


def _noise(data: np.ndarray) -> float:
    """Return the standard deviation of the noise: second differences see it and little of the anatomy."""
    wrinkle = np.abs(data[2:] - 2 * data[1:-1] + data[:-2])
    wrinkle = wrinkle[wrinkle > 0]
    # Median of absolute values to sigma by 1.4826; the variance of (1, -2, 1) is 6.
    return float(1.4826 * np.median(wrinkle) / np.sqrt(6.0)) if wrinkle.size else 1.0


def _near(data: Sequence[np.ndarray], grid: Grid, seed_mm: Sequence[float]) -> list[np.ndarray]:
    """Return the signals of the brain about the seed in each image."""
    rule = cavity_look()
    near = [array[_distance(grid, seed_mm) <= rule.brain_mm.value] for array in data]
    return [array[array > rule.dark.value * np.percentile(array, 90)] for array in near]


class _Look(NamedTuple):
    """What the window shows: images, the noise and the signal of the brain in each, and that of white matter in T1."""

    data: Sequence[np.ndarray]
    noise: Sequence[float]
    brain: Sequence[float]
    white: float


def _likeness(look: _Look, distance: np.ndarray) -> np.ndarray:
    """Return how much each voxel looks like the fluid (1) or the brain (0) in all images."""
    rule = cavity_look()
    alike = []
    for array, sigma, brain in zip(look.data, look.noise, look.brain, strict=True):
        fluid = float(np.median(array[distance <= max(rule.seed_mm.value, float(distance.min()))]))
        if abs(fluid - brain) >= rule.least_contrast.value * sigma:
            alike.append(np.clip((array - brain) / (fluid - brain), -1.0, 2.0))
    if not alike:
        raise PlanningError("the seed does not stand out of the brain in any image: is it inside the cavity's fluid?")
    return np.minimum.reduce(alike).astype(np.float32)


def _add_layers(likeness: np.ndarray, look: _Look, seed: tuple[int, int, int], grid: Grid) -> None:
    """Let air before the fluid and blood behind it look like fluid, in place, where a level tells of them."""
    rule = cavity_look()
    fluid = _component(_opened(likeness >= 0.5, grid.spacing_mm, seed), seed)
    if fluid is None:
        return
    least = rule.level_mm2.value / (grid.spacing_mm[0] * grid.spacing_mm[2])
    air = np.minimum.reduce(
        [1.0 - array / (2.0 * rule.dark.value * b) for array, b in zip(look.data, look.brain, strict=True)]
    )
    level = _level(air >= 0.5, fluid, grid.spacing_mm[1], least)
    if level is not None:
        _join(likeness, air, slice(0, level[0] + 1), level)
    if len(look.data) < 2:
        return
    t1, t2 = (array / np.float32(b) for array, b in zip(look.data[:2], look.brain[:2], strict=True))
    bright = look.data[0] > rule.late_t1.value * look.white
    thick = np.ones((1, int(np.ceil(rule.late_mm.value / grid.spacing_mm[1])), 1), bool)
    for settled in ((t2 < rule.early_t2.value) & (t1 > rule.early_t1.value), ndimage.binary_opening(bright, thick)):
        level = _level(fluid, settled, grid.spacing_mm[1], least)
        if level is not None:
            top = fluid[:, level[0]] & settled[:, level[1]]
            blood = _alike(look, [float(np.median(array[:, level[1]][top])) for array in look.data])
            _join(likeness, blood, slice(level[1], None), level)


def _alike(look: _Look, signals: Sequence[float]) -> np.ndarray:
    """Return how much each voxel looks like these signals (1): half-way to the brain, or beyond the noise, 0.5."""
    noise = cavity_look().blood_noise.value
    room = [max(abs(b - s), noise * n) for b, s, n in zip(look.brain, signals, look.noise, strict=True)]
    return np.minimum.reduce([1.0 - np.abs(a - s) / r for a, s, r in zip(look.data, signals, room, strict=True)])


def _level(front: np.ndarray, behind: np.ndarray, step_mm: float, least: float) -> tuple[int, int] | None:
    """Return the last plane along y of what lies in front and the first of what lies behind, of most columns."""
    best, level = least, None
    nearest, farthest = (int(np.ceil(mm / step_mm)) for mm in cavity_look().level_mm.value)
    for depth in range(nearest, farthest + 1):
        count = (front[:, :-depth] & behind[:, depth:]).sum(axis=(0, 2))
        if count.max() > best:
            plane = int(np.argmax(count))
            best, level = float(count[plane]), (plane, plane + depth)
    return level


def _join(likeness: np.ndarray, layer: np.ndarray, where: slice, planes: tuple[int, int]) -> None:
    """Add a layer to what looks like fluid, in place, and close the planes of mixed voxels between the two."""
    likeness[:, where] = np.maximum(likeness[:, where], np.clip(layer[:, where], -1.0, 1.0))
    first, last = planes
    between = np.minimum(likeness[:, [first]], likeness[:, [last]])
    likeness[:, first + 1 : last] = np.maximum(likeness[:, first + 1 : last], between)


def _grown(likeness: np.ndarray, seed: tuple[int, int, int], grid: Grid, cut: tuple[bool, ...]) -> np.ndarray:
    """Return the voxels inside a level set that grew from the seed over what looks like fluid."""
    rule = cavity_look()
    spacing = grid.spacing_mm
    smoothing = single(SimpleITK.CurvatureAnisotropicDiffusionImageFilter())
    smoothing.SetTimeStep(0.04 * min(spacing))
    smoothing.SetConductanceParameter(1.0)
    smooth = smoothing.Execute(image_of(likeness, spacing))
    fluid = array_of(SimpleITK.ConnectedThreshold(smooth, [seed], 0.5, 2.0)) > 0
    core = _component(_opened(fluid, spacing, seed), seed)
    if core is None:
        raise PlanningError("no cavity is found about the seed: it lies in a gap thinner than 4 mm, or in none at all")
    start = SimpleITK.SignedMaurerDistanceMap(
        image_of(core.astype(np.uint8), spacing), insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    growing = single(SimpleITK.ThresholdSegmentationLevelSetImageFilter())
    growing.SetLowerThreshold(0.5)
    growing.SetUpperThreshold(3.0)
    growing.SetCurvatureScaling(_CURVATURE)
    growing.SetNumberOfIterations(_STEPS)
    growing.SetMaximumRMSError(0.005)
    found = array_of(growing.Execute(start, smooth)) < 0.0
    core = _component(_opened(found, spacing, seed), seed)
    if core is None:
        raise PlanningError("no cavity is found about the seed: what is there is too thin")
    # What grew through a neck is left out again.
    found &= ndimage.distance_transform_edt(~core, sampling=spacing) <= rule.neck_mm.value[0]
    faces = [found.take(end, axis=axis).any() for end in (0, -1) for axis in range(3)]
    if any(touched and beyond for touched, beyond in zip(faces, cut, strict=True)):
        raise PlanningError(
            f"what looks like the seed is not closed within {rule.reach_mm.value:g} mm of it: it has leaked"
        )
    return found


def _opened(fluid: np.ndarray, spacing_mm: Sequence[float], seed: tuple[int, int, int]) -> np.ndarray:
    """Return a region without its parts that a ball of the neck's radius does not fit into."""
    rule = cavity_look()
    depth = ndimage.distance_transform_edt(fluid, sampling=spacing_mm)
    neck = float(np.clip(rule.neck_share.value * depth[seed], *rule.neck_mm.value))
    return ndimage.distance_transform_edt(depth <= neck, sampling=spacing_mm) <= neck


def _component(region: np.ndarray, seed: tuple[int, int, int]) -> np.ndarray | None:
    """Return the part of a region that holds the seed, or None if the seed lies outside of it."""
    labels, _ = ndimage.label(region)
    return labels == labels[seed] if region[seed] else None


def _edge(
    data: Sequence[np.ndarray], noise: Sequence[float], inside: np.ndarray, spacing_mm: Sequence[float]
) -> np.ndarray:
    """Return the occupancy whose edge lies half-way between the signals inside and of the wall beside it."""
    rule = cavity_look()
    depth = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
    height = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
    within = (depth > rule.inside_mm.value[0]) & (depth < rule.inside_mm.value[1])
    wall = (height > rule.wall_mm.value[0]) & (height < rule.wall_mm.value[1])
    # Air, fluid and blood lie in layers: what is inside is told by its own layer, along which y is far.
    apart = [1.0, rule.layered.value, 1.0] * np.asarray(spacing_mm)
    own = tuple(ndimage.distance_transform_edt(~within, apart, return_distances=False, return_indices=True))
    share, weight = np.zeros(inside.shape, np.float32), np.full(inside.shape, 1e-9, np.float32)
    for array, sigma in zip(data, noise, strict=True):
        beside = _mean(array, wall, spacing_mm)
        step = _mean(array, within, apart)[own] - beside
        told = (step / np.float32(sigma)) ** 2
        share += told * np.clip((array - beside) / np.where(np.abs(step) < 1e-3 * sigma, np.inf, step), -0.5, 1.5)
        weight += told
    # Where no image tells what is inside from the wall, as between layers that mix, the level set stands.
    inner, outer = rule.band_mm.value
    searched = (depth < inner) & (height < outer) & (weight >= rule.least_contrast.value**2)
    found = np.where(searched, np.clip(share / weight, 0.0, 1.0), inside)
    # Beyond the wall there is brain again, which may look like the inside.
    kept = ndimage.binary_opening(found >= 0.5) | (depth >= inner)
    labels, count = ndimage.label(kept)
    if count == 0:
        return np.zeros(inside.shape, np.float32)
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    body = labels == largest
    # Only voxels at the edge are partly occupied; farther off, fractions are noise.
    found = np.where(ndimage.binary_erosion(body), 1.0, found)
    return np.where(ndimage.binary_dilation(body), found, 0.0)


def _mean(data: np.ndarray, where: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Return the mean of data over a region, by a Gaussian about each voxel."""
    width = [cavity_look().along_mm.value / step for step in spacing_mm]
    share = ndimage.gaussian_filter(where.astype(np.float32), width)
    return ndimage.gaussian_filter(np.where(where, data, 0.0).astype(np.float32), width) / np.maximum(share, 1e-4)
