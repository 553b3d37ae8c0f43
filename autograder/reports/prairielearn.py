"""PrairieLearn's `results.json` of an external grader, for one submission."""

from __future__ import annotations

import json
from collections.abc import Sequence

from autograder.course import Course
from autograder.reports.gates import visible
from autograder.reports.gradebook import Entry


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The results of the only entry. What cannot be read is not gradable, so that it costs no attempt."""
    (entry,) = entries
    if entry.grade.unreadable:
        data: dict[str, object] = {"gradable": False, "format_errors": [visible(entry.grade.unreadable)]}
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    tests = [
        {
            "name": f"{course.exercise(exercise.name).title}: {test.title}",
            "points": test.score,
            "max_points": test.max_score,
            "message": visible(test.feedback),
        }
        for exercise in entry.grade.exercises
        for test in exercise.tests
    ]
    hints = [hint.text for exercise in entry.grade.exercises for hint in exercise.hints]
    data = {
        "gradable": True,
        "score": round(min(entry.score / entry.max_score, 1.0), 6) if entry.max_score else 0.0,
        "message": visible("\n".join((*entry.remarks, *entry.grade.notes, *hints))),
        "tests": tests,
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
