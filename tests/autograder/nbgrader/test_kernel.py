"""What `%check` leaves in a student's kernel: nothing."""

import json
import subprocess
import sys
import textwrap

import pytest
from nbformat.v4 import new_code_cell, new_notebook

STATE = """
def state():
    import os, resource, signal, sys, threading, torch
    return {
        "threads of torch": torch.get_num_threads(),
        "between": torch.get_num_interop_threads(),
        "environment": dict(os.environ),
        "memory": resource.getrlimit(resource.RLIMIT_AS),
        "processor": resource.getrlimit(resource.RLIMIT_CPU),
        "handlers": {name: signal.getsignal(name) for name in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM)},
        "timer": signal.getitimer(signal.ITIMER_REAL),
        "finders": list(sys.meta_path),
        "path": list(sys.path),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "folder": os.getcwd(),
    }
"""
AFTER = """
after, modules_after = state(), set(sys.modules)
changed = {name: (before[name], after[name]) for name in before if after[name] != before[name]}
print(sorted(changed), changed.get("environment"), changed.get("descriptors"))
print(sorted(name for name in modules_after - modules_before))
heavy = ("pytest", "_pytest", "hypothesis", "autograder.grading", "autograder.suites")
print([name for name in heavy if name in sys.modules])
"""


def run(folder, *cells, environment=None):
    """What each cell printed or showed as text, run in a kernel of its own."""
    notebook = new_notebook(cells=[new_code_cell(textwrap.dedent(cell)) for cell in cells])
    (folder / "run.ipynb").write_text(json.dumps(notebook))
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--allow-errors"]
    done = subprocess.run(
        [*command, "--output", "ran.ipynb", "run.ipynb"], cwd=folder, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    ran = json.loads((folder / "ran.ipynb").read_text())
    return ["\n".join(_shown(output) for output in cell["outputs"]) for cell in ran["cells"]]


def _shown(output):
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    return "".join(output["text"] if "text" in output else output["data"].get("text/plain", ""))


def test_a_check_leaves_the_kernel_as_it_was(tmp_path):
    """Threads, limits, handlers, environment, finders, modules: all as before, and the check has found something."""
    told = run(
        tmp_path,
        "%load_ext autograder.notebook\nimport sys, torch\nimport numpy as np\nfrom softmax import softmax" + STATE,
        "def softmax(scores, axis=-1):\n    return np.exp(scores)",
        "torch.set_num_threads(2)\nbefore, modules_before = state(), set(sys.modules)",
        "%check softmax",
        AFTER,
    )
    assert "right stand-in" in told[0]
    assert "differs   at [0]: 2.71828 instead of 0.0900306" in told[3]
    changed, modules, forbidden = told[4].strip().splitlines()
    # Two pipes lead to the process that is kept.
    assert changed.startswith("['descriptors'] None")
    assert modules == "[]"
    assert forbidden == "[]"


def test_lines_are_those_of_cells(tmp_path):
    """A hole, an exception and a cell that never ran are told as Jupyter numbers them."""
    told = run(
        tmp_path,
        "%load_ext autograder.notebook",
        "%check softmax",
        "import numpy as np",
        "\ndef softmax(scores, axis=-1):\n    largest = ...  # FINISH ME\n    return scores - largest",
        "%check softmax",
        "def softmax(scores, axis=-1):\n    shifted = 1\n    return scores @ shifted",
        "%check softmax",
        "def log_softmax(scores, axis=-1):\n    return ...  # FINISH ME",
        "%check softmax",
    )
    assert (
        told[1].strip()
        == "Nothing to check yet: run the cells that define `softmax` and `log_softmax`, then %check again."
    )
    assert "`softmax` is not finished: line 3 of cell [4] still holds `...  # FINISH ME`." in told[4]
    assert "Not run in this notebook yet: the cells that define `log_softmax`." in told[4]
    assert "Your notebook has no `log_softmax`." in told[4]
    assert "(line 3 of cell [6]: `return scores @ shifted`)" in told[6]
    assert "Not run" not in told[8]
    assert "softmax.py" not in "".join(told)


@pytest.mark.parametrize(("grading", "result"), [(None, ""), ("autograde", "\n0.0")])
def test_points_are_for_nbgrader(tmp_path, monkeypatch, grading, result):
    """A student's `%check` shows a table and no number below it; nbgrader reads the number."""
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    if grading:
        monkeypatch.setenv("NBGRADER_EXECUTION", grading)
    told = run(tmp_path, "%load_ext autograder.notebook", "def softmax(scores, axis=-1):\n    pass", "%check softmax")
    assert told[2].startswith("softmax: 0 of 4 points")
    assert told[2].endswith(result or "yet: the cells that define `log_softmax`.")
