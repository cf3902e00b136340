"""Benchmarks: the figures beside the limits of the machine stand at the end of a run."""

from typing import Any

from limits import LINES, machine_limits


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures that were noted."""
    if not LINES:
        return
    limits = machine_limits()
    terminalreporter.section("beside the limits of this machine, one thread")
    terminalreporter.write_line(
        f"main memory ({limits.array_bytes >> 20} MiB arrays): read-sum {1 / limits.read:.1f} GB/s, "
        f"triad {1 / limits.moved:.1f} GB/s"
    )
    for line in LINES:
        terminalreporter.write_line(line)
