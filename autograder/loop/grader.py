"""A grader for work in progress: an exercise is judged as soon as its first hole is filled.

A student's file stands where the untouched stub stood. So somebody else must know how many holes that had: the
solution, the release, or what is remembered from the first look.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

from autograder.course import Course, CourseError, Exercise
from autograder.diagnosis.fingerprints import read
from autograder.grades import Grade
from autograder.grading import VISIBLE, Grader
from autograder.isolation.near.worker import Worker
from autograder.loop.state import load, remember
from autograder.submission import read_submission

_ANSWER = re.compile(r"# (?:FINISH ME|BEGIN SOLUTION)\b")


@dataclass
class StudentGrader(Grader):
    """Grades what stands in `exercises/`.

    Attributes:
        untouched: how many holes exercises had when they were first seen.
    """

    untouched: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def ready(cls, course: Course, exercises: Sequence[Exercise], worker: Worker, untouched: Mapping[str, int]) -> Self:
        """A grader with the visible suites collected."""
        grader = cls.start(course, exercises, VISIBLE, worker, locked=False)
        assert isinstance(grader, cls)
        grader.untouched = untouched
        return grader

    def _holes_of_stub(self, name: str) -> int:
        known = _holes_of_solution(self.course, name) or _released(self.course, name) or self.untouched.get(name, 0)
        return known or super()._holes_of_stub(name)


def check(course: Course, exercises: Sequence[Exercise], worker: Worker) -> Grade:
    """Checks a student's own files, and remembers what came of it.

    Raises:
        CourseError: there is no folder `exercises`.
    """
    folder = course.root / "exercises"
    if not folder.is_dir():
        raise CourseError(f"There is no folder {folder}.")
    submission = read_submission(folder, course)
    grade = StudentGrader.ready(course, exercises, worker, load(course).untouched).grade(submission)
    remember(course, grade.exercises, submission)
    return grade


def _holes_of_solution(course: Course, name: str) -> int:
    path = course.solution(name)
    return marked_answers(path.read_text(encoding="utf-8")) if path.is_file() else 0


def marked_answers(solution: str) -> int:
    """How many answers a solution marks: its stub has as many holes, and takes a tenth of a second to make."""
    return len(_ANSWER.findall(solution))


def _released(course: Course, name: str) -> int:
    """How many holes the stub had when the course was released, where the release says it."""
    return _recorded(course.fingerprints(name))


@cache
def _recorded(path: Path) -> int:
    return int(read(path).get("holes", 0)) if path.is_file() else 0
