"""`handed-in.csv`: whose a submission is, and when it came."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autograder.course import CourseError
from autograder.term.roster import Person, Roster, folded, read_table

HANDED_IN = "handed-in.csv"


@dataclass(frozen=True)
class HandIn:
    """One submission as it arrived.

    Attributes:
        students: whose it is: one, or the members of a group.
        time: when it came; None where nobody knows.
        late: whether a system marked it as late, which some do without a time.
    """

    students: tuple[str, ...]
    time: datetime | None = None
    late: bool = False


def read_handed_in(path: Path, submissions: Collection[str] | None = None) -> dict[str, HandIn]:
    """What the file says, by submission; nothing where there is no file.

    Args:
        path: with the columns submission, student and time, and perhaps late. A submission of several students has a
            row for each.
        submissions: all that there are; None: whatever the file names.

    Raises:
        CourseError: it cannot be read, or a row makes no sense; with its line.
    """
    if not path.is_file():
        return {}
    table = read_table(path)
    if missing := [name for name in ("submission", "student", "time") if name not in table.header]:
        raise CourseError(f"{path} needs the columns submission, student and time (ISO 8601); {missing[0]} is missing.")
    exact = {row["submission"] for _, row in table.rows} if submissions is None else set(submissions)
    known = {folded(name): name for name in exact}
    found: dict[str, HandIn] = {}
    lines: dict[tuple[str, str], int] = {}
    for line, row in table.rows:
        name = row["submission"] if row["submission"] in exact else known.get(folded(row["submission"]), "")
        if not name:
            raise CourseError(f"{path}, line {line}: there is no submission {row['submission']!r}.{_near(row, known)}")
        student = " ".join(row["student"].split())
        if not student:
            raise CourseError(f"{path}, line {line}: {name} has no student.")
        if (earlier := lines.setdefault((name, folded(student)), line)) != line:
            raise CourseError(f"{path}, line {line}: {name} was given to {student} already, in line {earlier}.")
        time, late = _time(path, line, name, row["time"]), row.get("late", "").strip().lower() in ("yes", "true", "1")
        before = found.get(name)
        if before and before.time != time:
            raise CourseError(f"{path}, line {line}: {name} came at another time before, and can have come only once.")
        found[name] = HandIn((*(before.students if before else ()), student), time, late)
    return found


def owners(submission: str, handed_in: Mapping[str, HandIn], roster: Roster, *, groups: bool) -> list[Person]:
    """Whose a submission is; nobody's when there is a roster and no one in it is meant.

    Args:
        submission: its name.
        handed_in: whose each is, where it is said; else its name says it.
        roster: the people; where there are none, whoever is named is one.
        groups: whether it is also that of the others in a person's group.
    """
    named = handed_in[submission].students if submission in handed_in else (submission,)
    if not roster.people:
        return [Person(name, name) for name in named]
    found: dict[str, Person] = {}
    for name in named:
        if person := roster.find(name):
            group = roster.members(person.group) if groups else []
            found.update({member.id: member for member in group or [person]})
    return list(found.values())


def _time(path: Path, line: int, name: str, text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise CourseError(
            f"{path}, line {line}: {text!r} is no time. Write it as 2027-01-31T23:59:00+01:00 (ISO 8601)."
        ) from None
    if time.tzinfo is None:
        raise CourseError(f"{path}, line {line}: the time of {name} has no zone, as in 2027-01-31T23:59:00+01:00.")
    return time


def _near(row: Mapping[str, str], known: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(folded(row["submission"]), known, 1)
    return f" Is {known[near[0]]!r} meant?" if near else ""
