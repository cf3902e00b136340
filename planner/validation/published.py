"""What is published of the beam of a machine, and how a computed figure compares with it.

``library/commissioning/<machine>.toml`` holds the figures, each with its source, status and tolerance, and may name
measured data in ``library/reference/beamdata``. A figure that a constant of the machine was fitted to says so.
"""

from dataclasses import dataclass
from typing import Literal

from planner.treatment.constant import Frozen
from planner.validation.compare import Row


class Figure(Frozen):
    """One published figure.

    Attributes
    ----------
    quantity : str
        ``tpr20_10``; ``pdd10`` (over the maximum), ``pdd20_10`` (dose 20 cm deep over 10 cm deep at one distance),
        ``dmax_mm``; ``penumbra_mm`` (80 % to 20 %), ``shift_mm`` (of the middle of the field between the halves of the
        dose on the axis, to either side); ``output_factor``.
    value : float
    tolerance : float
        Percent of the value for doses, mm for lengths.
    source : str
    status : str
        ``published``: read in `source`; ``recalled``: from memory of the literature, not read again; ``derived``: from
        another figure by a published relation.
    field_mm : tuple of 2 float
        Along X and Y at the isocentre.
    ssd_mm, depth_mm : float or None
        Unless the quantity says it.
    reference_mm : float
        Side of the square that an output factor is relative to.
    axis : str
        Along which a profile is measured.
    in_field : bool
        Measured in the magnetic field of the machine: for engines that know one.
    fitted : bool
        A constant of the machine was fitted to this figure, which then judges nothing but the fit.
    conflict : str
        Why the figure cannot be met beside the others, if that is known.
    """

    quantity: Literal["tpr20_10", "pdd10", "pdd20_10", "dmax_mm", "penumbra_mm", "shift_mm", "output_factor"]
    value: float
    tolerance: float
    source: str
    status: Literal["published", "recalled", "derived"]
    field_mm: tuple[float, float]
    ssd_mm: float | None = None
    depth_mm: float | None = None
    reference_mm: float = 100.0
    axis: Literal["x", "y"] = "x"
    in_field: bool = False
    fitted: bool = False
    conflict: str = ""

    @property
    def length(self) -> bool:
        """Whether the figure is one in mm."""
        return self.quantity.endswith("_mm")

    @property
    def label(self) -> str:
        """What is measured, where."""
        x, y = self.field_mm
        axis = f" {self.axis}" if self.quantity in ("penumbra_mm", "shift_mm") else ""
        deep = f", {self.depth_mm:g} mm deep" if self.depth_mm is not None else ""
        distance = f", SSD {self.ssd_mm:g} mm" if self.ssd_mm is not None and self.depth_mm is None else ""
        inside = ", in the magnetic field" if self.in_field else ""
        return f"{self.quantity.removesuffix('_mm')}{axis} {x:g}x{y:g} mm{deep}{distance}{inside}"


class Measured(Frozen):
    """Measured tables of a machine.

    Attributes
    ----------
    folder : str
        In ``library/reference/beamdata``.
    fitted_output_mm, fitted_tpr_mm : tuple of 2 float
        Smallest and largest side of the fields whose output factors and tissue phantom ratios constants were fitted to.
    """

    folder: str
    fitted_output_mm: tuple[float, float]
    fitted_tpr_mm: tuple[float, float]


class Published(Frozen):
    """What is published of a machine's beam.

    Attributes
    ----------
    figure : tuple of Figure
    measured : Measured or None
    """

    figure: tuple[Figure, ...] = ()
    measured: Measured | None = None


@dataclass(frozen=True)
class MachineCheck:
    """One line of the commissioning table.

    Attributes
    ----------
    machine, engine, quantity : str
    ours : float
    figure : Figure
        What is published.
    sigma : float
        Statistical uncertainty of `ours`.
    """

    machine: str
    engine: str
    quantity: str
    ours: float
    figure: Figure
    sigma: float = 0.0

    @property
    def unit(self) -> str:
        """Of the error and the tolerance: ``mm``, or ``%`` of the published value."""
        return "mm" if self.figure.length else "%"

    @property
    def error(self) -> float:
        """Ours minus the published value, in `unit`."""
        return (self.ours - self.figure.value) * self._per_unit

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance, beyond two standard deviations of ours."""
        return abs(self.error) <= self.figure.tolerance + 2.0 * self.sigma * self._per_unit

    @property
    def status(self) -> str:
        """Of the published figure, and whether it was fitted to."""
        return f"{self.figure.status}, fitted" if self.figure.fitted else self.figure.status

    def as_row(self) -> Row:
        """Return the line in the form of the commissioning report."""
        noise = ", 2 sigma" if self.sigma > 0 else ""
        return Row(
            self.machine,
            self.engine,
            self.quantity,
            self.ours,
            self.figure.value,
            self.sigma,
            f"{self.figure.tolerance:g} {self.unit}{noise}",
            self.passed,
            self.status,
            self.figure.conflict,
        )

    @property
    def _per_unit(self) -> float:
        return 1.0 if self.figure.length else 100.0 / self.figure.value
