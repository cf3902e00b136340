"""How a resection cavity looks in MR images: the constants of its segmentation, ``library/contouring/cavity.toml``."""

from functools import cache

from planner import library
from planner.treatment.constant import Constant, Frozen


class CavityLook(Frozen):
    """What a segmentation goes by; each constant's source says what it is.

    Attributes
    ----------
    reach_mm, seed_mm, brain_mm : Constant
        Distances from the seed within which the cavity lies, its fluid is told and the brain is told.
    dark, white_percentile : Constant
        Share of the brain's signal below which nothing is brain; percentile that is white matter.
    early_t2, early_t1, late_t1 : Constant
        Signals of settled blood, shares of brain, and of white matter.
    late_mm, blood_noise : Constant
        Least thickness of old blood; what counts as one layer, standard deviations of the noise.
    level_mm, level_mm2 : Constant
        Least and largest gap between two layers, and least area of their level.
    least_contrast : Constant
        Standard deviations of the noise.
    neck_share, neck_mm : Constant
        Half width of necks that are cut: share of the depth of the seed, within limits.
    inside_mm, wall_mm, along_mm, layered, band_mm : Constant
        Where the signals inside and of the wall are taken, and where the edge is looked for.
    """

    reach_mm: Constant[float]
    seed_mm: Constant[float]
    brain_mm: Constant[float]
    dark: Constant[float]
    white_percentile: Constant[float]
    early_t2: Constant[float]
    early_t1: Constant[float]
    late_t1: Constant[float]
    late_mm: Constant[float]
    blood_noise: Constant[float]
    level_mm: Constant[tuple[float, float]]
    level_mm2: Constant[float]
    least_contrast: Constant[float]
    neck_share: Constant[float]
    neck_mm: Constant[tuple[float, float]]
    inside_mm: Constant[tuple[float, float]]
    wall_mm: Constant[tuple[float, float]]
    along_mm: Constant[float]
    layered: Constant[float]
    band_mm: Constant[tuple[float, float]]


@cache
def cavity_look() -> CavityLook:
    """Return the constants of the library."""
    return library.load("contouring", "cavity", CavityLook)
