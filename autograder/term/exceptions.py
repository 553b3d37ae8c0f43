"""An instructor's word, each with its reason: overrides of scores, extensions, and work that is excused."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from autograder.course import Course, CourseError
from autograder.grades import Grade
from autograder.term.assignments import Assignment, assignments, is_number
from autograder.term.roster import Person, Roster, folded

OVERRIDES, EXCEPTIONS = "overrides.toml", "exceptions.toml"


@dataclass(frozen=True)
class Override:
    """The score of a submission, or of one of its exercises, and why."""

    submission: str
    score: float
    reason: str
    exercise: str | None = None


@dataclass(frozen=True)
class Allowance:
    """What holds for a person, in one assignment or in all.

    Attributes:
        assignment: its name; empty for all.
        extension: how much later the work is due.
        deadline: when it is due instead; goes before `extension`.
        excused: whether nothing is expected.
    """

    person: str
    reason: str
    assignment: str = ""
    extension: timedelta = timedelta()
    deadline: datetime | None = None
    excused: bool = False

    def extra(self, assignment: Assignment) -> timedelta:
        """How much later than everybody else's this person's work is due."""
        if self.deadline is not None and assignment.deadline is not None:
            return max(self.deadline - assignment.deadline, timedelta())
        return self.extension


def read_overrides(path: Path, grades: Sequence[Grade]) -> dict[str, list[Override]]:
    """The overrides by submission; none where there is no file.

    Raises:
        CourseError: an entry makes no sense.
    """
    names = {folded(grade.submission): grade.submission for grade in grades}
    worth = {g.submission: {e.name: e.max_score for e in g.exercises} for g in grades}
    found: dict[str, list[Override]] = {}
    for number, entry in enumerate(_entries(path, "override"), 1):
        where = f"{path}, override {number}"
        _known(where, entry, ("submission", "score", "reason"), ("exercise",))
        name = names.get(folded(entry["submission"]))
        if name is None:
            near = difflib.get_close_matches(folded(entry["submission"]), names, 1)
            meant = f" Is {names[near[0]]!r} meant?" if near else ""
            raise CourseError(f"{where}: there is no grade of {entry['submission']}.{meant}")
        exercise, score = entry.get("exercise"), entry["score"]
        if exercise is not None and exercise not in worth[name]:
            raise CourseError(f"{where}: {name} has no exercise {exercise}.")
        most = worth[name][exercise] if exercise else sum(worth[name].values())
        if not is_number(score) or score < 0:
            raise CourseError(f"{where}: the score for {name} is no number of points.")
        if score > most:
            raise CourseError(f"{where}: {score:g} points are more than the {most:g} that there are.")
        if any(other.exercise == exercise for other in found.get(name, ())):
            raise CourseError(f"{where}: {exercise or 'the score'} of {name} has another one. Which one holds?")
        found.setdefault(name, []).append(Override(name, float(score), _reason(where, entry), exercise))
    return found


def read_exceptions(path: Path, course: Course, roster: Roster) -> list[Allowance]:
    """Extensions and excuses; none where there is no file.

    Raises:
        CourseError: an entry makes no sense.
    """
    known = {assignment.name: assignment for assignment in assignments(course)}
    found = []
    for number, entry in enumerate(_entries(path, "exception"), 1):
        where = f"{path}, exception {number}"
        _known(where, entry, ("person", "reason"), ("assignment", "extension_hours", "deadline", "excused"))
        name, hours = entry.get("assignment", ""), entry.get("extension_hours", 0)
        deadline, excused = entry.get("deadline"), entry.get("excused", False)
        person = roster.find(str(entry["person"])) if roster.people else Person(entry["person"], entry["person"])
        if person is None:
            raise CourseError(f"{where}: {entry['person']!r} is nobody in the roster, or more than one.")
        if name and name not in known:
            raise CourseError(f"{where}: there is no assignment {name!r}; there are: {', '.join(known) or 'none'}.")
        if deadline is not None and (not isinstance(deadline, datetime) or deadline.tzinfo is None):
            raise CourseError(f"{where}: a deadline is a time with its zone, as 2027-01-31T23:59:00+01:00.")
        if not is_number(hours) or hours < 0:
            raise CourseError(f"{where}: extension_hours is a number of hours, 0 or more.")
        if not isinstance(excused, bool):
            raise CourseError(f"{where}: excused is true or false.")
        if not (hours or deadline or excused):
            raise CourseError(f"{where}: it changes nothing. Add extension_hours, deadline or excused = true.")
        extension = timedelta(hours=hours)
        found.append(Allowance(person.id, _reason(where, entry), name, extension, deadline, excused))
    return found


def holding(exceptions: Iterable[Allowance], person: str, assignment: Assignment) -> list[Allowance]:
    """The exceptions that hold for a person in an assignment."""
    return [e for e in exceptions if e.person == person and e.assignment in ("", assignment.name)]


def _entries(path: Path, kind: str) -> list[Mapping[str, Any]]:
    if not path.is_file():
        return []
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CourseError(f"{path} cannot be used: {error}") from None
    entries = table.get(kind, [])
    if set(table) - {kind} or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CourseError(f"{path} holds [[{kind}]] entries and nothing else.")
    return entries


def _known(where: str, entry: Mapping[str, Any], needed: Sequence[str], optional: Sequence[str]) -> None:
    if missing := [name for name in needed if name not in entry]:
        raise CourseError(f"{where}: it has no {missing[0]}.")
    if unknown := set(entry) - {*needed, *optional}:
        raise CourseError(f"{where}: {', '.join(sorted(unknown))} is unknown.")
    for name in (needed[0], "exercise", "assignment"):
        if not isinstance(entry.get(name, ""), str):
            raise CourseError(f"{where}: {name} is a text.")


def _reason(where: str, entry: Mapping[str, Any]) -> str:
    if not str(entry["reason"]).strip():
        raise CourseError(f"{where}: it gives no reason.")
    return str(entry["reason"]).strip()
