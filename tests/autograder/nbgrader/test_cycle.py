"""The whole cycle on the real nbgrader: release, fetch, submit, collect, autograde, feedback, export."""

import copy
import csv
import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from autograder.course import holes
from autograder.notebooks import source_of
from autograder.submission import read_submission

ASSIGNMENT = "week1"
SOFTMAX, ATTENTION = "01-softmax.ipynb", "02-attention.ipynb"
ANSWER = "softmax-solution-softmax"
WRONG = (  # a known mistake: the largest number of all, where each slice's own was wanted
    "def softmax(scores, axis=-1):\n"
    "    exponentials = np.exp(scores - np.max(scores))\n"
    "    return exponentials / np.sum(exponentials, axis=axis, keepdims=True)\n"
)
HOSTILE = (
    "import os, sys, numpy as np\n"
    "np.testing.assert_allclose = lambda *a, **k: None\n"
    "sys.displayhook(6.0)\n"
    "def softmax(scores, axis=-1):\n"
    "    os.system('touch /tmp/owned'); os._exit(0)\n"
)


def secrets_of(course):
    """Every telling line of the solutions' answers, hidden suites and mistakes of the two exercises."""

    def lines(path):
        return {line.strip(" -+") for line in path.read_text().splitlines()}

    secrets, told = set(), set()
    for name in ("softmax", "attention"):
        secrets |= lines(course.solution(name)) | lines(course.suite(name, "hidden")) | lines(course.mistakes(name))
        told |= lines(course.stub(name))
    return {line for line in secrets - told if len(line) > 24}


def test_the_release_is_the_exercises_and_holds_no_secret(classroom, course):
    """Same text, same holes, points of the suites, and no line of a solution, a hidden suite or a mistake anywhere."""
    for name, notebook in classroom.released.items():
        exercise = name[3:-6]
        stub = course.stub(exercise).read_text()
        told = source_of(json.dumps(notebook).encode())
        code = [line for line in stub.splitlines() if line and not line.startswith("#")]
        magics = ("#", "pass  # %")
        assert [line for line in told.splitlines() if line and not line.startswith(magics)] == code
        assert len(holes(told)) == len(holes(stub)) > 0
        points = [cell["metadata"]["nbgrader"].get("points", 0) for cell in classroom.cells(notebook).values()]
        assert sum(points) == 10
        assert sum(len(cell.get("outputs", [])) for cell in notebook["cells"]) == 0
    folder = classroom.folder / "release" / ASSIGNMENT
    assert {path.name for path in folder.rglob("*")} == {SOFTMAX, ATTENTION}
    texts = "\n".join(path.read_text() for path in folder.rglob("*.ipynb"))
    assert not [line for line in secrets_of(course) if json.dumps(line)[1:-1] in texts]


def test_writing_again_keeps_every_byte_and_an_instructors_files(classroom, course):
    """Grade ids follow from the course alone; the configuration is the instructor's; a stray script is refused."""
    from autograder.course import CourseError
    from autograder.nbgrader_support.authoring import write_course

    config = (classroom.folder / "nbgrader_config.py").read_text()
    before = {path.name: path.read_bytes() for path in (classroom.folder / "source").rglob("*.ipynb")}
    exercises = course.select(["softmax", "attention"])
    write_course(course, classroom.folder, exercises, ASSIGNMENT)
    assert {path.name: path.read_bytes() for path in (classroom.folder / "source").rglob("*.ipynb")} == before
    assert (classroom.folder / "nbgrader_config.py").read_text() == config
    (classroom.folder / "source" / ASSIGNMENT / "answers.py").write_text("1")
    with pytest.raises(CourseError, match=r"answers\.py is no notebook of this assignment"):
        write_course(course, classroom.folder, exercises, ASSIGNMENT)


def test_notebooks_that_are_out_keep_their_names(classroom, course):
    """An exercise that is added before them renames nothing, so nbgrader can release and grade again."""
    from autograder.nbgrader_support.authoring import write_course

    classroom.hand_in("ada", classroom.right())
    classroom.run("autograde", ASSIGNMENT)
    later = course.exercise("positional_encoding")
    changed = replace(course, exercises=(later, *(each for each in course.exercises if each != later)))
    write_course(changed, classroom.folder, changed.select(["softmax", "attention"]), ASSIGNMENT)
    names = {path.name for path in (classroom.folder / "source" / ASSIGNMENT).glob("*.ipynb")}
    assert names == {SOFTMAX, ATTENTION}
    classroom.run("generate_assignment", ASSIGNMENT, "--force")
    classroom.run("autograde", ASSIGNMENT, "--force")
    write_course(changed, classroom.folder, [later], "week2")
    assert (classroom.folder / "source" / "week2" / "01-positional_encoding.ipynb").is_file()


def without(notebook, *names):
    """A notebook without some of its named cells."""
    cells = [c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") not in names]
    return {**notebook, "cells": cells}


def deleted(notebook):
    """Without its test cells."""
    return without(
        notebook, *(f"{name}-{group}" for name in ("softmax", "attention") for group in ("visible", "hidden"))
    )


def edited(notebook):
    """Metadata as a student would like them: more points, no lock, another kind, unknown keys, no kernel there is."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"] |= {"points": 1000.0, "locked": False, "solution": True, "mine": [1]}
            cell["metadata"]["nbgrader"].pop("schema_version")
    notebook["metadata"]["kernelspec"] = {"name": "no-such-kernel", "display_name": "None", "language": "cobol"}
    return notebook


def doubled(notebook):
    """Every cell twice, under the same id."""
    return {**notebook, "cells": [copy.deepcopy(cell) for cell in notebook["cells"] for _ in range(2)]}


def reordered(notebook):
    """The graded cells first; the others keep their order, for Python reads from top to bottom."""
    first = [c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade")]
    return {**notebook, "cells": [*first, *(c for c in notebook["cells"] if c not in first)]}


def emptied(notebook):
    """The solution cells emptied."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            cell["source"] = ""
    return notebook


def of_version_3(notebook):
    """The notebook in the form that was used until 2015."""
    cells = []
    for cell in notebook["cells"]:
        old = {"cell_type": cell["cell_type"], "metadata": cell["metadata"]}
        text = "".join(cell["source"])
        old |= {"input": text, "outputs": [], "language": "python"} if cell["cell_type"] == "code" else {"source": text}
        cells.append(old)
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}


def with_output(notebook, megabytes):
    """One cell has printed very much."""
    notebook = copy.deepcopy(notebook)
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * (megabytes * 10**6)}]
    return notebook


def test_the_whole_cycle(classroom, course, grader):
    """From the release to the exported grades, with every kind of student; scores as `grade` gives them."""
    right, damage = classroom.right(), {"edited": edited, "doubled": doubled, "deleted": deleted}
    filled = {
        "ada": right,
        "bob": classroom.right({ANSWER: WRONG}),
        "eve": classroom.released,
        "mallory": classroom.right({ANSWER: HOSTILE}),
        **{student: {name: change(notebook) for name, notebook in right.items()} for student, change in damage.items()},
        "broken": {**right, SOFTMAX: "{"},
        "late": right,
    }
    homes = {student: classroom.home(student) for student in filled}
    classroom.run("release_assignment", ASSIGNMENT)
    listed = classroom.commands((homes["ada"], ["list"]), (homes["ada"], ["fetch_assignment", ASSIGNMENT]))
    assert f"llm {ASSIGNMENT}" in listed
    fetched = {path.name: json.loads(path.read_text()) for path in (homes["ada"] / ASSIGNMENT).glob("*.ipynb")}
    assert fetched == classroom.released

    for student, notebooks in filled.items():
        classroom.write(homes[student] / ASSIGNMENT, notebooks)
    submit = {name: (homes[name], ["submit", ASSIGNMENT, f"--student={name}"]) for name in homes}
    classroom.commands(*(submit[name] for name in homes if name != "late"))
    time.sleep(1.1)  # a due date has whole seconds
    due = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    time.sleep(1.1)
    classroom.commands(
        (classroom.folder, ["db", "assignment", "add", ASSIGNMENT, f"--duedate={due}"]),
        submit["late"],
        (classroom.folder, ["collect", ASSIGNMENT]),
        (classroom.folder, ["autograde", ASSIGNMENT]),
        (classroom.folder, ["generate_feedback", ASSIGNMENT]),
        (classroom.folder, ["release_feedback", ASSIGNMENT]),
        (classroom.folder, ["export"]),
        (homes["bob"], ["fetch_feedback", ASSIGNMENT, "--student=bob"]),
    )

    with open(classroom.folder / "grades.csv") as file:
        exported = {row["student_id"]: row for row in csv.DictReader(file)}
    assert set(exported) == set(filled)
    for student, row in exported.items():
        submission = read_submission(classroom.folder / "submitted" / student / ASSIGNMENT, course)
        assert float(row["raw_score"]) == grader.grade(submission).score, student
        assert float(row["max_score"]) == 20
    assert [float(exported[name]["score"]) for name in ("ada", "eve", "late")] == [20, 0, 0]
    assert [float(exported[name]["score"]) for name in (*damage, "broken")] == [20, 20, 20, 10]
    assert float(exported["late"]["raw_score"]) == 20  # on time it would have been worth that
    assert 10 <= float(exported["bob"]["score"]) < 20  # one mistake is charged once
    assert float(exported["mallory"]["score"]) == 10

    told = next((homes["bob"] / ASSIGNMENT).rglob("01-softmax.html")).read_text()
    assert "Hint: " in told
    assert "✗" in told
    feedback = "\n".join(path.read_text() for path in (classroom.folder / "feedback").rglob("*.html"))
    feedback = re.sub(r"<[^>]+>", "", feedback)
    assert "Traceback (most" not in feedback
    hidden = course.suite("softmax", "hidden").read_text().splitlines()
    code = [line.strip() for line in hidden if re.search(r"[=(].{12}", line) and "points(" not in line]
    assert not [line for line in code if line in feedback]


def test_damaged_notebooks_are_graded_for_what_is_there(classroom, course):
    """None of them ends the run or costs anybody else anything, and what is lost is lost with a sentence."""
    right = classroom.right()
    softmax, attention = right[SOFTMAX], right[ATTENTION]
    outcomes = {
        "no-answers": ({SOFTMAX: without(softmax, ANSWER), ATTENTION: attention}, None),
        "reordered": ({SOFTMAX: reordered(softmax), ATTENTION: attention}, 20),
        "emptied": ({SOFTMAX: emptied(softmax), ATTENTION: attention}, 10),
        "version-3": ({SOFTMAX: of_version_3(softmax), ATTENTION: attention}, 20),
        "large": ({SOFTMAX: with_output(softmax, 100), ATTENTION: attention}, 20),
        "one-only": ({ATTENTION: attention}, 10),
        "a-list": ({SOFTMAX: "[1]", ATTENTION: json.dumps({"cells": [{"cell_type": 7}, 3]})}, 0),
        "test-cell-edited": (
            {SOFTMAX: copy.deepcopy(softmax), ATTENTION: attention},
            20,
        ),
    }
    for cell in outcomes["test-cell-edited"][0][SOFTMAX]["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade"):
            cell["source"] = "raise SystemExit"
    for student, (notebooks, _) in outcomes.items():
        classroom.hand_in(student, notebooks)
    log = classroom.run("autograde", ASSIGNMENT)
    assert "Traceback" not in log
    classroom.run("generate_feedback", ASSIGNMENT)
    classroom.run("export")
    with open(classroom.folder / "grades.csv") as file:
        scores = {row["student_id"]: float(row["raw_score"]) for row in csv.DictReader(file)}
    assert {name: scores[name] for name, (_, score) in outcomes.items() if score is not None} == {
        name: score for name, (_, score) in outcomes.items() if score is not None
    }
    assert 10 < scores["no-answers"] < 20  # log_softmax alone
    broken = json.dumps(classroom.autograded("a-list", SOFTMAX))
    assert "cannot be read: it is not a notebook, or it is damaged" in broken
    for student in outcomes:
        for path in (classroom.folder / "autograded" / student).rglob("*.ipynb"):
            cells = classroom.cells(json.loads(path.read_text()))
            for name in (f"{path.stem[3:]}-visible", f"{path.stem[3:]}-hidden"):
                kinds = [output["output_type"] for output in cells[name]["outputs"]]
                assert kinds == ["display_data", "execute_result"]
