"""A virtual surgical course in a real head: the real image and contours, with tumour and cavity painted in.

Intensities follow the MR signal model of the synthetic heads, scaled to the real image's own brain, with its own
noise. The real image is of the head just before surgery, or of another day: from there tissue follows tumour and
cavity.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import ndimage

from phantoms.course import SurgicalCourse
from phantoms.craniotomy import Craniotomy
from phantoms.flow import AT_REST_DAY, Carried, TissueFlow
from phantoms.grid import Grid, Triple
from phantoms.lesion import Lesion
from phantoms.mri import SEQUENCES, palette
from phantoms.patient import Epoch
from phantoms.resection import Resection
from phantoms.structure import Role, Structure
from phantoms.tissue import TISSUES, blood_shares
from phantoms.volume import Quantity, Volume

# Painted in this order; each covers what was there by its occupied fraction. Oedema is seen, not weighed.
_TISSUE_OF = {
    "oedema": "oedema",
    "saw_cut": "scar",
    "tract": "scar",
    "tumour": "tumour",
    "necrosis": "necrosis",
    "rim": "rim",
    "residual": "tumour",
    "cavity": "cavity_fluid",
    "blood": "blood",
    "air": "air",
}
_CONTOURED = ("tumour", "cavity", "residual", "air", "tract", "bone_flap")
# Tissue moves between the lesion and the dura only.
AT_REST = ("external", "skull", "intracranial", "air_cavities", "dura", "venous_sinuses")
_SKULL_MM = 7.0
# Set by eye beside post-operative MR. What enhances does so unevenly, rims with gaps; everything has some grain:
# relative standard deviation and correlation length, mm.
_UNEVEN, _UNEVEN_MM = {"tumour": 0.16, "residual": 0.16, "rim": 0.45, "tract": 0.3, "saw_cut": 0.3}, 3.5
_TEXTURE, _TEXTURE_MM = 0.06, 1.6
# Edges are as soft as the image: point spread, standard deviation, mm; oedema fades.
_SPREAD_MM, _FADING_MM = 0.55, 3.0
# Oedematous white matter keeps some of its own signal, and all of its grain.
_OEDEMA_SHARE = 0.7


@dataclass(frozen=True, eq=False)
class ImplantedAnatomy:
    """A real epoch whose lesion and cavity follow a drawn course; an `Anatomy`.

    Attributes
    ----------
    base : Epoch
        Real volumes (``t1gd``, ``density``) and structures (``brain`` at least).
    course : SurgicalCourse
    id : str
    facts : mapping of str to (float or str)
    seed : int
        Of the noise in the painted regions.
    from_day : float
        The day on which tissue lies as in the real image.
    """

    base: Epoch
    course: SurgicalCourse
    id: str = "real"
    facts: Mapping[str, float | str] = field(default_factory=dict)
    seed: int = 0
    from_day: float = AT_REST_DAY

    def epoch(self, day: float, *, images: bool = True) -> Epoch:
        """Return the truth on `day`: density, structures, and the image if `images`."""
        grid = self.base.grid
        regions = {name: region for name, region in self.course.regions(grid, day).items() if not region.is_empty}
        if day >= 0 and "skull" in self.base.structures:
            regions["saw_cut"] = self._craniotomy.cut(self.base.structures["skull"])
        carried = Carried(self.flow, day, grid, self.from_day)
        volumes = {"density": self._density(regions, carried, day)}
        if images:
            volumes["t1gd"] = self._image(regions, carried, day)
        return Epoch(day, volumes, self._structures(regions, carried, day))

    @cached_property
    def flow(self) -> TissueFlow:
        """The true deformation between any two days."""
        return TissueFlow(self.course)

    @cached_property
    def _craniotomy(self) -> Craniotomy:
        return Craniotomy.of(self.course, _SKULL_MM)

    def _structures(self, regions: Mapping[str, Structure], carried: Carried, day: float) -> dict[str, Structure]:
        found = {
            name: part if name in AT_REST else carried.structure(part)
            for name, part in self.base.structures.items()
            if name not in _CONTOURED
        }
        contoured = {name: region for name, region in regions.items() if name in _CONTOURED}
        lesion = [region for name, region in contoured.items() if name != "tract"]
        found["brain"] = _union(found["brain"], lesion, self.base.grid)
        if "saw_cut" in regions:
            contoured["bone_flap"] = self._craniotomy.flap(self.base.structures["skull"])
        return {**found, **contoured}

    def _density(self, regions: Mapping[str, Structure], carried: Carried, day: float) -> Volume:
        rho = self.base.volumes["density"].data.copy()
        carried.carry(rho)
        for name, tissue in _TISSUE_OF.items():
            if name in regions and name not in ("oedema", "tract"):
                value = np.float32(_value(tissue, {n: t.density for n, t in TISSUES.items()}, day))
                cut, part = _placed(regions[name], self.base.grid)
                rho[cut] += part * (value - rho[cut])
        return Volume(self.base.grid, rho, Quantity.DENSITY)

    def _image(self, regions: Mapping[str, Structure], carried: Carried, day: float) -> Volume:
        real = self.base.volumes["t1gd"].data.copy()
        carried.carry(real)
        level, noise = self._levels
        signals = palette(SEQUENCES["t1gd"], 1.5)
        scale = level / (0.5 * (signals["grey"] + signals["white"]))
        painted, touched = real.copy(), np.zeros(real.shape, np.float32)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, 7]))
        for name, tissue in _TISSUE_OF.items():
            patchy = self._patchy(rng)
            if name not in regions:
                continue
            if name == "oedema":
                self._swell(painted, regions[name], patchy, level, signals)
                continue
            value = scale * _value(tissue, signals, day)
            cut, part = _placed(_softened(regions[name], _SPREAD_MM), self.base.grid)
            uneven = 1.0 + np.float32(_UNEVEN.get(name, 0.0)) * np.clip(patchy[cut], -1.8, 1.8)
            painted[cut] += part * (np.float32(value) * uneven - painted[cut])
            touched[cut] += part * (1.0 - touched[cut])
        self._grain(painted, touched, noise, day)
        return Volume(self.base.grid, painted, Quantity.MR_SIGNAL)

    def _swell(
        self, painted: np.ndarray, region: Structure, patchy: np.ndarray, level: float, signals: Mapping[str, float]
    ) -> None:
        """Darken white matter by oedema, here more and there less, in place; sulci and cortex keep their signal."""
        soft = _softened(region, _FADING_MM)
        brain = self.base.structures["brain"].on(soft.grid)
        cut, part = _placed(Structure("oedema", region.role, soft.grid, soft.occupancy * brain), self.base.grid)
        taken = part * _whiteness(painted[cut], level) * np.clip(0.8 + 0.35 * patchy[cut], 0.0, 1.0)
        painted[cut] *= 1.0 - taken * np.float32(1.0 - signals["oedema"] / signals["white"])

    def _patchy(self, rng: np.random.Generator) -> np.ndarray:
        """Return a smooth random field of unit variance on the grid, drawn on voxels of its correlation length."""
        grid = self.base.grid
        coarse = Grid.covering(grid.low_mm.tolist(), grid.high_mm.tolist(), _UNEVEN_MM)
        values = ndimage.gaussian_filter(rng.standard_normal(coarse.shape, dtype=np.float32), 0.7)
        return Volume(coarse, values / values.std(), Quantity.MR_SIGNAL).on(grid).data

    def _grain(self, painted: np.ndarray, touched: np.ndarray, noise: float, day: float) -> None:
        """Give what was painted texture and the image's own noise, in place."""
        low, high = _box_of(touched)
        cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, round((day + 10_000) * 1000)]))
        real, imaginary, blobs = rng.standard_normal((3, *painted[cut].shape), dtype=np.float32)
        texture = ndimage.gaussian_filter(blobs, _TEXTURE_MM / np.asarray(self.base.grid.spacing_mm))
        texture *= _TEXTURE / max(float(texture.std()), 1e-6) if texture.size else 1.0
        # Magnitude images: Rician.
        noisy = np.hypot(painted[cut] * (1 + texture) + noise * real, noise * imaginary)
        painted[cut] += touched[cut] * (noisy - painted[cut])

    @property
    def _levels(self) -> tuple[float, float]:
        """Median signal of the brain about the lesion, and standard deviation of the noise in it."""
        image, centre = self.base.volumes["t1gd"], np.asarray(self.course.lesion.centre_mm)
        reach = self.course.lesion.radius_mm + 25.0
        # On the image's own voxels: between them an interpolated image has no noise.
        low = np.maximum(np.floor(image.grid.index_of(centre - reach)), 0).astype(int)
        high = np.minimum(np.ceil(image.grid.index_of(centre + reach)) + 1, image.grid.shape).astype(int)
        window = image.grid.window(low.tolist(), high.tolist())
        signal = image.data[image.grid.part(window)]
        inside = self.base.structures["brain"].on(window) > 0.99
        level = float(np.median(signal[inside]))
        # Second differences see noise, not anatomy; MAD to sigma by 1.4826, variance of (1, -2, 1) is 6.
        second = signal[2:] - 2 * signal[1:-1] + signal[:-2]
        wrinkle = np.abs(second[inside[1:-1] & inside[2:] & inside[:-2]])
        return level, float(1.4826 * np.median(wrinkle) / np.sqrt(6.0))


def implant(
    base: Epoch,
    centre_mm: Triple,
    volume_cc: float,
    seed: int,
    *,
    id: str = "real",
    residual_fraction: float = 0.3,
) -> ImplantedAnatomy:
    """Return a real head with a drawn lesion of `volume_cc` about `centre_mm`, and its surgical course.

    Parameters
    ----------
    base : Epoch
        Real volumes and structures; ``brain`` and, better, ``intracranial``.
    centre_mm : tuple of 3 float
        Centre of the tumour, LPS.
    volume_cc : float
    seed : int
    id : str
    residual_fraction : float
        Probability that tumour was left behind.

    Raises
    ------
    ValueError
        If the centre lies outside the brain, or the lesion does not fit into the intracranial space there.
    """
    brain = base.structures["brain"]
    inside = float(Volume(brain.grid, brain.occupancy, Quantity.OCCUPANCY).at(np.array([centre_mm], float))[0])
    if inside < 0.5:
        near = brain.centroid_mm.round().tolist()
        raise ValueError(f"centre {tuple(centre_mm)} mm (LPS) lies outside the brain, whose centre is at {near}")
    room = base.structures.get("intracranial", brain)
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    lesion = Lesion.draw(rng, centre_mm, volume_cc)
    course = SurgicalCourse.draw(rng, lesion, to_skull(room, centre_mm).tolist(), room, Resection(residual_fraction))
    return ImplantedAnatomy(base, course, id, course.facts, seed)


def to_skull(room: Structure, centre_mm: Triple) -> np.ndarray:
    """Return the vector, shape (3,), from a point to the nearest place outside the room: the shortest way in."""
    grid = room.cropped(1).grid
    outside = room.on(grid) < 0.5
    # Craniotomies lie above the skull base.
    z = grid.axes_mm()[2]
    open_to = outside & (z >= min(float(centre_mm[2]) - 10.0, float(z.max())))[None, None, :]
    points = grid.point_of(np.argwhere(open_to))
    vectors = points - np.asarray(centre_mm, float)
    return np.asarray(vectors[np.argmin((vectors**2).sum(axis=1))])


def _value(tissue: str, table: Mapping[str, float], day: float) -> float:
    if tissue == "blood":
        return sum(share * table[name] for name, share in blood_shares(day).items())
    return table[tissue]


def _whiteness(signal: np.ndarray, level: float) -> np.ndarray:
    """Return how much of the oedema each voxel takes up: white matter by its T1-weighted signal, never all of it."""
    return np.float32(_OEDEMA_SHARE) * np.clip((signal / np.float32(level) - 0.85) / 0.3, 0.0, 1.0)


def _softened(region: Structure, sigma_mm: float) -> Structure:
    """Return a region with its occupied fractions spread by a Gaussian."""
    spacing = np.asarray(region.grid.spacing_mm)
    part = region.cropped(int(np.ceil(3.0 * sigma_mm / spacing.min())))
    soft = ndimage.gaussian_filter(part.occupancy, sigma_mm / spacing)
    return Structure(region.name, region.role, part.grid, np.clip(soft, 0.0, 1.0))


def _placed(region: Structure, grid: Grid) -> tuple[tuple[slice, ...], np.ndarray]:
    """Return where a region lies in a grid, and its occupied fractions there.

    Raises
    ------
    ValueError
        If it does not lie on the voxels of the grid.
    """
    offset = region.grid.offset_in(grid)
    if offset is None:
        raise ValueError(f"{region.name} does not lie on the voxels of the image")
    low = [min(max(o, 0), size) for o, size in zip(offset, grid.shape, strict=True)]
    high = [max(min(o + n, size), a) for o, n, size, a in zip(offset, region.grid.shape, grid.shape, low, strict=True)]
    here = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return here, region.occupancy[tuple(slice(a - o, b - o) for a, b, o in zip(low, high, offset, strict=True))]


def _box_of(data: np.ndarray) -> tuple[list[int], list[int]]:
    found = ndimage.find_objects((data > 0).astype(np.int8))
    if not found:
        return [0, 0, 0], [0, 0, 0]
    return [s.start for s in found[0]], [s.stop for s in found[0]]


def _union(brain: Structure, others: Iterable[Structure], grid: Grid) -> Structure:
    whole = brain.on(grid)
    for other in others:
        np.maximum(whole, other.on(grid), out=whole)
    return Structure("brain", Role.ORGAN, grid, whole).cropped(1)
