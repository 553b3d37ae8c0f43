"""A student's own report, as a page."""

from __future__ import annotations

from collections.abc import Sequence

from autograder.course import Course
from autograder.reports.gradebook import Entry
from autograder.reports.pages import page


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The page of the only entry."""
    (entry,) = entries
    return page("student.html", course=course, entry=entry, title=f"{entry.student}: {course.title}")
