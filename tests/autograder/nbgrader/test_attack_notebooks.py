"""Notebooks that get points under stock nbgrader for nothing: the same cells under both, in one test."""

import json
import sqlite3
import time
import tomllib
from pathlib import Path

ASSIGNMENT = "week1"
NAME = "01-softmax.ipynb"
ANSWERS = ("softmax-solution-softmax", "softmax-solution-log_softmax")
WRONG = "def softmax(scores, axis=-1):\n    return np.zeros_like(scores, dtype=float)\n"
HIDDEN = "assert np.allclose(softmax(np.array([[1e3, 0.0]])), [[1.0, 0.0]]), 'hidden: overflow'"
STOCK_TESTS = {  # what an instructor writes in a stock course
    "softmax-visible": "np.testing.assert_allclose(softmax(np.array([0.0, 0.0])), [0.5, 0.5])",
    "softmax-hidden": "assert softmax(np.array([0.0, 0.0])).sum() == 1\n"
    f"### BEGIN HIDDEN TESTS\n{HIDDEN}\n### END HIDDEN TESTS",
}
ATTACKS = {
    name: attack["code"] for name, attack in tomllib.loads(Path(__file__).with_name("attacks.toml").read_text()).items()
}


def scores_in(folder: Path) -> dict[str, float]:
    """Each student's points, as they stand in the gradebook."""
    with sqlite3.connect(folder / "gradebook.db") as book:
        rows = book.execute(
            "select submitted_assignment.student_id, sum(grade.auto_score) from grade"
            " join submitted_notebook on grade.notebook_id = submitted_notebook.id"
            " join submitted_assignment on submitted_notebook.assignment_id = submitted_assignment.id"
            " group by submitted_assignment.student_id"
        )
        return dict(rows.fetchall())


def stock_course(classroom) -> Path:
    """A course of stock nbgrader with the same notebook, whose test cells hold tests."""
    folder = classroom.root / "stock"
    notebook = json.loads(json.dumps(classroom.released[NAME]))
    for name, cell in classroom.cells(notebook).items():
        cell["metadata"]["nbgrader"].pop("checksum")
        if name in STOCK_TESTS:
            cell["source"] = STOCK_TESTS[name]
    setup = classroom.cells(notebook)["softmax-setup"]
    setup["source"] = "import numpy as np"
    notebook["cells"] = notebook["cells"][:-1]  # without the picture, which only takes time
    classroom.write(folder / "source" / ASSIGNMENT, {NAME: notebook})
    (folder / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'stock'\n")
    return folder


def everything_written(folder: Path) -> str:
    """All that students could get to see after autograding."""
    return "\n".join(path.read_text() for path in (folder / "autograded").rglob("*.ipynb"))


def test_what_wins_under_stock_nbgrader_wins_nothing_here(classroom, course):
    """Each attack gets points, or the hidden tests, from stock nbgrader, and neither from the locked grader."""
    stock = stock_course(classroom)
    for student, code in {**ATTACKS, "honest": WRONG}.items():
        notebook = classroom.right(dict(zip(ANSWERS, [code, "log_softmax = softmax\n"], strict=True)))[NAME]
        classroom.hand_in(student, {NAME: notebook})
        classroom.write(stock / "submitted" / student / ASSIGNMENT, {NAME: notebook})
    classroom.commands((stock, ["generate_assignment", ASSIGNMENT]), (stock, ["autograde", ASSIGNMENT]))
    classroom.run("autograde", ASSIGNMENT)

    here = scores_in(classroom.folder)
    assert here == dict.fromkeys([*ATTACKS, "honest"], 0.0)
    hidden = course.suite("softmax", "hidden").read_text()
    titles = everything_written(classroom.folder)
    assert not [line for line in hidden.splitlines() if "assert" in line and line.strip() in titles]

    won = {}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not won.get("gradebook"):
        won = scores_in(stock)
        time.sleep(0.2)
    (stock / "stop").touch()  # the detached child's word to end
    assert "hidden: overflow" in everything_written(stock)  # the instructor's hidden test, in the student's own output
    assert {name for name, score in won.items() if score} == set(ATTACKS) - {"hidden-tests"}
