"""What is remembered between two runs: one small file, `.autograder/state.json`, that git ignores.

It may be deleted or damaged at any time: what it said is then found out again, but for the counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from autograder.course import Course, CourseError
from autograder.files import digest, write_whole
from autograder.grades import ExerciseGrade
from autograder.submission import Submission
from autograder.versions import TooNew, require_format

STATE = ".autograder/state.json"
FORMAT = 1
_COUNTED = ("passed", "failed", "error", "timeout", "crashed")  # what somebody has tried


@dataclass
class Standing:
    """What is known of one exercise.

    Attributes:
        attempts: how many different texts of it were checked, once it was started.
        hints: how many of its hints were told, for each function.
        mistakes: the known mistakes that were named, with what was said of each.
        text: the digest of the text that was checked last; what follows is about that text alone.
    """

    attempts: int = 0
    hints: dict[str, int] = field(default_factory=dict)
    mistakes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    status: str = ""
    score: float = 0.0
    max_score: float = 0.0

    def told(self) -> int:
        """How many hints were told in all."""
        return sum(self.hints.values())


@dataclass
class Memory:
    """All that is remembered.

    Attributes:
        at: the exercise that was worked on last.
    """

    at: str = ""
    exercises: dict[str, Standing] = field(default_factory=dict)

    def of(self, name: str) -> Standing:
        """What is known of an exercise."""
        return self.exercises.setdefault(name, Standing())

    def record(self, grade: ExerciseGrade, text: str) -> None:
        """Remembers how a text stands, and counts it as an attempt if it is another than last time."""
        standing = self.of(grade.name)
        if text != standing.text and grade.status in _COUNTED:
            standing.attempts += 1
        standing.mistakes |= {hint.mistake: hint.text for hint in grade.hints}
        standing.text, standing.status = text, grade.status
        standing.score, standing.max_score = grade.score, grade.max_score

    def status(self, name: str, text: str) -> str:
        """How a text stands; empty where nobody knows."""
        standing = self.of(name)
        return standing.status if standing.text == text else ""


def text_digest(submission: Submission, name: str) -> str:
    """A text's short name; empty for a file that is not there."""
    source = submission.sources.get(name, submission.problems.get(name))
    return "" if source is None else digest(source)[:16]


def load(course: Course) -> Memory:
    """What is remembered; entries that make no sense are forgotten, one by one.

    Raises:
        CourseError: a later version of this program wrote it, and would miss what this one writes over.
    """
    try:
        data = json.loads((course.root / STATE).read_text(encoding="utf-8"))
        require_format(dict(data), FORMAT, STATE)
        entries = dict(data["exercises"])
        memory = Memory(data["at"] if data["at"] in course.names else "")
    except TooNew as error:
        raise CourseError(f"{error} Or delete it: only the counts of attempts and hints are lost.") from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return Memory()
    for name in course.names:
        if name in entries and (standing := _standing(entries[name])):
            memory.exercises[name] = standing
    return memory


def save(course: Course, memory: Memory) -> None:
    """Writes the file, whole or not at all. Where it cannot be written, everything works without."""
    path = course.root / STATE
    known = {name: asdict(standing) for name, standing in memory.exercises.items() if standing != Standing()}
    text = json.dumps({"format": FORMAT, "at": memory.at, "exercises": known}, indent=1)
    with suppress(OSError):
        write_whole(path, text + "\n")


def remember(course: Course, grades: Iterable[ExerciseGrade], submission: Submission) -> None:
    """Remembers what a check found."""
    memory = load(course)
    for grade in grades:
        memory.record(grade, text_digest(submission, grade.name))
    save(course, memory)


def _standing(entry: Any) -> Standing | None:
    try:
        standing = Standing(**entry)
        score, max_score = float(standing.score), float(standing.max_score)
        attempts = max(int(standing.attempts), 0)
        told = standing.hints if isinstance(standing.hints, dict) else {}  # one number in all, once
        hints = {str(place): max(int(number), 0) for place, number in told.items()}
        named = standing.mistakes if isinstance(standing.mistakes, dict) else {}
        mistakes = {str(mistake): str(said) for mistake, said in named.items()}
        return Standing(attempts, hints, mistakes, str(standing.text), str(standing.status), score, max_score)
    except (TypeError, ValueError, OverflowError):
        return None
