"""Gradescope's `results.json` for one submission: visible tests at once, hidden ones after the due date."""

from __future__ import annotations

import json
from collections.abc import Sequence

from autograder.course import Course
from autograder.reports.gates import visible
from autograder.reports.gradebook import Entry


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The results of the only entry."""
    (entry,) = entries
    tests = [
        {
            "name": f"{course.exercise(exercise.name).title}: {test.title}",
            "number": f"{place}.{number}",
            "score": test.score,
            "max_score": test.max_score,
            "status": "passed" if test.status == "passed" else "failed",
            "visibility": "visible" if test.visibility == "visible" else "after_due_date",
            "output": visible(test.feedback),
            "output_format": "text",
        }
        for place, exercise in enumerate(entry.grade.exercises, 1)
        for number, test in enumerate(exercise.tests, 1)
    ]
    # Hints are named on the evidence of hidden tests too; like them they wait for the due date.
    tests += [
        {
            "name": f"{course.exercise(exercise.name).title}: hints",
            "number": f"{place}.{len(exercise.tests) + 1}",
            "visibility": "after_due_date",
            "output": "\n".join([*(p.sentence for p in exercise.places), *(hint.text for hint in exercise.hints)]),
            "output_format": "text",
        }
        for place, exercise in enumerate(entry.grade.exercises, 1)
        if exercise.hints or exercise.places
    ]
    result = {
        "score": entry.score,
        "output": visible("\n".join((*entry.grade.notes, *entry.remarks))),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"versions": dict(entry.grade.versions)},
    }
    if not entry.grade.graded:  # then Gradescope takes it as a failure of the autograder, and counts nothing
        result = {key: value for key, value in result.items() if key not in ("score", "tests")}
    return json.dumps(result, indent=1, ensure_ascii=False) + "\n"
