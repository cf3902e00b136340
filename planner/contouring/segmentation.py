"""Automatic segmentation of a resection cavity from a point inside it, blind to anything but the images.

Fluid is what looks like the seed; a level set with curvature grows over it and does not follow it into sulci; the edge
is then placed between the voxels, where the signal is half-way from what is inside to the wall beside it.
"""

from collections.abc import Sequence

import numpy as np
import SimpleITK
from scipy import ndimage

from phantoms.grid import Grid
from phantoms.structure import Role, Structure
from phantoms.volume import Volume
from planner.contouring.itk import array_of, image_of, single
from planner.treatment.errors import PlanningError

# A cavity lies within this distance of the seed: 60 cc as an ellipsoid of 2:1 has a half axis of 38 mm.
REACH_MM = 45.0
# Signal of the fluid: the median within this distance of the seed.
_SEED_MM = 3.0
# Signal of the brain: the median within this distance of the seed, without what is darker than a quarter of it.
_BRAIN_MM, _DARK = 35.0, 0.25
# Images in which fluid and brain differ by fewer standard deviations of the noise tell nothing.
_LEAST_CONTRAST = 4.0
# Necks thinner than twice this are cut before the level set starts.
_NECK_MM = 2.0
_CURVATURE, _STEPS = 0.6, 60
# The signals inside and of the wall are means over these distances from the edge and, along it, over this width.
_INSIDE_MM, _WALL_MM, _ALONG_MM = (1.5, 6.0), (0.7, 2.3), 2.5
# The edge is looked for this far inside and outside of the level set, twice.
_BAND_MM, _ROUNDS = (2.5, 1.6), 2


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
    likeness = _likeness(data, noise, _distance(grid, seed_mm))
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
    reach = np.ceil(REACH_MM / np.asarray(whole.spacing_mm)).astype(int)
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, whole.shape)
    i, j, k = (int(n) for n in index - low)
    cut = (*(low > 0).tolist(), *(high < whole.shape).tolist())
    return whole.window(low.tolist(), high.tolist()), (i, j, k), cut


def _close(grid: Grid, inside: np.ndarray) -> tuple[Grid, tuple[slice, ...]]:
    """Return the window of the voxels inside and what the search for their edge needs, and where it is."""
    margin = np.ceil(_INSIDE_MM[1] / np.asarray(grid.spacing_mm)).astype(int)
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


def _likeness(data: Sequence[np.ndarray], noise: Sequence[float], distance: np.ndarray) -> np.ndarray:
    """Return how much each voxel looks like the fluid (1) or the brain (0) in all images; air counts as fluid."""
    alike, dark = [], []
    for array, sigma in zip(data, noise, strict=True):
        fluid = float(np.median(array[distance <= max(_SEED_MM, float(distance.min()))]))
        near = array[distance <= _BRAIN_MM]
        brain = float(np.median(near[near > _DARK * np.percentile(near, 90)]))
        dark.append(np.clip(1.0 - array / (2.0 * _DARK * brain), -1.0, 1.0))
        if abs(fluid - brain) >= _LEAST_CONTRAST * sigma:
            alike.append(np.clip((array - brain) / (fluid - brain), -1.0, 2.0))
    if not alike:
        raise PlanningError("the seed does not stand out of the brain in any image: is it inside the cavity's fluid?")
    # Air, which is dark in every image, lies in cavities soon after surgery.
    return np.maximum(np.minimum.reduce(alike), np.minimum.reduce(dark)).astype(np.float32)


def _grown(likeness: np.ndarray, seed: tuple[int, int, int], grid: Grid, cut: tuple[bool, ...]) -> np.ndarray:
    """Return the voxels inside a level set that grew from the seed over what looks like fluid."""
    spacing = grid.spacing_mm
    smoothing = single(SimpleITK.CurvatureAnisotropicDiffusionImageFilter())
    smoothing.SetTimeStep(0.04 * min(spacing))
    smoothing.SetConductanceParameter(1.0)
    smooth = smoothing.Execute(image_of(likeness, spacing))
    fluid = array_of(SimpleITK.ConnectedThreshold(smooth, [seed], 0.5, 2.0)) > 0
    core = _component(_opened(fluid, spacing), seed)
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
    found = _component(array_of(growing.Execute(start, smooth)) < 0.0, seed)
    if found is None:
        raise PlanningError("no cavity is found about the seed: what is there is too thin")
    faces = [found.take(end, axis=axis).any() for end in (0, -1) for axis in range(3)]
    if any(touched and beyond for touched, beyond in zip(faces, cut, strict=True)):
        raise PlanningError(f"what looks like the seed is not closed within {REACH_MM:g} mm of it: it has leaked")
    return found


def _opened(fluid: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Return a region without its parts that a ball of the neck's radius does not fit into."""
    depth = ndimage.distance_transform_edt(fluid, sampling=spacing_mm)
    return ndimage.distance_transform_edt(depth <= _NECK_MM, sampling=spacing_mm) <= _NECK_MM


def _component(region: np.ndarray, seed: tuple[int, int, int]) -> np.ndarray | None:
    """Return the part of a region that holds the seed, or None if the seed lies outside of it."""
    labels, _ = ndimage.label(region)
    return labels == labels[seed] if region[seed] else None


def _edge(
    data: Sequence[np.ndarray], noise: Sequence[float], inside: np.ndarray, spacing_mm: Sequence[float]
) -> np.ndarray:
    """Return the occupancy whose edge lies half-way between the signals inside and of the wall beside it."""
    depth = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
    height = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
    within = (depth > _INSIDE_MM[0]) & (depth < _INSIDE_MM[1])
    wall = (height > _WALL_MM[0]) & (height < _WALL_MM[1])
    share, weight = np.zeros(inside.shape, np.float32), np.full(inside.shape, 1e-9, np.float32)
    for array, sigma in zip(data, noise, strict=True):
        beside = _mean(array, wall, spacing_mm)
        step = _mean(array, within, spacing_mm) - beside
        told = (step / np.float32(sigma)) ** 2
        share += told * np.clip((array - beside) / np.where(np.abs(step) < 1e-3 * sigma, np.inf, step), -0.5, 1.5)
        weight += told
    searched = (depth < _BAND_MM[0]) & (height < _BAND_MM[1])
    found = np.where(searched, np.clip(share / weight, 0.0, 1.0), inside)
    # Beyond the wall there is brain again, which may look like the inside.
    kept = ndimage.binary_opening(found >= 0.5) | (depth >= _BAND_MM[0])
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
    width = [_ALONG_MM / step for step in spacing_mm]
    share = ndimage.gaussian_filter(where.astype(np.float32), width)
    return ndimage.gaussian_filter(np.where(where, data, 0.0).astype(np.float32), width) / np.maximum(share, 1e-4)
