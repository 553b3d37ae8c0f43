"""GitHub's annotations: workflow commands that put each failure at the student's own line."""

from __future__ import annotations

from collections.abc import Sequence

from autograder.course import Course
from autograder.reports.gradebook import Entry
from autograder.reports.places import troubles


def render(course: Course, entries: Sequence[Entry]) -> str:
    """One command a failure."""
    commands = (
        f"::error file={_property(t.file)},line={t.line},title={_property(t.title)}::{_data(t.text)}\n"
        for entry in entries
        for t in troubles(entry.grade)
    )
    return "".join(commands)


def _data(text: str) -> str:
    # What student code printed or raised may be in here: escaped, no line of it can be a command of its own.
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
