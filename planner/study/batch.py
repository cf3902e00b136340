"""A whole study: what is left to do is done, then everything finished is collected."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd

import planner
from planner.study.case import Case
from planner.study.compare import Comparison, compare
from planner.study.execute import Outcome, run_cases
from planner.study.imports import import_once
from planner.study.sources import code_sha256
from planner.study.spec import Study
from planner.study.store import case_folders, collect, is_done, open_study, read_json, read_tables, write_json
from planner.treatment.errors import InputError

_DEPENDENCIES = ("numpy", "numba", "scipy", "pydantic", "pandas", "pyarrow")


@dataclass(frozen=True, eq=False)
class Batch:
    """What a run did.

    Attributes
    ----------
    folder : Path
        Of the study.
    skipped : int
        Cases that were finished before.
    outcomes : list of Outcome
        Of the cases that were run now.
    records : DataFrame
        Of all finished cases.
    """

    folder: Path
    skipped: int
    outcomes: list[Outcome[Case]]
    records: pd.DataFrame

    @property
    def failed(self) -> list[Outcome[Case]]:
        """Cases that failed now."""
        return [outcome for outcome in self.outcomes if outcome.error]


def chosen(cases: Sequence[Case], only: Sequence[str], source: Path) -> list[Case]:
    """Return the cases of the named patients, strategies or case ids; all of them if nothing is named.

    Raises
    ------
    InputError
        If a name fits no case.
    """
    for name in only:
        if not any(name in (case.patient, case.arm.name, case.id) for case in cases):
            known = sorted({case.patient for case in cases}) + list(dict.fromkeys(case.arm.name for case in cases))
            raise InputError(
                source, "--only", f"'{name}' is no patient, strategy or case id. Known: {', '.join(known)}"
            )
    return [case for case in cases if not only or {case.patient, case.arm.name, case.id} & set(only)]


def run_study(
    study: Study,
    folder: Path,
    workers: int,
    finished: Callable[[Outcome[Case]], None],
    only: Sequence[str] = (),
) -> Batch:
    """Run the cases that are not finished yet, then collect.

    Parameters
    ----------
    study : Study
    folder : Path
        Of this study's results.
    workers : int
        Child processes at a time.
    finished : callable
        Is told every outcome as it comes.
    only : sequence of str
        Patients, strategies or case ids to restrict the run to.

    Raises
    ------
    KeyboardInterrupt
        Finished cases stay in the store.
    """
    cases = study.cases()
    wanted = chosen(cases, only, study.source)
    open_study(folder)
    write_json(folder / "study.json", describe(study, cases))
    left = [case for case in wanted if not is_done(folder, case.id)]
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    outcomes = run_cases(_with_import(left, study, folder), folder, workers, finished) if left else []
    failed = [
        {"case": o.case.id, "patient": o.case.patient, "strategy": o.case.arm.name, "error": o.error}
        for o in outcomes
        if o.error
    ]
    run = {
        "started": started,
        "wall_s": round(time.perf_counter() - clock, 1),
        "workers": workers,
        "failed": failed,
    }
    return Batch(folder, len(wanted) - len(left), outcomes, collect(folder, run))


def _with_import(cases: Sequence[Case], study: Study, folder: Path) -> list[Case]:
    """Return the cases with a patient that is imported: once here, not by every child."""
    data = study.data
    if data is not None and data.is_dir():
        data = import_once(data, study.data_sha256, folder)
    return [replace(case, data=data) for case in cases]


def describe(study: Study, cases: Sequence[Case]) -> dict[str, object]:
    """Return the content of ``study.json``."""
    spec = study.spec
    return {
        "name": spec.study.name,
        "title": spec.study.title or spec.study.name,
        "seed": spec.study.seed,
        "versions": {
            "lacuna": planner.__version__,
            "code_sha256": code_sha256(),
            "python": platform.python_version(),
            **{name: version(name) for name in _DEPENDENCIES},
        },
        "spec": spec.model_dump(mode="json"),
        "data_sha256": dict(study.data_sha256),
        "strategies": [arm.strategy.model_dump(mode="json", exclude={"steps"}) for arm in study.arms],
        "arms": {arm.name: arm.resolved() for arm in study.arms},
        "patients": list(dict.fromkeys(case.patient for case in cases)),
        "cases": [case.id for case in cases],
        "constants": study.constants(),
    }


def compare_study(folder: Path) -> Comparison:
    """Return the paired comparison of the strategies of a study in the store."""
    content = read_json(folder / "study.json")
    return compare(
        read_tables(case_folders(folder), "records"),
        [strategy["name"] for strategy in content["strategies"]],
        content["spec"]["compare"]["endpoints"],
        content["spec"]["compare"]["confidence"],
    )
