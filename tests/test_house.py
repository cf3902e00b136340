"""The house itself: the cache key, the neighbour check, the lock file, arms as data."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _run(code: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), **env}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_an_edited_callee_is_not_served_from_a_stale_cache(tmp_path):
    # numba checks only the file of the cached caller: without a cache folder keyed by all sources, the second run
    # would print the first result.
    package = tmp_path / "kernels"
    package.mkdir()
    for name in ("__init__.py", "_jit.py"):
        shutil.copy(ROOT / "kernels" / name, package / name)
    (package / "caller.py").write_text(
        "from kernels._jit import njit\nfrom kernels.callee import inner\n"
        "\n\n@njit\ndef outer(x):\n    return inner(x)\n"
    )
    callee = package / "callee.py"
    text = "from kernels._jit import njit\n\n\n@njit\ndef inner(x):\n    return x + {}\n"
    results = []
    for added in ("1.0", "2.0"):
        callee.write_text(text.format(added))
        done = _run(
            "from kernels.caller import outer; print(outer(1.0))", tmp_path, LACUNA_CACHE_DIR=str(tmp_path / "c")
        )
        assert done.returncode == 0, done.stderr
        results.append(float(done.stdout))
    assert results == [2.0, 3.0]
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_the_cache_is_moved_even_if_numba_came_first(tmp_path):
    code = "import numba, kernels; print(numba.config.CACHE_DIR)"
    done = _run(code, ROOT, LACUNA_CACHE_DIR=str(tmp_path))
    assert done.stdout.strip().startswith(str(tmp_path))


def test_planner_refuses_a_foreign_kernels(tmp_path):
    foreign = tmp_path / "kernels"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("")
    shutil.copytree(ROOT / "planner", tmp_path / "elsewhere" / "planner", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "phantoms", tmp_path / "elsewhere" / "phantoms")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(tmp_path / 'elsewhere')!r}]; import planner"
    done = _run(code, tmp_path)
    assert done.returncode != 0
    assert "package 'kernels' must lie beside 'planner'" in done.stderr


def test_the_lock_names_only_the_public_index():
    registries = set(re.findall(r'registry = "([^"]+)"', (ROOT / "uv.lock").read_text()))
    assert registries == {"https://pypi.org/simple"}


@pytest.mark.parametrize("folder", ["kernels", "phantoms", "planner"])
def test_no_strategy_is_named_in_code(folder):
    strategies = [file.stem for file in (ROOT / "planner" / "library" / "strategies").glob("*.toml")]
    assert strategies
    for file in (ROOT / folder).rglob("*.py"):
        text = file.read_text()
        assert not [name for name in strategies if name in text], file


def test_no_module_has_a_name_that_says_nothing():
    names = {file.stem for folder in ("kernels", "phantoms", "planner") for file in (ROOT / folder).rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "core", "misc"}
