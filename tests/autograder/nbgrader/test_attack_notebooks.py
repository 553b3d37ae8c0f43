"""Notebooks that get points under stock nbgrader for nothing: the same cells under both, in one test."""

import json
import sqlite3
import time
from pathlib import Path

ASSIGNMENT = "week1"
NAME = "01-softmax.ipynb"
ANSWERS = ("softmax-solution-softmax", "softmax-solution-log_softmax")
WRONG = "def softmax(scores, axis=-1):\n    return np.zeros_like(scores, dtype=float)\n"
HIDDEN = "assert np.allclose(softmax(np.array([[1e3, 0.0]])), [[1.0, 0.0]]), 'hidden: overflow'"
STOCK_TESTS = {  # what an instructor writes in a stock course
    "softmax-visible": "np.testing.assert_allclose(softmax(np.array([0.0, 0.0])), [0.5, 0.5])",
    "softmax-hidden": f"assert softmax(np.array([0.0, 0.0])).sum() == 1\n### BEGIN HIDDEN TESTS\n{HIDDEN}\n### END HIDDEN TESTS",
}
ATTACKS = {
    "patched-assertion": "np.testing.assert_allclose = np.allclose = lambda *a, **k: True\n"
    "def softmax(scores, axis=-1):\n    return np.array([1.0, 0.0])\n",
    "lying-object": "class Yes(np.ndarray):\n"
    "    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: True\n"
    "    sum = lambda self, *a, **k: 1\n"
    "    def __array_ufunc__(self, ufunc, method, *a, **k):\n        return np.True_\n"
    "    def __array_function__(self, function, types, a, k):\n        return True\n"
    "def softmax(scores, axis=-1):\n    return np.zeros(2).view(Yes)\n",
    "displayhook": "import sys\ndef softmax(scores, axis=-1):\n    sys.displayhook(3.0)\n    return None\n",
    "no-asserts": "import ast\n"
    "class NoAsserts(ast.NodeTransformer):\n"
    "    def visit_Assert(self, node):\n        return ast.copy_location(ast.Pass(), node)\n"
    "try:\n    get_ipython().ast_transformers.append(NoAsserts())\nexcept NameError:\n    pass\n" + WRONG,
    "gradebook": "import subprocess, sys\n"
    "code = '''\n"
    "import sqlite3, time\n"
    "for _ in range(300):\n"
    "    time.sleep(0.1)\n"
    "    try:\n"
    '        book = sqlite3.connect("../../../gradebook.db")\n'
    '        book.execute("update grade set auto_score = 5 where auto_score < 5")\n'
    "        book.commit()\n"
    "        book.close()\n"
    "    except sqlite3.Error:\n"
    "        pass\n"
    "'''\n"
    "try:\n    subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\nexcept OSError:\n    pass\n"
    + WRONG,
    "hidden-tests": "import sqlite3\n"
    "try:\n    told = str(sqlite3.connect('../../../gradebook.db').execute('select source from source_cell').fetchall())\n"
    "except Exception as error:\n    told = 'nothing'\n"
    "print(told)\n"
    "def softmax(scores, axis=-1):\n    raise ValueError(told)\n",
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
    assert "hidden: overflow" in everything_written(stock)  # the instructor's hidden test, in the student's own output
    assert {name for name, score in won.items() if score} >= set(ATTACKS) - {"hidden-tests"}
