"""Treatment machines as data."""

from math import hypot
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from planner.treatment.constant import Constant, Frozen, NotNegative, Positive, Share

RadialTable = tuple[tuple[float, float], ...]
"""Pairs of a radius in the isocentre plane (mm, rising from 0) and a ratio to the axis; held beyond the last radius."""


class AliRogers(Frozen):
    """A photon spectrum in closed form: thick-target bremsstrahlung behind tungsten and a filter taken as aluminium.

    Ali and Rogers, Phys Med Biol 57:31 (2012), equation 12; ``planner.library.tables.spectrum`` evaluates it.

    Attributes
    ----------
    electron_mev : float
        Energy of the electrons on the target, the end of the spectrum.
    tungsten, aluminium : float
        Square roots of the thicknesses (g/cm2), C1 and C2 of the paper.
    slope : float
        C3 of the paper.
    """

    electron_mev: float
    tungsten: float
    aluminium: float
    slope: float


class Source(Frozen):
    """Where the photons start.

    Attributes
    ----------
    spot_sigma_mm : Constant
        Gaussian sigma of the focal spot at the source, along X and Y.
    collimator_mm : Constant
        Distance from the source to the collimator that shapes the field.
    edge_sigma_mm : Constant or None
        Sigma, in the isocentre plane along X and Y, that leaf ends and leaf sides add to the edge of a field.
    """

    spot_sigma_mm: Constant[tuple[NotNegative, NotNegative]]
    collimator_mm: Constant[Positive]
    edge_sigma_mm: Constant[tuple[NotNegative, NotNegative]] | None = None

    def blur_mm(self, sad_mm: float) -> tuple[float, float]:
        """Return the sigma of a field edge in the isocentre plane, along X and Y: the spot seen past the collimator."""
        scale = (sad_mm - self.collimator_mm.value) / self.collimator_mm.value
        edge = self.edge_sigma_mm.value if self.edge_sigma_mm else (0.0, 0.0)
        return hypot(self.spot_sigma_mm.value[0] * scale, edge[0]), hypot(self.spot_sigma_mm.value[1] * scale, edge[1])


class ExtraFocal(Frozen):
    """Photons scattered in the head, as a second, broad source seen through the collimator.

    Attributes
    ----------
    weight : Constant
        Their share of the fluence on the axis of a field so wide that the collimator hides none of them.
    sigma_mm : Constant
        Gaussian sigma of that source in its own plane.
    distance_mm : Constant
        Distance of its plane from the focal spot.
    """

    weight: Constant[Share]
    sigma_mm: Constant[Positive]
    distance_mm: Constant[Positive]

    def seen_past(self, collimator_mm: float, sad_mm: float) -> tuple[float, float]:
        """Return magnification and blur (sigma, mm) of an opening that this source throws on the isocentre plane.

        An edge that the focal spot throws to x is thrown to ``magnification * x``.
        """
        nearer = (sad_mm - self.distance_mm.value) / (collimator_mm - self.distance_mm.value)
        blur = self.sigma_mm.value * (sad_mm - collimator_mm) / (collimator_mm - self.distance_mm.value)
        return nearer * collimator_mm / sad_mm, blur


class Collimation(Frozen):
    """What closed leaves and jaws let through, and where leaves end.

    Attributes
    ----------
    transmission : Constant
        Fluence under closed leaves over that of an open field, leakage between leaves averaged in.
    jaw_transmission : Constant
        What jaws let through of what the leaves let through.
    jaw_margin_mm : Constant
        How far jaws stand outside the opening along X and Y; a machine without jaws on an axis has a large number.
    leaf_offset_mm : Constant
        How far the radiation field of a rounded leaf end lies behind its nominal position (half the dosimetric leaf
        gap), positive where the field is wider.
    """

    transmission: Constant[Share]
    jaw_transmission: Constant[Share]
    jaw_margin_mm: Constant[tuple[float, float]]
    leaf_offset_mm: Constant[float]


class Calibration(Frozen):
    """What one monitor unit is: dose in water at the isocentre, on the axis of a square open field.

    Attributes
    ----------
    gy_per_mu, field_mm, ssd_mm, depth_mm : Constant
        Dose per monitor unit; side of the field at the isocentre; source to surface distance; depth of the isocentre.
    """

    gy_per_mu: Constant[Positive]
    field_mm: Constant[Positive]
    ssd_mm: Constant[Positive]
    depth_mm: Constant[NotNegative]


class DeliveryLimits(Frozen):
    """What the mechanics and the dosimetry of a linac permit. Lengths are in the isocentre plane.

    Attributes
    ----------
    leaf_speed_mm_s, gantry_speed_deg_s, dose_rate_mu_min : Constant
        Largest values; the machine slows down what would outrun the rest.
    leaf_travel_mm : Constant
        Lowest and highest position of a leaf tip, of either bank.
    interdigitation : Constant
        Whether a leaf may pass the opposite leaves of the neighbouring pairs.
    minimum_gap_mm : Constant
        Least distance between the two tips of a pair, also of pairs behind the jaws; the same distance is kept to the
        opposite leaves of neighbouring pairs where they must not interdigitate.
    minimum_segment_mu : Constant
        Of a static segment, in one fraction.
    minimum_segment_area_mm2 : Constant
        Between leaves and jaws, of every control point.
    min_mu_per_deg, max_mu_per_deg : Constant or None
        Of an arc, in one fraction; None: the machine turns no arcs with the beam on.
    collision_deg : Constant
        Zones (couch from, to, gantry from, to) that gantry and table cannot be in together; bounds are permitted.
    """

    leaf_speed_mm_s: Constant[Positive]
    gantry_speed_deg_s: Constant[Positive]
    dose_rate_mu_min: Constant[Positive]
    leaf_travel_mm: Constant[tuple[float, float]]
    interdigitation: Constant[bool]
    minimum_gap_mm: Constant[NotNegative]
    minimum_segment_mu: Constant[NotNegative]
    minimum_segment_area_mm2: Constant[NotNegative]
    min_mu_per_deg: Constant[NotNegative] | None = None
    max_mu_per_deg: Constant[Positive] | None = None
    collision_deg: Constant[tuple[tuple[float, float, float, float], ...]]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self.leaf_travel_mm.value
        if low >= high:
            raise ValueError(f"'leaf_travel_mm' must rise, got {low:g} and {high:g}")
        if (self.min_mu_per_deg is None) != (self.max_mu_per_deg is None):
            raise ValueError("'min_mu_per_deg' and 'max_mu_per_deg' belong together")
        if self.min_mu_per_deg and self.max_mu_per_deg and self.min_mu_per_deg.value >= self.max_mu_per_deg.value:
            raise ValueError("'max_mu_per_deg' must lie above 'min_mu_per_deg'")
        return self


class Machine(Frozen):
    """A treatment machine: geometry, beam quality, limits.

    Attributes
    ----------
    name, title, kind : str
        `kind` is ``linac`` (dose per monitor unit) or ``point`` (bare point source, dose per emitted photon).
    sad_mm : Constant
        Source to isocentre distance.
    spectrum : Constant
        Name of a photon spectrum in the library, or its closed form.
    nominal_mv : Constant
    flattened : Constant
        Whether the beam has a flattening filter.
    magnetic_field_t : Constant
        Field vector in patient LPS (head-first supine), tesla.
    field_drift_mm_t : Constant or None
        How far each tesla moves the dose of a beam at right angles to the field, sideways; None: not at all.
    source : Source
    extra_focal : ExtraFocal or None
        None: no photon is scattered in the head.
    radial_fluence : Constant or None
        Primary fluence in air over that on the axis, by radius; None: uniform in solid angle.
    softening : Constant or None
        Attenuation coefficient of the primary photons over that on the axis, by radius; None: the same everywhere.
    collimation : Collimation or None
        None: leaves and jaws let nothing through.
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
    delivery : DeliveryLimits or None
        None: nothing can be delivered but free fluence (a point source).
    """

    name: str
    title: str
    kind: Literal["linac", "point"]
    sad_mm: Constant[Positive]
    spectrum: Constant[str | AliRogers]
    nominal_mv: Constant[Positive]
    flattened: Constant[bool]
    magnetic_field_t: Constant[tuple[float, float, float]]
    field_drift_mm_t: Constant[float] | None = None
    source: Source
    extra_focal: ExtraFocal | None = None
    radial_fluence: Constant[RadialTable] | None = None
    softening: Constant[RadialTable] | None = None
    collimation: Collimation | None = None
    calibration: Calibration | None = None
    max_field_mm: Constant[tuple[Positive, Positive]]
    leaf_width_mm: Constant[Annotated[tuple[Positive, ...], Field(min_length=1)]]
    couch_range_deg: Constant[tuple[float, float]]
    gantry_avoided_deg: Constant[tuple[tuple[float, float], ...]]
    collimator_rotates: Constant[bool]
    collimator_deg: Constant[float]
    delivery: DeliveryLimits | None = None

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        collimator, (first, last) = self.source.collimator_mm.value, self.couch_range_deg.value
        if self.kind == "linac" and collimator >= self.sad_mm.value:
            raise ValueError("'source.collimator_mm' must be less than 'sad_mm'")
        if self.extra_focal and self.extra_focal.distance_mm.value >= collimator:
            raise ValueError("'extra_focal.distance_mm' must be less than 'source.collimator_mm'")
        if first > last:
            raise ValueError(f"'couch_range_deg' must not fall, got {first:g} and {last:g}")
        if self.delivery is not None and (self.kind == "point" or self.calibration is None):
            raise ValueError("'delivery' is for machines of kind 'linac' with a 'calibration': others have no MU")
        return self

    @property
    def field_strength_t(self) -> float:
        """Magnitude of the magnetic field, tesla."""
        return float(np.linalg.norm(self.magnetic_field_t.value))

    @property
    def leaf_borders_mm(self) -> np.ndarray:
        """Borders of the leaf pairs along Y in the isocentre plane, shape (pairs + 1,), from -Y to +Y."""
        widths = self.leaf_width_mm.value
        return np.asarray(np.concatenate([[0.0], np.cumsum(widths)]) - sum(widths) / 2)

    @property
    def field_behind_tips_mm(self) -> float:
        """How far the field reaches behind the nominal leaf tips; 0 if leaves let nothing through."""
        return self.collimation.leaf_offset_mm.value if self.collimation else 0.0
