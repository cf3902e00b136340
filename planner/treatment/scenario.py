"""Setup errors as data: rigid movements of the dose against the anatomy."""

from planner.treatment.constant import Constant, Frozen

Vectors = tuple[tuple[float, float, float], ...]


class ScenarioSet(Frozen):
    """Movements that a plan is evaluated under, each by itself.

    Attributes
    ----------
    name, title : str
    shifts_mm : Constant
        Vectors, LPS.
    rotations_deg : Constant
        Angles about axes through the isocentre along x, y and z of LPS, right-handed, one after another.
    """

    name: str
    title: str
    shifts_mm: Constant[Vectors]
    rotations_deg: Constant[Vectors]
