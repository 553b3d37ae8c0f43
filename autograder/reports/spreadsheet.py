"""A CSV for a learning-management system: a row a student, a column an exercise."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from autograder.course import Course
from autograder.reports.gradebook import Entry


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The table, in the form of RFC 4180."""
    names = [name for name in course.names if any(e.name == name for entry in entries for e in entry.grade.exercises)]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["student", "submission", "score", "max_score", *names, "remarks"])
    for entry in entries:
        scores = {exercise.name: exercise.score for exercise in entry.grade.exercises}
        writer.writerow(
            [
                _cell(entry.student),
                _cell(entry.grade.submission),
                f"{entry.score:g}",
                f"{entry.grade.max_score:g}",
                *(f"{scores[name]:g}" if name in scores else "" for name in names),
                _cell(" ".join(entry.remarks)),
            ]
        )
    return out.getvalue()


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: a name is somebody else's input."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
