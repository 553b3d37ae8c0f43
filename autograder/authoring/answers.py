"""A right answer in another style, to compare one's own with: one that says in its docstring what it does better."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from autograder.course import Course, CourseError


def other_answer(course: Course, name: str) -> Path:
    """Where it is: among the answers in other styles, or where a release has it.

    Raises:
        CourseError: there is none yet.
    """
    for path in (*course.answers(name), course.other_answer(name)):
        if path.is_file() and described(path.read_text(encoding="utf-8"))[1]:
            return path
    raise CourseError(f"There is no other answer to {name} yet. Your instructor decides when there is.")


def described(text: str) -> tuple[str, str]:
    """An answer's style, and what it does better, as its docstring has it; empty where it does not say."""
    style, _, better = (ast.get_docstring(ast.parse(text)) or "").partition("\n\nBetter: ")
    return " ".join(style.split()), " ".join(better.split())


def given(course: Course, names: Sequence[str]) -> dict[PurePosixPath, str]:
    """What a release has of them, by path.

    Raises:
        CourseError: one of the exercises is not in the course, or has none.
    """
    return {
        PurePosixPath(course.other_answer(course.exercise(name).name).relative_to(course.root)): other_answer(
            course, name
        ).read_text(encoding="utf-8")
        for name in names
    }
