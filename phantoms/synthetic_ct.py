"""Density from a T1-weighted MRI of a head: outline without frame and fiducials, brain, skull, air, bulk densities.

Bone and air are both dark in MRI, so the skull is found as the dark shell about the brain and air as dark places too
thick for bone. Thresholds are relative to the image's own noise and tissue levels; lengths are anatomical. Good for
bulk density (the usual choice of MR-only planning of the brain); it is no CT and finds neither plates nor implants.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from phantoms.cited import Cited
from phantoms.grid import Grid
from phantoms.resampling import averaged
from phantoms.structure import Role, Structure
from phantoms.tissue import TISSUES
from phantoms.volume import Quantity, Volume

SKULL_DENSITY = Cited(1.61, "ICRU Report 46 (1992): skeleton, cranium (whole), adult, g/cm3", "published")
BRAIN_DENSITY = Cited(1.04, "ICRU Report 46 (1992): brain, whole, adult, g/cm3", "published")
SOFT_DENSITY = Cited(1.05, "ICRU Report 46 (1992): muscle, skeletal, g/cm3, for all soft tissue of the head", "assumed")
AIR_DENSITY = Cited(TISSUES["air"].density, "as phantoms.tissue", "published")

# Relative to the median signal deep in the head.
SKIN_LEVEL = Cited(0.15, "above background, below scalp in all coils tried", "assumed")
BRAIN_LEVELS = (
    Cited(0.6, "above CSF and bone; grey matter lies at 0.75-0.95", "assumed"),
    Cited(1.4, "below fat, which would bridge to orbits and scalp; white matter lies at 1.1-1.3", "assumed"),
)
DARK_LEVEL = Cited(0.35, "halfway between cortical bone and muscle, of the local signal", "assumed")
SMALL_PART = Cited(
    0.05, "fiducial tubes together hold some 20 cc, the scalp several hundred; of the largest part", "assumed"
)
# Millimetres.
DETACH_MM = Cited(2.5, "fiducials, bars and pins are thinner than twice this", "assumed")
CLOSE_SKIN_MM = Cited(6.0, "ear canals are up to 9 mm wide", "assumed")
SCALP_MM = Cited(7.0, "scalp and outer table: nowhere is brain closer to air", "assumed")
NECK_MM = Cited(4.0, "nerves and vessels that join brain to orbit and neck are thinner than twice this", "assumed")
SULCUS_MM = Cited(10.0, "sulci, fissures and cisterns are narrower than twice this", "assumed")
VAULT_MM = Cited(30.0, "parasagittal CSF spaces under the vertex; the vault is convex", "assumed")
CSF_MM = Cited(2.0, "CSF and dura between cortex and inner table", "assumed")
SKULL_REACH_MM = Cited(15.0, "thickest skull away from the base", "assumed")
DIPLOE_MM = Cited(3.0, "half the thickness of the diploe between the dark tables", "assumed")
THIN_SKULL_MM = Cited(3.0, "thinnest skull that is assumed where none is seen", "assumed")
SINUS_MM = Cited(4.0, "dark places thicker than twice this are air, not bone", "assumed")
AIR_MARGIN_MM = 10.0
_DEEP_MM = 30.0
_LEAST_BRAIN_CC = 300.0


@dataclass(frozen=True, eq=False)
class _Levels:
    """Signal of the background, and of the head deep inside."""

    noise: float
    tissue: float


def segmented(mr: Volume, spacing_mm: float = 1.0) -> dict[str, Structure]:
    """Return ``external``, ``brain``, ``intracranial``, ``skull`` and ``air_cavities`` of a T1-weighted head.

    Parameters
    ----------
    mr : Volume
        T1-weighted, with or without contrast; nothing but the head needs to be in it.
    spacing_mm : float
        Voxel size of the grid of the result, which covers the outline with a rim of air.

    Raises
    ------
    ValueError
        If no head or no brain is found in the image.
    """
    step = max(1.0, min(mr.grid.spacing_mm))
    image = averaged(mr, Grid.covering(mr.grid.low_mm.tolist(), mr.grid.high_mm.tolist(), step))
    smooth = ndimage.gaussian_filter(image.data, 1.0 / step)
    external, levels = _outline(smooth, step)
    low, high = _box(external, round(6.0 / step))
    grid = image.grid.window(low, high)
    cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    external, smooth = external[cut], smooth[cut]
    sharp = ndimage.gaussian_filter(image.data[cut], 0.7 / step)
    deep = _depth(external, step)
    brain = _brain(sharp, deep, float(np.median(sharp[deep > _deep_enough(deep)])), step)
    intracranial = (_away(brain | _vault(brain, step), step) <= CSF_MM.value) & (deep > SCALP_MM.value - CSF_MM.value)
    skull, air = _skull_and_air(sharp, (external, deep, intracranial), levels, step)
    masks = {"external": external, "brain": brain, "intracranial": intracranial, "skull": skull, "air_cavities": air}
    target = _result_grid(grid, external, spacing_mm)
    return {name: _structure(name, grid, mask, target) for name, mask in masks.items()}


def bulk_density(grid: Grid, structures: Mapping[str, Structure]) -> Volume:
    """Return bulk density on `grid` from ``external`` and, where given, ``brain``, ``skull``, ``air_cavities``.

    Parameters
    ----------
    grid : Grid
    structures : mapping of str to Structure
        Later ones in the order brain, skull, air cavities displace earlier ones by their occupied fraction.
    """
    inside = structures["external"].on(grid)
    rho = AIR_DENSITY.value + inside * np.float32(SOFT_DENSITY.value - AIR_DENSITY.value)
    for name, density in (("brain", BRAIN_DENSITY), ("skull", SKULL_DENSITY), ("air_cavities", AIR_DENSITY)):
        if name in structures:
            part = structures[name].on(grid) * (inside > 0)
            rho = rho * (1 - part) + np.float32(density.value) * part
    return Volume(grid, rho, Quantity.DENSITY)


def _outline(smooth: np.ndarray, step: float) -> tuple[np.ndarray, _Levels]:
    """Return the head, closed, without what does not hang on it by a broad base; and the signal levels."""
    counts, edges = np.histogram(smooth, bins=200, range=(0.0, float(np.percentile(smooth, 99)) or 1.0))
    noise = float(edges[counts[:40].argmax()])
    bright = smooth[smooth > 3 * noise]
    if len(bright) * step**3 < 1000 * _LEAST_BRAIN_CC:
        raise ValueError("no head found: too little of the image lies above its background")
    tissue = float(np.median(bright))
    if tissue < 5 * noise:
        raise ValueError(f"no head found: the signal ({tissue:.3g}) hardly rises above the background ({noise:.3g})")
    mask = smooth > max(3 * noise, SKIN_LEVEL.value * tissue)
    # Scalp that a dark skull parts from the brain is large; fiducials and bars are small.
    solid = _filled(_without_small(mask))
    core = _largest(_depth(solid, step) > DETACH_MM.value)
    head = _largest(solid & (_away(core, step) <= DETACH_MM.value + 2.0))
    # The neck goes on below the image: sealed there, the airways are holes.
    sealed = np.pad(head, ((0, 0), (0, 0), (1, 0)), mode="edge")
    closed = _filled(_closed(sealed, CLOSE_SKIN_MM.value, step)[:, :, 1:])
    if closed.mean() > 0.95:
        raise ValueError("no head found: there is no background about it")
    # A low threshold takes in the voxels on the slope of the edge: the skin lies one layer further in.
    return ndimage.binary_erosion(closed, border_value=1), _Levels(noise, tissue)


def _brain(sharp: np.ndarray, deep: np.ndarray, tissue: float, step: float) -> np.ndarray:
    """Return the brain with its sulci and ventricles: the thick part of brain-like signal, regrown and closed."""
    low, high = BRAIN_LEVELS
    # Voxels that it fills in part widen what joins brain and neck.
    neck = NECK_MM.value + step - 1.0
    like = (sharp > low.value * tissue) & (sharp < high.value * tissue) & (deep > SCALP_MM.value)
    core = _largest(_depth(like, step) > neck)
    parts = like & (_away(core, step) <= neck + 2.5)
    brain = _filled(_closed(parts, SULCUS_MM.value, step) & (deep > SCALP_MM.value))
    if brain.sum() * step**3 < 1000 * _LEAST_BRAIN_CC:
        raise ValueError(f"no brain found in the head (less than {_LEAST_BRAIN_CC:.0f} cc): is the image T1-weighted?")
    return brain


def _vault(brain: np.ndarray, step: float) -> np.ndarray:
    """Return the hollow of the skull above the brain's centre: convex there, so wide CSF spaces belong to it."""
    from_plane = int(ndimage.center_of_mass(brain)[2])
    coarse = brain[::2, ::2, from_plane::2]
    hull = _closed(np.pad(coarse, ((0, 0), (0, 0), (4, 0)), mode="edge"), VAULT_MM.value, 2 * step)[:, :, 4:]
    vault = np.zeros_like(brain)
    fine = hull.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    vault[:, :, from_plane:] = fine[: brain.shape[0], : brain.shape[1], : brain.shape[2] - from_plane]
    return vault


def _skull_and_air(
    sharp: np.ndarray, masks: tuple[np.ndarray, np.ndarray, np.ndarray], levels: _Levels, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return skull and air cavities from `masks`: external, its depth, intracranial."""
    external, deep, intracranial = masks
    away = _away(intracranial, step)
    # Of the local signal, because coils fade towards the neck, where muscle would otherwise pass for bone.
    lit = (external & (sharp > 2 * levels.noise)).astype(np.float32)
    sigma = 15.0 / step
    local = ndimage.gaussian_filter(sharp * lit, sigma) / np.maximum(ndimage.gaussian_filter(lit, sigma), 1e-3)
    threshold = np.maximum(DARK_LEVEL.value * np.minimum(local, levels.tissue), 1.6 * levels.noise)
    dark = (sharp < threshold) & ~intracranial & (deep > THIN_SKULL_MM.value)
    seeds = (_depth(dark, step) > SINUS_MM.value) & (away > SINUS_MM.value + 1.0)
    air = dark & (_away(seeds, step) <= SINUS_MM.value + 1.5) & (away > CSF_MM.value)
    bone = dark & ~air & (away < SKULL_REACH_MM.value)
    shell = _closed(bone | intracranial, DIPLOE_MM.value, step) | (away <= THIN_SKULL_MM.value)
    return shell & ~intracranial & ~air & (deep > THIN_SKULL_MM.value), air


def _structure(name: str, grid: Grid, mask: np.ndarray, target: Grid) -> Structure:
    """Return a mask on `target`, its steps softened over about a voxel so that its surface lies between voxels."""
    soft = Volume(grid, ndimage.gaussian_filter(mask.astype(np.float32), 0.6), Quantity.OCCUPANCY)
    occupancy = averaged(soft, target).data
    occupancy[occupancy < 0.02] = 0.0
    occupancy[occupancy > 0.98] = 1.0
    role = Role.EXTERNAL if name == "external" else Role.ORGAN if name == "brain" else Role.SUPPORT
    return Structure(name, role, target, occupancy).cropped(1)


def _result_grid(grid: Grid, external: np.ndarray, spacing_mm: float) -> Grid:
    low, high = _box(external, 0)
    window = grid.window(low, high)
    return Grid.covering(
        (window.low_mm - AIR_MARGIN_MM).tolist(), (window.high_mm + AIR_MARGIN_MM).tolist(), spacing_mm
    )


def _deep_enough(deep: np.ndarray) -> float:
    return min(_DEEP_MM, 0.6 * float(deep.max()))


def _box(mask: np.ndarray, margin: int) -> tuple[list[int], list[int]]:
    """Return the index box of a mask plus a margin, inside the array."""
    found = np.argwhere(mask)
    if not len(found):
        raise ValueError("no head found in the image")
    low, high = np.maximum(found.min(axis=0) - margin, 0), np.minimum(found.max(axis=0) + 1 + margin, mask.shape)
    return low.tolist(), high.tolist()


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def _without_small(mask: np.ndarray) -> np.ndarray:
    """Return a mask without the connected parts that are small beside the largest."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= SMALL_PART.value * sizes.max())[labels] & mask


def _filled(mask: np.ndarray) -> np.ndarray:
    """Return a mask with the holes of its axial slices filled."""
    return np.stack([ndimage.binary_fill_holes(mask[:, :, k]) for k in range(mask.shape[2])], axis=2)


def _depth(mask: np.ndarray, step: float) -> np.ndarray:
    """Return the distance, mm, of mask voxels to the outer voxels' faces; the edge of the image is not outside."""
    padded = np.pad(mask, 1, mode="edge")
    depth = ndimage.distance_transform_edt(padded, sampling=step)[1:-1, 1:-1, 1:-1]
    return np.maximum(depth - step / 2, 0.0).astype(np.float32)


def _away(mask: np.ndarray, step: float) -> np.ndarray:
    """Return the distance, mm, to the nearest voxel of a mask; infinite if there is none."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return ndimage.distance_transform_edt(~mask, sampling=step).astype(np.float32)


def _closed(mask: np.ndarray, radius_mm: float, step: float) -> np.ndarray:
    """Return the morphological closing of a mask with a ball."""
    n = int(np.ceil(radius_mm / step)) + 1
    inner = (slice(n, -n),) * 3
    grown = _away(np.pad(mask, n), step) <= radius_mm
    return mask | (ndimage.distance_transform_edt(grown, sampling=step) > radius_mm)[inner]
