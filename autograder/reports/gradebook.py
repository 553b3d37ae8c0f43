"""Grades as they count: assignments, people, late work, attempts and an instructor's word.

All is applied here and never to a stored grade. Every submission that went in comes out as somebody's, or as nobody's;
every person of the roster comes out, whether with work or without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from autograder.course import Course
from autograder.grades import ExerciseGrade, Grade
from autograder.term.assignments import Assignment, find, late_days
from autograder.term.exceptions import (
    EXCEPTIONS,
    OVERRIDES,
    Allowance,
    Override,
    holding,
    read_exceptions,
    read_overrides,
)
from autograder.term.handins import HANDED_IN, HandIn, owners, read_handed_in
from autograder.term.roster import Person, Roster

_EARLY = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """A student's grade as it counts.

    Attributes:
        student: who it is, by name.
        grade: what the grader found, of the attempts that count.
        score: what counts.
        remarks: why it is not the grade's own score, in sentences.
        attempts: the scores that all attempts would count with, in the order of time.
        status: "graded"; "unreadable", "excused" and "absent" (nothing was handed in) have no points and no zero;
            "unmatched" is a graded submission of nobody in the roster.
        worth: what full marks are; None: the sum of the tests' points.
        scores: what counts of each exercise.
        id: the person's in the roster.
        parts: of several assignments, each one's entry.
        time: when the last of what counts came.
        late_days: how many of the days that everybody may be late were used.
        groups: the groups of wrong answers without a name that the work is in.
    """

    student: str
    grade: Grade
    score: float
    remarks: tuple[str, ...] = ()
    attempts: tuple[float, ...] = ()
    status: str = "graded"
    worth: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    id: str = ""
    parts: Mapping[str, Entry] = field(default_factory=dict)
    time: datetime | None = None
    late_days: int = 0
    groups: tuple[str, ...] = ()

    @property
    def max_score(self) -> float:
        """What full marks are."""
        return self.grade.max_score if self.worth is None else self.worth

    @property
    def counts(self) -> bool:
        """Whether it says something about somebody's work, and so belongs into a mean."""
        return self.status == "graded"


@dataclass(frozen=True)
class Term:
    """What is known beside the grades.

    Attributes:
        spent: how many late days each person has used in earlier assignments.
        refused: attempts that were not graded, and why, by submission.
    """

    assignment: Assignment
    roster: Roster = field(default_factory=Roster)
    handed_in: Mapping[str, HandIn] = field(default_factory=dict)
    overrides: Mapping[str, Sequence[Override]] = field(default_factory=dict)
    exceptions: Sequence[Allowance] = ()
    late_days: int = 0
    spent: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


def without_policy(grades: Iterable[Grade]) -> list[Entry]:
    """Grades that count as they are."""
    return [
        Entry(
            grade.submission,
            grade,
            grade.score,
            attempts=(grade.score,),
            status="unreadable" if grade.unreadable else "graded",
            scores={exercise.name: exercise.score for exercise in grade.exercises},
        )
        for grade in grades
    ]


def gradebook(
    course: Course,
    grades: Sequence[Grade],
    folder: Path,
    assignment: str = "",
    roster: Roster | None = None,
    spent: Mapping[str, int] | None = None,
    refused: Mapping[str, str] | None = None,
) -> list[Entry]:
    """One entry a student, with what lies beside the grades in `folder`.

    Raises:
        CourseError: the policy, `handed-in.csv`, `overrides.toml` or `exceptions.toml` makes no sense.
    """
    people, held = roster or Roster(), refused or {}
    term = Term(
        find(course, assignment),
        people,
        read_handed_in(folder / HANDED_IN, [*(grade.submission for grade in grades), *held]),
        read_overrides(folder / OVERRIDES, grades),
        read_exceptions(folder / EXCEPTIONS, course, people),
        late_days(course),
        spent or {},
        held,
    )
    return entries(term, grades)


def entries(term: Term, grades: Sequence[Grade]) -> list[Entry]:
    """One entry a person and one for each submission of nobody."""
    work: dict[str, list[Grade]] = {}
    people: dict[str, Person] = {person.id: person for person in term.roster.people}
    unmatched = []
    for grade in grades:
        found = owners(grade.submission, term.handed_in, term.roster, groups=term.assignment.groups)
        for person in found:
            people.setdefault(person.id, person)
            work.setdefault(person.id, []).append(grade)
        if not found:
            unmatched.append(grade)
    refused: dict[str, list[str]] = {}
    for name, why in term.refused.items():
        for person in owners(name, term.handed_in, term.roster, groups=term.assignment.groups):
            people.setdefault(person.id, person)
            refused.setdefault(person.id, []).append(f"{name} was not graded: {why}")
    result = [_entry(term, person, work.get(person.id, []), refused.get(person.id, ())) for person in people.values()]
    for grade in unmatched:
        entry = _entry(term, Person("", grade.submission), [grade], ())
        said = ("Nobody in the roster is called so. Say in handed-in.csv whose it is.", *entry.remarks)
        result.append(replace(entry, remarks=said, status="unmatched" if entry.counts else entry.status))
    return result


@dataclass(frozen=True)
class _Attempt:
    """One of a person's attempts: what it is worth, and what is to be said about it."""

    grade: Grade
    time: datetime | None
    scores: Mapping[str, float]
    part: float
    remarks: tuple[str, ...]
    total: float
    used: int


def _entry(term: Term, person: Person, grades: Sequence[Grade], refused: Sequence[str]) -> Entry:
    exceptions = holding(term.exceptions, person.id, term.assignment)
    extension = max((exception.extra(term.assignment) for exception in exceptions), default=timedelta())
    said = [f"Due {_hours(e.extra(term.assignment))} later: {e.reason}" for e in exceptions if e.extra(term.assignment)]
    said += [f"Not graded: {reason}" for reason in refused]
    if excuse := next((exception for exception in exceptions if exception.excused), None):
        grade = grades[-1] if grades else Grade(person.name, ())
        remarks = (f"Excused: {excuse.reason}",)
        return Entry(person.name, grade, 0.0, remarks, status="excused", worth=term.assignment.points, id=person.id)
    unread = [grade for grade in grades if grade.unreadable]
    said += [f"{grade.submission} could not be read: {grade.unreadable}" for grade in unread]
    attempts = [_attempt(term, person, grade, extension) for grade in grades if not grade.unreadable]
    if not attempts:
        status = "unreadable" if unread else "absent"
        said = said or ["Nothing was handed in."]
        grade = unread[-1] if unread else Grade(person.name, ())
        return Entry(person.name, grade, 0.0, tuple(said), status=status, worth=term.assignment.points, id=person.id)
    attempts.sort(key=lambda attempt: attempt.time or _EARLY)
    chosen = _chosen(term.assignment, attempts)
    kept = list({id(attempt): attempt for attempt in chosen.values()}.values())
    for attempt in kept:
        said += attempt.remarks
    if len(attempts) > 1:
        whole = "The" if len(kept) == 1 else "Of each exercise the"
        said.append(f"{whole} {term.assignment.attempt} of {len(attempts)} attempts counts.")
    exercises = tuple(_of(attempt.grade, name) for name, attempt in chosen.items())
    newest = kept[-1].grade
    merged = replace(newest, exercises=exercises, submission=" + ".join(attempt.grade.submission for attempt in kept))
    scores = {name: attempt.scores[name] * (1 - attempt.part) for name, attempt in chosen.items()}
    total = sum(scores.values())
    for attempt in attempts:
        for override in (o for o in term.overrides.get(attempt.grade.submission, ()) if not o.exercise):
            said.append(f"{override.score:g} points in all by the instructor instead of {total:g}: {override.reason}")
            total = override.score
    scale = 1.0
    if term.assignment.points is not None and merged.max_score:
        scale = term.assignment.points / merged.max_score
    times = [attempt.time for attempt in kept if attempt.time]
    return Entry(
        person.name,
        merged,
        round(total * scale, 2),
        tuple(dict.fromkeys(said)),
        tuple(round(attempt.total * scale, 2) for attempt in attempts),
        worth=term.assignment.points,
        scores={name: round(score * scale, 4) for name, score in scores.items()},
        id=person.id,
        time=max(times, default=None),
        late_days=max(attempt.used for attempt in kept),
    )


def _attempt(term: Term, person: Person, grade: Grade, extension: timedelta) -> _Attempt:
    handed_in = term.handed_in.get(grade.submission)
    time = handed_in.time if handed_in else None
    scores = {exercise.name: exercise.score for exercise in grade.exercises}
    remarks = []
    for override in term.overrides.get(grade.submission, ()):
        if override.exercise:
            remarks.append(
                f"{override.exercise}: {override.score:g} points by the instructor instead of "
                f"{scores[override.exercise]:g}: {override.reason}"
            )
            scores[override.exercise] = override.score
    days, _ = term.assignment.deduction(time, extension)
    used = min(days, max(term.late_days - term.spent.get(person.id, 0), 0))
    part = min(1.0, (days - used) * term.assignment.penalty / 100)
    if days:
        late = f"{days} {'day' if days == 1 else 'days'} late"
        late += f", {used} of them free" if used else ""
        remarks.append(f"{late}: {100 * part:g} % less.")
    elif handed_in and handed_in.late and time is None:
        remarks.append("Marked as late where it was handed in, without a time: nothing was taken off.")
    return _Attempt(grade, time, scores, part, tuple(remarks), sum(scores.values()) * (1 - part), used)


def _chosen(assignment: Assignment, attempts: Sequence[_Attempt]) -> dict[str, _Attempt]:
    """Of each exercise the attempt that counts."""
    chosen: dict[str, _Attempt] = {}
    for attempt in attempts:
        for exercise in attempt.grade.exercises:
            before = chosen.get(exercise.name)
            if before is None:
                better = True
            elif assignment.attempt == "last":
                better = exercise.status != "missing"
            else:
                now, then = (a.scores[exercise.name] * (1 - a.part) for a in (attempt, before))
                better = now > then or (now == then and _of(before.grade, exercise.name).status == "missing")
            if better:
                chosen[exercise.name] = attempt
    return chosen


def _of(grade: Grade, name: str) -> ExerciseGrade:
    return next(exercise for exercise in grade.exercises if exercise.name == name)


def _hours(extra: timedelta) -> str:
    hours = extra / timedelta(hours=1)
    return f"{hours:g} hours" if hours < 48 else f"{hours / 24:g} days"
