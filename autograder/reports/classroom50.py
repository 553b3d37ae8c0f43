"""Classroom 50's `result.json` (classroom50/result/v1), for one submission.

Its runner says in the environment what is being graded. Its points are whole numbers, so ours are multiplied until they
are whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime

from autograder.course import Course, CourseError
from autograder.reports.gates import visible
from autograder.reports.gradebook import Entry

_FACTORS = (1, 2, 4, 5, 10, 20, 100)
_NEEDED = ("CLASSROOM", "ASSIGNMENT", "SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL")


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The result of the only entry.

    Raises:
        CourseError: this is not run by Classroom 50's runner.
    """
    (entry,) = entries
    if missing := [name for name in _NEEDED if not os.environ.get(name)]:
        raise CourseError(f"classroom50 is for Classroom 50's own runner, which sets {missing[0]}. It is not set here.")
    named = [(exercise, test) for exercise in entry.grade.exercises for test in exercise.tests]
    points = [number for _, test in named for number in (test.score, test.max_score)]
    factor = next((f for f in _FACTORS if all((number * f).is_integer() for number in points)), 100)
    tests = [
        {
            "test-name": f"{course.exercise(exercise.name).title}: {test.title}",
            "passed": test.status == "passed",
            "score": round(test.score * factor),
            "max-score": round(test.max_score * factor),
            "message": visible(test.feedback),
        }
        for exercise, test in named
    ]
    environment = os.environ
    data = {
        "schema": "classroom50/result/v1",
        "classroom": environment["CLASSROOM"],
        "assignment": environment["ASSIGNMENT"],
        "assignment_type": environment.get("ASSIGNMENT_TYPE") or "individual",
        "owner": environment.get("OWNER") or environment.get("USERNAME") or entry.student,
        "submission": environment["SUBMISSION_TAG"],
        "commit": environment["COMMIT_URL"],
        "release": environment["RELEASE_URL"],
        "review": environment.get("REVIEW_URL") or environment["COMMIT_URL"],
        "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": sum(round(test.score * factor) for _, test in named),
        "max-score": sum(round(test.max_score * factor) for _, test in named),
        "tests": tests,
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
