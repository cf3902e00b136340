"""What the memory of this machine allows, measured in the same run as the kernels that are held against it.

Arrays are far larger than the last-level cache. One thread, as the kernels are timed; the best of several passes. A
kernel on arrays that stay in cache may be faster than these.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numba
import numpy as np

LINES: list[str] = []
"""Figures beside their limits, for the end of the run."""

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNKNOWN_CACHE = 32 << 20
_TIMES_THE_CACHE = 8
_PASSES = 5


@dataclass(frozen=True)
class Limits:
    """Nanoseconds per byte of main memory.

    Attributes
    ----------
    read : float
        Of a sum over an array.
    moved : float
        Of ``a = b + s c`` over three arrays, two read and one written (STREAM triad, 12 bytes an element in float32).
    array_bytes : int
        Size of each array.
    """

    read: float
    moved: float
    array_bytes: int


@numba.njit(fastmath=True)
def _sum(values: np.ndarray) -> np.float32:
    total = np.float32(0)
    for i in range(values.size):
        total += values[i]
    return total


@numba.njit(fastmath=True)
def _triad(out: np.ndarray, one: np.ndarray, other: np.ndarray, factor: np.float32) -> None:
    for i in range(out.size):
        out[i] = one[i] + factor * other[i]


@cache
def machine_limits() -> Limits:
    """Return the limits of this machine; the first call takes a few seconds."""
    count = _TIMES_THE_CACHE * last_level_cache() // 4
    one, other, out = (np.full(count, value, np.float32) for value in (1.0, 2.0, 0.0))
    read = _best(lambda: _sum(one)) / one.nbytes
    moved = _best(lambda: _triad(out, one, other, np.float32(1.5))) / (3 * one.nbytes)
    return Limits(1e9 * read, 1e9 * moved, one.nbytes)


def last_level_cache() -> int:
    """Return the size of the largest cache of a processor, bytes; 32 MiB where the machine does not tell."""
    units = {"K": 1 << 10, "M": 1 << 20}
    told = [path.read_text().strip() for path in _CACHES.glob("index*/size")]
    return max([int(size[:-1]) * units[size[-1]] for size in told if size[-1:] in units], default=_UNKNOWN_CACHE)


def beside_limits(benchmark: Any, work: int, unit: str, *, read: int = 0, moved: int = 0) -> None:
    """Note the nanoseconds per unit of work beside what memory alone would need for it.

    Parameters
    ----------
    benchmark : pytest-benchmark's fixture, after its run
    work : int
        Units done in one round.
    unit : str
        What one is called.
    read, moved : int
        Bytes that one unit must read, and bytes of mixed reading and writing, at least.
    """
    if benchmark.disabled:  # a dry run, which measures nothing
        return
    limits = machine_limits()
    took = 1e9 * benchmark.stats.stats.min / work
    least = read * limits.read + moved * limits.moved
    benchmark.extra_info[f"ns_per_{unit}"] = took
    benchmark.extra_info["ns_of_memory_alone"] = least
    benchmark.extra_info["ns_per_byte_read"], benchmark.extra_info["ns_per_byte_moved"] = limits.read, limits.moved
    LINES.append(f"{benchmark.name}: {took:.2f} ns per {unit}; memory alone {least:.2f} ns ({took / least:.1f} times)")


def _best(run: Any) -> float:
    """Return the least seconds of several calls; the first compiles."""
    run()
    taken = []
    for _ in range(_PASSES):
        start = perf_counter()
        run()
        taken.append(perf_counter() - start)
    return min(taken)
