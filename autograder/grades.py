"""A grade: what every report shows and every outside tool reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from autograder.versions import require_format

FORMAT = 2  # of a grade's JSON; the first had no number
ExerciseStatus = Literal["passed", "failed", "not_started", "missing", "error", "timeout", "crashed", "not_graded"]
TestStatus = Literal["passed", "failed", "not_run"]
Visibility = Literal["visible", "hidden"]
VISIBILITIES: tuple[Visibility, ...] = get_args(Visibility)  # in the order in which they run


@dataclass(frozen=True)
class Hint:
    """A known mistake that was recognized."""

    mistake: str
    text: str


@dataclass(frozen=True)
class Place:
    """Where in a student's file something goes wrong first.

    Attributes:
        line: of the exercise's file, from 1.
        function: the function or method that the line is in.
        name: what is wrong there: a variable, or "return".
        text: how it differs from what is right, in a sentence or two.
    """

    line: int
    function: str
    name: str
    text: str

    @property
    def sentence(self) -> str:
        """The place as reports give it."""
        return f"Line {self.line}, in `{self.function}`: {self.text}"


@dataclass(frozen=True)
class TestResult:
    """One test of one submission.

    Attributes:
        line: the line of the exercise's file that the feedback is about; 0 where nothing says which.
        printed: what the student's code printed in it, bounded; of a visible test alone.
    """

    name: str
    title: str
    visibility: Visibility
    status: TestStatus
    score: float
    max_score: float
    feedback: str
    line: int = 0
    printed: str = ""


@dataclass(frozen=True)
class ExerciseGrade:
    """One exercise of one submission.

    Attributes:
        carried_forward: the earlier exercises that a right stand-in took the place of.
        holes: the lines that still hold `...  # FINISH ME`, and `holes_total` how many the stub had.
        unfinished: the functions and classes that they stand in.
        places: where it goes wrong first; empty where nothing is sure.
        output: what the student's code printed, bounded; for the instructor.
    """

    name: str
    status: ExerciseStatus
    tests: tuple[TestResult, ...]
    carried_forward: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ()
    holes: tuple[int, ...] = ()
    holes_total: int = 0
    places: tuple[Place, ...] = ()
    output: str = ""
    unfinished: tuple[str, ...] = ()

    @property
    def wrong(self) -> tuple[TestResult, ...]:
        """The tests that do not pass for another reason than a hole, and then those that wait for one."""
        failed = [test for test in self.tests if test.status != "passed"]
        return tuple(sorted(failed, key=lambda test: (test.line in self.holes, test.status != "failed")))

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
        unreadable: why nothing that was handed in could be used; empty where something was. Such a grade says nothing
            about anybody's work, and stays out of means.
        versions: of the program, what it uses, the course and the suites, by name; none until it is kept.
        graded_at: when, as 2027-01-31T20:15:00Z, where results say so; never in the JSON, which two runs have alike.
    """

    submission: str
    exercises: tuple[ExerciseGrade, ...]
    protection: str = "full"
    notes: tuple[str, ...] = field(default=())
    unreadable: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    graded_at: str = ""

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
        "format": FORMAT,
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
                "places": [vars(place) for place in exercise.places],
                "holes": list(exercise.holes),
                "unfinished": list(exercise.unfinished),
            }
            for exercise in grade.exercises
        ],
        "notes": list(grade.notes),
    }
    if not grade.protected:
        result["protected"] = False
    if grade.unreadable:
        result["unreadable"] = grade.unreadable
    if grade.versions:
        result["versions"] = dict(grade.versions)
    return result


def from_json(data: dict[str, Any]) -> Grade:
    """The grade that a JSON object holds; what is not in the fixed form is empty.

    Raises:
        KeyError, TypeError, ValueError: it is no grade.
        TooNew: it is one that a later version wrote.
    """
    require_format(data, FORMAT, "It")
    exercises = tuple(
        ExerciseGrade(
            name=str(entry["name"]),
            status=_checked(entry["status"], ExerciseStatus),
            tests=tuple(_test(test) for test in entry["tests"]),
            carried_forward=tuple(entry["carried_forward"]),
            hints=tuple(Hint(**hint) for hint in entry["hints"]),
            places=tuple(Place(**place) for place in entry.get("places", ())),
            holes=tuple(map(int, entry.get("holes", ()))),
            unfinished=tuple(map(str, entry.get("unfinished", ()))),
        )
        for entry in data["exercises"]
    )
    notes = tuple(map(str, data.get("notes", ())))
    unnamed = "full" if data.get("protected", True) is not False else "none"
    protection, unreadable = str(data.get("protection", unnamed)), str(data.get("unreadable", ""))
    versions = {str(name): str(number) for name, number in data.get("versions", {}).items()}
    return Grade(str(data["submission"]), exercises, protection, notes, unreadable, versions)


def _test(entry: dict[str, Any]) -> TestResult:
    test = TestResult(**entry)
    _checked(test.visibility, Visibility), _checked(test.status, TestStatus)
    return test


def _checked(word: Any, kind: Any) -> Any:
    """A word that is one of a literal's."""
    if word not in get_args(kind):
        raise ValueError(f"{word!r} is none of {', '.join(get_args(kind))}")
    return word


def _tidy(points: float) -> float:
    """Sums of tenths and halves without the dust of binary fractions."""
    return round(points, 6)
