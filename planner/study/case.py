"""One case: one patient under one strategy. A pure function from its specification to its records."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

import planner
from planner.contouring.observer import UNIFORM, Observing, Uniform, observer_named
from planner.study.cohort import Cohort
from planner.study.sources import code_sha256
from planner.timeline.arm import Arm
from planner.treatment.constant import Frozen


class Settings(Frozen):
    """The table ``[settings]``: how doses are computed and contours are drawn.

    Attributes
    ----------
    engine : str
        Of planned and delivered dose.
    optimiser_engine : str
        Inside the optimiser; it needs the influence of single bixels.
    corrections : int
        Rounds of the dose-correction loop, where the two engines differ.
    uncertainty_percent : float
        What Monte Carlo has to reach in the target: root mean square over its voxels. Twice as much in corrections.
    dose_grid_mm : float
        Spacing of the dose grid.
    apertures : bool
        Plan apertures and monitor units that the machine can deliver; where machine or technique cannot, and everywhere
        if false, fluence is free.
    ignore_field : bool
        Leave the magnetic field out where the engine cannot see it; every record says so.
    margins : str or None
        Margins of every strategy instead of its own: a name in the library.
    observer : str
        Who draws the target: an observer of the library, or ``uniform``, who errs alike on every surface.
    observer_sd_mm : float
        Of the uniform observer: standard deviation of the drawn about the true surface; 0 draws the truth.
    observer_correlation_mm : float
        Of the uniform observer: distance along the surface over which it errs to the same side.
    """

    engine: str = "cone"
    optimiser_engine: str = "pencil"
    corrections: int = Field(default=1, ge=0, le=10)
    uncertainty_percent: float = Field(default=1.0, gt=0, le=10)
    dose_grid_mm: float = Field(default=2.0, ge=0.5, le=10)
    apertures: bool = False
    ignore_field: bool = False
    margins: str | None = None
    observer: str = "uniform"
    observer_sd_mm: float = Field(default=0.5, ge=0, le=5)
    observer_correlation_mm: float = Field(default=10.0, gt=0, le=100)

    @model_validator(mode="after")
    def _one_observer(self) -> Self:
        uniform = {"observer_sd_mm", "observer_correlation_mm"} & self.model_fields_set
        if self.observer != UNIFORM and uniform:
            raise ValueError(f"'{min(uniform)}' is of the observer '{UNIFORM}' and would not be used")
        return self


def observer_of(settings: Settings, source: str = "library", where: str = "") -> Observing:
    """Return who draws in a study.

    Parameters
    ----------
    settings : Settings
    source, where : str
        The study file and the key, for the message if the name is unknown.

    Raises
    ------
    InputError
        If the observer is unknown.
    """
    uniform = Uniform(settings.observer_sd_mm, settings.observer_correlation_mm)
    return observer_named(settings.observer, uniform, source, where)


@dataclass(frozen=True, eq=False)
class Case:
    """One patient under one strategy.

    Attributes
    ----------
    cohort : Cohort
        Where the patient comes from.
    number : int
        Of the patient in the cohort.
    arm : Arm
    settings : Settings
    seed : int
        Of the study.
    data : Path or None
        Folder of the imported patient.
    data_sha256 : mapping of str to str
        Hashes of its files.
    """

    cohort: Cohort
    number: int
    arm: Arm
    settings: Settings
    seed: int
    data: Path | None
    data_sha256: Mapping[str, str]

    @property
    def patient(self) -> str:
        """Identity of the patient in the study; nothing of a real one."""
        return f"p{self.number + 1:02d}"

    @cached_property
    def id(self) -> str:
        """Hash of everything that the result depends on; other patients and other arms are no part of it."""
        return hashlib.sha256(json.dumps(self.resolved(), sort_keys=True).encode()).hexdigest()[:16]

    def resolved(self) -> dict[str, Any]:
        """Return everything that the result depends on as plain data."""
        return {
            "cohort": self.cohort.of_patient(self.number),
            "patient": self.number,
            "arm": self.arm.resolved(),
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
            "data_sha256": dict(self.data_sha256),
            "version": planner.__version__,
            "code_sha256": code_sha256(),
        }
