"""An arm: a strategy with everything that it names, read from the library."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from planner import library
from planner.timeline.strategy import Strategy
from planner.treatment.errors import InputError
from planner.treatment.machine import Machine
from planner.treatment.objective import ObjectiveTemplate
from planner.treatment.rules import MarginRule, PrescriptionRule
from planner.treatment.technique import TechniqueSpec


@dataclass(frozen=True)
class Arm:
    """A strategy and the library files that it names.

    Attributes
    ----------
    strategy : Strategy
    machine : Machine
    technique : TechniqueSpec
    objectives : ObjectiveTemplate
    prescription : PrescriptionRule
    margins : MarginRule
    """

    strategy: Strategy
    machine: Machine
    technique: TechniqueSpec
    objectives: ObjectiveTemplate
    prescription: PrescriptionRule
    margins: MarginRule

    @property
    def name(self) -> str:
        """Name of the strategy."""
        return self.strategy.name

    @property
    def has_field(self) -> bool:
        """Whether the machine treats in a magnetic field."""
        return self.machine.field_strength_t > 0

    def engine(self, usual: str, ignore_field: bool) -> str:
        """Return the name of the engine of its doses: the strategy's own, or the usual one if the field is ignored."""
        own = self.strategy.engine
        return usual if own is None or (ignore_field and self.has_field) else own

    def resolved(self) -> dict[str, object]:
        """Return every value of the arm as plain data, for hashing and for the record."""
        return {field.name: getattr(self, field.name).model_dump(mode="json") for field in fields(self)}

    def constants(self) -> Iterator[dict[str, str]]:
        """Yield ``{name, value, source, status}`` of every constant of the arm."""
        for field in fields(self):
            model = getattr(self, field.name)
            yield from library.constants(model, f"{field.name}.{model.name}.")


def load_arm(name: str, source: Path, where: str) -> Arm:
    """Return the arm of a strategy: its library name, or a TOML file of the user's own.

    Parameters
    ----------
    name : str
        A name in the library, or a path that ends in ``.toml``, relative to the folder of `source`.
    source, where : Path and str
        The study file and the key that names the strategy, for messages.

    Raises
    ------
    InputError
        If the strategy, or a machine, technique, prescription or the like that it names, is unknown or does not fit.
    """
    if name.endswith(".toml"):
        file = source.parent / name
        strategy = library.parse(Strategy, library.read_toml(file), file)
    else:
        strategy = library.load("strategies", name, Strategy, str(source), where)
        file = library.ROOT / "strategies" / f"{name}.toml"

    def named(kind: str, asked: str, model: type[library.Model], key: str) -> library.Model:
        return library.choose(kind, asked, model, str(file), key, beside=file.parent)

    prescription = named("prescriptions", strategy.prescription, PrescriptionRule, "prescription")
    _refuse_uneven_fractions(strategy, prescription, file)
    return Arm(
        strategy,
        named("machines", strategy.machine, Machine, "machine"),
        named("techniques", strategy.technique, TechniqueSpec, "technique"),
        named("objectives", strategy.objectives, ObjectiveTemplate, "objectives"),
        prescription,
        named("margins", strategy.margins, MarginRule, "margins"),
    )


def _refuse_uneven_fractions(strategy: Strategy, prescription: PrescriptionRule, file: Path) -> None:
    """Refuse 'treat' steps among which the fractions of their plan cannot be shared out evenly."""
    for steps in strategy.treatments_by_plan():
        for row in prescription.rows.value:
            if steps and row.fractions % steps:
                problem = (
                    f"{steps} 'treat' steps after one plan share its fractions, but prescription "
                    f"'{prescription.name}' has {row.fractions}, which they cannot share evenly"
                )
                raise InputError(file, "steps", problem)


def refuse_ignored_field(arm: Arm, engine_sees_field: bool, ignore_field: bool, source: Path) -> None:
    """Refuse a machine with a magnetic field and an engine that cannot see it, unless the user said so.

    Raises
    ------
    InputError
        Naming ``settings.ignore_field``.
    """
    if arm.has_field and not engine_sees_field and not ignore_field:
        raise InputError(
            source,
            "settings.ignore_field",
            f"strategy '{arm.name}' treats on '{arm.machine.name}' in a magnetic field, which the chosen engine cannot "
            "see. Choose monte_carlo, or set ignore_field = true to leave the field out; every record will say so",
        )
