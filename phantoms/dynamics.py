"""How the volume of a resection cavity changes with the day: a signed random process.

Within about three weeks the published series disagree even in the sign; beyond a month cavities shrink:

    ln V(t)/V0 = swelling * (t/tau exp(1 - t/tau))^q  -  collapse * t^p / (t^p + tau_c^p)  +  wander(t)

with a signed random swelling that falls with the initial volume, and a positive random collapse.
"""

from dataclasses import dataclass

import numpy as np

from phantoms.cited import Cited

_SIGN = "Patel 2018, Jarvis 2012, Seravalli 2022: shares that lose or gain 2 cc within about 3 weeks"
_LATE = "Shah 2016 (-61 % beyond 1 month), Potts 2013 (-43 % at a median of 38 d)"
_EARLY = "Atalar 2013 (-29 %), surface-area study (-22.5 %): cavity against pre-operative tumour"
CAVITY_RATIO = Cited(0.78, _EARLY, "fitted")
CAVITY_RATIO_SIGMA = Cited(0.22, _EARLY, "assumed")
CAVITY_RATIO_SIZE = Cited(-0.15, "Atalar 2013: larger tumours shrink more; exponent of volume / 10 cc", "assumed")
SWELLING_MEAN = Cited(0.20, _SIGN, "fitted")
SWELLING_SIGMA = Cited(0.46, _SIGN, "fitted")
SWELLING_SIZE = Cited(-0.30, "Patel 2018: per cent change falls with size, rho -0.32; per ln(volume / 8 cc)", "fitted")
SWELLING_POWER = Cited(1.5, "little change on the first day, when the early scan is made", "assumed")
SWELLING_PEAK_DAY = Cited(14.0, f"change settles between the two scans of {_SIGN}", "assumed")
COLLAPSE_MEDIAN = Cited(0.95, _LATE, "fitted")
COLLAPSE_SIGMA = Cited(0.35, _LATE, "assumed")
COLLAPSE_DAY = Cited(36.0, f"{_LATE}; fastest loss in months 1-2", "fitted")
COLLAPSE_POWER = Cited(4.0, "Shah 2016: -13 % before one month, -61 % after", "fitted")
WANDER = Cited(0.05, "scan-to-scan scatter about a smooth trend", "assumed")


@dataclass(frozen=True)
class VolumeLaw:
    """How the volume of a cavity changes with the day: ``cc(day)`` for day >= 0.

    Attributes
    ----------
    initial_cc : float
        Volume on day 0.
    swelling, collapse : float
        Drawn logarithmic amplitudes; swelling is signed, collapse positive.
    wander : tuple of 4 float
        Amplitude, two periods in days and a phase of the slow scatter.
    """

    initial_cc: float
    swelling: float
    collapse: float
    wander: tuple[float, float, float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, tumour_cc: float) -> "VolumeLaw":
        """Draw the law of the cavity that the resection of a tumour of `tumour_cc` leaves."""
        ratio = CAVITY_RATIO.value * (tumour_cc / 10.0) ** CAVITY_RATIO_SIZE.value
        initial = tumour_cc * ratio * float(np.exp(CAVITY_RATIO_SIGMA.value * rng.standard_normal()))
        mean = SWELLING_MEAN.value + SWELLING_SIZE.value * np.log(initial / 8.0)
        # Cut at two deviations: the published extremes are of percentages of tiny cavities, not of large ones.
        swelling = float(mean + SWELLING_SIGMA.value * np.clip(rng.standard_normal(), -2.0, 2.0))
        collapse = COLLAPSE_MEDIAN.value * float(np.exp(COLLAPSE_SIGMA.value * rng.standard_normal()))
        wander = (
            WANDER.value * float(rng.standard_normal()),
            float(rng.uniform(25.0, 45.0)),
            float(rng.uniform(60.0, 120.0)),
            float(rng.uniform(0.0, 2.0 * np.pi)),
        )
        return cls(initial, swelling, collapse, wander)

    def cc(self, day: float) -> float:
        """Return the volume, cm3, on `day` >= 0."""
        t = day / SWELLING_PEAK_DAY.value
        swell = self.swelling * (t * np.exp(1.0 - t)) ** SWELLING_POWER.value
        amplitude, short, long, phase = self.wander
        wave = np.sin(2 * np.pi * day / short + phase) + np.sin(2 * np.pi * day / long) - np.sin(phase)
        wander = amplitude * (1.0 - np.exp(-day / 7.0)) * wave
        return self.initial_cc * float(np.exp(swell - self.collapse * collapsed(day) + wander))


def collapsed(day: float) -> float:
    """Return how far the collapse of a cavity has gone on `day`, 0 to 1."""
    power = COLLAPSE_POWER.value
    aged = max(day, 0.0) ** power
    return aged / (aged + COLLAPSE_DAY.value**power)
