"""Many submissions: side by side, resumable, and always with a grade for everyone.

Each process grades with one warm `Grader`. A process that dies takes nothing with it but its own submission, which is
tried once more; results are written by the parent alone, one whole file each.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from autograder.batch.cores import dedicate
from autograder.batch.results import Results, keys
from autograder.course import Course, CourseError, Exercise, GraderError, load_course
from autograder.grades import ExerciseGrade, Grade
from autograder.grading import EVERYTHING, Grader
from autograder.isolation.near.worker import WorkerError, start_worker
from autograder.submission import Submission

TRIES = 2  # of one submission, when the grading process itself dies


@dataclass(frozen=True)
class Job:
    """A submission to be graded.

    Attributes:
        known: exercises whose stored grade is still true.
        keys: what the grade will depend on, by exercise.
    """

    submission: Submission
    known: Mapping[str, ExerciseGrade] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What every grading process needs to know."""

    root: Path
    exercises: tuple[str, ...]
    locked: bool

    def grader(self) -> Grader:
        """A warm grader of its own."""
        course = load_course(self.root)
        return Grader.start(course, course.select(self.exercises), EVERYTHING, start_worker(), locked=self.locked)


def prepare(
    submission: Submission, course: Course, exercises: Sequence[Exercise], results: Results | None, locked: bool
) -> Job:
    """A submission with what need not be graded again."""
    if results is None:
        return Job(submission)
    current = keys(course, exercises, submission)
    return Job(submission, results.reusable(submission.name, current, locked), current)


def grade_all(setting: Setting, jobs: Iterable[Job], processes: int) -> Iterator[tuple[Job, Grade, bool]]:
    """Grades jobs in any order; gives each with its grade and whether it was graded now rather than reused.

    Raises:
        WorkerError: no submission can be graded on this machine.
    """
    waiting: deque[tuple[Job, int]] = deque()
    for job in jobs:
        if set(setting.exercises) <= set(job.known):
            yield job, reused(setting, job), False
        else:
            waiting.append((job, 1))
    processes = min(processes, len(waiting))
    if processes <= 1:
        yield from _grade_here(setting, [job for job, _ in waiting])
        return
    hands = [_Hand(setting, number, processes) for number in range(processes)]
    try:
        while waiting or any(hand.job for hand in hands):
            for hand in hands:
                if hand.job is None and waiting:
                    hand.give(*waiting.popleft())
            busy = {hand.connection: hand for hand in hands if hand.job}
            for connection in wait(list(busy)):
                hand = busy[connection]  # type: ignore[index]
                job, tries, answer = hand.take()
                if isinstance(answer, Grade):
                    yield job, answer, True
                elif isinstance(answer, WorkerError):
                    raise answer
                elif tries < TRIES:
                    waiting.append((job, tries + 1))
                else:
                    yield job, given_up(setting, job), True
    finally:
        for hand in hands:
            hand.close()


def _grade_here(setting: Setting, jobs: Sequence[Job]) -> Iterator[tuple[Job, Grade, bool]]:
    if not jobs:
        return
    grader = setting.grader()
    try:
        for job in jobs:
            try:
                grade = grader.grade(job.submission, job.known)
            except (GraderError, CourseError):
                raise
            except Exception:  # as in a process of its own: it costs this submission alone
                grader.worker.close()
                grade, grader = given_up(setting, job), setting.grader()
            yield job, grade, True
    finally:
        grader.worker.close()


def reused(setting: Setting, job: Job) -> Grade:
    """The grade of a job whose every exercise is known."""
    exercises = tuple(job.known[name] for name in setting.exercises)
    submission = job.submission
    return Grade(submission.name, exercises, setting.locked, submission.notes, submission.unreadable)


def given_up(setting: Setting, job: Job) -> Grade:
    """A grade for a submission that ended the grading process itself each time it was tried."""
    sentence = "The grading process ended before this was graded. Nothing can be said about the exercise."
    course = load_course(setting.root)
    problems = dict.fromkeys(course.names, sentence)
    grader = setting.grader()
    try:
        return grader.grade(Submission(job.submission.name, {}, problems))
    finally:
        grader.worker.close()


class _Hand:
    """A grading process and what it works on; replaced by a fresh one when it dies."""

    def __init__(self, setting: Setting, number: int, processes: int) -> None:
        self.setting = setting
        self.place = number, processes
        self.job: Job | None = None
        self.tries = 0
        self._start()

    def give(self, job: Job, tries: int) -> None:
        self.job, self.tries = job, tries
        with contextlib.suppress(OSError):  # it is dead, which `take` will find out
            self.connection.send(job)

    def take(self) -> tuple[Job, int, Any]:
        assert self.job is not None
        job, self.job = self.job, None
        try:
            return job, self.tries, self.connection.recv()
        except (EOFError, OSError):
            self.close()
            self._start()
            return job, self.tries, None

    def close(self) -> None:
        self.connection.close()
        self._process.terminate()
        self._process.join()

    def _start(self) -> None:
        # Spawned, not forked: a grading process starts as clean as the first one.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self.setting, *self.place), daemon=True)
        self._process.start()
        theirs.close()


def _work(connection: Connection, setting: Setting, number: int, processes: int) -> None:
    """A grading process: grades what it is given until the parent hangs up."""
    dedicate(number, processes)
    grader = None
    try:
        while True:
            job = connection.recv()
            try:
                grader = grader or setting.grader()
                connection.send(grader.grade(job.submission, job.known))
            except WorkerError as error:
                connection.send(error)
    except (EOFError, KeyboardInterrupt, OSError):
        pass
    finally:
        if grader is not None:
            grader.worker.close()
