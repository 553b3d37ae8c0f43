"""What a batch is made of: the submissions to be graded, and what every process that grades them needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from autograder.course import Course, load_course
from autograder.grades import ExerciseGrade, Grade
from autograder.isolation.between.messages import FULL, UNPROTECTED
from autograder.isolation.near.worker import Worker, start_worker
from autograder.submission import Submission

if TYPE_CHECKING:
    from autograder.grading import Grader


@dataclass(frozen=True)
class Job:
    """A submission to be graded.

    Attributes:
        reusable: stored grades that are still true, by exercise.
        keys: what the grade will depend on, by exercise.
    """

    submission: Submission
    reusable: Mapping[str, ExerciseGrade] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


class Graded(NamedTuple):
    """A job that is done.

    Attributes:
        fresh: whether it was graded now; else its stored grade was reused.
    """

    job: Job
    grade: Grade
    fresh: bool


@dataclass(frozen=True)
class Setting:
    """What every grading process needs to know.

    Attributes:
        root: the course's folder.
        exercises: the names of what is graded.
        protection: the profile that submissions are shut in with (see `isolation/near/protection.py`).
        private: what no submission may read, besides the course's own.
    """

    root: Path
    exercises: tuple[str, ...]
    protection: str = FULL
    private: tuple[str, ...] = ()

    @property
    def locked(self) -> bool:
        """Whether submissions are shut in at all."""
        return self.protection != UNPROTECTED

    @property
    def secrets(self) -> list[str]:
        """What no submission may be able to read."""
        own = [self.root / path for path in ("tests/hidden", "tests/mistakes", "solutions")]
        return [*(str(path) for path in own if path.exists()), *self.private]

    def course(self) -> Course:
        """The course, as it is on the disk."""
        return load_course(self.root)

    def worker(self) -> Worker:
        """A fresh worker."""
        return start_worker(self.protection, self.secrets)

    def grader(self) -> Grader:
        """A warm grader of its own."""
        from autograder.grading import EVERYTHING, Grader  # only where it grades: with it come pytest and hypothesis

        course = self.course()
        return Grader.start(course, course.select(self.exercises), EVERYTHING, self.worker(), locked=self.locked)


def reused(setting: Setting, job: Job) -> Grade:
    """The grade of a job whose every exercise is known."""
    exercises = tuple(job.reusable[name] for name in setting.exercises)
    submission = job.submission
    return Grade(submission.name, exercises, setting.protection, submission.notes, submission.unreadable)


def not_graded(setting: Setting, job: Job, why: str) -> Grade:
    """What there is of a submission that the grader could not grade, for a reason that is not the submission's."""
    note = f"Not graded, through no fault of the submission: {why.rstrip('.')}. Run the same command again."
    exercises = tuple(job.reusable.get(name) or ExerciseGrade(name, "not_graded", ()) for name in setting.exercises)
    return Grade(job.submission.name, exercises, setting.protection, (*job.submission.notes, note))
