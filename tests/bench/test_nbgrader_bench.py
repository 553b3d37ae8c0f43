"""`nbgrader autograde` with the locked grader beside stock nbgrader's: seconds a submission, and their ratio."""

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autograder.course import load_course

pytest.importorskip("nbgrader", reason="nbgrader is not installed")

ROOT = Path(__file__).resolve().parents[2]
EXERCISES, ASSIGNMENT, STUDENTS = ("softmax", "attention"), "week1", 5
STOCK_TEST = "import torch\nassert {function} is not None"  # far less than the suites do; torch as their references do


def test_autograde_beside_stock_nbgrader(tmp_path, capsys):
    """The same notebooks: our suites, locked in, and a kernel for each notebook that runs two cells of one line."""
    from autograder.nbgrader_support.authoring import write_course

    course = load_course(ROOT)
    write_course(course, tmp_path / "locked", course.select(EXERCISES), ASSIGNMENT)
    source = {path.name: json.loads(path.read_text()) for path in (tmp_path / "locked").rglob("*.ipynb")}
    (tmp_path / "stock" / "source" / ASSIGNMENT).mkdir(parents=True)
    for name, notebook in source.items():
        write(tmp_path / "stock" / "source" / ASSIGNMENT / name, as_stock(notebook))
    shutil.copy(course.solution("softmax"), tmp_path / "stock" / "source" / ASSIGNMENT)  # attention imports it
    for kind in ("locked", "stock"):
        nbgrader(tmp_path / kind, "generate_assignment", ASSIGNMENT)
        for student in range(STUDENTS):
            for name, notebook in source.items():
                handed_in = notebook if kind == "locked" else as_stock(notebook)
                write(tmp_path / kind / "submitted" / f"s{student}" / ASSIGNMENT / name, handed_in)
    seconds = {}
    for kind in ("locked", "stock"):
        one = timed(tmp_path / kind, "--student=s0")
        seconds[kind] = (timed(tmp_path / kind) - one) / (STUDENTS - 2)  # without the start
    with capsys.disabled():
        print(
            f"\nnbgrader autograde of softmax and attention, a submission: {seconds['locked']:.2f} s locked in, "
            f"{seconds['stock']:.2f} s stock: {seconds['locked'] / seconds['stock']:.2f} times"
        )


def timed(folder: Path, *options: str) -> float:
    """How long autograding takes."""
    begun = time.perf_counter()
    nbgrader(folder, "autograde", ASSIGNMENT, *options)
    return time.perf_counter() - begun


def nbgrader(folder: Path, *arguments: str) -> None:
    """Runs a command of nbgrader's."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-W", "ignore", "-m", "nbgrader", *arguments]
    subprocess.run(command, cwd=folder, env={**os.environ, "PATH": tools}, check=True, capture_output=True)


def as_stock(notebook: dict) -> dict:
    """The notebook as a stock course would have it: asserts in its test cells, no magics, and no picture either."""
    notebook = copy.deepcopy(notebook)
    del notebook["cells"][-1]
    for cell in notebook["cells"]:
        data = cell["metadata"].get("nbgrader", {})
        if data.get("locked"):
            function = {"s": "softmax", "a": "scaled_dot_product_attention"}[data["grade_id"][0]]
            cell["source"] = STOCK_TEST.format(function=function) if data["grade"] else "import sys"
    return notebook


def write(path: Path, notebook: dict) -> None:
    """Writes a notebook."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook))
