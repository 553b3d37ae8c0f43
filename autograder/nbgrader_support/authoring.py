"""Writes the course folder that nbgrader works in: source notebooks from `solutions/`, and its configuration."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from autograder.authoring.lessons import lesson
from autograder.authoring.skeleton import stub
from autograder.course import Course, CourseError, Exercise
from autograder.files import TEMPLATES, write_whole
from autograder.grading import EVERYTHING
from autograder.nbgrader_support.names import GROUPS, notebook_name, solution_cell, test_cell
from autograder.submission import module_name
from autograder.suites.runner import Suites

CONFIG = "nbgrader_config.py"
_TEMPLATE = TEMPLATES / "nbgrader" / "nbgrader_config.py.txt"
_SETUP = """\
# For `%check`, and so that earlier exercises can be imported. No module named autograder? Install the course first.
%load_ext autograder.notebook"""
_TESTS = {
    "visible": "# Run the cells above, then this one: it checks your answers as they stand now.\n%check {name}",
    "hidden": "# The hidden tests run when your notebook is graded. There is nothing to do here.",
}


def write_course(course: Course, folder: Path, exercises: Sequence[Exercise], assignment: str) -> list[Path]:
    """Writes one assignment's source notebooks and, where there is none yet, the configuration.

    Grade ids follow from names in the course alone, so that writing again keeps them.

    Returns:
        The files that were written.

    Raises:
        CourseError: a file of the instructor's lies in the way, or a solution is missing or wrong.
    """
    source = folder / "source" / assignment
    stems = _stems(course, exercises, source)
    if source.is_dir():
        for path in sorted(source.iterdir()):
            if path.suffix == ".py" or (path.suffix == ".ipynb" and path.stem not in stems.values()):
                raise CourseError(f"{path} is no notebook of this assignment, and students would get it. Move it away.")
    suites = Suites(course, exercises, EVERYTHING)
    notebooks = {}
    for exercise in exercises:
        points: dict[str, float] = dict.fromkeys(GROUPS, 0.0)
        for test in suites.tests(exercise.name):
            points[test.visibility] += test.worth
        notebooks[source / f"{stems[exercise.name]}.ipynb"] = nbformat.writes(notebook(course, exercise.name, points))
    texts = {path: text if text.endswith("\n") else f"{text}\n" for path, text in notebooks.items()}
    if not (folder / CONFIG).exists():
        texts[folder / CONFIG] = configuration(course)
    try:
        for path, text in texts.items():
            write_whole(path, text)
    except OSError as error:
        raise CourseError(f"{folder} cannot be written: {error}.") from None
    return list(texts)


def _stems(course: Course, exercises: Sequence[Exercise], source: Path) -> dict[str, str]:
    """What each exercise's notebook is called: one that is there keeps its name, for it may be out already.

    nbgrader knows notebooks by their names, and takes no other one for them once something was handed in.
    """
    there: dict[str, str] = {}
    for path in sorted(source.glob("*.ipynb")):
        there.setdefault(module_name(path.stem), path.stem)
    return {exercise.name: there.get(exercise.name, notebook_name(course, exercise.name)) for exercise in exercises}


def course_id(course: Course) -> str:
    """The course's name for the exchange: its title, in letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", course.title.lower()).strip("-")


def configuration(course: Course) -> str:
    """The text of `nbgrader_config.py`."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    return text.replace("@COURSE_ID@", json.dumps(course_id(course))).replace("@COURSE@", json.dumps(str(course.root)))


def notebook(course: Course, name: str, points: dict[str, float]) -> NotebookNode:
    """An exercise's source notebook: its solution's cells, and the graded cells after the last of its answers."""
    try:
        text = course.solution(name).read_text(encoding="utf-8")
    except OSError as error:
        raise CourseError(f"{course.solution(name)} cannot be read: {error.strerror}") from None
    setup = new_code_cell(_SETUP, metadata={"nbgrader": _metadata(f"{name}-setup", locked=True)})
    tests = [_test_cell(name, group, points[group]) for group in GROUPS]
    written = lesson(name, text, _is_answer, setup, tests)
    for cell in written.cells:
        if cell.cell_type == "code" and _is_answer(cell.source):
            defined = (n.name for n in ast.parse(cell.source).body if isinstance(n, (ast.FunctionDef, ast.ClassDef)))
            definition = next(defined, "step")
            cell.metadata["nbgrader"] = _metadata(solution_cell(name, definition), solution=True)
    return written


def _is_answer(source: str) -> bool:
    """Whether a solution's cell holds an answer."""
    return ("# FINISH ME" in source or "# BEGIN SOLUTION" in source) and stub(source) != source


def _test_cell(name: str, group: str, points: float) -> NotebookNode:
    metadata = _metadata(test_cell(name, group), grade=True, locked=True, points=points)
    return new_code_cell(_TESTS[group].format(name=name), metadata={"nbgrader": metadata})


def _metadata(grade_id: str, **values: object) -> dict[str, object]:
    return {
        "schema_version": 3,
        "grade_id": grade_id,
        "grade": False,
        "solution": False,
        "locked": False,
        "task": False,
        **values,
    }
