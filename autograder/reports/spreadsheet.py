"""A CSV for a learning-management system: a row a student, a column an exercise."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from autograder.course import Course
from autograder.reports.gates import cell
from autograder.reports.gradebook import Entry


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The table, in the form of RFC 4180."""
    names = [name for name in course.names if any(e.name == name for entry in entries for e in entry.grade.exercises)]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    parts = list(dict.fromkeys(name for entry in entries for name in entry.parts))
    columns = [*(f"assignment {cell(name)}" for name in parts), *names]
    writer.writerow(["student", "id", "submission", "score", "max_score", *columns, "problem", "remarks"])
    for entry in entries:
        has_points = entry.status in ("graded", "unmatched")
        writer.writerow(
            [
                cell(entry.student),
                cell(entry.id),
                cell(entry.grade.submission if entry.status != "absent" else ""),
                _points(entry.score) if has_points else "",
                _points(entry.max_score) if entry.max_score else "",
                *(_points(entry.parts[name].score) if _has(entry, name) else "" for name in parts),
                *(_points(entry.scores[name]) if name in entry.scores and has_points else "" for name in names),
                cell(_problem(entry)),
                cell(" ".join((*entry.remarks, *entry.grade.notes))),
            ]
        )
    return out.getvalue()


def _points(number: float) -> str:
    return f"{round(number, 4):.10g}"


def _has(entry: Entry, part: str) -> bool:
    return part in entry.parts and entry.parts[part].status in ("graded", "unmatched")


def _problem(entry: Entry) -> str:
    """Why there are no points, or fewer than there might be, in words that can be filtered for."""
    grade = entry.grade
    if entry.status == "unreadable":
        return f"unreadable: {grade.unreadable}"
    if entry.status != "graded":
        return entry.status
    kinds = ("missing", "error", "timeout", "crashed", "not_started")
    named = [f"{exercise.name} {exercise.status}" for exercise in grade.exercises if exercise.status in kinds]
    return ", ".join(named).replace("_", " ")
