"""Run the cases of a study: each in a child process that may fail or die without harm to the others."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from numba.core import config
from pebble import ProcessExpired, ProcessPool

from planner.study.case import Case
from planner.study.cohort import SyntheticCohort
from planner.study.compute import run_case
from planner.study.store import write_case


@dataclass(frozen=True)
class Outcome:
    """How one case ended.

    Attributes
    ----------
    case : Case
    wall_s : float
        0 if it failed.
    error : str
        Empty if it is finished and in the store.
    """

    case: Case
    wall_s: float
    error: str = ""


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def kernels_are_compiled() -> bool:
    """Return whether an earlier run has compiled the kernels of these sources on this machine."""
    return _compiled_mark().exists()


def compile_kernels(case: Case) -> None:
    """Compile the kernels once, by running a case like this one on a coarse synthetic head, for all children to load.

    What goes wrong here goes wrong in the cases too, and is told there.
    """
    coarse = SyntheticCohort(kind="synthetic", patients=1, spacing_mm=4.0)
    with suppress(Exception):
        settings = case.settings.model_copy(update={"dose_grid_mm": 5.0})
        run_case(replace(case, cohort=coarse, number=0, settings=settings, data=None, data_sha256={}))
        _compiled_mark().touch()


def _compiled_mark() -> Path:
    return Path(vars(config)["CACHE_DIR"]) / "compiled"


def run_cases(
    cases: Sequence[Case],
    folder: Path,
    workers: int,
    finished: Callable[[Outcome], None],
    work: Callable[[Case, str], float] | None = None,
) -> list[Outcome]:
    """Run cases in child processes and put them into the store as they finish.

    Parameters
    ----------
    cases : sequence of Case
    folder : Path
        Of the study.
    workers : int
        Child processes at a time; the processors are shared among their threads.
    finished : callable
        Is told every outcome as it comes.
    work : callable, optional
        What a child does with a case and the folder: by default it runs and stores the case, and returns its wall time.

    Returns
    -------
    list of Outcome
        In the order of `cases`.

    Raises
    ------
    KeyboardInterrupt
        After the children were stopped; finished cases stay in the store.
    """
    workers = max(1, min(workers, len(cases)))
    threads = max(1, cores() // workers)
    pool = ProcessPool(
        max_workers=workers, context=get_context("spawn"), initializer=_prepare_child, initargs=[threads]
    )
    outcomes: dict[str, Outcome] = {}
    try:
        running: dict[Future, Case] = {
            pool.schedule(_tried, args=[work or run_and_store, case, str(folder)]): case for case in cases
        }
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                outcome = _outcome(running.pop(future), future)
                outcomes[outcome.case.id] = outcome
                finished(outcome)
        pool.close()
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.join()
    return [outcomes[case.id] for case in cases]


def _prepare_child(threads: int) -> None:
    # The parent hears Ctrl-C and stops its children; they must not each print a traceback of their own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["LACUNA_THREADS"] = str(threads)


def run_and_store(case: Case, folder: str) -> float:
    """Run a case, store it and return its wall time, s: arrays never travel between processes."""
    start = time.perf_counter()
    result = run_case(case)
    wall_s = round(time.perf_counter() - start, 2)
    write_case(Path(folder), result.timed(wall_s))
    return wall_s


def _tried(work: Callable[[Case, str], float], case: Case, folder: str) -> Outcome:
    """Return how a case ended, in the child: errors travel as text, for not every exception can be pickled."""
    try:
        return Outcome(case, work(case, folder))
    except Exception as error:  # a case may fail in any way: the others go on, and the manifest tells
        return Outcome(case, 0.0, f"{type(error).__name__}: {error}")


def _outcome(case: Case, future: Future) -> Outcome:
    try:
        return replace(future.result(), case=case)
    except ProcessExpired as error:
        return Outcome(case, 0.0, f"the process of this case died (exit code {error.exitcode})")
    except Exception as error:  # of the pool itself
        return Outcome(case, 0.0, f"{type(error).__name__}: {error}")
