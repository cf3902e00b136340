"""A study file: who is treated, by which strategies, with which settings. Parsed and checked before any dose."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from planner import library
from planner.contouring.observer import Observer
from planner.engines.base import Capability
from planner.engines.registry import constants_of, engine_named
from planner.evaluate.names import metric_names
from planner.study.case import Case, Settings, observer_of
from planner.study.cohort import ImportedCohort, SyntheticCohort, cited_constants
from planner.study.imports import known_import
from planner.timeline.arm import Arm, load_arm, refuse_ignored_field
from planner.treatment.constant import Frozen
from planner.treatment.errors import InputError, unknown_name
from planner.treatment.rules import MarginRule


class Head(Frozen):
    """The table ``[study]``.

    Attributes
    ----------
    name : str
        Lower case; the folder of the results.
    title : str
        Heading of the report.
    seed : int
        Of everything random.
    strategies : tuple of str
        Names in the library, or TOML files beside the study file.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    title: str = ""
    seed: int = Field(ge=0, lt=2**63)
    strategies: tuple[str, ...] = Field(min_length=1)

    @field_validator("strategies")
    @classmethod
    def _each_once(cls, strategies: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(strategies)) < len(strategies):
            raise ValueError("a strategy is named twice")
        return strategies


class Comparing(Frozen):
    """The table ``[compare]``.

    Attributes
    ----------
    endpoints : tuple of str
        Family of the Holm correction, each ``structure.metric`` of the delivered dose.
    confidence : float
        Level of the intervals.
    """

    endpoints: tuple[str, ...] = ()
    confidence: float = Field(default=0.95, gt=0, lt=1)

    @field_validator("endpoints")
    @classmethod
    def _structure_and_metric(cls, endpoints: tuple[str, ...]) -> tuple[str, ...]:
        for name in endpoints:
            if not all(name.partition(".")):
                raise ValueError(f"'{name}' is no endpoint: structure.metric is expected, like ptv.D98_gy")
        if len(set(endpoints)) < len(endpoints):
            raise ValueError("an endpoint is named twice: the correction would count it twice")
        return endpoints


class StudySpec(Frozen):
    """A study file.

    Attributes
    ----------
    study : Head
    cohort : SyntheticCohort or ImportedCohort
    settings : Settings
    compare : Comparing
    """

    study: Head
    cohort: Annotated[SyntheticCohort | ImportedCohort, Field(discriminator="kind")]
    settings: Settings = Settings()
    compare: Comparing = Comparing()


@dataclass(frozen=True)
class Study:
    """A study that was checked: every name in it is known, every arm can be computed.

    Attributes
    ----------
    source : Path
        The study file.
    spec : StudySpec
    arms : tuple of Arm
        In the order of the file.
    data : Path or None
        Folder of the imported patient: a case, or images that the run will import.
    data_sha256 : mapping of str to str
        Hashes of the files that the user gave.
    """

    source: Path
    spec: StudySpec
    arms: tuple[Arm, ...]
    data: Path | None
    data_sha256: Mapping[str, str]

    def cases(self) -> list[Case]:
        """Return patients x strategies, patients first."""
        return [
            Case(self.spec.cohort, number, arm, self.spec.settings, self.spec.study.seed, self.data, self.data_sha256)
            for number in range(self.spec.cohort.count)
            for arm in self.arms
        ]

    def constants(self) -> list[dict[str, str]]:
        """Return ``{name, value, source, status}`` of every constant that the study rests on, each once."""
        rows = [row for arm in self.arms for row in arm.constants()] + list(cited_constants())
        settings = self.spec.settings
        observer = observer_of(settings)
        if isinstance(observer, Observer):
            rows += observer.constants()
        engines = [arm.engine(settings.engine, settings.ignore_field) for arm in self.arms]
        rows += constants_of([*engines, settings.optimiser_engine])
        return list({row["name"]: row for row in rows}.values())


def load_study(file: Path, data: Path | None = None, results: Path | None = None) -> Study:
    """Return the study of a TOML file, parsed and with every name resolved.

    Parameters
    ----------
    file : Path
    data : Path, optional
        Folder of an imported patient, for a cohort of kind ``imported``.
    results : Path, optional
        Folder of all results: what an earlier run of the study imported from `data` is read from there.

    Raises
    ------
    InputError
        Naming the file and the key.
    """
    spec = library.parse(StudySpec, library.read_toml(file), file)
    engine = engine_named(spec.settings.engine, str(file), "settings.engine")
    fast = engine_named(spec.settings.optimiser_engine, str(file), "settings.optimiser_engine")
    if Capability.INFLUENCE not in fast.can:
        problem = f"engine '{fast.name}' cannot stand in the optimiser: it has no influence of single bixels"
        raise InputError(file, "settings.optimiser_engine", problem)
    observer_of(spec.settings, str(file), "settings.observer")
    arms = tuple(load_arm(name, file, f"study.strategies.{n}") for n, name in enumerate(spec.study.strategies))
    if spec.settings.margins is not None:
        margins = library.choose(
            "margins", spec.settings.margins, MarginRule, str(file), "settings.margins", beside=file.parent
        )
        arms = tuple(replace(arm, margins=margins) for arm in arms)
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise InputError(file, "study.strategies", f"two strategies have the same name: {', '.join(names)}")
    _refuse_two_of_a_name(arms, file)
    for arm in arms:
        name = arm.engine(engine.name, spec.settings.ignore_field)
        can = engine_named(name, f"strategy {arm.name}", "engine").can
        refuse_ignored_field(arm, Capability.BFIELD in can, spec.settings.ignore_field, file)
    hashes = spec.cohort.hashes(file, data)
    if data is not None and results is not None:
        data = known_import(data, hashes, results / spec.study.name)
    spec.cohort.check(file, data)
    _check_endpoints(spec, arms, data, file)
    _check_margins(spec, arms, data, file)
    return Study(file, spec, arms, data, hashes)


def _refuse_two_of_a_name(arms: tuple[Arm, ...], file: Path) -> None:
    """Refuse machines, techniques and the like of one name that differ: what is told of them names them."""
    known: dict[tuple[str, str], Any] = {}
    for arm in arms:
        for part in ("machine", "technique", "objectives", "prescription", "margins"):
            one = getattr(arm, part)
            if known.setdefault((part, one.name), one) != one:
                problem = f"strategies name two files as {part} '{one.name}' that differ: give one of them another name"
                raise InputError(file, "study.strategies", problem)


def _check_margins(spec: StudySpec, arms: tuple[Arm, ...], data: Path | None, file: Path) -> None:
    """Refuse margins that the study itself asks for and that follow what its patients do not have.

    Margins of a strategy are carried out as far as they can be, and the records tell what was left out.
    """
    if spec.settings.margins is None:
        return
    known = spec.cohort.structures(data)
    for name in arms[0].margins.follows:
        if name not in known:
            problem = f"margin rule '{arms[0].margins.name}' asks for '{name}', which the patients do not have"
            raise InputError(file, "settings.margins", problem)


def _check_endpoints(spec: StudySpec, arms: tuple[Arm, ...], data: Path | None, file: Path) -> None:
    """Refuse endpoints that no case of the study can tell."""
    fractions = {row.fractions for arm in arms for row in arm.prescription.rows.value}
    known = metric_names(spec.cohort.structures(data), fractions, apertures=spec.settings.apertures)
    for number, endpoint in enumerate(spec.compare.endpoints):
        structure, _, metric = endpoint.partition(".")
        where = f"compare.endpoints.{number}"
        if structure not in known:
            raise InputError(file, where, unknown_name("structure", structure, known))
        if metric not in known[structure]:
            raise InputError(file, where, unknown_name(f"metric of {structure}", metric, known[structure]))
