"""Child processes: failures and deaths stay where they happen, an interrupt loses nothing that is finished."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from planner.study.execute import run_tasks
from planner.treatment.errors import InputError

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Errand:
    """As much of a case as the pool looks at, and what its child shall do."""

    id: str
    does: str = "works"


def work(errand, folder):
    if errand.does == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if errand.does == "fails":
        raise ValueError("no beam reaches the target")
    if errand.does == "refuses":
        raise InputError("study.toml", "cohort", "an exception of three arguments, which cannot be pickled")
    if errand.does == "sleeps":
        time.sleep(60)
    (Path(folder) / f"{os.getpid()}.pid").touch()
    (Path(folder) / errand.id).write_text(os.environ["LACUNA_THREADS"])
    return 1.5


def test_a_failing_and_a_dying_case_harm_no_other(tmp_path):
    errands = [Errand("a"), Errand("b", "fails"), Errand("c", "dies"), Errand("d"), Errand("e", "refuses"), Errand("f")]
    told = []
    outcomes = run_tasks(errands, tmp_path, 2, told.append, work)
    assert [outcome.case.id for outcome in outcomes] == list("abcdef")
    assert sorted(outcome.case.id for outcome in told) == list("abcdef")
    errors = {outcome.case.id: outcome.error for outcome in outcomes}
    assert errors["b"] == "ValueError: no beam reaches the target"
    assert "died" in errors["c"]
    assert errors["e"].startswith("InputError: study.toml: cohort: an exception")
    assert [errors[name] for name in "adf"] == ["", "", ""]
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix != ".pid") == ["a", "d", "f"]


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_are_shared_among_the_children(tmp_path, workers, monkeypatch):
    monkeypatch.setattr("planner.study.execute.cores", lambda: 6)
    run_tasks([Errand("a"), Errand("b")], tmp_path, workers, lambda outcome: None, work)
    assert (tmp_path / "a").read_text() == str(6 // workers)


def started(folder, *errands):
    """Start a batch of one worker in a process of its own, and return it when its first errand is done."""
    script = folder / "batch.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            from pathlib import Path
            sys.path.insert(0, {str(HERE)!r})
            from test_study_execute import Errand, work
            from planner.study.execute import run_tasks
            if __name__ == "__main__":
                done = lambda outcome: print(outcome.case.id, flush=True)
                run_tasks({list(errands)!r}, Path({str(folder)!r}), 1, done, work)
            """
        )
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": HERE.parent}
    batch = subprocess.Popen([sys.executable, script], **pipes)
    assert batch.stdout.readline().strip() == errands[0].id
    return batch


def test_an_interrupt_stops_the_children_and_keeps_what_is_finished(tmp_path):
    batch = started(tmp_path, Errand("a"), Errand("b", "sleeps"))
    batch.send_signal(signal.SIGINT)
    _, errors = batch.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_an_interrupt_breaks_into_nothing(tmp_path):
    """Raised wherever the parent happened to be, it left a lock of the pool taken now and then: the batch hung."""
    before, told = signal.getsignal(signal.SIGINT), []

    def finished(outcome):
        signal.raise_signal(signal.SIGINT)
        told.append(outcome.case.id)

    with pytest.raises(KeyboardInterrupt):
        run_tasks([Errand("a"), Errand("b", "sleeps")], tmp_path, 1, finished, work)
    assert told == ["a"]
    assert signal.getsignal(signal.SIGINT) is before


def test_children_end_with_a_killed_parent(tmp_path):
    batch = started(tmp_path, Errand("a"), Errand("b", "sleeps"))
    (child,) = [int(file.stem) for file in tmp_path.glob("*.pid")]
    os.kill(child, 0)
    batch.kill()
    batch.wait()
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            return
        time.sleep(0.1)
    pytest.fail("the child outlived its parent by 10 s")
