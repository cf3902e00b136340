"""What an observer draws: a structure with its surface displaced by a smooth random error."""

import numpy as np
from scipy import ndimage

from phantoms.distance import distance_field, occupancy_of
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume

# The displacement is cut off at this many standard deviations.
_LIMIT = 3.0


def redrawn(
    structure: Structure,
    sd_mm: float | Volume,
    correlation_mm: float,
    rng: np.random.Generator,
    offset: float = 0.0,
) -> Structure:
    """Return a structure as one observer would draw it.

    The surface moves along its normal by a Gaussian random field of standard deviation `sd_mm` whose covariance falls
    as ``exp(-d^2 / (4 s^2))``, with s the smoothing width; the correlation is 1/e at `correlation_mm`.

    Parameters
    ----------
    structure : Structure
    sd_mm : float or Volume
        Standard deviation of the displacement, the same everywhere or by place, mm; 0 returns the structure itself.
    correlation_mm : float
        Distance over which the displacement stays alike.
    rng : numpy.random.Generator
    offset : float
        Added to the field everywhere, in standard deviations: an observer who draws generously (positive) or tightly.

    Raises
    ------
    ValueError
        If `sd_mm` is negative or `correlation_mm` is not positive.
    """
    lowest, highest = (sd_mm, sd_mm) if isinstance(sd_mm, float | int) else (sd_mm.data.min(), sd_mm.data.max())
    if lowest < 0 or not correlation_mm > 0:
        raise ValueError(f"redrawn: sd {lowest} mm must not be negative, correlation {correlation_mm} mm be positive")
    if highest == 0 or structure.is_empty:
        return structure
    field = distance_field(structure, _LIMIT * float(highest))
    width = correlation_mm / 2.0 / np.asarray(field.grid.spacing_mm)
    pad = np.ceil(4.0 * width).astype(int)
    noise = ndimage.gaussian_filter(rng.standard_normal(np.asarray(field.grid.shape) + 2 * pad), width)
    kept = noise[tuple(slice(p, p + n) for p, n in zip(pad, field.grid.shape, strict=True))]
    # The standard deviation after smoothing is that of the kernel, not that of this one sample: a small structure
    # may by chance be drawn too large everywhere, which is what observers do.
    deviations = np.clip(kept / _noise_sd(width) + offset, -_LIMIT, _LIMIT)
    local = sd_mm if isinstance(sd_mm, float | int) else sd_mm.on(field.grid, float(sd_mm.data.mean())).data
    occupancy = occupancy_of(Volume(field.grid, field.data - local * deviations, Quantity.DISTANCE))
    return Structure(structure.name, structure.role, field.grid, occupancy).cropped(1)


def _noise_sd(width: np.ndarray) -> float:
    """Return the standard deviation of unit white noise after a Gaussian filter of the given widths, in voxels."""
    sd = 1.0
    for w in width:
        impulse = np.zeros(2 * int(np.ceil(4.0 * w)) + 1)
        impulse[len(impulse) // 2] = 1.0
        sd *= float(np.sqrt((ndimage.gaussian_filter1d(impulse, w, mode="constant") ** 2).sum()))
    return sd
