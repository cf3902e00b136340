"""Brain metastases: volume, histology, and an irregular form that can be evaluated at any scale."""

from dataclasses import dataclass, replace

import numpy as np

from phantoms.cited import Cited
from phantoms.grid import Triple

_SERIES = "cavity series: Mahajan 2017, Patel 2018 (medians 7.5-8.7 cc), PROPS-BM (GTV median 9.9 cc)"
VOLUME_MEDIAN_CC = Cited(9.9, "Prabhu 2021 (PROPS-BM), GTV median", "published")
VOLUME_SIGMA = Cited(0.65, f"spread of the {_SERIES}", "assumed")
VOLUME_RANGE_CC = (
    Cited(3.0, "resected lesions: usually larger than 1.8 cm across", "assumed"),
    Cited(30.0, "N107C: larger cavities up to 5 cm are rare", "assumed"),
)
AXIS_SIGMA = Cited(0.14, "aspect ratios of metastases about 1.0-1.6", "assumed")
LOBE_AMPLITUDE = Cited(0.13, "relative radius, so that contours look like those of metastases", "assumed")

_KOBETS = "Kobets 2020 Surg Neurol Int: volume doubling time of untreated metastases"
DOUBLING_DAY = {
    "lung": Cited(139.0, _KOBETS, "published"),
    "breast": Cited(86.0, _KOBETS, "published"),
    "melanoma": Cited(55.0, "no published value found; faster than breast", "assumed"),
    "renal": Cited(95.0, "no published value found; like breast", "assumed"),
}
HISTOLOGY_WEIGHT = {
    "lung": Cited(0.48, "primaries in resection series: lung about half", "assumed"),
    "breast": Cited(0.22, "primaries in resection series: breast about a fifth", "assumed"),
    "melanoma": Cited(0.18, "primaries in resection series", "assumed"),
    "renal": Cited(0.12, "primaries in resection series", "assumed"),
}

RIPPLE_SHARE = Cited(0.25, "finer irregularity of the surface against its lobes, as of resection cavities", "assumed")

LOBES, RIPPLES = 14, 8
"""Waves of the surface: broad lobes first, then ripples of a few mm."""


@dataclass(frozen=True, eq=False)
class Form:
    """A star-shaped body of about unit radius: an oriented ellipsoid with lobes.

    Attributes
    ----------
    axes : ndarray, shape (3, 3)
        Matrix that maps the ellipsoid to the unit sphere.
    waves : ndarray, shape (n, 3)
        Wave vectors of the lobes on the unit sphere of directions.
    phases, amplitudes : ndarray, shape (n,)
        Phases in radians and relative amplitudes of the lobes.
    """

    axes: np.ndarray
    waves: np.ndarray
    phases: np.ndarray
    amplitudes: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, amplitude: float = LOBE_AMPLITUDE.value) -> "Form":
        """Draw a form of a given lobe amplitude (relative to the radius, one standard deviation)."""
        rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        stretch = rng.normal(0.0, AXIS_SIGMA.value, 3)
        axes = np.diag(np.exp(stretch - stretch.mean())) @ rotation.T
        parts = []
        for count, orders, size in ((LOBES, (1.5, 5.0), 1.0), (RIPPLES, (6.0, 11.0), RIPPLE_SHARE.value)):
            order = rng.uniform(*orders, count)
            direction = rng.standard_normal((count, 3))
            waves = direction / np.linalg.norm(direction, axis=1, keepdims=True) * order[:, None]
            weight = 1.0 / order
            amplitudes = size * amplitude * np.sqrt(2.0) * weight / np.sqrt((weight**2).sum())
            parts.append((waves, rng.uniform(0.0, 2.0 * np.pi, count), amplitudes))
        waves, phases, amplitudes = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls(axes, waves, phases, amplitudes)

    def radius(self, offset: tuple[np.ndarray, np.ndarray, np.ndarray], length: np.ndarray) -> np.ndarray:
        """Return the distance from centre to surface, for a unit body, in the directions of offset vectors.

        Parameters
        ----------
        offset : tuple of 3 ndarray
            Components of the vectors from the centre, any shape.
        length : ndarray
            Their lengths, positive.
        """
        x, y, z = (np.ascontiguousarray(v / length, np.float32) for v in offset)
        ellipsoid = sum((x * np.float32(a) + y * np.float32(b) + z * np.float32(c)) ** 2 for a, b, c in self.axes)
        lobes = np.zeros(length.shape, np.float32)
        for (a, b, c), phase, amplitude in zip(self.waves, self.phases, self.amplitudes, strict=True):
            angle = x * np.float32(a) + y * np.float32(b) + z * np.float32(c) + np.float32(phase)
            lobes += np.float32(amplitude) * np.cos(angle)
        return np.exp(lobes) / np.sqrt(ellipsoid)

    def flattened(self, direction: Triple, by: float) -> "Form":
        """Return the form pressed together by ``exp(-by)`` along a direction, its volume kept."""
        unit = np.asarray(direction, float) / np.linalg.norm(direction)
        along = np.outer(unit, unit)
        press = along * np.exp(by) + (np.eye(3) - along) * np.exp(-by / 2)
        return replace(self, axes=self.axes @ press)

    def with_amplitudes(self, amplitudes: np.ndarray) -> "Form":
        """Return the form with other lobe amplitudes."""
        return replace(self, amplitudes=amplitudes)


@dataclass(frozen=True, eq=False)
class Lesion:
    """A metastasis as it is on the day of surgery.

    Attributes
    ----------
    centre_mm : tuple of 3 float
    volume_cc : float
    form : Form
    histology : str
        One of the keys of ``DOUBLING_DAY``.
    """

    centre_mm: Triple
    volume_cc: float
    form: Form
    histology: str

    @classmethod
    def draw(cls, rng: np.random.Generator, centre_mm: Triple, volume_cc: float) -> "Lesion":
        """Draw histology and form of a lesion of a given place and volume."""
        names = list(HISTOLOGY_WEIGHT)
        weights = np.array([HISTOLOGY_WEIGHT[n].value for n in names])
        histology = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        x, y, z = (float(c) for c in centre_mm)
        return cls((x, y, z), float(volume_cc), Form.draw(rng), histology)

    @property
    def radius_mm(self) -> float:
        """Radius of the ball of the same volume, mm."""
        return float(np.cbrt(self.volume_cc * 1000.0 * 3.0 / (4.0 * np.pi)))


def ball_cc(radius_mm: float) -> float:
    """Return the volume, cm3, of a ball."""
    return 4.0 / 3.0 * np.pi * radius_mm**3 / 1000.0


def draw_volume_cc(
    rng: np.random.Generator,
    median_cc: float = VOLUME_MEDIAN_CC.value,
    sigma: float = VOLUME_SIGMA.value,
    range_cc: tuple[float, float] = (VOLUME_RANGE_CC[0].value, VOLUME_RANGE_CC[1].value),
) -> float:
    """Draw a tumour volume, cm3: lognormal, redrawn until it lies in the range.

    Raises
    ------
    ValueError
        If the range is empty or so far from the median that it is never met.
    """
    low, high = range_cc
    for _ in range(1000):
        volume = median_cc * float(np.exp(sigma * rng.standard_normal()))
        if low <= volume <= high:
            return volume
    raise ValueError(f"no volume of median {median_cc} cc and spread {sigma} falls between {low} and {high} cc")
