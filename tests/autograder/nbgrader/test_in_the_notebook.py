"""`%check` in a real kernel, and what it takes from a notebook's history."""

import json
import os
import subprocess
import sys

from autograder.notebook.cells import Place, module_in

SOFTMAX, ATTENTION = "01-softmax.ipynb", "02-attention.ipynb"
WRONG = "def softmax(scores, axis=-1):\n    return np.exp(scores)\n"


def test_the_module_is_what_stands_in_the_notebook_now():
    """Imports first, each definition as it was last run, values that one needs, and nothing else that was tried."""
    history = [
        "def area(r):\n    return ...  # FINISH ME",  # the first try, which a later one replaces
        "area(2)",
        "class Round(Shape):\n    pass",
        "import math",
        "from shapes import Round",
        "def broken(:",
        "TWO = 2\nscratch = area('x')",
        "@decorated\ndef area(r):\n    return TWO * math.pi  # FINISH ME",
        "get_ipython().run_cell_magic('check', 'x', 'def last(): return TWO\\n')",
        "get_ipython().run_cell_magic('bash', '', 'def no(): pass\\n')",
    ]
    defined = {"TWO", "scratch", "area", "Round"}
    module = module_in(history, "shapes", defined)
    assert module.text == (
        "import math\nTWO = 2\n@decorated\ndef area(r):\n    return TWO * math.pi  # FINISH ME\n"
        "class Round(Shape):\n    pass\ndef last(): return TWO\n"
    )
    assert module.definitions == {"area", "Round", "last"}
    assert module.places == tuple(
        Place(*place) for place in [(3, 1), (6, 1), (7, 1), (7, 2), (7, 3), (2, 1), (2, 2), (8, 2)]
    )


def test_check_shows_a_table_and_gives_the_points(classroom):
    """HTML and text with the messages of `make check`; nbgrader gets the points as the cell's value; no stderr."""
    home = classroom.home("ada")
    right = classroom.right({"softmax-solution-softmax": WRONG})
    classroom.write(home, right)
    notebook = right[ATTENTION]
    notebook["cells"] = notebook["cells"][:-1]  # without the picture, which is drawn elsewhere
    magic = {"cell_type": "code", "id": "own", "metadata": {}, "outputs": [], "execution_count": None}
    notebook["cells"].append({**magic, "source": "%%check softmax\n" + "import numpy as np\n" + WRONG})
    notebook["cells"].append({**magic, "id": "none", "source": "%check no-such-thing"})
    classroom.write(home, {"run.ipynb": notebook})
    command = ["nbconvert", "--to", "notebook", "--execute", "--output", "ran.ipynb", "run.ipynb"]
    grading = {**os.environ, "NBGRADER_EXECUTION": "autograde"}
    subprocess.run([sys.executable, "-m", "jupyter", *command], cwd=home, check=True, capture_output=True, env=grading)
    ran = json.loads((home / "ran.ipynb").read_text())
    table, points = classroom.cells(ran)["attention-visible"]["outputs"]
    assert "<table" in "".join(table["data"]["text/html"])
    assert "Checked with a right softmax in place of yours." in "".join(table["data"]["text/plain"])
    assert float("".join(points["data"]["text/plain"])) == 4
    table, points = ran["cells"][-2]["outputs"]
    assert "differs   at [0]: 2.71828 instead of 0.0900306" in "".join(table["data"]["text/plain"])
    assert float("".join(points["data"]["text/plain"])) < 4
    assert "There is no exercise called 'no-such-thing'" in "".join(ran["cells"][-1]["outputs"][0]["text"])


def test_validate_says_what_is_wrong_and_when_all_is_right(classroom):
    """Nbgrader's own `validate` on a right and on a wrong notebook."""
    home = classroom.home("ada")
    for name, answers in (("right", None), ("wrong", {"softmax-solution-softmax": WRONG})):
        notebook = classroom.right(answers)[SOFTMAX]
        notebook["cells"] = notebook["cells"][:-1]
        classroom.write(home, {f"{name}.ipynb": notebook})
    right = classroom.commands((home, ["validate", "right.ipynb"]))
    assert "Success! Your notebook passes all the tests." in right
    wrong = classroom.commands((home, ["validate", "wrong.ipynb"]))
    assert "VALIDATION FAILED ON 1 CELL" in wrong
    assert "Every number is 30.19 times what it should be" in wrong
