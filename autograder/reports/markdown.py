"""A Markdown summary: the table, and below it what is wrong. GitHub shows it as a job's summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autograder.course import Course
from autograder.reports.gates import fenced
from autograder.reports.gates import markdown as plain
from autograder.reports.gradebook import Entry
from autograder.reports.places import annotations_of

_MARKS = {"passed": "✅", "failed": "❌", "not_started": "⬜", "missing": "❔"}
LIMIT = 900_000  # bytes; GitHub shows nothing of a summary above 1 MiB


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The summary."""
    text = "\n".join(line for entry in entries for line in _of(course, entry)) + "\n"
    data = text.encode("utf-8", "backslashreplace")
    return text if len(data) <= LIMIT else data[:LIMIT].decode("utf-8", "ignore") + "\n\n…and more.\n"


def _of(course: Course, entry: Entry) -> Iterator[str]:
    grade = entry.grade
    yield f"## {plain(entry.student)}: {entry.score:g} of {entry.max_score:g}\n"
    yield from (f"*{plain(remark)}*\n" for remark in (*entry.remarks, *grade.notes))
    yield "| exercise | | score | tests passed |"
    yield "| --- | --- | ---: | ---: |"
    for exercise in grade.exercises:
        passed = sum(test.status == "passed" for test in exercise.tests)
        status = f"{_MARKS.get(exercise.status, '❌')} {exercise.status.replace('_', ' ')}"
        title = plain(course.exercise(exercise.name).title)
        yield (
            f"| {title} | {status} | {exercise.score:g}/{exercise.max_score:g} | {passed} of {len(exercise.tests)} |"
        )
    yield ""
    for found in annotations_of(grade):
        yield f"<details><summary>{plain(found.file)} line {found.line}: {plain(found.title)}</summary>\n"
        yield f"{fenced(found.text)}\n\n</details>\n"
