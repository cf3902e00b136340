"""Observers: who draws the target on the images, and how far from the truth, as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from pydantic import model_validator

from phantoms.contour import redrawn
from phantoms.patient import Epoch
from phantoms.structure import Structure
from phantoms.volume import Quantity, Volume
from planner import library
from planner.contouring.cavity_look import cavity_look
from planner.contouring.edges import edge_contrast
from planner.contouring.segmentation import segment_cavity
from planner.treatment.constant import Constant, Frozen
from planner.treatment.errors import InputError, PlanningError, unknown_name

# What observers draw; all other structures are taken as they are.
DRAWN = ("tumour", "cavity", "residual")
# Images in the order in which a cavity is looked for.
_SEEN = ("t1gd", "t2")
UNIFORM = "uniform"
"""Name of the observer that a study describes itself; the others are library files."""

Draws = Callable[[str], np.random.Generator]
"""Random numbers by purpose, of one image of one patient."""


class Observing(Protocol):
    """Whoever draws."""

    def contoured(self, truth: Epoch, draws: Draws, habit: float) -> Epoch:
        """Return the anatomy with the target as it is drawn on the images of `truth`.

        Parameters
        ----------
        truth : Epoch
        draws : callable
        habit : float
            Standard normal deviate of the observer: generous if positive, tight if negative.
        """
        ...


@dataclass(frozen=True)
class Uniform:
    """Strays alike on every surface, whatever the images show.

    Attributes
    ----------
    sd_mm : float
        Standard deviation of the drawn about the true surface; 0 draws the truth.
    correlation_mm : float
        Distance over which it strays to the same side.
    """

    sd_mm: float
    correlation_mm: float

    def contoured(self, truth: Epoch, draws: Draws, habit: float) -> Epoch:
        """Return the anatomy as drawn; there is no habit."""
        if self.sd_mm == 0:
            return truth
        return _with(
            truth, lambda part: redrawn(part, self.sd_mm, self.correlation_mm, draws(f"observer draws {part.name}"))
        )


class Hand(Frozen):
    """How a hand follows an edge.

    Attributes
    ----------
    clear_sd_mm, faint_sd_mm : Constant
        Standard deviation of the drawn about the true surface where the edge is as clear as can be, and where there is
        none.
    half_contrast : Constant
        Contrast of an edge (`edge_contrast`) at which the standard deviation is half-way between them.
    correlation_mm : Constant
        Distance along the surface over which the hand errs to the same side.
    systematic_share : Constant
        Share of the variance that an observer carries from one place and one image to all others: the habit of
        drawing generously or tightly.
    """

    clear_sd_mm: Constant[float]
    faint_sd_mm: Constant[float]
    half_contrast: Constant[float]
    correlation_mm: Constant[float]
    systematic_share: Constant[float]

    @model_validator(mode="after")
    def _plausible(self) -> "Hand":
        if not 0 <= self.clear_sd_mm.value <= self.faint_sd_mm.value:
            raise ValueError("0 <= clear_sd_mm <= faint_sd_mm is needed")
        if self.half_contrast.value <= 0 or self.correlation_mm.value <= 0:
            raise ValueError("'half_contrast' and 'correlation_mm' must be positive")
        if not 0 <= self.systematic_share.value < 1:
            raise ValueError("'systematic_share' must be at least 0 and below 1")
        return self

    def sd_mm(self, contrast: Volume) -> Volume:
        """Return the standard deviation by the contrast of the edge."""
        clear, faint = self.clear_sd_mm.value, self.faint_sd_mm.value
        missing = 1.0 / (1.0 + (contrast.data / np.float32(self.half_contrast.value)) ** 2)
        return Volume(contrast.grid, clear + (faint - clear) * missing, Quantity.DEVIATION)

    def draw(self, structure: Structure, images: Sequence[Volume], habit: float, rng: np.random.Generator) -> Structure:
        """Return a structure as this hand draws it on images.

        Parameters
        ----------
        structure : Structure
            The truth; its edge need not be seen.
        images : sequence of Volume
            If there are none, every edge is faint.
        habit : float
            Of this observer, a standard normal deviate.
        rng : numpy.random.Generator
        """
        own = np.sqrt(1.0 - self.systematic_share.value)
        sd: Volume | float = self.faint_sd_mm.value * float(own)
        if images:
            local = self.sd_mm(edge_contrast(structure, images, 3.0 * self.faint_sd_mm.value))
            sd = Volume(local.grid, local.data * np.float32(own), local.quantity)
        offset = habit * float(np.sqrt(self.systematic_share.value)) / float(own)
        return redrawn(structure, sd, self.correlation_mm.value, rng, offset)


class Reading(Frozen):
    """What observers take a CTV to be, where no rule tells them: each keeps an opinion of their own.

    Attributes
    ----------
    tract_share : Constant
        Share of observers who include the surgical tract.
    flap_mm : Constant
        Lowest and highest reach along the bone flap.
    margin_mm : Constant
        Lowest and highest margin about the cavity, inside the skull.
    """

    tract_share: Constant[float]
    flap_mm: Constant[tuple[float, float]]
    margin_mm: Constant[tuple[float, float]]

    def drawn(self, rng: np.random.Generator) -> tuple[bool, float, float]:
        """Return the opinion of one observer: whether the tract belongs to it, reach along the flap, margin, mm."""
        chance, flap, margin = rng.random(3)
        low, high = self.flap_mm.value
        least, most = self.margin_mm.value
        with_tract = bool(chance < self.tract_share.value)
        return with_tract, float(low + flap * (high - low)), float(least + margin * (most - least))


class Observer(Frozen):
    """An observer of the library: a file ``observers/<name>.toml``.

    Attributes
    ----------
    name, title : str
    method : str
        ``hand``: all of the target is drawn by hand on the images; ``segmentation``: the cavity is segmented from its
        middle, tumour and residual tumour are taken as they are.
    hand : Hand or None
    reading : Reading or None
        Of the CTV. Studies have margin rules instead; the agreement of experts is simulated with it.
    """

    name: str
    title: str
    method: Literal["hand", "segmentation"]
    hand: Hand | None = None
    reading: Reading | None = None

    @model_validator(mode="after")
    def _hand_or_none(self) -> "Observer":
        if (self.method == "hand") != (self.hand is not None):
            raise ValueError("a table 'hand' is needed for the method 'hand', and for no other")
        return self

    def constants(self) -> list[dict[str, str]]:
        """Return ``{name, value, source, status}`` of every constant that what is drawn rests on."""
        rows = list(library.constants(self, f"observer.{self.name}."))
        return rows if self.hand is not None else rows + list(library.constants(cavity_look(), "segmentation."))

    def contoured(self, truth: Epoch, draws: Draws, habit: float) -> Epoch:
        """Return the anatomy as drawn or segmented.

        Raises
        ------
        PlanningError
            If there are no images to segment, or no cavity is found in them.
        """
        hand = self.hand
        if hand is not None:
            images = [volume for volume in truth.volumes.values() if volume.quantity == Quantity.MR_SIGNAL]
            return _with(truth, lambda part: hand.draw(part, images, habit, draws(f"observer draws {part.name}")))
        return _with(truth, lambda part: _segmented(part, truth) if part.name == "cavity" else part)


def observer_named(name: str, uniform: Uniform, source: str = "library", where: str = "") -> Observing:
    """Return an observer of the library, or the uniform one.

    Parameters
    ----------
    name : str
    uniform : Uniform
        Returned for the name `UNIFORM`.
    source, where : str
        Who asked, for the message if the name is unknown.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    if name == UNIFORM:
        return uniform
    known = library.names("observers")
    if name not in known:
        raise InputError(source, where, unknown_name("observer", name, [UNIFORM, *known]))
    return library.load("observers", name, Observer)


def _with(truth: Epoch, drawing: Callable[[Structure], Structure]) -> Epoch:
    """Return the anatomy with what is drawn instead of the truth."""
    drawn = {name: drawing(truth.structures[name]) for name in DRAWN if _is_there(truth.structures, name)}
    return replace(truth, structures={**truth.structures, **drawn})


def _is_there(structures: Mapping[str, Structure], name: str) -> bool:
    return name in structures and not structures[name].is_empty


def _segmented(cavity: Structure, truth: Epoch) -> Structure:
    """Return the cavity as segmented: all that is told of the truth is its middle, as a click would."""
    images = [truth.volumes[name] for name in _SEEN if name in truth.volumes]
    if not images:
        raise PlanningError("the cavity cannot be segmented: no MR image was made")
    return segment_cavity(images, cavity.centroid_mm.tolist(), cavity.name)
