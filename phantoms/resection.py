"""How a tumour is resected: along its edge, or with a margin of brain where no eloquent area is at stake."""

from dataclasses import dataclass

from phantoms.cited import Cited
from phantoms.lesion import Lesion, ball_cc

_MITSUYA = "Mitsuya 2020: free margin by fence posts in non-eloquent brain, minimal resection in eloquent"
FREE_MARGIN_MM = Cited(5.0, f"{_MITSUYA}; width not stated in what was read", "assumed")
FREE_MARGIN_RISK = Cited(0.143 / 0.346, f"{_MITSUYA}: local recurrence 4/28 against 9/26", "published")
TECHNIQUES = ("minimal", "free_margin")


@dataclass(frozen=True)
class Resection:
    """What is taken, and how likely tumour is left.

    Attributes
    ----------
    residual_fraction : float
        Probability that tumour is left behind.
    margin_mm : float
        Brain taken beyond the tumour's edge.
    """

    residual_fraction: float = 0.3
    margin_mm: float = 0.0

    @classmethod
    def of(cls, technique: str, residual_fraction: float, eloquence_grade: float) -> "Resection":
        """Return the resection by a technique; a free margin is taken outside eloquent brain (grade below 3) only.

        Its lower risk of residual tumour is taken to be that of local recurrence.
        """
        if technique == "minimal" or eloquence_grade >= 3:
            return cls(residual_fraction)
        return cls(residual_fraction * FREE_MARGIN_RISK.value, FREE_MARGIN_MM.value)

    def taken_cc(self, tumour: Lesion) -> float:
        """Return the volume, cm3, that is taken with a tumour: that of a ball grown by the margin."""
        return tumour.volume_cc if self.margin_mm == 0 else ball_cc(tumour.radius_mm + self.margin_mm)


MINIMAL = Resection()
"""Along the tumour's edge, with the usual chance of residual tumour."""
