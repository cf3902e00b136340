"""Run the cases of a study, or other tasks: each in a child process that may fail or die without harm to the others."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from numba.core import config
from pebble import ProcessExpired, ProcessPool

from planner.study.case import Case
from planner.study.cohort import SyntheticCohort
from planner.study.compute import run_case
from planner.study.store import write_case


class Task(Protocol):
    """What a child process is to do."""

    @property
    def id(self) -> str:
        """Its name, unique in a batch."""
        ...


AnyTask = TypeVar("AnyTask", bound=Task)
# Within this time an interrupt is heard.
_HEARD_S = 0.2


@dataclass(frozen=True)
class Outcome(Generic[AnyTask]):
    """How one case, or another task, ended.

    Attributes
    ----------
    case : Task
    wall_s : float
        0 if it failed.
    error : str
        Empty if it is finished and in the store.
    """

    case: AnyTask
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
    cases: Sequence[Case], folder: Path, workers: int, finished: Callable[[Outcome[Case]], None]
) -> list[Outcome[Case]]:
    """Run cases in child processes and put them into the store as they finish: see `run_tasks`."""
    return run_tasks(cases, folder, workers, finished, run_and_store)


def run_tasks(
    tasks: Sequence[AnyTask],
    folder: Path,
    workers: int,
    finished: Callable[[Outcome[AnyTask]], None],
    work: Callable[[AnyTask, str], float],
) -> list[Outcome[AnyTask]]:
    """Do tasks in child processes, each of which leaves what it made in the folder.

    Parameters
    ----------
    tasks : sequence of Task
    folder : Path
    workers : int
        Child processes at a time; the processors are shared among their threads.
    finished : callable
        Is told every outcome as it comes.
    work : callable
        What a child does with a task and the folder; it returns its wall time. A function of a module.

    Returns
    -------
    list of Outcome
        In the order of `tasks`.

    Raises
    ------
    KeyboardInterrupt
        After the children were stopped; what is finished stays in the folder.
    """
    workers = max(1, min(workers, len(tasks)))
    threads = max(1, cores() // workers)
    pool = ProcessPool(
        max_workers=workers, context=get_context("spawn"), initializer=_prepare_child, initargs=[threads]
    )
    outcomes: dict[str, Outcome[AnyTask]] = {}
    with _interrupt_told() as interrupted:
        try:
            running: dict[Future, AnyTask] = {
                pool.schedule(_tried, args=[work, task, str(folder)]): task for task in tasks
            }
            while running:
                for future in wait(running, timeout=_HEARD_S, return_when=FIRST_COMPLETED).done:
                    outcome = _outcome(running.pop(future), future)
                    outcomes[outcome.case.id] = outcome
                    finished(outcome)
                if interrupted.is_set():
                    raise KeyboardInterrupt
            pool.close()
        except BaseException:
            pool.stop()
            raise
        finally:
            pool.join()
    return [outcomes[task.id] for task in tasks]


@contextmanager
def _interrupt_told() -> Iterator[threading.Event]:
    """Let Ctrl-C set an event, instead of breaking into the locks of the pool, which would then never be stopped."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # only the main thread hears Ctrl-C
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _prepare_child(threads: int) -> None:
    # The parent hears Ctrl-C and stops its children; they must not each print a traceback of their own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["LACUNA_THREADS"] = str(threads)
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()


def _end_with(parent: int) -> None:
    """End this child when its parent is gone: a killed run must not leave processes that go on computing."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def run_and_store(case: Case, folder: str) -> float:
    """Run a case, store it and return its wall time, s: arrays never travel between processes."""
    start = time.perf_counter()
    result = run_case(case)
    wall_s = round(time.perf_counter() - start, 2)
    write_case(Path(folder), result.timed(wall_s))
    return wall_s


def _tried(work: Callable[[AnyTask, str], float], task: AnyTask, folder: str) -> Outcome[AnyTask]:
    """Return how a task ended, in the child: errors travel as text, for not every exception can be pickled."""
    try:
        return Outcome(task, work(task, folder))
    except Exception as error:  # a task may fail in any way: the others go on, and the manifest tells
        return Outcome(task, 0.0, f"{type(error).__name__}: {error}")


def _outcome(task: AnyTask, future: Future) -> Outcome[AnyTask]:
    try:
        return replace(future.result(), case=task)
    except ProcessExpired as error:
        return Outcome(task, 0.0, f"the process of this case died (exit code {error.exitcode})")
    except Exception as error:  # of the pool itself
        return Outcome(task, 0.0, f"{type(error).__name__}: {error}")
