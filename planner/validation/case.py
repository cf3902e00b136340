"""A reference case as data: phantom, field, table of reference doses, and what each engine has to reach."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from planner.library import ROOT, load, names
from planner.treatment.constant import Frozen

REFERENCE = ROOT / "reference"


class Slab(Frozen):
    """A layer across the beam.

    Attributes
    ----------
    to_mm : float
        Depth of its lower face.
    density : float
        g/cm3.
    medium : str
        Name, for engines that know media.
    """

    to_mm: float
    density: float
    medium: str


class Phantom(Frozen):
    """What is irradiated: slabs across z from z = 0, or the voxels of a table.

    Attributes
    ----------
    size_mm : tuple of 3 float or None
        Of the slabs, centred on the beam in x and y.
    spacing_mm : tuple of 3 float or None
    slabs : tuple of Slab
    file : str or None
        NPZ below `REFERENCE` with edges_cm, density [z][y][x] and medium_index.
    """

    size_mm: tuple[float, float, float] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    slabs: tuple[Slab, ...] = ()
    file: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Phantom":
        if (self.file is None) == (not self.slabs) or (self.file is None and not (self.size_mm and self.spacing_mm)):
            raise ValueError("either slabs with size_mm and spacing_mm, or file, is needed")
        return self


class Gate(Frozen):
    """What an engine has to reach.

    Attributes
    ----------
    engine : str
    dose_percent, distance_mm : float
        Gamma criterion: percent of the reference maximum, distance to agreement.
    threshold_percent : float
        Bins below this share of the maximum do not count.
    from_depth_mm : float
        Bins in front of this depth do not count (build-up).
    pass_percent : float
        Share of bins with gamma <= 1.
    """

    engine: str
    dose_percent: float
    distance_mm: float
    threshold_percent: float = 10.0
    from_depth_mm: float = 0.0
    pass_percent: float


class Region(Frozen):
    """A box whose mean dose is compared.

    Attributes
    ----------
    name : str
    low_mm, high_mm : tuple of 3 float
    percent : mapping of str to float
        Tolerance of each engine.
    """

    name: str
    low_mm: tuple[float, float, float]
    high_mm: tuple[float, float, float]
    percent: dict[str, float]


class Output(Frozen):
    """An output factor: the dose in the first region relative to another case.

    Attributes
    ----------
    relative_to : str
        Name of the case of the reference field.
    percent : mapping of str to float
        Tolerance of each engine.
    """

    relative_to: str
    percent: dict[str, float]


class ReferenceCase(Frozen):
    """A case with an independent dose.

    Attributes
    ----------
    title, source : str
    machine : str
    field_mm : tuple of 2 float
    isocentre_mm : tuple of 3 float
        The beam runs along +z, X of the field along x and Y along y.
    magnetic_field_t : tuple of 3 float
    phantom : Phantom
    table : str
        NPZ below `REFERENCE`: edges in cm, dose_Gy_per_history and sigma_Gy_per_history, [z][y][x].
    block : int
        How many voxels along each axis are averaged before comparing (noisy tables).
    gates, regions
    output : Output or None
    curves : tuple of (axis, (mm, mm))
        What is drawn: profiles along an axis through a point of the two other axes.
    """

    title: str
    source: str
    machine: str
    field_mm: tuple[float, float]
    isocentre_mm: tuple[float, float, float]
    magnetic_field_t: tuple[float, float, float] = (0.0, 0.0, 0.0)
    phantom: Phantom
    table: str
    block: int = Field(default=1, ge=1)
    gates: tuple[Gate, ...]
    regions: tuple[Region, ...] = ()
    output: Output | None = None
    curves: tuple[tuple[Literal["x", "y", "z"], tuple[float, float]], ...]

    @property
    def table_file(self) -> Path:
        """Path of the table."""
        return REFERENCE / self.table


def reference_cases() -> dict[str, ReferenceCase]:
    """Return all reference cases of the library, by name."""
    return {name: load("validation", name, ReferenceCase) for name in names("validation")}
