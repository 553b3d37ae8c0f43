"""Verdicts that still hold: an exercise that is as it was when it was last judged is not judged again.

One small file beside the state, with each exercise's last verdict and a digest of all that it depends on: its text and
those it builds on, the suites, the program, and the libraries' versions. It may be deleted at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from autograder.batch.results import exercise_digest
from autograder.course import Course, Exercise, foundations, holes
from autograder.declared import declared_tests
from autograder.files import digest, write_whole
from autograder.grades import ExerciseGrade, Grade, TestResult, as_json, from_json
from autograder.stubs import holes_of_stub, is_untouched
from autograder.submission import Submission

VERDICTS = ".autograder/verdicts.json"
FORMAT = 1


def untouched(course: Course, exercises: Iterable[Exercise], submission: Submission) -> dict[str, ExerciseGrade]:
    """The exercises that nobody has begun, as the grader would put it."""
    return {
        exercise.name: _not_started(course, exercise.name, source)
        for exercise in exercises
        if exercise.name not in submission.problems
        and (source := submission.sources.get(exercise.name)) is not None
        and holes(source)
        and is_untouched(course, exercise.name, source)
    }


def stored(course: Course, exercises: Iterable[Exercise], submission: Submission) -> dict[str, ExerciseGrade]:
    """The verdicts on file for which nothing has changed since."""
    entries = _entries(course)
    found = {}
    for exercise in exercises:
        with suppress(LookupError, TypeError, ValueError, AttributeError):
            entry = entries[exercise.name]
            if entry["key"] == _key(course, exercise, submission):
                (grade,) = from_json(entry["grade"]).exercises
                if grade.name == exercise.name:
                    left = tuple(holes(submission.sources.get(exercise.name, "")))
                    found[grade.name] = replace(grade, holes=left, holes_total=holes_of_stub(course, grade.name))
    return found


def keep(course: Course, grades: Iterable[ExerciseGrade], submission: Submission) -> None:
    """Puts verdicts on file. Where that cannot be, the next check judges again."""
    entries = dict(_entries(course))
    for grade in grades:
        if grade.status not in ("not_started", "missing", "timeout", "crashed", "not_graded"):
            text = as_json(Grade("", (grade,), "none"))
            entries[grade.name] = {"key": _key(course, course.exercise(grade.name), submission), "grade": text}
    kept = {name: entry for name, entry in entries.items() if name in course.names}
    with suppress(OSError):
        write_whole(course.root / VERDICTS, json.dumps({"format": FORMAT, "exercises": kept}) + "\n")


def _not_started(course: Course, name: str, source: str) -> ExerciseGrade:
    left = tuple(holes(source))
    said = f"{name}.py is not started: {len(left)} holes are left."
    tests = (
        TestResult(test.name, test.title, "visible", "not_run", 0.0, test.worth, said)
        for test in declared_tests(course.suite(name, "visible"))
    )
    return ExerciseGrade(name, "not_started", tuple(tests), holes=left, holes_total=len(left))


def _key(course: Course, exercise: Exercise, submission: Submission) -> str:
    names = [*foundations(course, exercise), exercise.name]
    texts = [[submission.sources.get(name), submission.problems.get(name)] for name in names]
    return digest(f"{exercise_digest(course, exercise)} {json.dumps(texts)}")


def _entries(course: Course) -> Mapping[str, Any]:
    try:
        data = json.loads((course.root / VERDICTS).read_text(encoding="utf-8"))
        return dict(data["exercises"]) if data["format"] == FORMAT else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
