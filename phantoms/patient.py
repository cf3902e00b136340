"""Patients: anatomy that changes with the day, as epochs of volumes and structures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from phantoms.grid import Grid
from phantoms.structure import Structure
from phantoms.volume import Volume


@dataclass(frozen=True, eq=False)
class Epoch:
    """The patient on one day.

    Attributes
    ----------
    day : float
        Days since surgery; negative before it.
    volumes : mapping of str to Volume
        ``density`` always; ``t1gd``, ``t2``, ``flair`` where an image was made.
    structures : mapping of str to Structure
    place_error_mm : ndarray, shape (3, *grid.shape), float32, or None
        Where the MR volumes show tissue less where it is, at the voxels where they show it; None if always right.
    """

    day: float
    volumes: Mapping[str, Volume]
    structures: Mapping[str, Structure]
    place_error_mm: np.ndarray | None = None

    @property
    def grid(self) -> Grid:
        """The grid of the density, which every volume of the epoch shares."""
        return self.volumes["density"].grid


class VolumeCourse(Protocol):
    """How the volumes of one patient change with the day."""

    def volume_cc(self, day: float) -> float:
        """Return the volume, cm3, of the tumour (day < 0) or of the cavity (day >= 0)."""
        ...

    def residual_volume_cc(self, day: float) -> float:
        """Return the volume, cm3, of residual tumour; 0 before surgery."""
        ...


class Anatomy(Protocol):
    """A patient whose anatomy can be asked for on any day: synthetic, or real with simulated days."""

    @property
    def id(self) -> str:
        """Name of the patient, unique in a study."""
        ...

    @property
    def facts(self) -> Mapping[str, float | str]:
        """What was drawn for this patient, with the unit in the key (``tumour_volume_cc``)."""
        ...

    @property
    def course(self) -> VolumeCourse:
        """How cavity and tumour change in volume."""
        ...

    def epoch(self, day: float, *, images: bool = True) -> Epoch:
        """Return the truth on `day`: density and structures, and the MR volumes if `images`."""
        ...


@dataclass(frozen=True, eq=False)
class Patient:
    """A patient with epochs as they were made or read.

    Attributes
    ----------
    id : str
    epochs : tuple of Epoch, in order of day
    facts : mapping of str to (float or str)
    """

    id: str
    epochs: tuple[Epoch, ...]
    facts: Mapping[str, float | str] = field(default_factory=dict)
