"""Wall and CPU seconds of the stages of a program, for the workers of both environments (standard library only)."""

import json
import os
import time
from pathlib import Path

_CHILD_LINE = "stages: "
STARTED = "PEERS_STARTED"
"""Environment variable: when the worker was started, seconds since the epoch."""


def _used() -> tuple[float, float]:
    """Return wall-clock and CPU (user and system, all threads) seconds."""
    times = os.times()
    return time.time(), times.user + times.system


class Stages:
    """Marks the end of one stage after another; the first begins where the process does."""

    def __init__(self) -> None:
        self._last = (float(os.environ.get(STARTED, time.time())), 0.0)
        self._seconds: dict[str, tuple[float, float]] = {}
        self._facts: dict[str, float] = {}

    def end(self, name: str) -> tuple[float, float]:
        """Close a stage and return its wall and CPU seconds."""
        now = _used()
        self._seconds[name] = (now[0] - self._last[0], now[1] - self._last[1])
        self._last = now
        return self._seconds[name]

    def note(self, **facts: float) -> None:
        """Keep numbers that are no times."""
        self._facts |= {name: float(value) for name, value in facts.items()}

    def tell(self) -> None:
        """Print what `read` reads."""
        print(_CHILD_LINE + json.dumps({"seconds": self._seconds, "facts": self._facts}), flush=True)


def read(output: Path) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Return seconds (wall, CPU) by stage and the facts from the saved output of a worker.

    Raises
    ------
    RuntimeError
        If the worker did not finish.
    """
    lines = [line for line in output.read_text(errors="replace").splitlines() if line.startswith(_CHILD_LINE)]
    if not lines:
        raise RuntimeError(f"a worker failed; its output is in {output}")
    told = json.loads(lines[-1].removeprefix(_CHILD_LINE))
    return {name: (wall, cpu) for name, (wall, cpu) in told["seconds"].items()}, told["facts"]
