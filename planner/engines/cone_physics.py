"""Constants of the collapsed cone: ``library/physics/cone.toml``."""

from functools import cache

from planner import library
from planner.treatment.constant import Constant, Frozen


class ConePhysics(Frozen):
    """What the collapsed cone takes beside tables; each constant's source says what it is and what it was fitted to.

    Attributes
    ----------
    range_power : Constant
        Growth of electron ranges with the photon energy.
    range_scale : Constant
        Factor on the radii of the primary kernels.
    open_air : Constant
        Deposited energy per gram in wide gas spaces, relative to water.
    open_air_mm : Constant
        Side of the box whose share of gas tells how open a gas space is.
    """

    range_power: Constant[float]
    range_scale: Constant[float]
    open_air: Constant[float]
    open_air_mm: Constant[float]


@cache
def cone_physics() -> ConePhysics:
    """Return the constants of the library."""
    return library.load("physics", "cone", ConePhysics)
