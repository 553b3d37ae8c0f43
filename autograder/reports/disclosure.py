"""What a student is told of hidden tests, as the assignment says it.

A hidden test tells a little each time. How much is the instructor's choice: all titles, how many pass, the first that
fails, or nothing until the deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from autograder.course import Course
from autograder.grades import ExerciseGrade, Grade, TestResult, TestStatus
from autograder.reports.gradebook import Entry
from autograder.term.assignments import Assignment, assignments, whole

_LATER = "The hidden tests are counted after the deadline; these are the visible ones."


def disclosed(course: Course, entry: Entry, now: datetime) -> Entry:
    """The entry as its student may see it."""
    known = [*assignments(course), whole(course)]

    def shown(exercise: ExerciseGrade) -> ExerciseGrade:
        # The first that names the exercise; the whole course comes last and names them all.
        return _exercise(exercise, next(a for a in known if exercise.name in a.exercises), now)

    exercises = tuple(shown(exercise) for exercise in entry.grade.exercises)
    if exercises == entry.grade.exercises:
        return entry
    grade: Grade = replace(entry.grade, exercises=exercises)
    if grade.max_score == entry.grade.max_score:
        return replace(entry, grade=grade)
    # A sum that holds the hidden tests' points would tell what the tests may not.
    scores = {exercise.name: exercise.score for exercise in exercises}
    return replace(entry, grade=grade, score=grade.score, worth=None, scores=scores, attempts=(), remarks=(_LATER,))


def _exercise(exercise: ExerciseGrade, assignment: Assignment, now: datetime) -> ExerciseGrade:
    tells = assignment.tells
    if tells == "nothing":
        tells = "titles" if assignment.is_over(now) else "nothing"
    hidden = [test for test in exercise.tests if test.visibility == "hidden"]
    if tells == "titles" or not hidden:
        return exercise
    visible = tuple(test for test in exercise.tests if test.visibility != "hidden")
    if tells == "nothing":
        status = exercise.status
        if status in ("passed", "failed"):
            status = "failed" if _fails(visible) else "passed"
        return replace(exercise, tests=visible, status=status, hints=(), places=(), output="")
    failed = [test for test in hidden if test.status != "passed"]
    # Hints and places are found on the evidence of hidden tests too, and may say more than the tests themselves.
    hints, places = (exercise.hints, exercise.places) if _fails(visible) else ((), ())
    told = [_summed(hidden)] if tells == "count" else _first(hidden, failed)
    return replace(exercise, tests=(*visible, *told), hints=hints, places=places)


def _fails(tests: Sequence[TestResult]) -> bool:
    return any(test.status != "passed" for test in tests)


def _summed(tests: Sequence[TestResult], name: str = "hidden", title: str = "Hidden tests") -> TestResult:
    """Several tests as one row, with their points."""
    passed = sum(test.status == "passed" for test in tests)
    score, most = (round(sum(values), 6) for values in zip(*((t.score, t.max_score) for t in tests), strict=True))
    idle = all(test.status == "not_run" for test in tests)
    status: TestStatus = "passed" if passed == len(tests) else "not_run" if idle else "failed"
    said = f"{passed} of {len(tests)} pass." if name == "hidden" else ""
    return TestResult(name, title, "hidden", status, score, most, said)


def _first(hidden: Sequence[TestResult], failed: Sequence[TestResult]) -> list[TestResult]:
    if not failed:
        return [_summed(hidden)]
    others = [test for test in hidden if test is not failed[0]]
    return [failed[0], *([_summed(others, "hidden-others", "The other hidden tests")] if others else [])]
