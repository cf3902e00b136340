"""Treatment machines as data."""

from typing import Literal

from planner.treatment.constant import Constant, Frozen


class Source(Frozen):
    """Where the photons start.

    Attributes
    ----------
    spot_sigma_mm : Constant
        Gaussian sigma of the focal spot at the source, along X and Y.
    collimator_mm : Constant
        Distance from the source to the collimator that shapes the field.
    """

    spot_sigma_mm: Constant[tuple[float, float]]
    collimator_mm: Constant[float]

    def blur_mm(self, sad_mm: float) -> tuple[float, float]:
        """Return the sigma of a field edge in the isocentre plane, along X and Y: the spot seen past the collimator."""
        scale = (sad_mm - self.collimator_mm.value) / self.collimator_mm.value
        return self.spot_sigma_mm.value[0] * scale, self.spot_sigma_mm.value[1] * scale


class Calibration(Frozen):
    """What one monitor unit is: dose in water at the isocentre, on the axis of a square open field.

    Attributes
    ----------
    gy_per_mu, field_mm, ssd_mm, depth_mm : Constant
        Dose per monitor unit; side of the field at the isocentre; source to surface distance; depth of the isocentre.
    """

    gy_per_mu: Constant[float]
    field_mm: Constant[float]
    ssd_mm: Constant[float]
    depth_mm: Constant[float]


class Machine(Frozen):
    """A treatment machine: geometry, beam quality, limits.

    Attributes
    ----------
    name, title, kind : str
        `kind` is ``linac`` (dose per monitor unit) or ``point`` (bare point source, dose per emitted photon).
    sad_mm : Constant
        Source to isocentre distance.
    spectrum : Constant
        Name of the photon spectrum in the library.
    nominal_mv : Constant
    flattened : Constant
        Whether the beam has a flattening filter.
    magnetic_field_t : Constant
        Field vector in patient LPS (head-first supine), tesla.
    source : Source
    calibration : Calibration or None
        Of a linac; a point source has none, its weights are photons emitted into the bixel.
    max_field_mm : Constant
        Largest field along X and Y at the isocentre.
    leaf_width_mm : Constant
        Projected leaf widths from -Y to +Y (one value a leaf pair); leaves move along X.
    couch_range_deg : Constant
        Permitted couch rotation, lowest and highest.
    gantry_avoided_deg : Constant
        Gantry sectors that must not be used, as (from, to) pairs.
    collimator_rotates : Constant
    collimator_deg : Constant
        Angle of a collimator that does not rotate; the usual angle of one that does.
    """

    name: str
    title: str
    kind: Literal["linac", "point"]
    sad_mm: Constant[float]
    spectrum: Constant[str]
    nominal_mv: Constant[float]
    flattened: Constant[bool]
    magnetic_field_t: Constant[tuple[float, float, float]]
    source: Source
    calibration: Calibration | None = None
    max_field_mm: Constant[tuple[float, float]]
    leaf_width_mm: Constant[tuple[float, ...]]
    couch_range_deg: Constant[tuple[float, float]]
    gantry_avoided_deg: Constant[tuple[tuple[float, float], ...]]
    collimator_rotates: Constant[bool]
    collimator_deg: Constant[float]
