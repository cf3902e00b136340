"""Lacuna beside its peers on the same jobs in one run, interleaved; the figures are ratios of CPU and wall seconds.

``python benchmarks/peers/compare.py plan|field [--rounds N] [--peers PYTHON]``, or ``make peers``, which makes the
environment of the peers first. Workers run one at a time, each in a process of its own; CPU seconds are those of all
threads, from the start of the interpreter.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from stages import STARTED, read
from tg119 import score

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = ROOT / ".venv-peers"
# Enough for a standard deviation of 1 to 10 % a voxel in less than a minute each.
HISTORIES = {"lacuna": 1_600_000, "pyradmc": 6_000_000, "ompmc": 40_000}
# DOSXYZnrc (EGSnrc 9edee3eb, gfortran -O2) on a Xeon of 2.5 GHz: same field, spectrum and voxels, a cube of 10 cm,
# voxels above half of the maximum, one process. Its defaults in two runs; the best of six settings with splitting.
DOSXYZNRC = {"DOSXYZnrc, its defaults": (8.3, 9.6), "DOSXYZnrc, splitting 20, no range stop": (50.8, 50.8)}

Seconds = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Runs:
    """The runs of one program: seconds (wall, CPU) by stage, and its other numbers."""

    seconds: list[Seconds]
    facts: list[dict[str, float]]

    def typical(self, kind: int, stage: str) -> float:
        """Return the median of a stage's wall (0) or CPU (1) seconds; of all stages together without a name."""
        return median(sum(run[name][kind] for name in ([stage] if stage else run)) for run in self.seconds)

    def fact(self, name: str) -> float:
        """Return the median of a number."""
        return median(facts[name] for facts in self.facts)


class Bench:
    """Starts workers in either environment and keeps what they tell.

    Parameters
    ----------
    folder : Path
        For the files of workers.
    peers : str
        Python of the peers.
    """

    def __init__(self, folder: Path, peers: str) -> None:
        self.folder, self._peers = folder, peers
        self._told: dict[str, list[tuple[Seconds, dict[str, float]]]] = {}

    def run(self, program: str, script: str, *arguments: str, **environment: str) -> tuple[Seconds, dict[str, float]]:
        """Run a worker, keep what it tells under `program` and return it."""
        self.start(program, script, *arguments, **environment)
        told = read(self.folder / f"{program}.log")
        self._told.setdefault(program, []).append(told)
        print(f"  {program}: {sum(cpu for _, cpu in told[0].values()):.1f} CPU seconds", flush=True)
        return told

    def start(self, program: str, script: str, *arguments: str, **environment: str) -> None:
        """Run a worker; its output goes to a file."""
        python = sys.executable if program.startswith("lacuna") else self._peers
        # Byte code is kept, as on a user's machine: compiling the sources is no part of either job.
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        surroundings = kept | {"PYTHONPATH": str(ROOT)} | environment
        with (self.folder / f"{program}.log").open("w") as log:
            subprocess.run(
                [python, str(HERE / script), *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=surroundings | {STARTED: str(time.time())},
                check=False,
            )

    def runs(self, program: str) -> Runs:
        """Return all runs of a program."""
        told = self._told[program]
        return Runs([seconds for seconds, _ in told], [facts for _, facts in told])


def plan(bench: Bench, rounds: int) -> None:
    """Print the planning job, end to end."""
    case, doses = bench.folder / "case.npz", {name: bench.folder / f"{name}.npy" for name in ("lacuna", "pyradplan")}
    bench.start("pyradplan", "tg119_pyradplan.py", "--case", str(case))
    cold = {"LACUNA_CACHE_DIR": str(bench.folder / "cache")}
    lacuna = ("tg119_lacuna.py", str(case), str(doses["lacuna"]))
    bench.run("lacuna, first use", *lacuna, **cold)
    bench.run("lacuna", *lacuna, **cold)
    for _ in range(rounds):
        bench.run("pyradplan", "tg119_pyradplan.py", str(doses["pyradplan"]))
        bench.run("lacuna", *lacuna, **cold)
    ours, theirs = bench.runs("lacuna"), bench.runs("pyradplan")
    print(f"\n{'':14}{'pyRadPlan':>21}{'Lacuna':>21}{'ratio':>16}\n{'':14}" + 2 * f"{'CPU s':>12}{'wall s':>9}", end="")
    print(f"{'CPU':>8}{'wall':>8}")
    for stage in (*ours.seconds[0], ""):
        (cpu, wall), (our_cpu, our_wall) = [[runs.typical(kind, stage) for kind in (1, 0)] for runs in (theirs, ours)]
        line = f"{stage or 'end to end':14}{cpu:12.1f}{wall:9.1f}{our_cpu:12.2f}{our_wall:9.2f}"
        print(line + f"{cpu / our_cpu:8.0f}{wall / our_wall:8.0f}")
    with np.load(case) as told:
        masks = {name: told[name] for name in ("target", "core")}
        masks["body"] = told["outline"] & ~masks["target"] & ~masks["core"]
    reached = [score(np.load(doses[name]), masks) for name in ("pyradplan", "lacuna")]
    print(f"{'bixels':24}{theirs.fact('bixels'):12.0f}{ours.fact('bixels'):12.0f}")
    for name in reached[0]:
        print(f"{name:24}{reached[0][name]:12.2f}{reached[1][name]:12.2f}")
    print(f"Lacuna, first use (kernels compiled): {bench.runs('lacuna, first use').typical(1, ''):.0f} CPU seconds")


def field(bench: Bench, rounds: int) -> None:
    """Print the Monte Carlo job."""
    home = {"HOME": str(PEERS / "home"), "XDG_CACHE_HOME": str(PEERS / "home" / ".cache")}
    cold = {"LACUNA_CACHE_DIR": str(bench.folder / "cache")}
    first = _first_use_of_pyradmc(bench, home)
    bench.run("lacuna, first use", "field_lacuna.py", "20000", **cold)
    for _ in range(rounds):
        bench.run("lacuna", "field_lacuna.py", str(HISTORIES["lacuna"]), **cold)
        bench.run("pyradmc", "field_pyradmc.py", str(HISTORIES["pyradmc"]), **home)
        bench.run("ompmc", "field_ompmc.py", str(HISTORIES["ompmc"]), **home)
    ours = bench.runs("lacuna")
    firsts = {"lacuna": bench.runs("lacuna, first use").seconds[0], "pyradmc": first}
    print(
        f"\n{'':10}{'merit 1/s':>11}{'Lacuna is':>11}{'s %':>7}{'histories per CPU s':>21}{'D5/D10':>9}{'D15/D10':>9}"
    )
    for name in HISTORIES:
        runs = bench.runs(name)
        merit, speed = runs.fact("merit"), runs.fact("histories") / runs.typical(1, "transport")
        line = (
            f"{name:10}{merit:11.1f}{ours.fact('merit') / merit:11.1f}{100 * runs.fact('deviation'):7.2f}{speed:21.0f}"
        )
        print(line + f"{runs.fact('D5/D10'):9.4f}{runs.fact('D15/D10'):9.4f}")
    merit = ours.fact("merit_above_half")
    print(f"\nvoxels above half of the maximum in the first 10 cm: lacuna {merit:.1f}")
    for name, (low, high) in DOSXYZNRC.items():
        print(f"  {name}: {low:g} to {high:g} (stored, another machine): {merit / high:.1f} to {merit / low:.1f} times")
    for name, seconds in firsts.items():
        wall, cpu = (sum(seconds[stage][kind] for stage in ("import", "first run")) for kind in (0, 1))
        print(f"first use of {name}: {cpu:.0f} CPU seconds, {wall:.0f} s wall")


def _first_use_of_pyradmc(bench: Bench, home: dict[str, str]) -> Seconds:
    """Return the seconds of its first run on a fresh machine (tables, compilation), kept since it was made."""
    kept = PEERS / "first-use-pyradmc.json"
    if not kept.exists():
        seconds, _ = bench.run("pyradmc, first use", "field_pyradmc.py", "20000", **home)
        kept.write_text(json.dumps(seconds))
    return {stage: (wall, cpu) for stage, (wall, cpu) in json.loads(kept.read_text()).items()}


def main() -> None:
    """Run the jobs that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="+", choices=["plan", "field"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", default=str(PEERS / "bin" / "python"))
    asked = parser.parse_args()
    for job in asked.jobs:
        print(f"\n{job}: {asked.rounds} rounds; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            {"plan": plan, "field": field}[job](Bench(Path(folder), asked.peers), asked.rounds)


if __name__ == "__main__":
    main()
