"""What `lacuna plan` loads: libraries that it does not use cost it a CPU second."""

import subprocess
import sys


def test_planning_loads_neither_tables_nor_statistics_nor_filters():
    code = (
        "import sys, planner.cli.plans; print([n for n in ('pandas', 'scipy.stats', 'SimpleITK') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
