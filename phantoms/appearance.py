"""How a lesion and what surgery leaves look: tumour and oedema before it, cavity, flap and scalp after it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from phantoms.canvas import Canvas
from phantoms.cited import Cited
from phantoms.course import AIR_DECAY_DAY, BLOOD_DECAY_DAY
from phantoms.craniotomy import PLATE_CC, SCREWS, Craniotomy
from phantoms.grid import Grid
from phantoms.head import Head, sampled_noise
from phantoms.structure import Structure
from phantoms.tissue import blood_shares
from phantoms.volume import Volume

OEDEMA_SHARE = Cited(0.85, "of white matter within reach of the oedema; cortex is spared", "assumed")
FINGERS = Cited(0.8, "oedema spreads along tracts, in fingers: how far its edge strays", "assumed")
CLOT_SHARE = Cited(0.2, "blood on the wall of a fresh cavity, where there is some", "assumed")
MIXED_MM = Cited(0.8, "settled blood and fluid mix over a few mm", "assumed")
SWELLING_SHARE = Cited(0.65, "fluid in the scalp over the flap on the first days", "assumed")
SWELLING_DAY = Cited(14.0, "scalp swelling and subgaleal fluid resolve within weeks", "assumed")


@dataclass(frozen=True, eq=False)
class Appearance:
    """What paints the regions of a day on a head.

    Attributes
    ----------
    head : Head
    craniotomy : Craniotomy
    grid : Grid
        The patient's.
    skull, intracranial : Structure
        Of the head at rest.
    voids_mm : mapping of str to float
        How far from the middle of a plate the signal of each weighting is lost.
    """

    head: Head
    craniotomy: Craniotomy
    grid: Grid
    skull: Structure
    intracranial: Structure
    voids_mm: Mapping[str, float]

    @cached_property
    def _cut(self) -> Structure:
        return self.craniotomy.cut(self.skull)

    @cached_property
    def _depth(self) -> Volume:
        return self.head.pose.sampled(self.head.vault, self.craniotomy.window(self.grid))

    @cached_property
    def _scalp(self) -> Structure:
        skin = self.head.pose.sampled(self.head.external, self._depth.grid)
        return self.craniotomy.scalp(self._depth, skin, self.skull)

    def paint(self, canvas: Canvas, regions: Mapping[str, Structure], white: np.ndarray, day: float) -> None:
        """Paint the regions of a course on a canvas that shows the head.

        Parameters
        ----------
        canvas : Canvas
        regions : mapping of str to Structure
            As `SurgicalCourse.regions` returns them.
        white : ndarray, shape ``canvas.grid.shape``, uint8
            Share of white matter, 0 to 255.
        day : float
        """
        self._oedema(canvas, regions["oedema"], white)
        if day < 0:
            self._tumour(canvas, regions["tumour"])
            self._fill(canvas, "necrosis", regions["necrosis"])
            return
        self._craniotomy(canvas, day)
        self._cavity(canvas, regions, day)
        self._plates(canvas)

    def _oedema(self, canvas: Canvas, oedema: Structure, white: np.ndarray) -> None:
        taking_up = white[canvas.grid.part(oedema.grid)].astype(np.float32) / np.float32(255.0)
        waves = np.float32(FINGERS.value) * self._coarse(oedema.grid)
        # In the middle of the flank of the occupancy the edge strays most; full and empty stay so.
        share = oedema.occupancy
        share = np.clip(share + 4.0 * waves * share * (1.0 - share), 0.0, 1.0)
        canvas.fill("oedema", share * taking_up * np.float32(OEDEMA_SHARE.value), oedema.grid)

    def _tumour(self, canvas: Canvas, tumour: Structure) -> None:
        """Tumour enhances unevenly: parts of it are on the way to necrosis."""
        canvas.fill("tumour", tumour.occupancy, tumour.grid)
        dull = np.clip(0.25 + 0.3 * self._fine(tumour.grid, 0.7), 0.0, 0.7)
        canvas.fill("necrosis", tumour.occupancy * dull, tumour.grid)

    def _craniotomy(self, canvas: Canvas, day: float) -> None:
        """Saw cut, swollen scalp, and blood, fluid and air under the flap."""
        self._fill(canvas, "scar", self._cut)
        swollen = self._scalp
        share = SWELLING_SHARE.value * float(np.exp(-day / SWELLING_DAY.value))
        uneven = np.clip(1.0 + 0.3 * self._coarse(swollen.grid), 0.0, 1.0)
        canvas.fill("oedema", swollen.occupancy * uneven * np.float32(share), swollen.grid)
        under = self.craniotomy.collection(self._depth, self.intracranial, day)
        canvas.fill("cavity_fluid", under.occupancy, under.grid)
        blood = np.clip(0.5 + 0.5 * self._fine(under.grid, 0.5), 0.0, 1.0)
        canvas.fill(next(iter(blood_shares(day))), under.occupancy * blood, under.grid)
        bubbles = np.clip(1.5 * self._fine(under.grid, 0.5) - 0.9, 0.0, 1.0) * under.occupancy
        canvas.fill("air", bubbles * np.float32(np.exp(-day / AIR_DECAY_DAY.value)), under.grid)

    def _cavity(self, canvas: Canvas, regions: Mapping[str, Structure], day: float) -> None:
        self._fill(canvas, "scar", regions["tract"])
        rim, cavity, blood = (regions[name] for name in ("rim", "cavity", "blood"))
        # The wall enhances in patches, with gaps.
        canvas.fill("rim", rim.occupancy * np.clip(0.75 + 0.4 * self._fine(rim.grid, 0.6), 0.2, 1.0), rim.grid)
        self._fill(canvas, "cavity_fluid", cavity)
        self._fill(canvas, "tumour", regions["residual"])
        older, newer = blood_shares(day).items()
        settled = _settled(blood, cavity)
        canvas.fill(older[0], settled, cavity.grid)
        canvas.fill(newer[0], settled * np.float32(newer[1]), cavity.grid)
        inside = ndimage.gaussian_filter(cavity.occupancy, 2.5 / np.asarray(cavity.grid.spacing_mm), mode="constant")
        lining = cavity.occupancy * np.clip(2.5 * (1.0 - inside) - 0.5, 0.0, 1.0)
        lining *= np.clip(0.9 * self._fine(cavity.grid, 0.5) + 0.2, 0.0, CLOT_SHARE.value)
        canvas.fill(older[0], lining * np.float32(np.exp(-day / BLOOD_DECAY_DAY.value)), cavity.grid)
        self._fill(canvas, "air", regions["air"])

    def _plates(self, canvas: Canvas) -> None:
        """Take away the signal about the plates of titanium: it dephases there. Density is not touched."""
        plates = self.craniotomy.plates().reshape(-1, SCREWS, 4)
        for name, plate_mm in self.voids_mm.items():
            if name not in canvas.maps:
                continue
            for plate in plates:
                low = np.floor(canvas.grid.index_of(plate[:, :3].min(axis=0) - 2.0 * plate_mm)).astype(int)
                high = np.ceil(canvas.grid.index_of(plate[:, :3].max(axis=0) + 2.0 * plate_mm)).astype(int)
                low = np.clip(low, 0, canvas.grid.shape)
                window = canvas.grid.window(low.tolist(), np.clip(high, low + 1, canvas.grid.shape).tolist())
                canvas.maps[name][canvas.grid.part(window)] *= kept_signal(window, plate, plate_mm)

    @staticmethod
    def _fill(canvas: Canvas, tissue: str, region: Structure) -> None:
        canvas.fill(tissue, region.occupancy, region.grid)

    def _coarse(self, grid: Grid) -> np.ndarray:
        return sampled_noise(self.head.coarse, grid)

    def _fine(self, grid: Grid, stretch: float) -> np.ndarray:
        """Return the fine noise with its waves longer by the inverse of `stretch`."""
        x, y, z = (np.float32(stretch) * axis.astype(np.float32) for axis in grid.axes_mm())
        return self.head.fine.at(x[:, None, None], y[None, :, None], z[None, None, :])


def kept_signal(grid: Grid, pieces: np.ndarray, plate_mm: float) -> np.ndarray:
    """Return the share of the signal that is left about pieces of metal, dephased by the slope of their field.

    That of a dipole along z is ``(3 c^2 - 1) / r^3`` with the cosine c of the angle to z, its slope is in size
    ``3 sqrt(5 c^4 - 2 c^2 + 1) / r^4``: a void is longer along the field than across it. Slopes of pieces are added.

    Parameters
    ----------
    grid : Grid
    pieces : ndarray, shape (n, 4)
        Place, LPS mm, and volume, cm3.
    plate_mm : float
        Where a whole plate as one piece leaves 1 - 1/e of the signal, across the field.
    """
    slope = np.zeros(grid.shape, np.float32)
    for *place, volume in pieces:
        x, y, z = ((axis - at).astype(np.float32) ** 2 for axis, at in zip(grid.axes_mm(), place, strict=True))
        square = np.maximum(x[:, None, None] + y[:, None] + z, np.float32(1e-6))
        cosine = z / square
        # A field grows with the volume: the reach of its slope with the cube root.
        reach = np.float32(plate_mm**4 * (volume / PLATE_CC.value) ** (4 / 3))
        slope += np.sqrt(5.0 * cosine * cosine - 2.0 * cosine + 1.0) * reach / (square * square)
    return 1.0 - np.exp(-1.0 / slope)


def _settled(blood: Structure, cavity: Structure) -> np.ndarray:
    """Return settled blood in the cavity, on its grid, mixed with the fluid above it."""
    width = MIXED_MM.value / cavity.grid.spacing_mm[1]
    return np.minimum(ndimage.gaussian_filter1d(blood.on(cavity.grid), width, axis=1, mode="nearest"), cavity.occupancy)
