"""A grader for work in progress: an exercise is judged as soon as its first hole is filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Self

from autograder.course import Course, CourseError, Exercise, holes
from autograder.grades import ExerciseGrade, Grade
from autograder.grading import VISIBLE, Grader
from autograder.isolation.near.worker import Worker
from autograder.loop.state import load, remember
from autograder.skeleton import stub
from autograder.submission import Submission, read_submission

_UNKNOWN = 10**6  # holes: more than any exercise has, so that every text is judged


@dataclass
class StudentGrader(Grader):
    """Grades what stands in `exercises/`, where the untouched stub is no longer there to be compared with.

    Attributes:
        untouched: how many holes an exercise had when it was last seen not started, where somebody remembers.
    """

    untouched: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def ready(cls, course: Course, exercises: Sequence[Exercise], worker: Worker, untouched: Mapping[str, int]) -> Self:
        """A grader with the visible suites collected."""
        grader = cls.start(course, exercises, VISIBLE, worker, locked=False)
        assert isinstance(grader, cls)
        grader.untouched = untouched
        return grader

    def grade_exercise(
        self, submission: Submission, exercise: Exercise, earlier: dict[str, ExerciseGrade]
    ) -> ExerciseGrade:
        """See `Grader`. Where nobody remembers the stub, what earns nothing and has holes is not started."""
        grade = super().grade_exercise(submission, exercise, earlier)
        if grade.holes_total < _UNKNOWN:
            return grade
        grade = replace(grade, holes_total=len(grade.holes))
        if grade.holes and grade.status == "failed" and not grade.score:
            left = f"{exercise.name}.py is not started: {len(grade.holes)} holes are left."
            tests = tuple(replace(test, status="not_run", feedback=left) for test in grade.tests)
            return replace(grade, status="not_started", tests=tests, hints=())
        return grade

    def _holes_of_stub(self, name: str) -> int:
        return _holes_of_solution(self.course, name) or self.untouched.get(name, 0) or _UNKNOWN


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


@cache
def _count(solution: str) -> int:
    return len(holes(stub(solution)))


def _holes_of_solution(course: Course, name: str) -> int:
    path = course.solution(name)
    return _count(path.read_text(encoding="utf-8")) if path.is_file() else 0
