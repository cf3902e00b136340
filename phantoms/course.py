"""The surgical course of one patient: tumour before day 0, then a cavity that changes, residual tumour that regrows.

Everything is a pure function of the day once the course is drawn, works on any grid, and knows nothing of a synthetic
head: it is placed into real images too.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from phantoms.cavity import Patch, fitted_patch, solve
from phantoms.cited import Cited
from phantoms.dynamics import VolumeLaw, collapsed
from phantoms.grid import Grid, Triple
from phantoms.lesion import DOUBLING_DAY, LOBES, RIPPLES, Form, Lesion
from phantoms.resection import MINIMAL, Resection
from phantoms.structure import Role, Structure

WALL_CHANGE = Cited(0.09, "Shah 2016: walls progress in 52 % while volumes fall; relative lobe amplitude", "assumed")
WALL_ROUGHNESS = Cited(0.025, "a resected bed is rougher than the tumour's surface; relative amplitude", "assumed")
FLATTENING = Cited(0.25, "cavities collapse to a slit rather than evenly, at full collapse", "assumed")
SETTLING_DAY = Cited(12.0, "brain shift relaxes within weeks of surgery", "assumed")
SHIFT_MM = Cited(1.6, "movement of the cavity's centre per axis; 0.35 T series: Hausdorff 2.3-9.8 mm", "assumed")
RESIDUAL_MEDIAN_CC = Cited(0.25, "nodules on early MR after resections thought complete", "assumed")
RESIDUAL_SIGMA = Cited(0.9, "as the median", "assumed")
AIR_SHARE = Cited(0.22, "share of the cavity filled with air on day 0; resorbed within about a week", "assumed")
AIR_DECAY_DAY = Cited(2.5, "pneumocephalus is mostly gone after a week", "assumed")
MENISCUS_MM = Cited(2.0, "fluid that wets a wall climbs 1.4 capillary lengths at most; walls are steep", "assumed")
CAPILLARY_MM = Cited(2.3, "of serous fluid: surface tension 55 mN/m, 1.01 g/cm3", "assumed")
CLOT_MM = Cited(4.0, "settled clot is no level: some 1 mm where the halo strays by 0.3", "assumed")
BLOOD_SHARE = Cited(0.22, "share of the cavity with blood products on day 0", "assumed")
BLOOD_DECAY_DAY = Cited(9.0, "blood products resorb over weeks", "assumed")
RIM_MM = Cited(1.7, "thin marginal enhancement; thicker and nodular means tumour", "assumed")
OEDEMA_MM = Cited(11.0, "vasogenic oedema about resected metastases, beyond the tumour's surface", "assumed")
OEDEMA_DECAY_DAY = Cited(30.0, "oedema resolves within 1-2 months of resection", "assumed")
OEDEMA_EDGE_MM = Cited(6.0, "oedema fades out over several mm", "assumed")
TRACT_MM = Cited(4.5, "radius of the corridor on day 0", "assumed")
TRACT_DECAY_DAY = Cited(35.0, "the corridor closes with the cavity", "assumed")
RESIDUAL_LIMIT_CC = Cited(40.0, "untreated regrowth slows well before it fills the head", "assumed")
NECROSIS_MM = Cited(4.5, "enhancing wall of a tumour with a necrotic core", "assumed")
DOUBLING_SIGMA = Cited(0.5, "Kobets 2020: wide ranges within a histology", "assumed")


@dataclass(frozen=True)
class Nodule:
    """A residual nodule on the wall of the cavity.

    Attributes
    ----------
    direction : tuple of 3 float
        Unit vector from the centre of the cavity.
    share : float
        Its share of the residual volume.
    """

    direction: Triple
    share: float


@dataclass(frozen=True, eq=False)
class SurgicalCourse:
    """One drawn course. Days count from surgery; before day 0 there is a tumour, from day 0 on a cavity.

    Attributes
    ----------
    lesion : Lesion
        The tumour on the day of surgery.
    law : VolumeLaw
    entry : tuple of 3 float
        Unit vector from the lesion to the craniotomy.
    depth_mm : float
        Distance from the lesion's centre to the inner skull along `entry`.
    wall : ndarray, shape (n,)
        Change of the lobe amplitudes of the cavity, complete after weeks.
    shift_mm : ndarray, shape (2, 3)
        Offset of the cavity's centre from the tumour's on day 0, and its further movement.
    residual_cc : float
        Residual tumour on day 0, cm3; 0 for a complete resection.
    doubling_day : float
        Doubling time of tumour, days.
    nodules : tuple of Nodule
    halo : Form
        Reach of the oedema by direction.
    within : Structure or None
        What lesion and cavity may occupy (their side of the intracranial space); volumes are kept when it cuts them.
    taken : float
        Volume that was resected against that of the tumour.
    """

    lesion: Lesion
    law: VolumeLaw
    entry: Triple
    depth_mm: float
    wall: np.ndarray
    shift_mm: np.ndarray
    residual_cc: float
    doubling_day: float
    nodules: tuple[Nodule, ...]
    halo: Form
    within: Structure | None = None
    taken: float = 1.0

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        lesion: Lesion,
        entry: Sequence[float],
        within: Structure | None = None,
        resection: Resection = MINIMAL,
    ) -> "SurgicalCourse":
        """Draw a course.

        Parameters
        ----------
        rng : numpy.random.Generator
        lesion : Lesion
        entry : sequence of 3 float
            Vector, mm, from the lesion's centre to the inner skull at the craniotomy.
        within : Structure, optional
            What lesion and cavity may occupy.
        resection : Resection
        """
        law = VolumeLaw.draw(rng, resection.taken_cc(lesion))
        wall = WALL_CHANGE.value * np.sqrt(2.0 / LOBES) * rng.standard_normal(LOBES)
        shift = SHIFT_MM.value * rng.standard_normal((2, 3)) * np.array([[0.5], [1.0]])
        doubling = DOUBLING_DAY[lesion.histology].value * float(np.exp(DOUBLING_SIGMA.value * rng.standard_normal()))
        # Drawn also for complete resections, so that the fraction of a study does not change the other draws.
        left_behind = float(rng.random()) < resection.residual_fraction
        residual = RESIDUAL_MEDIAN_CC.value * float(np.exp(RESIDUAL_SIGMA.value * rng.standard_normal()))
        residual = min(residual, 0.15 * lesion.volume_cc)
        vector = np.asarray(entry, float)
        depth = float(np.linalg.norm(vector))
        unit = vector / max(depth, 1e-9)
        nodules, halo = _draw_nodules(rng, unit), Form.draw(rng, amplitude=0.35)
        rough = WALL_ROUGHNESS.value * np.sqrt(2.0 / RIPPLES) * rng.standard_normal(RIPPLES)
        return cls(
            lesion,
            law,
            (float(unit[0]), float(unit[1]), float(unit[2])),
            depth,
            np.concatenate([wall, rough]),
            shift,
            residual if left_behind else 0.0,
            doubling,
            nodules,
            halo,
            within,
            resection.taken_cc(lesion) / lesion.volume_cc,
        )

    @property
    def facts(self) -> dict[str, float | str]:
        """What was drawn, for the record of a patient."""
        lesion = self.lesion
        return {
            "histology": lesion.histology,
            "tumour_volume_cc": lesion.volume_cc,
            **{f"tumour_{axis}_mm": place for axis, place in zip("xyz", lesion.centre_mm, strict=True)},
            "cavity_initial_cc": self.volume_cc(0.0),
            "cavity_day20_cc": self.volume_cc(20.0),
            "extent_of_resection": "subtotal" if self.residual_cc > 0 else "gross total",
            "resected_cc": self.taken * lesion.volume_cc,
            "residual_initial_cc": self.residual_cc,
            "residual_doubling_day": self.doubling_day,
        }

    def volume_cc(self, day: float) -> float:
        """Return the volume, cm3, of the tumour (day < 0) or of the cavity (day >= 0)."""
        if day < 0:
            return self.lesion.volume_cc * 2.0 ** (day / self.doubling_day)
        return float(self.law.cc(day))

    def bed_cc(self, day: float) -> float:
        """Return the volume, cm3, whose wall the tissue that stays follows: before surgery what will be resected."""
        return self.volume_cc(day) * (self.taken if day < 0 else 1.0)

    def residual_volume_cc(self, day: float) -> float:
        """Return the volume, cm3, of residual tumour: 0 before surgery and after a complete resection."""
        return 0.0 if day < 0 else regrown_cc(self.residual_cc, day, self.doubling_day)

    def centre_mm(self, day: float) -> np.ndarray:
        """Return the centre, shape (3,), of the tumour or the cavity."""
        centre = np.asarray(self.lesion.centre_mm, float)
        return centre if day < 0 else centre + self.shift_mm[0] + self.settled(day) * self.shift_mm[1]

    def form(self, day: float) -> Form:
        """Return the form of the tumour or the cavity; its walls settle and it flattens as it collapses."""
        form = self.lesion.form
        if day < 0:
            return form
        form = form.with_amplitudes(form.amplitudes + (0.4 + 0.6 * self.settled(day)) * self.wall)
        across = np.cross(self.entry, self.wall[:3] + 1e-6)
        x, y, z = across / np.linalg.norm(across)
        return form.flattened((float(x), float(y), float(z)), FLATTENING.value * float(collapsed(day)))

    def regions(self, grid: Grid, day: float, names: Collection[str] | None = None) -> dict[str, Structure]:
        """Return what is there on `day`, each on its own window of `grid`.

        Parameters
        ----------
        grid : Grid
            Any grid; coarse voxels are divided, so that volumes hold.
        day : float
            Before 0: ``tumour``, ``necrosis`` (in the tumour), ``oedema``. From 0 on: ``cavity`` (with all it
            contains), ``air`` and ``blood`` (in the cavity), ``rim`` (enhancing wall, outside the cavity),
            ``residual``, ``tract`` and ``oedema``. Outer regions overlap inner ones in partly filled voxels only.
        names : collection of str, optional
            Only these regions.

        Raises
        ------
        ValueError
            If the volume of the day does not fit into `within`.
        """
        bed = _Bed.on(self, grid, day)
        makers = _BEFORE if day < 0 else _AFTER
        wanted = makers if names is None else {name: makers[name] for name in makers if name in names}
        return {name: maker(bed, name) for name, maker in wanted.items()}

    def settled(self, day: float) -> float:
        """Return how far brain shift has relaxed on `day`, 0 to 1."""
        return 1.0 - float(np.exp(-max(day, 0.0) / SETTLING_DAY.value))


def regrown_cc(initial_cc: float, days: float, doubling_day: float) -> float:
    """Return the volume, cm3, of residual tumour after (or, negative, before) some days; nothing does not grow.

    Growth is exponential as long as the tumour is small against the largest volume (logistic).
    """
    if initial_cc <= 0:
        return 0.0
    largest = RESIDUAL_LIMIT_CC.value
    return largest / (1.0 + (largest / initial_cc - 1.0) * 2.0 ** (-days / doubling_day))


def _draw_nodules(rng: np.random.Generator, entry: np.ndarray) -> tuple[Nodule, ...]:
    """Draw one to three nodules on the wall away from the entry, where the surgeon sees least."""
    count = int(rng.integers(1, 4))
    shares = rng.dirichlet(np.full(count, 2.0))
    nodules = []
    for share in shares:
        vector = rng.standard_normal(3) - 0.8 * entry
        x, y, z = vector / np.linalg.norm(vector)
        nodules.append(Nodule((float(x), float(y), float(z)), float(share)))
    return tuple(nodules)


@dataclass(frozen=True, eq=False)
class _Bed:
    """The tumour or cavity of one day on the patch of a grid, from which all regions are made."""

    course: SurgicalCourse
    grid: Grid
    day: float
    patch: Patch
    distance: np.ndarray
    scale: float
    cavity: np.ndarray

    @classmethod
    def on(cls, course: SurgicalCourse, grid: Grid, day: float) -> "_Bed":
        form, centre = course.form(day), course.centre_mm(day)
        patch, distance, scale = fitted_patch(grid, centre, form, course.volume_cc(day), course.within)
        return cls(course, grid, day, patch, distance, scale, patch.covered(distance))

    def made(self, name: str, role: Role, fraction: np.ndarray) -> Structure:
        return self.patch.structure(name, role, fraction, self.grid)

    def body(self, name: str) -> Structure:
        """Tumour or cavity."""
        return self.made(name, Role.TARGET, self.cavity)

    def necrosis(self, name: str) -> Structure:
        """Necrotic core of a tumour, under a wall of enhancing tissue."""
        wall = np.float32(NECROSIS_MM.value) * self.patch.radius(self.course.halo)
        return self.made(name, Role.SUPPORT, self.patch.covered(self.distance + wall))

    def rim(self, name: str) -> Structure:
        """Enhancing wall: thickest where the walls change most, two to eight weeks after surgery."""
        thick = RIM_MM.value * (0.75 + 0.35 * self.course.settled(self.day)) * self.patch.radius(self.course.halo)
        wall = self.patch.covered(self.distance - thick.astype(np.float32)) - self.cavity
        return self.made(name, Role.SUPPORT, np.maximum(wall, 0.0))

    def residual(self, name: str) -> Structure:
        """Nodules on the wall, outside the cavity, that together hold the residual volume."""
        volume = self.course.residual_volume_cc(self.day)
        if volume <= 0:
            return self.made(name, Role.TARGET, np.zeros_like(self.cavity))
        reach = float(np.cbrt(volume * 1000.0)) * 1.6
        patch = Patch.around(self.grid, self.patch.centre, self.extent + reach, self.course.within)
        form = self.course.form(self.day)
        free = 1.0 - patch.covered(patch.length - np.float32(self.scale) * patch.radius(form))
        gauge = np.full(patch.length.shape, np.inf, np.float32)
        weight = np.ones_like(gauge)
        for nodule in self.course.nodules:
            direction = np.asarray(nodule.direction)
            column = [np.full(1, v) for v in direction]
            wall = self.scale * float(form.radius((column[0], column[1], column[2]), np.ones(1))[0])
            dx, dy, dz = (o - np.float32(wall * u) for o, u in zip(patch.offset, direction, strict=True))
            size = np.float32(np.cbrt(nodule.share))
            apart = np.sqrt(dx**2 + dy**2 + dz**2) / size
            weight[apart < gauge] = size
            np.minimum(gauge, apart, out=gauge)

        def fraction(radius: float) -> np.ndarray:
            return np.minimum(patch.covered((gauge - np.float32(radius)) * weight), free)

        radius = solve(lambda r: patch.cc(fraction(r)), volume, (0.0, 3.0 * reach))
        if radius is None:
            raise ValueError(f"residual tumour of {volume:.2f} cc does not fit beside the cavity on day {self.day:g}")
        return patch.structure(name, Role.TARGET, fraction(radius), self.grid)

    def air(self, name: str) -> Structure:
        """Air rises to the front of a supine patient."""
        share = AIR_SHARE.value * float(np.exp(-self.day / AIR_DECAY_DAY.value))
        # Fluid wets the wall and climbs it.
        climbs = np.float32(MENISCUS_MM.value) * np.exp(np.minimum(self.distance, 0.0) / np.float32(CAPILLARY_MM.value))
        return self.made(name, Role.SUPPORT, self._layer(share, self.patch.offset[1] + climbs))

    def blood(self, name: str) -> Structure:
        """Blood products settle at the back of a supine patient."""
        share = BLOOD_SHARE.value * float(np.exp(-self.day / BLOOD_DECAY_DAY.value))
        uneven = np.float32(CLOT_MM.value) * (self.patch.radius(self.course.halo) - np.float32(1.0))
        return self.made(name, Role.SUPPORT, self._layer(share, uneven - self.patch.offset[1]))

    def _layer(self, share: float, y: np.ndarray) -> np.ndarray:
        """Return the share of the cavity in which `y`, mm, is least."""
        if share < 0.01:
            return np.zeros_like(self.cavity)
        width = np.float32(self.patch.fine.spacing_mm[1])

        def below(level: float) -> np.ndarray:
            return self.cavity * np.clip(0.5 - (y - np.float32(level)) / width, 0.0, 1.0)

        bracket = (float(y.min()) - float(width), float(y.max()) + float(width))
        level = solve(lambda v: self.patch.cc(below(v)), share * self.patch.cc(self.cavity), bracket)
        return below(bracket[0] if level is None else level)

    @property
    def extent(self) -> float:
        """Largest distance from the centre to the wall, mm."""
        return float(self.patch.length[self.cavity > 0].max(initial=0.0))

    def tract(self, name: str) -> Structure:
        """Corridor from the cavity to the craniotomy; it closes within weeks."""
        course = self.course
        radius = TRACT_MM.value * float(np.exp(-self.day / TRACT_DECAY_DAY.value))
        patch = Patch.around(self.grid, self.patch.centre, max(course.depth_mm, self.extent) + 8.0, course.within)
        along = sum(o * np.float32(e) for o, e in zip(patch.offset, course.entry, strict=True))
        along = np.clip(along, 0.0, np.float32(course.depth_mm))
        away = sum((o - along * np.float32(e)) ** 2 for o, e in zip(patch.offset, course.entry, strict=True))
        tube = patch.covered(np.sqrt(away) - np.float32(radius))
        return patch.structure(name, Role.SUPPORT, np.minimum(tube, 1.0 - self._cavity_on(patch)), self.grid)

    def oedema(self, name: str) -> Structure:
        """Oedema about tumour or cavity; it resolves within months of surgery. White matter takes it up."""
        reach = OEDEMA_MM.value * float(np.exp(-max(self.day, 0.0) / OEDEMA_DECAY_DAY.value))
        patch = Patch.around(self.grid, self.patch.centre, self.extent + 2.2 * reach, self.course.within)
        form = self.course.form(self.day)
        wall = np.float32(self.scale) * patch.radius(form)
        distance = patch.length - wall
        beyond = distance - np.float32(reach) * patch.radius(self.course.halo)
        halo = patch.covered(beyond / np.float32(OEDEMA_EDGE_MM.value))
        return patch.structure(name, Role.SUPPORT, np.maximum(halo - patch.covered(distance), 0.0), self.grid)

    def _cavity_on(self, patch: Patch) -> np.ndarray:
        wall = np.float32(self.scale) * patch.radius(self.course.form(self.day))
        return patch.covered(patch.length - wall)


_BEFORE = {"tumour": _Bed.body, "necrosis": _Bed.necrosis, "oedema": _Bed.oedema}
_AFTER = {
    "cavity": _Bed.body,
    "residual": _Bed.residual,
    "rim": _Bed.rim,
    "air": _Bed.air,
    "blood": _Bed.blood,
    "oedema": _Bed.oedema,
    "tract": _Bed.tract,
}
