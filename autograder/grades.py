"""A grade: what every report shows and every outside tool reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STATUSES = ("passed", "failed", "not_started", "missing", "error", "timeout", "crashed", "not_graded")


@dataclass(frozen=True)
class Hint:
    """A known mistake that was recognised."""

    mistake: str
    text: str


@dataclass(frozen=True)
class TestResult:
    """One test of one submission."""

    name: str
    title: str
    visibility: str
    status: str
    score: float
    max_score: float
    feedback: str


@dataclass(frozen=True)
class ExerciseGrade:
    """One exercise of one submission.

    Attributes:
        carried_forward: the earlier exercises that a right stand-in took the place of.
        holes: the lines that still hold `...  # FINISH ME`, and `holes_total` how many the stub had.
        lines: where each function and class begins.
        output: what the student's code printed, bounded; for the instructor.
    """

    name: str
    status: str
    tests: tuple[TestResult, ...]
    carried_forward: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ()
    holes: tuple[int, ...] = ()
    holes_total: int = 0
    lines: Mapping[str, int] = field(default_factory=dict)
    output: str = ""

    @property
    def score(self) -> float:
        """The sum of the tests' scores."""
        return _tidy(sum(test.score for test in self.tests))

    @property
    def max_score(self) -> float:
        """What full marks are."""
        return _tidy(sum(test.max_score for test in self.tests))

    @property
    def graded(self) -> bool:
        """Whether it says anything about the submission; if not, the grader was in trouble, and no points count."""
        return self.status != "not_graded"


@dataclass(frozen=True)
class Grade:
    """One submission.

    Attributes:
        protection: the profile that the submission was shut in with; "none" when it was not.
        notes: what is to be said about the submission as a whole, in sentences.
    """

    submission: str
    exercises: tuple[ExerciseGrade, ...]
    protection: str = "full"
    notes: tuple[str, ...] = field(default=())

    @property
    def protected(self) -> bool:
        """Whether the submission ran shut in."""
        return self.protection != "none"

    @property
    def graded(self) -> bool:
        """Whether every exercise is graded."""
        return all(exercise.graded for exercise in self.exercises)

    @property
    def score(self) -> float:
        """The sum of the exercises' scores."""
        return _tidy(sum(exercise.score for exercise in self.exercises))

    @property
    def max_score(self) -> float:
        """What full marks are."""
        return _tidy(sum(exercise.max_score for exercise in self.exercises))

    @property
    def percent(self) -> float:
        """The score of 100."""
        return 100 * self.score / self.max_score if self.max_score else 0.0


def as_json(grade: Grade) -> dict[str, Any]:
    """The fixed form that outside tools read."""
    result: dict[str, Any] = {
        "submission": grade.submission,
        "score": grade.score if grade.graded else None,
        "max_score": grade.max_score if grade.graded else None,
        "protection": grade.protection,
        "exercises": [
            {
                "name": exercise.name,
                "status": exercise.status,
                "score": exercise.score if exercise.graded else None,
                "max_score": exercise.max_score if exercise.graded else None,
                "carried_forward": list(exercise.carried_forward),
                "tests": [vars(test) for test in exercise.tests],
                "hints": [vars(hint) for hint in exercise.hints],
            }
            for exercise in grade.exercises
        ],
    }
    if not grade.protected:
        result["protected"] = False
    return result


def from_json(data: dict[str, Any]) -> Grade:
    """The grade that a JSON object holds; what is not in the fixed form is empty.

    Raises:
        KeyError, TypeError, ValueError: it is no grade.
    """
    exercises = tuple(
        ExerciseGrade(
            name=str(entry["name"]),
            status=STATUSES[STATUSES.index(entry["status"])],
            tests=tuple(TestResult(**test) for test in entry["tests"]),
            carried_forward=tuple(entry["carried_forward"]),
            hints=tuple(Hint(**hint) for hint in entry["hints"]),
        )
        for entry in data["exercises"]
    )
    unnamed = "full" if data.get("protected", True) is not False else "none"
    return Grade(str(data["submission"]), exercises, str(data.get("protection", unnamed)))


def _tidy(points: float) -> float:
    """Sums of tenths and halves without the dust of binary fractions."""
    return round(points, 6)
