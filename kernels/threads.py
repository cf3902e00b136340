"""Run kernels over fixed chunks with Python threads: same result for any number of threads.

A chunk is a half-open range of rows, planes or beams. Its bounds depend only on the amount of work, never on the
number of threads; results go to disjoint slices or to one partial result per chunk that the caller adds in order.
Where a task is itself made of chunks, the outer ones are shared out and the inner ones run where they are called.
"""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
_here = threading.local()


def thread_count() -> int:
    """Return how many threads kernels use: ``LACUNA_THREADS`` if set, else the processors of this process."""
    asked = os.environ.get("LACUNA_THREADS")
    return max(1, int(asked)) if asked else len(os.sched_getaffinity(0))


def chunks(length: int, size: int) -> list[tuple[int, int]]:
    """Return the half-open ranges of at most `size` that cover ``range(length)``."""
    return [(start, min(start + size, length)) for start in range(0, length, size)]


def run_chunks(task: Callable[..., Result], arguments: Iterable[tuple]) -> list[Result]:
    """Call ``task(*a)`` for every `a` and return the results in the order of `arguments`.

    Parameters
    ----------
    task : callable
        A kernel that releases the interpreter lock, or a function around one.
    arguments : iterable of tuple
        One tuple of positional arguments a chunk.
    """
    jobs = list(arguments)
    threads = 1 if getattr(_here, "in_pool", False) else min(thread_count(), len(jobs))
    if threads <= 1:
        return [task(*job) for job in jobs]
    with ThreadPoolExecutor(threads, initializer=_mark) as pool:
        return list(pool.map(lambda job: task(*job), jobs))


def _mark() -> None:
    """Note that this thread belongs to a pool."""
    _here.in_pool = True
