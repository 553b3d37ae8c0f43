"""How notebooks and graded cells are called: what is written once and must be found again in the gradebook."""

from __future__ import annotations

from autograder.course import Course
from autograder.grades import VISIBILITIES
from autograder.submission import module_name

GROUPS = VISIBILITIES  # a graded cell for each


def notebook_name(course: Course, exercise: str) -> str:
    """The exercise's notebook, numbered in the course's order: `01-softmax`."""
    return f"{course.names.index(exercise) + 1:02}-{exercise}"


def exercise_of(notebook: str, course: Course) -> str | None:
    """The exercise that a notebook is about; None when the instructor has added it."""
    name = module_name(notebook)
    return name if name in course.names else None


def test_cell(exercise: str, group: str) -> str:
    """The name of the cell that carries the points of the visible or the hidden tests."""
    return f"{exercise}-{group}"


def solution_cell(exercise: str, definition: str) -> str:
    """The name of the cell that holds a definition's holes."""
    return f"{exercise}-solution-{definition}"
