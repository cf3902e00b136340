"""The bone flap of a craniotomy: a disc of the skull over the lesion, sawn out and put back."""

from dataclasses import dataclass

import numpy as np

from phantoms.cited import Cited
from phantoms.course import SurgicalCourse
from phantoms.grid import Grid, Triple
from phantoms.head import SKIN_MM
from phantoms.shapes import covered
from phantoms.structure import Role, Structure
from phantoms.volume import Volume

FLAP_RADIUS_MM = Cited(24.0, "craniotomies for a single metastasis are 4-5 cm across", "assumed")
SAW_CUT_MM = Cited(1.6, "width of the craniotome's cut", "assumed")
PLATES = 3
PLATE_CC = Cited(0.045, "titanium plate of 18 x 4 x 0.6 mm with its screws", "assumed")
PLATE_MM = Cited(11.0, "from the first to the last screw of such a plate", "assumed")
SCREWS = 3
BURR_HOLES = 2
BURR_MM = Cited(6.5, "radius of a burr hole; perforators of 11-14 mm", "assumed")
COLLECTION_MM = Cited(3.5, "extradural blood and fluid under the flap on the first days", "assumed")
COLLECTION_DAY = Cited(12.0, "resorbed within weeks", "assumed")
_FAR_MM = 1e3
# Bone farther than this from the craniotomy along its axis is another wall of the skull.
_DEPTH_MM = 25.0
# The skull is nowhere thinner than this under the scalp.
_CLEAR_MM = 2.0


@dataclass(frozen=True)
class Craniotomy:
    """Where the skull was opened.

    Attributes
    ----------
    centre_mm : tuple of 3 float
        Middle of the flap, in the middle of the bone.
    axis : tuple of 3 float
        Unit vector outwards.
    """

    centre_mm: Triple
    axis: Triple

    @classmethod
    def of(cls, course: SurgicalCourse, skull_mm: float) -> "Craniotomy":
        """Return the craniotomy of a course under a skull of a thickness."""
        x, y, z = np.asarray(course.lesion.centre_mm) + np.asarray(course.entry) * (course.depth_mm + 0.5 * skull_mm)
        return cls((float(x), float(y), float(z)), course.entry)

    def flap(self, skull: Structure) -> Structure:
        """Return the flap without its cut and the burr holes, ``bone_flap``, from the whole skull."""
        window = self.window(skull.grid)
        inside = np.maximum(self._away(window) - np.float32(FLAP_RADIUS_MM.value), -self._from_burr_holes(window))
        return Structure("bone_flap", Role.SUPPORT, window, covered(inside, window) * skull.on(window)).cropped()

    def cut(self, skull: Structure) -> Structure:
        """Return the saw cut around the flap with the burr holes it joins, ``saw_cut``, from the whole skull."""
        window = self.window(skull.grid)
        half = np.float32(0.5 * SAW_CUT_MM.value)
        cut = np.abs(self._away(window) - np.float32(FLAP_RADIUS_MM.value) - half) - half
        np.minimum(cut, self._from_burr_holes(window), out=cut)
        return Structure("saw_cut", Role.SUPPORT, window, covered(cut, window) * skull.on(window)).cropped()

    def collection(self, depth: Volume, intracranial: Structure, day: float) -> Structure:
        """Return the ``collection`` of blood and fluid under the flap on `day`, inside the skull.

        Parameters
        ----------
        depth : Volume
            Signed distance to the inner surface of the skull, mm, on the `window` of a grid.
        intracranial : Structure
        day : float
        """
        away = self._away(depth.grid)
        thick = COLLECTION_MM.value * float(np.exp(-day / COLLECTION_DAY.value))
        # It thins out towards the edge of the flap.
        floor = np.float32(thick) * np.maximum(1.0 - (away / np.float32(FLAP_RADIUS_MM.value)) ** 2, 0.0)
        under = covered(depth.data, depth.grid) - covered(depth.data + floor, depth.grid)
        return Structure("collection", Role.SUPPORT, depth.grid, np.minimum(under, intracranial.on(depth.grid)))

    def scalp(self, depth: Volume, skin: Volume, skull: Structure) -> Structure:
        """Return the scalp over the flap, ``scalp``, less its skin; it fades out beyond the flap's edge.

        Parameters
        ----------
        depth, skin : Volume
            Signed distances to the inner surface of the skull, as for `collection`, and to that of the head.
        skull : Structure
        """
        window, away = depth.grid, self._away(depth.grid)
        inside = covered(skin.data + np.float32(SKIN_MM.value), window)
        # Well beyond the inner surface, or the voxels that it cuts would count.
        outside = covered(np.float32(_CLEAR_MM) - depth.data, window) * (1.0 - skull.on(window))
        fading = np.clip(1.0 - (away / np.float32(1.35 * FLAP_RADIUS_MM.value)) ** 4, 0.0, 1.0)
        return Structure("scalp", Role.SUPPORT, window, inside * outside * fading).cropped()

    def plates(self) -> np.ndarray:
        """Return the titanium that holds the flap, plate after plate, a piece a screw: place, LPS mm, and volume, cm3.

        Returns
        -------
        ndarray, shape (PLATES * SCREWS, 4)
        """
        spread = PLATE_MM.value * (np.arange(SCREWS) / (SCREWS - 1) - 0.5)
        outwards = self._around(PLATES, 0.0)
        # Plates lie across the saw cut.
        places = np.concatenate([(FLAP_RADIUS_MM.value + spread)[:, None] * unit for unit in outwards])
        share = PLATE_CC.value / SCREWS
        return np.column_stack([np.asarray(self.centre_mm) + places, np.full(len(places), share)])

    def _around(self, count: int, turned: float) -> np.ndarray:
        """Return unit vectors, shape (count, 3), evenly spread about the axis from a share of a step on."""
        axis = np.asarray(self.axis)
        first = np.cross(axis, (0.0, 0.0, 1.0) if abs(axis[2]) < 0.9 else (1.0, 0.0, 0.0))
        first /= np.linalg.norm(first)
        turns = 2.0 * np.pi * (np.arange(count) + turned) / count
        return np.cos(turns)[:, None] * first + np.sin(turns)[:, None] * np.cross(axis, first)

    def _from_burr_holes(self, window: Grid) -> np.ndarray:
        """Return the distance, mm, to the burr holes on the edge of the flap, bored along its axis."""
        middles = np.asarray(self.centre_mm) + FLAP_RADIUS_MM.value * self._around(BURR_HOLES, 0.25)
        apart = [self._away(window, tuple(middle.tolist())) for middle in middles]
        return np.minimum.reduce(apart) - np.float32(BURR_MM.value)

    def window(self, grid: Grid) -> Grid:
        """Return the window of a grid about the craniotomy."""
        centre, reach = np.asarray(self.centre_mm), FLAP_RADIUS_MM.value + SAW_CUT_MM.value + _DEPTH_MM / 2
        low = np.maximum(np.floor(grid.index_of(centre - reach)).astype(int), 0)
        high = np.minimum(np.ceil(grid.index_of(centre + reach)).astype(int) + 1, grid.shape)
        return grid.window(low.tolist(), high.tolist())

    def _away(self, window: Grid, through_mm: Triple | None = None) -> np.ndarray:
        """Return how far from the axis, or its parallel, voxels are, mm; far off where another wall may be."""
        middle = through_mm or self.centre_mm
        x, y, z = ((a - c).astype(np.float32) for a, c in zip(window.axes_mm(), middle, strict=True))
        a, b, c = (np.float32(v) for v in self.axis)
        x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
        along = a * x + b * y + c * z
        away = np.sqrt(np.maximum(x * x + y * y + z * z - along * along, 0.0))
        away[np.abs(along) > _DEPTH_MM] = _FAR_MM
        return away
