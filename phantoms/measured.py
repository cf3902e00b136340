"""A real patient over time: what was imaged on some days, and the cavity process in between.

The course runs through the contours of the days that were imaged. Between and beyond them the volume follows a drawn
law, corrected to what was measured; the form is that of the measured walls, interpolated along rays.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from phantoms.cavity import solve
from phantoms.course import AIR_DECAY_DAY, SurgicalCourse, regrown_cc
from phantoms.distance import distance_field, has_surface, occupancy_of
from phantoms.flow import REACH_MM, Carried, TissueFlow
from phantoms.grid import Triple
from phantoms.implanted import AT_REST, ImplantedAnatomy, to_skull
from phantoms.lesion import Lesion
from phantoms.patient import Epoch, Patient
from phantoms.rays import RayForm, deepest_mm, equal_volume
from phantoms.resection import Resection
from phantoms.structure import Structure
from phantoms.volume import Volume

# An image made within this many days of the day that is asked for is the truth of that day.
SAME_DAY = 0.5
_SIZING_MM = 4.0
# Voxels below this density, g/cm3, half-way from air to fluid, are air; less of it in a cavity, cm3, is none.
_AIR_BELOW, _LEAST_CC = 0.5, 0.01


@dataclass(frozen=True)
class Wall:
    """What was contoured on one day: tumour before surgery, cavity after it.

    Attributes
    ----------
    day : float
    volume_cc, residual_cc : float
    radii_mm : ndarray, shape (ROWS + 1, COLUMNS)
        Of the star-shaped body of the same volume along each ray from the course's centre.
    """

    day: float
    volume_cc: float
    residual_cc: float
    radii_mm: np.ndarray


@dataclass(frozen=True, eq=False)
class MeasuredCourse(SurgicalCourse):
    """A surgical course through what was measured.

    Attributes
    ----------
    walls : tuple of Wall
        In order of the day; at least one.
    """

    walls: tuple[Wall, ...] = ()

    @classmethod
    def through(cls, drawn: SurgicalCourse, walls: Sequence[Wall]) -> "MeasuredCourse":
        """Return a drawn course bent to what was measured."""
        kept = {field.name: getattr(drawn, field.name) for field in fields(SurgicalCourse)}
        # How the cavity moves is in the walls.
        return cls(**{**kept, "shift_mm": np.zeros((2, 3))}, walls=tuple(walls))

    def volume_cc(self, day: float) -> float:
        """Return the drawn volume, times what it was measured to be off, in the logarithm, on the days around."""
        walls = self._of_side(day)
        drawn = super().volume_cc
        if not walls:
            return drawn(day)
        off = [np.log(wall.volume_cc / drawn(wall.day)) for wall in walls]
        return drawn(day) * float(np.exp(np.interp(day, [wall.day for wall in walls], off)))

    def residual_volume_cc(self, day: float) -> float:
        """Return the residual tumour: interpolated between the days on which it was contoured, regrowing beyond."""
        after = self._of_side(0.0)
        if day < 0 or not after:
            return 0.0
        days = [wall.day for wall in after]
        known = float(np.interp(day, days, [wall.residual_cc for wall in after]))
        return regrown_cc(known, day - float(np.clip(day, days[0], days[-1])), self.doubling_day)

    def centre_mm(self, day: float) -> np.ndarray:
        """Return the centre of all walls: a point inside each."""
        return np.asarray(self.lesion.centre_mm, float)

    def form(self, day: float) -> RayForm:  # type: ignore[override]
        """Return the form between the walls of the days around, interpolated in the logarithm of the radius."""
        walls = self._of_side(day) or self.walls
        days = [wall.day for wall in walls]
        place = float(np.interp(day, days, np.arange(len(days))))
        first = min(int(place), max(len(walls) - 2, 0))
        one, other = (np.maximum(walls[n].radii_mm, 0.5) for n in (first, min(first + 1, len(walls) - 1)))
        return RayForm.of(one * (other / one) ** (place - first))

    def _of_side(self, day: float) -> tuple[Wall, ...]:
        """Return the walls on the same side of surgery as a day."""
        return tuple(wall for wall in self.walls if (wall.day < 0) == (day < 0))


@dataclass(frozen=True, eq=False)
class MeasuredAnatomy:
    """A real patient on any day; an `Anatomy`.

    On a day that was imaged the truth is that epoch. On another it is the nearest epoch of the same side of surgery,
    its tissue and its cavity moved by the true deformation of the course; if there is none, the nearest of the other
    side with tumour or cavity painted in. Real residual tumour moves with the tissue about it and regrows into it, as
    bright as it was; contoured air in the cavity gives way to fluid. What else the cavity holds looks as it did.

    Attributes
    ----------
    epochs : tuple of Epoch
        On one grid, in order of the day.
    course : MeasuredCourse
    id : str
    facts : mapping of str to (float or str)
    seed : int
        Of what is painted.
    """

    epochs: tuple[Epoch, ...]
    course: MeasuredCourse
    id: str
    facts: Mapping[str, float | str]
    seed: int = 0

    @cached_property
    def flow(self) -> TissueFlow:
        """The true deformation between any two days."""
        return TissueFlow(self.course)

    def epoch(self, day: float, *, images: bool | Collection[str] = True) -> Epoch:
        """Return the truth on `day`; the image is the real one, or made of it."""
        alike = [epoch for epoch in self.epochs if (epoch.day < 0) == (day < 0) and _lesion(epoch) is not None]
        near = min(alike or self.epochs, key=lambda epoch: abs(epoch.day - day))
        if not alike:
            painted = ImplantedAnatomy(near, self.course, self.id, self.facts, self.seed, near.day)
            return painted.epoch(day, images=bool(images))
        volumes = dict(near.volumes) if images else {"density": near.volumes["density"]}
        if abs(near.day - day) <= SAME_DAY:
            return Epoch(day, volumes, near.structures)
        carried = Carried(self.flow, day, near.grid, near.day)
        for name, volume in volumes.items():
            data = volume.data.copy()
            carried.carry(data)
            volumes[name] = Volume(volume.grid, data, volume.quantity)
        moved = {n: s if n in AT_REST else carried.structure(s) for n, s in near.structures.items()}
        body = "tumour" if day < 0 else "cavity"
        moved[body] = _sized(moved[body], self.course.volume_cc(day))
        aged = self._aged(moved, near, day)
        for name, volume in volumes.items():
            volumes[name] = _seen(volume, moved, aged)
        return Epoch(day, volumes, moved | aged)

    def _aged(self, moved: Mapping[str, Structure], near: Epoch, day: float) -> dict[str, Structure]:
        """Return residual tumour and air as large as they are on `day`, of those that were contoured on the day `near`.

        Air on earlier days is left as it was seen.
        """
        aged = {}
        if day >= 0 and "residual" in moved:
            grown = _sized(moved["residual"], self.course.residual_volume_cc(day))
            free = 1.0 - moved["cavity"].on(grown.grid)
            aged["residual"] = replace(grown, occupancy=np.minimum(grown.occupancy, free))
        if day >= 0 and "air" in moved:
            kept = float(np.exp(-max(day - near.day, 0.0) / AIR_DECAY_DAY.value))
            aged["air"] = _risen(moved["air"], kept * near.structures["air"].volume_cc)
        return aged


def measured(patient: Patient, seed: int) -> MeasuredAnatomy:
    """Return a real patient with the course that runs through its contours.

    Parameters
    ----------
    patient : Patient
        Epochs on one grid, with ``cavity`` from day 0 on, or ``tumour`` before it, on at least one day.
    seed : int

    Raises
    ------
    ValueError
        If nothing was contoured, or no point lies inside of tumour and cavity on all days.
    """
    contoured = [(epoch, body) for epoch in patient.epochs if (body := _lesion(epoch)) is not None]
    if not contoured:
        raise ValueError("no day has a contour of the cavity (or, before surgery, of the tumour)")
    first = contoured[0][0]
    room = first.structures.get("intracranial", first.structures["brain"])
    centre = _inside_all([body for _, body in contoured])
    walls = [_wall(epoch, body, centre) for epoch, body in contoured]
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    # The draw is of a tumour as large as what was seen; the walls correct its volumes.
    drawn = Lesion.draw(rng, centre, walls[0].volume_cc)
    course = SurgicalCourse.draw(rng, drawn, to_skull(room, centre).tolist(), room, Resection(0.0))
    through = MeasuredCourse.through(course, walls)
    return MeasuredAnatomy(tuple(map(_with_air, patient.epochs)), through, patient.id, _facts(patient, through), seed)


def _with_air(epoch: Epoch) -> Epoch:
    """Return an epoch whose cavity holds air in its density, with a contour of that air if nobody drew one.

    Without it the air would stay in the cavity on all days that are made of this one.
    """
    cavity, density = epoch.structures.get("cavity"), epoch.volumes["density"]
    if cavity is None or "air" in epoch.structures:
        return epoch
    rho = density.on(cavity.grid).data
    beside = ndimage.binary_dilation(rho < _AIR_BELOW)  # voxels at its surface are partly air
    share = np.where(beside, np.clip(1.0 - rho, 0.0, 1.0), 0.0)
    # The share is that of the whole voxel: on the wall of the cavity it is what the cavity has of it, at most.
    air = replace(cavity, name="air", occupancy=np.minimum(cavity.occupancy, share))
    return epoch if air.volume_cc < _LEAST_CC else replace(epoch, structures={**epoch.structures, "air": air})


def _seen(volume: Volume, before: Mapping[str, Structure], after: Mapping[str, Structure]) -> Volume:
    """Return a volume with new tumour as bright as the old, and fluid where air was: each by its own mean."""
    data = volume.data.copy()
    if "residual" in after:
        old, new = (parts["residual"].on(volume.grid) for parts in (before, after))
        grown = np.maximum(new - old, 0.0) / np.maximum(1.0 - old, 1e-3)  # of what was no tumour
        data += grown * (_mean(volume.data, old) - data)
    if "air" in after:
        old, new = (parts["air"].on(volume.grid) for parts in (before, after))
        fluid = np.maximum(before["cavity"].on(volume.grid) - np.maximum(old, new), 0.0)
        data += np.maximum(old - new, 0.0) * (_mean(volume.data, fluid) - _mean(volume.data, old > 0.99))
    return Volume(volume.grid, data, volume.quantity)


def _mean(data: np.ndarray, weight: np.ndarray) -> np.float32:
    return np.float32((data * weight).sum(dtype=np.float64) / max(float(weight.sum(dtype=np.float64)), 1e-9))


def _risen(air: Structure, volume_cc: float) -> Structure:
    """Return the foremost part of the air, above a level, that holds a volume; all of it if it is not more."""
    y, width = air.grid.axes_mm()[1][None, :, None], air.grid.spacing_mm[1]

    def above(level: float) -> np.ndarray:
        return air.occupancy * np.clip(0.5 - (y - level) / width, 0.0, 1.0)

    bracket = (float(y.min()) - width, float(y.max()) + width)
    level = solve(lambda v: float(above(v).sum(dtype=np.float64)) * air.grid.voxel_cc, volume_cc, bracket)
    return air if level is None else replace(air, occupancy=above(level))


def _sized(body: Structure, volume_cc: float) -> Structure:
    """Return a body with its surface moved along its normal until it holds a volume; as it is where that is too far.

    So is a trace of a body that fills no voxel by enough to have a surface, as a resampled contour may leave. Partly
    filled voxels carried along widen as a cavity shrinks: a fraction of a voxel makes up for that.
    """
    if not has_surface(body):
        return body
    field = distance_field(body, _SIZING_MM)

    def volume_of(level: float) -> float:
        return float(occupancy_of(field, level).sum(dtype=np.float64)) * field.grid.voxel_cc

    level = solve(volume_of, volume_cc, (-_SIZING_MM, _SIZING_MM))
    if level is None:
        return body
    return Structure(body.name, body.role, field.grid, occupancy_of(field, level)).cropped(1)


def _lesion(epoch: Epoch) -> Structure | None:
    return epoch.structures.get("tumour" if epoch.day < 0 else "cavity")


def _inside_all(bodies: Sequence[Structure]) -> Triple:
    """Return the point that lies deepest in what all bodies share."""
    first = bodies[0]
    shared = np.min([body.on(first.grid) for body in bodies], axis=0)
    try:
        return deepest_mm(Structure(first.name, first.role, first.grid, shared))
    except ValueError:
        raise ValueError("tumour and cavities of the days share no point: are they of one lesion?") from None


def _wall(epoch: Epoch, body: Structure, centre: Triple) -> Wall:
    residual = epoch.structures.get("residual")
    radii = equal_volume(body, np.asarray(centre), REACH_MM.value)
    return Wall(epoch.day, body.volume_cc, residual.volume_cc if residual else 0.0, radii)


def _facts(patient: Patient, course: MeasuredCourse) -> dict[str, float | str]:
    """Return what the report tells of a real patient: nothing drawn is called measured."""
    before = [wall for wall in course.walls if wall.day < 0]
    told: dict[str, float | str] = {
        "source": "imported images",
        "site": "left" if course.lesion.centre_mm[0] > 0 else "right",
        "days": ", ".join(f"{epoch.day:g}" for epoch in patient.epochs),
        **{f"tumour_{axis}_mm": place for axis, place in zip("xyz", course.lesion.centre_mm, strict=True)},
        "measured": ", ".join(f"{wall.volume_cc:.2f} cc on day {wall.day:g}" for wall in course.walls),
        "cavity_initial_cc": course.volume_cc(0.0),
        "cavity_day20_cc": course.volume_cc(20.0),
    }
    if any(wall.residual_cc > 0 for wall in course.walls):
        told["residual_doubling_day"] = course.doubling_day
    return {**told, "tumour_volume_cc": before[-1].volume_cc} if before else told
