"""Assignments: the `[[assignment]]` entries of course.toml, and `[policy]`, which is what they have in common.

What is not named belongs to the whole course, which is an assignment without a name.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from autograder.course import Course, CourseError, Exercise

TELLS = ("titles", "count", "first", "nothing")
ASSISTANTS = ("off", "tutor", "free")
_FOR_THE_COURSE = ("late_days", "assistants")  # of the policy, and of no single assignment


@dataclass(frozen=True)
class Assignment:
    """Exercises that are handed in together.

    Attributes:
        name: what commands call it; empty for the whole course.
        exercises: their names, in the course's order.
        points: what full marks are worth; None: the sum of the exercises' points.
        deadline: when work is due; None: never.
        grace: how long after it work still counts as in time.
        penalty: the percent of the score that every begun day costs after that.
        attempt: whether of each exercise a student's "best" or "last" attempt counts.
        attempts: how many attempts are graded; None: all.
        per_day: how many within 24 hours; None: all.
        cooldown: how long after an attempt the next one may be graded.
        tells: what a student sees of hidden tests: all "titles", a "count" of those that pass, the "first" that
            fails, or "nothing" until the deadline.
        groups: whether one member's submission is every member's.
    """

    name: str
    exercises: tuple[str, ...]
    points: float | None = None
    deadline: datetime | None = None
    grace: timedelta = timedelta()
    penalty: float = 0.0
    attempt: str = "best"
    attempts: int | None = None
    per_day: int | None = None
    cooldown: timedelta = timedelta()
    tells: str = "titles"
    groups: bool = False

    @property
    def title(self) -> str:
        """Its name in a sentence."""
        return self.name or "The course"

    def select(self, course: Course) -> tuple[Exercise, ...]:
        """Its exercises in the course's order."""
        return tuple(exercise for exercise in course.exercises if exercise.name in self.exercises)

    def deduction(self, time: datetime | None, extension: timedelta = timedelta()) -> tuple[int, float]:
        """How many begun days late, and the part of the score that they cost."""
        if time is None or self.deadline is None or time <= self.deadline + extension + self.grace:
            return 0, 0.0
        days = math.ceil((time - self.deadline - extension) / timedelta(days=1))
        return days, min(1.0, days * self.penalty / 100)

    def is_over(self, now: datetime) -> bool:
        """Whether the deadline has passed; never where there is none."""
        return self.deadline is not None and now > self.deadline + self.grace


def assignments(course: Course) -> list[Assignment]:
    """All that course.toml names, in its order.

    Raises:
        CourseError: an entry, or the policy, makes no sense.
    """
    common = {key: value for key, value in course.policy.items() if key not in (*_FOR_THE_COURSE, "deadline")}
    found: list[Assignment] = []
    for entry in course.assignments:
        if not isinstance(name := entry.get("name"), str) or not name.strip() or not name.isprintable():
            raise CourseError('course.toml: an assignment needs a name, such as name = "week1".')
        if any(char in name for char in "/\\:") or name.startswith("."):
            raise CourseError(f"course.toml: {name!r} is to be the name of folders too, and cannot be one.")
        if any(name == other.name for other in found):
            raise CourseError(f"course.toml lists the assignment {name} twice.")
        exercises = _exercises(course, name, entry.get("exercises"))
        settings = {key: value for key, value in entry.items() if key not in ("name", "exercises")}
        found.append(_assignment(name, exercises, {**common, **settings}, f"the assignment {name}'s"))
    return found


def whole(course: Course) -> Assignment:
    """The whole course as an assignment, by the policy alone.

    Raises:
        CourseError: the policy makes no sense.
    """
    _check_for_the_course(course.policy)
    settings = {key: value for key, value in course.policy.items() if key not in _FOR_THE_COURSE}
    found = _assignment("", course.names, settings, "the policy's")
    if found.deadline is None and (found.grace or found.penalty) and not course.assignments:
        raise CourseError("course.toml: the policy has a grace or a penalty, and no deadline that it is about.")
    return found


def find(course: Course, name: str) -> Assignment:
    """The assignment of this name; the whole course for none.

    Raises:
        CourseError: there is none, or course.toml makes no sense.
    """
    if not name:
        return whole(course)
    known = assignments(course)
    for assignment in known:
        if assignment.name == name:
            return assignment
    if not known:
        raise CourseError(f"course.toml names no assignment, so there is no {name!r}. Add an [[assignment]] to it.")
    raise CourseError(f"There is no assignment called {name!r}. There are: {', '.join(a.name for a in known)}.")


def late_days(course: Course) -> int:
    """How many days a student may be late in all without a penalty."""
    _check_for_the_course(course.policy)
    return int(course.policy.get("late_days", 0))


def assistants(course: Course) -> str:
    """How AI assistants are to help in this course; see `ASSISTANTS`."""
    _check_for_the_course(course.policy)
    return str(course.policy.get("assistants", "tutor"))


def due(assignment: Assignment, now: datetime) -> str:
    """When an assignment is due and how long that is from now, as the end of a sentence; empty without a deadline."""
    if assignment.deadline is None:
        return ""
    when = assignment.deadline.strftime("%a %d %b %Y, %H:%M %Z").strip()
    left = assignment.deadline - now
    if left < timedelta():
        over = " (still accepted)" if not assignment.is_over(now) else ""
        return f"was due {when}{over}"
    return f"is due {when}, in {_span(left)}"


def _span(left: timedelta) -> str:
    days, hours, minutes = left.days, left.seconds // 3600, left.seconds // 60 % 60
    number, noun = (days, "day") if days else (hours, "hour") if hours else (minutes, "minute")
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _exercises(course: Course, name: str, listed: Any) -> tuple[str, ...]:
    if not isinstance(listed, list) or not listed or not all(isinstance(exercise, str) for exercise in listed):
        raise CourseError(f'course.toml: the assignment {name} needs exercises = ["softmax", ...].')
    for exercise in listed:
        if exercise not in course.names:
            near = difflib.get_close_matches(exercise, course.names, 1)
            meant = f" Is {near[0]} meant?" if near else ""
            raise CourseError(f"course.toml: the assignment {name} names {exercise}, which is no exercise.{meant}")
    return tuple(exercise for exercise in course.names if exercise in listed)


def _check_for_the_course(policy: Mapping[str, Any]) -> None:
    if (chosen := policy.get("assistants", "tutor")) not in ASSISTANTS:
        raise CourseError(f"course.toml: the policy's assistants is one of {_either(ASSISTANTS)}, not {chosen!r}.")
    if not _is_count(policy.get("late_days", 0), least=0):
        raise CourseError("course.toml: the policy's late_days is a number of days, 0 or more.")


def _assignment(name: str, exercises: tuple[str, ...], settings: Mapping[str, Any], whose: str) -> Assignment:
    rest = dict(settings)
    deadline, points = rest.pop("deadline", None), rest.pop("points", None)
    grace, penalty = rest.pop("grace_hours", 0), rest.pop("penalty_percent_per_day", 0)
    attempt, tells, groups = rest.pop("attempt", "best"), rest.pop("tells", "titles"), rest.pop("groups", False)
    attempts, per_day = rest.pop("attempts", None), rest.pop("attempts_per_day", None)
    cooldown = rest.pop("cooldown_minutes", 0)
    _require(not rest, f"{whose} {', '.join(sorted(rest))} is unknown")
    _require(
        deadline is None or (isinstance(deadline, datetime) and deadline.tzinfo is not None),
        f"{whose} deadline is a time with its zone, as 2027-01-31T23:59:00+01:00",
    )
    _require(is_number(grace) and grace >= 0, f"{whose} grace_hours is a number of hours, 0 or more")
    _require(is_number(penalty) and 0 <= penalty <= 100, f"{whose} penalty_percent_per_day is a number from 0 to 100")
    _require(points is None or (is_number(points) and points > 0), f"{whose} points is a number above 0")
    _require(attempt in ("best", "last"), f'{whose} attempt is "best" or "last"')
    _require(tells in TELLS, f"{whose} tells is one of {_either(TELLS)}")
    _require(isinstance(groups, bool), f"{whose} groups is true or false")
    for what, number in (("attempts", attempts), ("attempts_per_day", per_day)):
        _require(number is None or _is_count(number, least=1), f"{whose} {what} is a number, 1 or more")
    _require(is_number(cooldown) and cooldown >= 0, f"{whose} cooldown_minutes is a number of minutes, 0 or more")
    return Assignment(
        name, exercises, points, deadline, timedelta(hours=grace), float(penalty), attempt,
        attempts, per_day, timedelta(minutes=cooldown), tells, groups,
    )  # fmt: skip


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise CourseError(f"course.toml: {sentence}.")


def _either(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def is_number(value: object) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
