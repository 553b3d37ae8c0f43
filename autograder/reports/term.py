"""Several assignments' results as one gradebook: an entry a person, with a part for each assignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from autograder.course import Course, CourseError
from autograder.grades import Grade
from autograder.reports.formats import read_course_results
from autograder.reports.gradebook import Entry, gradebook
from autograder.term.assignments import find
from autograder.term.attempts import refusals
from autograder.term.groups import Group, read_groups
from autograder.term.results import assignment_of
from autograder.term.roster import people


def read_term(course: Course, folders: Sequence[Path], roster: Path | None = None, assignment: str = "") -> list[Entry]:
    """The entries of one folder of results, or of several assignments' together.

    Args:
        course: the course.
        folders: of one assignment each.
        roster: the people; else `roster.csv` in the first folder or beside it, if there is one.
        assignment: what a single folder is of, where it does not say so.

    Raises:
        CourseError: something beside the grades makes no sense.
    """
    everybody = people(folders[0], roster)
    named = [(assignment_of(folder, assignment if len(folders) == 1 else ""), folder) for folder in folders]
    if len({name for name, _ in named}) < len(named):
        raise CourseError("Two of the folders are of the same assignment.")
    # Late days are used up in the order in which work was due, whatever the order in which it is reported.
    last = datetime.max.replace(tzinfo=UTC)
    ordered = sorted(named, key=lambda pair: find(course, pair[0]).deadline or last)
    spent: dict[str, int] = {}
    found: dict[str, list[Entry]] = {}
    for name, folder in ordered:
        grades = read_course_results(course, folder)
        found[name] = gradebook(course, grades, folder, name, everybody, spent, refusals(folder))
        found[name] = [_grouped(entry, read_groups(folder)) for entry in found[name]]
        for entry in found[name]:
            spent[entry.id] = spent.get(entry.id, 0) + entry.late_days
    if len(named) == 1:
        return found[named[0][0]]
    return joined({name: found[name] for name, _ in named})


def _grouped(entry: Entry, groups: Sequence[Group]) -> Entry:
    names = entry.grade.submission.split(" + ")
    return replace(entry, groups=tuple(group.id for group in groups if set(names) & set(group.submissions)))


def joined(parts: dict[str, list[Entry]]) -> list[Entry]:
    """One entry a person, whose grade holds the exercises of all assignments; an entry of nobody stays by itself."""
    worth = {name: max((entry.max_score for entry in entries), default=0.0) for name, entries in parts.items()}
    by_person: dict[tuple[str, str], dict[str, Entry]] = {}
    for name, entries in parts.items():
        for entry in entries:
            # Without a roster a name is all that there is; what nobody handed in may have the name of somebody.
            key = (entry.id, "") if entry.id else (f"{name}\0{entry.student}", "unmatched")
            by_person.setdefault(key, {})[name] = entry
    return [_joined(own, worth) for own in by_person.values()]


def _joined(parts: dict[str, Entry], worth: dict[str, float]) -> Entry:
    counted = [entry for entry in parts.values() if entry.status != "excused"]
    graded = [entry for entry in counted if entry.status in ("graded", "unmatched")]
    first = next(iter(graded or counted or parts.values()))
    exercises = tuple(exercise for entry in graded for exercise in entry.grade.exercises)
    notes = tuple(dict.fromkeys(note for entry in graded for note in entry.grade.notes))
    protection = "none" if any(not entry.grade.protected for entry in graded) else first.grade.protection
    grade = Grade(first.grade.submission, exercises, protection, notes)
    remarks = tuple(f"{name}: {remark}" for name, entry in parts.items() for remark in entry.remarks)
    return replace(
        first,
        grade=grade if graded else first.grade,
        score=round(sum(entry.score for entry in graded), 2),
        # What was not handed in counts as nothing of its points; what could not be read is still to be settled.
        worth=sum(worth[name] for name, entry in parts.items() if entry.status not in ("excused", "unreadable")),
        remarks=remarks,
        attempts=(),
        groups=tuple(group for entry in graded for group in entry.groups),
        scores={name: score for entry in graded for name, score in entry.scores.items()},
        parts=parts,
        late_days=sum(entry.late_days for entry in parts.values()),
    )
