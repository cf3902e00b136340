"""Treatment machines as data."""

from typing import Literal

from planner.treatment.constant import Constant, Frozen


class Source(Frozen):
    """Where the photons start.

    Attributes
    ----------
    spot_sigma_mm : Constant
        Gaussian sigma of the focal spot at the source, along X and Y.
    """

    spot_sigma_mm: Constant[tuple[float, float]]


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
    max_field_mm : Constant
        Largest field along X and Y at the isocentre.
    leaf_width_mm : Constant
        Projected leaf widths from -Y to +Y (one value a leaf pair); leaves move along X.
    couch_range_deg : Constant
        Permitted couch rotation, lowest and highest.
    gantry_avoided_deg : Constant
        Gantry sectors that must not be used, as (from, to) pairs.
    collimator_rotates : Constant
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
    max_field_mm: Constant[tuple[float, float]]
    leaf_width_mm: Constant[tuple[float, ...]]
    couch_range_deg: Constant[tuple[float, float]]
    gantry_avoided_deg: Constant[tuple[tuple[float, float], ...]]
    collimator_rotates: Constant[bool]
