"""Cohorts of synthetic patients: one specification and one seed give N patients, each a pure function of the day."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from phantoms import brain, lesion, mri
from phantoms.appearance import Appearance
from phantoms.canvas import Canvas
from phantoms.cited import Cited
from phantoms.course import SurgicalCourse
from phantoms.craniotomy import Craniotomy
from phantoms.flow import Carried, TissueFlow
from phantoms.grid import Grid
from phantoms.head import Background, Head, field_of_view, painted
from phantoms.noise import Noise
from phantoms.patient import Epoch
from phantoms.resection import TECHNIQUES, Resection
from phantoms.scanner import Scanner
from phantoms.shapes import covered
from phantoms.site import Site
from phantoms.structure import Role, Structure
from phantoms.tissue import TISSUES
from phantoms.volume import Quantity, Volume

IMAGES = ("t1gd", "t2", "flair")
"""The MR volumes of an epoch unless others are asked for."""
_DENSITY = {name: tissue.density for name, tissue in TISSUES.items()}
# Lesion and cavity stay within this distance of the lesion's centre.
_ROOM_MM = 62.0
RESIDUAL_FRACTION = Cited(0.3, "residual tumour on early MR in about a third of resections thought complete", "assumed")
CEREBELLAR_FRACTION = Cited(0.16, "Delattre 1988 Arch Neurol: 80 % hemispheres, 15 % cerebellum; recalled", "assumed")

# Structures that a tumour or a cavity takes the place of; all others count it as part of themselves.
_DISPLACED = ("ventricles", "hippocampus_left", "hippocampus_right", "falx", "tentorium")
# Tissue moves between the lesion and the dura only.
_AT_REST = ("external", "skull", "intracranial", "dura", "venous_sinuses")


@dataclass(frozen=True)
class CohortSpec:
    """What a cohort of synthetic patients is drawn from.

    Attributes
    ----------
    patients : int
    seed : int
        Patient k of a seed is the same in a cohort of any size.
    spacing_mm : float
        Edge of the cubic voxels.
    field_t : float
        Field strength of the MR images, tesla.
    snr : float
        White-matter signal over noise of the MR images.
    bias : float
        Relative standard deviation of the receive sensitivity.
    tumour_median_cc, tumour_sigma : float
        Lognormal distribution of the volume of the tumour on the day of surgery.
    tumour_min_cc, tumour_max_cc : float
        Its limits.
    residual_fraction : float
        Share of patients in whom tumour is left behind.
    cerebellar_fraction : float
        Share of lesions below the tentorium.
    resection : str
        ``minimal`` along the tumour's edge, or ``free_margin`` where no eloquent area is at stake.
    images : tuple of str
        MR volumes of an epoch: of ``t1gd``, ``t2``, ``flair``, ``t1``.
    t1_sequence : str
        ``mprage`` or ``spgr``.
    slice_mm, motion_mm, gradient_mm, susceptibility, truncation : float
        Imperfections of the scanner, each off at 0: see `phantoms.scanner.Scanner`.

    Raises
    ------
    ValueError
        If a figure is out of range; the message names it.
    """

    patients: int = 6
    seed: int = 1
    spacing_mm: float = 1.0
    field_t: float = 1.5
    snr: float = 28.0
    bias: float = 0.10
    tumour_median_cc: float = lesion.VOLUME_MEDIAN_CC.value
    tumour_sigma: float = lesion.VOLUME_SIGMA.value
    tumour_min_cc: float = lesion.VOLUME_RANGE_CC[0].value
    tumour_max_cc: float = lesion.VOLUME_RANGE_CC[1].value
    residual_fraction: float = RESIDUAL_FRACTION.value
    cerebellar_fraction: float = CEREBELLAR_FRACTION.value
    resection: str = "minimal"
    images: tuple[str, ...] = IMAGES
    t1_sequence: str = "mprage"
    slice_mm: float = 0.0
    motion_mm: float = 0.0
    gradient_mm: float = 0.0
    susceptibility: float = 0.0
    truncation: float = 0.0

    def __post_init__(self) -> None:
        low = {"patients": 1, "spacing_mm": 0.3, "field_t": 0.1, "snr": 1.0, "tumour_min_cc": 0.05}
        high = {"spacing_mm": 6.0, "field_t": 7.0, "bias": 0.5, "residual_fraction": 1.0, "cerebellar_fraction": 1.0}
        high |= {"patients": 10_000, "slice_mm": 10.0, "motion_mm": 5.0, "gradient_mm": 5.0, "susceptibility": 1.0}
        high |= {"truncation": 0.9}
        if not self.images or not set(self.images) <= set(mri.SEQUENCES):
            raise ValueError(f"images = {self.images} must be some of {', '.join(mri.SEQUENCES)}")
        if self.t1_sequence not in mri.T1_SEQUENCES:
            raise ValueError(f"t1_sequence = {self.t1_sequence} must be one of {', '.join(mri.T1_SEQUENCES)}")
        if self.resection not in TECHNIQUES:
            raise ValueError(f"resection = {self.resection} must be one of {', '.join(TECHNIQUES)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str | tuple):
                continue
            if not low.get(field.name, 0) <= value <= high.get(field.name, np.inf):
                raise ValueError(f"{field.name} = {value} is out of range")
        if not self.tumour_min_cc < self.tumour_max_cc <= 60.0:
            raise ValueError(f"tumour_max_cc = {self.tumour_max_cc} must lie between tumour_min_cc and 60")


class SyntheticAnatomy:
    """One synthetic patient: the truth on any day.

    Everything is drawn when the object is made; the head is painted when it is first asked for and kept (about
    200 MB at 1 mm). ``epoch`` is a pure function of the day.

    Parameters
    ----------
    spec : CohortSpec
    index : int
        Which patient of the cohort, from 0.

    Attributes
    ----------
    id : str
    facts : dict of str to (float or str)
    grid : Grid
    head : Head
    site : Site
    course : SurgicalCourse
    craniotomy : Craniotomy
    flow : TissueFlow
        The true deformation between any two days.
    scanner : Scanner
    """

    def __init__(self, spec: CohortSpec, index: int) -> None:
        if not 0 <= index < spec.patients:
            raise ValueError(f"patient {index} of a cohort of {spec.patients}")
        self.spec, self.index = spec, index
        self.id = self.name_of(spec, index)
        self.grid = field_of_view(spec.spacing_mm)
        of_head, of_lesion, of_course, of_scanner = (np.random.default_rng(self._seed(n)) for n in range(4))
        self.head = Head.draw(of_head)
        volume = lesion.draw_volume_cc(
            of_lesion, spec.tumour_median_cc, spec.tumour_sigma, (spec.tumour_min_cc, spec.tumour_max_cc)
        )
        self.site = Site.draw(of_lesion, self.head, volume, bool(of_lesion.random() < spec.cerebellar_fraction))
        x, y, z = self.site.centre_mm.tolist()
        tumour = lesion.Lesion.draw(of_lesion, (x, y, z), volume)
        about = self.site.facts(self.head, tumour)
        resection = Resection.of(spec.resection, spec.residual_fraction, float(about["eloquence_grade"]))
        self.course = SurgicalCourse.draw(of_course, tumour, self.site.entry_mm.tolist(), self._room(), resection)
        self.craniotomy = Craniotomy.of(self.course, self.head.skull_mm)
        self.flow = TissueFlow(self.course)
        self._coil = Noise.draw(of_scanner, self.grid.low_mm.tolist(), self.grid.high_mm.tolist(), 75.0)
        self.scanner = Scanner(
            spec.field_t,
            spec.snr,
            spec.slice_mm,
            spec.motion_mm,
            spec.gradient_mm,
            spec.susceptibility,
            spec.truncation,
        )
        self.facts: dict[str, float | str] = {
            **about,
            "free_margin_mm": resection.margin_mm,
            **self.course.facts,
            "skull_thickness_mm": self.head.skull_mm,
            "scalp_thickness_mm": self.head.scalp_mm,
            "field_t": spec.field_t,
        }

    @staticmethod
    def name_of(spec: CohortSpec, index: int) -> str:
        """Return the id of a patient, without drawing the patient."""
        return f"synthetic-{spec.seed}-{index:04d}"

    def epoch(self, day: float, *, images: bool | Collection[str] = True) -> Epoch:
        """Return density, structures and MR volumes on `day`.

        Parameters
        ----------
        day : float
            Days since surgery; negative before it.
        images : bool or collection of str
            All of the specification's, none, or those named.

        Raises
        ------
        ValueError
            If an unknown image is asked for.
        """
        wanted = self.spec.images if images is True else tuple(images or ())
        if unknown := set(wanted) - set(self.spec.images):
            raise ValueError(
                f"no such MR volume: {', '.join(sorted(unknown))}; there are {', '.join(self.spec.images)}"
            )
        regions = self.course.regions(self.grid, day)
        palettes = {"density": _DENSITY, **{name: self._signals[name] for name in wanted}}
        carried = Carried(self.flow, day, self.grid)
        canvas, white = Canvas(self.grid, palettes, self._background.maps), self._background.white.copy()
        for tissue in (*canvas.maps.values(), white):
            carried.carry(tissue)
        self._appearance.paint(canvas, regions, white, day)
        density = Volume(self.grid, canvas.maps["density"], Quantity.DENSITY)
        volumes, error = {"density": density}, self._place_error(density, day) if wanted else None
        for name in wanted:
            seed = self._seed(4, list(mri.SEQUENCES).index(name), np.float64(day).view(np.uint64))
            image = self.scanner.image(canvas.maps[name], self.grid, self._bias, error, seed)
            volumes[name] = Volume(self.grid, image, Quantity.MR_SIGNAL)
        return Epoch(float(day), volumes, self._structures(regions, carried, day), error)

    def _place_error(self, density: Volume, day: float) -> np.ndarray | None:
        metal = self.craniotomy.plates() if day >= 0 else None
        return self.scanner.place_error(density, metal, np.random.default_rng(self._seed(5)))

    def _seed(self, *key: int | np.uint64) -> np.random.SeedSequence:
        return np.random.SeedSequence([self.spec.seed, self.index, *(int(k) for k in key)])

    def _room(self) -> Structure:
        """Return the space on the lesion's side of the dura about the lesion, which it cannot leave."""
        centre = self.site.centre_mm
        upright = brain.compartment(self.head.frame, self.head.vault, self.site.side, not self.site.below)
        window = Grid.covering(
            (centre - _ROOM_MM).tolist(), (centre + _ROOM_MM).tolist(), min(self.spec.spacing_mm, 1.5)
        )
        return Structure("room", Role.SUPPORT, window, covered(self.head.pose.sampled(upright, window).data, window))

    @cached_property
    def _sequences(self) -> dict[str, mri.Sequence]:
        return {name: mri.sequence_of(name, self.spec.t1_sequence) for name in self.spec.images}

    @cached_property
    def _signals(self) -> dict[str, dict[str, float]]:
        return {name: mri.palette(sequence, self.spec.field_t) for name, sequence in self._sequences.items()}

    @cached_property
    def _background(self) -> Background:
        return painted(self.head, self.grid, self._signals)

    @cached_property
    def _appearance(self) -> Appearance:
        voids = {name: mri.void_mm(sequence, self.spec.field_t) for name, sequence in self._sequences.items()}
        skull, inside = (self._background.structures[name] for name in ("skull", "intracranial"))
        return Appearance(self.head, self.craniotomy, self.grid, skull, inside, voids)

    @cached_property
    def _bone_flap(self) -> Structure:
        return self.craniotomy.flap(self._background.structures["skull"])

    @cached_property
    def _bias(self) -> np.ndarray:
        return mri.bias_field(self._coil, self.grid.axes_mm(), self.spec.bias)

    def _structures(self, regions: dict[str, Structure], carried: Carried, day: float) -> dict[str, Structure]:
        body = regions["tumour" if day < 0 else "cavity"]
        drawn = self._background.structures
        found = {name: part if name in _AT_REST else carried.structure(part) for name, part in drawn.items()}
        for name in _DISPLACED:
            part = found[name]
            left = np.minimum(part.occupancy, 1.0 - body.on(part.grid))
            found[name] = Structure(name, part.role, part.grid, left)
        found[body.name] = body
        if day >= 0:
            found["bone_flap"] = self._bone_flap
            found |= {name: regions[name] for name in ("residual", "air", "tract") if not regions[name].is_empty}
        return found
