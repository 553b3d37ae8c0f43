"""Checks in a thread of its own: suites, libraries and a worker stay warm, and a newer text stops an older one's check.

Everything about the grader happens in this one thread, also its imports, so that the screen and the keys never wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autograder.course import Course, CourseError, Exercise, GraderError
from autograder.grades import ExerciseGrade
from autograder.isolation.near.worker import Canceled, Worker, WorkerError, start_worker
from autograder.submission import Submission

if TYPE_CHECKING:
    from autograder.grading import Grader


@dataclass(frozen=True)
class CheckJob:
    """One check.

    Attributes:
        number: by which its answer is known.
    """

    number: int
    exercise: Exercise
    submission: Submission


class Checker:
    """Answers each job by `answer(number, grade)`, or with a sentence where the grader itself failed.

    Only the newest job counts: an older one is stopped and never answered.
    """

    def __init__(self, course: Course, answer: Callable[[int, ExerciseGrade | str], None]) -> None:
        self._course = course
        self._answer = answer
        self._worker = start_worker()
        self._changed = threading.Condition()
        self._job: CheckJob | None = None
        self._to_warm: list[Exercise] = []
        self._closed = False
        self._warm = _Warm(course)
        self._thread = threading.Thread(target=self._work, name="checker", daemon=True)
        self._thread.start()

    def check(self, job: CheckJob) -> None:
        """Checks this instead of whatever is being checked."""
        with self._changed:
            self._job = job
            self._worker.stop()
            self._changed.notify()

    def warm(self, exercise: Exercise) -> None:
        """Gets an exercise ready when there is nothing else to do."""
        with self._changed:
            self._to_warm.append(exercise)
            self._changed.notify()

    def close(self) -> None:
        """Stops what runs and ends the worker."""
        with self._changed:
            self._closed = True
            self._worker.stop()
            self._changed.notify()
        self._thread.join(timeout=5)  # an import cannot be stopped; it is not waited for any longer
        if not self._thread.is_alive():
            self._worker.close()

    def _work(self) -> None:
        while work := self._next():
            try:
                if isinstance(work, CheckJob):
                    self._answer(work.number, self._warm.grade(self._worker, work))
                else:
                    self._warm.get_ready(self._worker, work)
            except Canceled:
                pass
            except (GraderError, CourseError) as error:
                if isinstance(error, WorkerError):
                    self._start_again()
                if isinstance(work, CheckJob):
                    self._answer(work.number, f"{error}")
            except Exception as error:  # whatever it is, the next save is checked
                if isinstance(work, CheckJob):
                    self._answer(work.number, f"The check itself failed ({error!r}). Save again to try again.")

    def _next(self) -> CheckJob | Exercise | None:
        """The next thing to do, as soon as there is one; nothing when all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._job or self._to_warm)
            if self._closed:
                return None
            self._worker.resume()
            job, self._job = self._job, None
            return job or self._to_warm.pop(0)

    def _start_again(self) -> None:
        with self._changed:
            self._worker.close()
            self._worker = start_worker()
        self._warm = _Warm(self._course)


@dataclass
class _Warm:
    """The graders that are ready, and what is known of texts that later exercises build on."""

    course: Course
    graders: dict[str, Grader] = field(default_factory=dict)
    judged: dict[str, tuple[object, ExerciseGrade]] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)

    def grade(self, worker: Worker, job: CheckJob) -> ExerciseGrade:
        """Checks an exercise; what it builds on is checked only when that has changed."""
        from autograder.course import with_foundations

        grader, found = self._grader(worker, job.exercise), dict[str, ExerciseGrade]()
        for exercise in with_foundations(self.course, [job.exercise]):
            key = self._key(exercise, job.submission)
            if exercise.name not in self.judged or self.judged[exercise.name][0] != key or exercise == job.exercise:
                passed = [name for name, grade in found.items() if grade.status == "passed"]
                grade = grader.grade_exercise(job.submission, exercise, passed)
                if worker.is_stopped():
                    raise Canceled  # some of its calls were never answered
                self.judged[exercise.name] = (key, grade)
            found[exercise.name] = self.judged[exercise.name][1]
        return found[job.exercise.name]

    def get_ready(self, worker: Worker, exercise: Exercise) -> None:
        """Imports, collects and builds once what an exercise's checks need, by a check that nobody sees."""
        if exercise.name in self.ready:
            return
        grader = self._grader(worker, exercise)
        sources = {**grader.stand_ins(exercise), exercise.name: ""}
        grader.judge(grader.run(exercise, sources))
        self.ready.add(exercise.name)

    def _grader(self, worker: Worker, exercise: Exercise) -> Grader:
        from autograder.grading import VISIBLE, Grader

        if exercise.name not in self.graders:
            self.graders[exercise.name] = Grader.start(self.course, [exercise], VISIBLE, worker, locked=False)
        return self.graders[exercise.name]

    def _key(self, exercise: Exercise, submission: Submission) -> object:
        """All the texts that an exercise's grade may depend on."""
        from autograder.course import foundations

        theirs = {exercise.name, *foundations(self.course, exercise)}
        helpers = {name: text for name, text in submission.sources.items() if name not in self.course.names}
        return helpers, {name: (submission.sources.get(name), submission.problems.get(name)) for name in theirs}
