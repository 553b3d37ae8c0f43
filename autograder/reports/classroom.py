"""A class's report, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median

from markupsafe import Markup

from autograder.course import Course
from autograder.reports import charts
from autograder.reports.gradebook import Entry
from autograder.reports.pages import page
from autograder.reports.statistics import items, mistakes, read

_APART = {
    "unreadable": "could not be read",
    "absent": "handed in nothing",
    "excused": "are excused",
    "unmatched": "match nobody in the roster",
}


def render(course: Course, entries: Sequence[Entry]) -> str:
    """The page."""
    counted = read(entries)
    percents = [_percent(entry.score, entry) for entry in counted]
    passed: dict[str, list[bool]] = {}
    for entry in counted:
        for exercise in entry.grade.exercises:
            passed.setdefault(exercise.name, []).append(exercise.status == "passed")
    labels = [course.exercise(name).title for name in passed]
    several = [[_percent(score, entry) for score in entry.attempts] for entry in counted if len(entry.attempts) > 1]
    return page(
        "class.html",
        title=f"{course.title}: the class",
        course=course,
        entries=counted,
        apart={kind: [entry for entry in entries if entry.status == status] for status, kind in _APART.items()},
        names=list(passed),
        mean=mean(percents) if percents else 0.0,
        median=median(percents) if percents else 0.0,
        # Charts are our own markup, made by a library that escapes what it writes.
        distribution=Markup(charts.distribution(percents)),
        exercises=Markup(
            charts.bars(labels, [100 * mean(p) for p in passed.values()], "exercises", "passed in full (percent)")
        )
        if passed
        else "",
        attempts=Markup(charts.attempts(several)) if several else "",
        items=items(entries),
        mistakes=mistakes(entries),
    )


def _percent(score: float, entry: Entry) -> float:
    return 100 * score / entry.max_score if entry.max_score else 0.0
