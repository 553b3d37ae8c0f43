"""GitHub's annotations: workflow commands that put each failure at the student's own line."""

from __future__ import annotations

from collections.abc import Sequence

from autograder.course import Course
from autograder.reports.gates import command_data, command_property
from autograder.reports.gradebook import Entry
from autograder.reports.places import annotations_of


def render(course: Course, entries: Sequence[Entry]) -> str:
    """One command a failure."""
    several = len(entries) > 1

    def whose(entry: Entry) -> str:
        return f"{entry.student}: " if several else ""

    commands = (
        f"::error file={command_property(t.file)},line={t.line},title={command_property(whose(entry) + t.title)}::"
        f"{command_data(t.text)}\n"
        for entry in entries
        for t in annotations_of(entry.grade)
    )
    return "".join(commands)
