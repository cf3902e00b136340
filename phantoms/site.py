"""Where a metastasis lies: drawn place and way of approach, and what of its surroundings a surgeon asks about."""

from dataclasses import dataclass

import numpy as np

from phantoms import brain, skull
from phantoms.cited import Cited
from phantoms.head import Head
from phantoms.lesion import Lesion
from phantoms.shapes import Shape

JUNCTION_MM = Cited(4.0, "metastases lodge at the grey-white junction: their outer edge under the cortex", "assumed")
JUNCTION_SIGMA_MM = Cited(2.5, "as the depth of the junction", "assumed")
DEEP_FRACTION = Cited(0.05, "Delattre 1988: 5 % neither hemispheric surface nor cerebellum; recalled", "assumed")
DEEP_MM = Cited(14.0, "outer edge of deep lesions: in the white matter below the sulci", "assumed")
CONTACT_MM = Cited(1.0, "nearer than a voxel of planning MRI, tumour and dura cannot be told apart", "assumed")
NEAR_ELOQUENT_MM = Cited(10.0, "near-eloquent, grade II of Sawaya 1998: the series states no distance", "assumed")

_SURFACE_POINTS = 400


@dataclass(frozen=True, eq=False)
class Site:
    """A drawn place.

    Attributes
    ----------
    centre_mm : ndarray, shape (3,)
    entry_mm : ndarray, shape (3,)
        Vector from the centre to the inner skull.
    side : float
        1 in the left half of the head, -1 in the right.
    below : bool
        Below the tentorium.
    deep : bool
        Below the sulci.
    """

    centre_mm: np.ndarray
    entry_mm: np.ndarray
    side: float
    below: bool
    deep: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, head: Head, volume_cc: float, below: bool) -> "Site":
        """Draw a place for a lesion of a volume, below the tentorium or above it: in the template, then placed.

        The outer edge lies near the grey-white junction; the lesion keeps clear of midline and brainstem, and of the
        skull base, through which no surgeon comes.

        Raises
        ------
        ValueError
            If no place is found, which a head of plausible size and a volume below 60 cc exclude.
        """
        radius = float(np.cbrt(volume_cc * 1000.0 * 3.0 / (4.0 * np.pi)))
        space = skull.occiput(head.frame) if below else skull.cranium(head.frame)
        deep = bool(rng.random() < DEEP_FRACTION.value) and not below
        low, high = space.bounds
        for _ in range(20000):
            point = rng.uniform(low, high)
            edge = rng.normal(DEEP_MM.value if deep else JUNCTION_MM.value, JUNCTION_SIGMA_MM.value)
            depth = -distance(head.vault, point)
            if abs(depth - (0.95 * radius + edge)) < 1.5 and _reachable(head, point, radius, below):
                centre, skull_at = head.pose.placed(np.stack([point, point + _outward(space, point, depth)]))
                return cls(centre, skull_at - centre, float(np.sign(point[0])), below, deep)
        raise ValueError(f"no site for a lesion of {volume_cc:.1f} cc")

    def facts(self, head: Head, tumour: Lesion) -> dict[str, float | str]:
        """Return side, place, contact with dura, and eloquence (grades of Sawaya 1998) of a tumour there."""
        frame, surface = head.frame, head.pose.template(*_surface(tumour))
        gaps = {
            "convexity": float((-head.vault.distance(*surface)).min()),
            "falx": float(brain.falx(frame).distance(*surface).min()),
            "tentorium": float(brain.tentorium(frame).distance(*surface).min()),
        }
        touched = [name for name, gap in gaps.items() if gap < CONTACT_MM.value]
        areas = brain.eloquent_areas(frame)
        away = {name: float(area.distance(*surface).min()) for name, area in areas.items()}
        nearest = min(away, key=lambda name: away[name])
        side = "left" if self.side > 0 else "right"
        return {
            "site": f"{'cerebellar' if self.below else 'supratentorial'} {side}",
            "depth": "deep" if self.deep else "superficial",
            "dural_contact": " and ".join(touched) or "none",
            "dural_gap_mm": max(min(gaps.values()), 0.0),
            "eloquent_area": nearest,
            "eloquent_distance_mm": max(away[nearest], 0.0),
            "eloquence_grade": _grade(away[nearest]),
        }


def _grade(distance_mm: float) -> float:
    """Return the grade of Sawaya 1998: 3 in, 2 near, 1 away from eloquent brain."""
    return 3.0 if distance_mm <= 0 else 2.0 if distance_mm <= NEAR_ELOQUENT_MM.value else 1.0


def _reachable(head: Head, point: np.ndarray, radius: float, below: bool) -> bool:
    """Whether a surgeon would go for a lesion there."""
    frame = head.frame
    if below:
        if abs(point[0]) < 8.0 or point[1] < 30.0:
            return False
    elif point[2] < 22.0 or abs(point[0]) < 0.85 * radius + 3.0:
        return False
    from_tent = distance(skull.posterior_fossa(frame), point) * (-1 if below else 1)
    clear = distance(brain.brainstem(frame).grown(2.0), point) > radius + 2.0
    return clear and from_tent > 0.9 * radius + (-1.0 if below else 2.0)


def _surface(tumour: Lesion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points on the surface of a tumour, evenly spread: components of shape (n, 1, 1)."""
    n = np.arange(_SURFACE_POINTS) + 0.5
    polar, around = np.arccos(1 - 2 * n / _SURFACE_POINTS), np.pi * (1 + 5**0.5) * n
    unit = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)])
    # The form is of about unit radius: its volume scales it.
    radius = tumour.form.radius((unit[0], unit[1], unit[2]), np.ones(_SURFACE_POINTS))
    scale = tumour.radius_mm / float(np.cbrt((radius.astype(float) ** 3).mean()))
    x, y, z = (c + scale * radius * u for c, u in zip(tumour.centre_mm, unit, strict=True))
    return x[:, None, None], y[:, None, None], z[:, None, None]


def distance(shape: Shape, point: np.ndarray) -> float:
    """Return the signed distance, mm, of one point from a shape."""
    x, y, z = (np.full((1, 1, 1), v) for v in point)
    return float(shape.distance(x, y, z).item())


def _outward(space: Shape, point: np.ndarray, depth: float) -> np.ndarray:
    """Return the vector of length `depth` along which the distance to a shape grows fastest."""
    slope = np.array([distance(space, point + e) - distance(space, point - e) for e in np.eye(3)])
    return slope / np.linalg.norm(slope) * max(depth, 1.0)
