"""Grades as they count: late work, attempts and an instructor's overrides, applied here and never to a stored grade.

Beside the grades in a folder of results may lie `handed-in.csv` (submission,student,time) and `overrides.toml`.
"""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from autograder.course import Course, CourseError
from autograder.grades import Grade

HANDED_IN, OVERRIDES = "handed-in.csv", "overrides.toml"


@dataclass(frozen=True)
class Policy:
    """The `[policy]` of course.toml.

    Attributes:
        deadline: when work is due; None: never.
        grace: how long after it work still counts as in time.
        penalty: the percent of the score that every begun day costs after that.
        attempt: whether a student's "best" or "last" attempt counts.
    """

    deadline: datetime | None = None
    grace: timedelta = timedelta()
    penalty: float = 0.0
    attempt: str = "best"

    def deduction(self, time: datetime | None) -> tuple[int, float]:
        """How many days late, and the part of the score that it costs."""
        if time is None or self.deadline is None or time <= self.deadline + self.grace:
            return 0, 0.0
        days = math.ceil((time - self.deadline) / timedelta(days=1))
        return days, min(1.0, days * self.penalty / 100)


@dataclass(frozen=True)
class Override:
    """An instructor's word: the score of a submission, or of one of its exercises, and why."""

    submission: str
    score: float
    reason: str
    exercise: str | None = None


@dataclass(frozen=True)
class Entry:
    """A student's grade as it counts.

    Attributes:
        grade: what the grader found, of the attempt that counts.
        score: what counts.
        remarks: why it is not the grade's own score, in sentences.
        attempts: the scores that all attempts would count with, in the order of time.
    """

    student: str
    grade: Grade
    score: float
    remarks: tuple[str, ...] = ()
    attempts: tuple[float, ...] = ()


def read_policy(course: Course) -> Policy:
    """The course's policy.

    Raises:
        CourseError: it makes no sense.
    """
    table = dict(course.policy)
    deadline, grace = table.pop("deadline", None), table.pop("grace_hours", 0)
    penalty, attempt = table.pop("penalty_percent_per_day", 0), table.pop("attempt", "best")
    if table:
        raise CourseError(f"course.toml: the policy's {', '.join(sorted(table))} is unknown.")
    if deadline is not None and (not isinstance(deadline, datetime) or deadline.tzinfo is None):
        raise CourseError("course.toml: the policy's deadline is a time with its zone, as 2027-01-31T23:59:00+01:00.")
    if not _is_number(grace) or grace < 0:
        raise CourseError("course.toml: the policy's grace_hours is a number of hours, 0 or more.")
    if not _is_number(penalty) or not 0 <= penalty <= 100:
        raise CourseError("course.toml: the policy's penalty_percent_per_day is a number from 0 to 100.")
    if attempt not in ("best", "last"):
        raise CourseError('course.toml: the policy\'s attempt is "best" or "last".')
    if deadline is None and (grace or penalty):
        raise CourseError("course.toml: the policy has a grace or a penalty, and no deadline that it is about.")
    return Policy(deadline, timedelta(hours=grace), penalty, attempt)


def plain(grades: Iterable[Grade]) -> list[Entry]:
    """Grades that count as they are."""
    return [Entry(grade.submission, grade, grade.score, attempts=(grade.score,)) for grade in grades]


def gradebook(course: Course, grades: Sequence[Grade], folder: Path) -> list[Entry]:
    """One entry a student, with what lies beside the grades in `folder`.

    Raises:
        CourseError: the policy, `handed-in.csv` or `overrides.toml` makes no sense.
    """
    policy = read_policy(course)
    handed_in, overrides = _handed_in(folder / HANDED_IN), _overrides(folder / OVERRIDES, grades)
    by_student: dict[str, list[tuple[datetime, Entry]]] = {}
    for grade in grades:
        student, time = handed_in.get(grade.submission, (grade.submission, None))
        entry = _entry(student, grade, policy, time, overrides.get(grade.submission, ()))
        by_student.setdefault(student, []).append((time or datetime.min.replace(tzinfo=UTC), entry))
    result = []
    for attempts in by_student.values():
        attempts.sort(key=lambda attempt: attempt[0])
        entries = [entry for _, entry in attempts]
        counts = entries[-1] if policy.attempt == "last" else max(entries, key=lambda entry: entry.score)
        scores = tuple(entry.score for entry in entries)
        remark = (f"The {policy.attempt} of {len(entries)} attempts counts.",) if len(entries) > 1 else ()
        result.append(Entry(counts.student, counts.grade, counts.score, (*counts.remarks, *remark), scores))
    return result


def _entry(student: str, grade: Grade, policy: Policy, time: datetime | None, overrides: Sequence[Override]) -> Entry:
    scores = {exercise.name: exercise.score for exercise in grade.exercises}
    remarks = []
    for override in (o for o in overrides if o.exercise):
        remarks.append(
            f"{override.exercise}: {override.score:g} points by the instructor instead of "
            f"{scores[override.exercise or '']:g}: {override.reason}"
        )
        scores[override.exercise or ""] = override.score
    total = sum(scores.values())
    days, part = policy.deduction(time)
    if days:
        remarks.append(f"{days} {'day' if days == 1 else 'days'} late: {100 * part:g} % less.")
        total *= 1 - part
    for override in (o for o in overrides if not o.exercise):
        remarks.append(f"{override.score:g} points in all by the instructor instead of {total:g}: {override.reason}")
        total = override.score
    return Entry(student, grade, round(total, 2), tuple(remarks))


def _handed_in(path: Path) -> dict[str, tuple[str, datetime]]:
    if not path.is_file():
        return {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        found = {row["submission"]: (row["student"], datetime.fromisoformat(row["time"])) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise CourseError(f"{path} needs the columns submission, student and time (ISO 8601): {error}") from None
    if zoneless := [name for name, (_, time) in found.items() if time.tzinfo is None]:
        raise CourseError(f"{path}: the time of {zoneless[0]} has no zone, as in 2027-01-31T23:59:00+01:00.")
    return found


def _overrides(path: Path, grades: Sequence[Grade]) -> dict[str, list[Override]]:
    if not path.is_file():
        return {}
    known = {grade.submission: {exercise.name for exercise in grade.exercises} for grade in grades}
    found: dict[str, list[Override]] = {}
    try:
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["override"]:
            override = _override(entry)
            if override.exercise and override.exercise not in known.get(override.submission, {override.exercise}):
                raise ValueError(f"{override.submission} has no exercise {override.exercise}")
            if override.submission not in known:
                raise ValueError(f"there is no grade of {override.submission}")
            found.setdefault(override.submission, []).append(override)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{path} cannot be used: {error}") from None
    return found


def _override(entry: Mapping[str, Any]) -> Override:
    override = Override(**entry)
    if not _is_number(override.score) or override.score < 0:
        raise ValueError(f"the score for {override.submission} is no number of points")
    if not str(override.reason).strip():
        raise ValueError(f"the override for {override.submission} gives no reason")
    return override


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
