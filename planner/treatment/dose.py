"""Dose with its provenance."""

from dataclasses import dataclass

from phantoms.volume import Volume


@dataclass(frozen=True, eq=False)
class Dose:
    """A dose distribution and how it was computed.

    Attributes
    ----------
    volume : Volume
        Gy for the whole course.
    engine : str
        Name and version of the engine.
    field_ignored : bool
        True where the machine has a magnetic field and the engine left it out on the user's explicit word.
    uncertainty : float
        Relative statistical uncertainty (1 sigma) averaged over voxels above half of the maximum (or over a region that
        was named); 0 if deterministic.
    deviation : Volume or None
        Statistical uncertainty (1 sigma) of every voxel, Gy; None if deterministic.
    """

    volume: Volume
    engine: str
    field_ignored: bool
    uncertainty: float = 0.0
    deviation: Volume | None = None
