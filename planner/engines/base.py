"""What every dose engine offers."""

from collections.abc import Sequence
from enum import Flag, auto
from typing import NoReturn, Protocol

import numpy as np

from phantoms.structure import Structure
from phantoms.volume import Volume
from planner.treatment.beam import Beam
from planner.treatment.dose import Dose
from planner.treatment.errors import CapabilityError
from planner.treatment.machine import Machine

GY_PER_MEV_G, GY_PER_MEV_MM3 = 1.602176634e-10, 1.602176634e-7
"""Dose of 1 MeV in 1 g, and in 1 mm3 at 1 g/cm3, Gy: 1 MeV = 1.602176634e-13 J (exact, SI 2019)."""


class Capability(Flag):
    """What an engine can do; asking for more is an error, never a fallback."""

    PHOTON = auto()
    BFIELD = auto()
    ISOTOPE = auto()
    INFLUENCE = auto()
    REFERENCE = auto()


def ignores_field(engine: str, can: Capability, machine: Machine, ignore_field: bool) -> bool:
    """Return whether a dose leaves out the magnetic field of the machine.

    Raises
    ------
    CapabilityError
        If the machine has a field, the engine cannot see it and the user did not say that it may be left out.
    """
    field = machine.field_strength_t
    if field == 0 or Capability.BFIELD in can:
        return False
    if not ignore_field:
        raise CapabilityError(
            f"engine '{engine}' cannot compute dose in the magnetic field ({field:g} T) of machine '{machine.name}': "
            f"choose an engine with BFIELD, or say ignore_field = true, which every record will carry"
        )
    return True


class Influence(Protocol):
    """The linear map from bixel weights to dose at points, never stored as a matrix."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of points, and of bixels: beams in order, each in C order of its open bixels."""
        ...

    @property
    def beam_slices(self) -> tuple[slice, ...]:
        """Where the bixels of each beam stand in a weight vector."""
        ...

    def forward(self, weights: np.ndarray) -> np.ndarray:
        """Return the dose (Gy), shape (points,), of bixel weights, shape (bixels,), float64."""
        ...

    def adjoint(self, gradient: np.ndarray) -> np.ndarray:
        """Return the transpose applied to `gradient`, shape (points,); shape (bixels,), float64."""
        ...


class Engine(Protocol):
    """A way to compute dose."""

    @property
    def name(self) -> str:
        """The name that it is registered by."""
        ...

    @property
    def can(self) -> Capability:
        """What it can compute."""
        ...

    def influence(
        self,
        density: Volume,
        beams: Sequence[Beam],
        machine: Machine,
        points_mm: np.ndarray,
        *,
        ignore_field: bool,
    ) -> Influence:
        """Return the influence of `beams` on `points_mm`, shape (n, 3), LPS."""
        ...

    def dose(
        self,
        density: Volume,
        beams: Sequence[Beam],
        weights: Sequence[np.ndarray],
        machine: Machine,
        *,
        ignore_field: bool,
        region: Structure | None = None,
    ) -> Dose:
        """Return the dose of `beams` with `weights` on the grid of `density`.

        `region` is where the dose counts: there a statistical engine has to reach its uncertainty, and far from it fine
        voxels may be computed as coarser ones.
        """
        ...


class WholePlans:
    """An engine that computes the dose of whole plans only: it has no influence of single bixels."""

    name: str

    def influence(
        self, density: Volume, beams: Sequence[Beam], machine: Machine, points_mm: np.ndarray, *, ignore_field: bool
    ) -> NoReturn:
        """Refuse: the influence of single bixels is the pencil beam's.

        Raises
        ------
        CapabilityError
            Always.
        """
        raise CapabilityError(f"engine '{self.name}' has no influence of single bixels: choose one with INFLUENCE")
