"""Constants of Monte Carlo: ``library/physics/monte_carlo.toml``."""

from functools import cache

from planner import library
from planner.treatment.constant import Constant, Frozen


class MonteCarloPhysics(Frozen):
    """What Monte Carlo takes beside tables; each constant's source says what it is and why.

    Attributes
    ----------
    photon_cut_mev : Constant
        Energy below which photons are absorbed where they are.
    usual, close : Constant
        Energy of absorption of electrons (MeV), lowest energy of knock-on electrons (MeV), share of the energy lost in
        a step: everywhere, and in and next to gas.
    near_gas_mm : Constant
        How far "next to" is.
    water_to_gas : Constant
        Ratio of the dose to water and to gas that the same electrons pass.
    density_tolerance, alike : Constant
        Relative differences of density, and of steps and scattering, that electrons do not notice.
    softening_exponent : Constant
        Power of the attenuation ratio that the energy of photons off the axis falls with.
    """

    photon_cut_mev: Constant[float]
    usual: Constant[tuple[float, float, float]]
    close: Constant[tuple[float, float, float]]
    near_gas_mm: Constant[float]
    water_to_gas: Constant[float]
    density_tolerance: Constant[float]
    alike: Constant[float]
    softening_exponent: Constant[float]


@cache
def monte_carlo_physics() -> MonteCarloPhysics:
    """Return the constants of the library."""
    return library.load("physics", "monte_carlo", MonteCarloPhysics)
