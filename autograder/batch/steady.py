"""What a grading process runs: a warm grader that outlives its own troubles, and is asked on standard input.

Trouble is whatever says nothing about the submission: a worker that is gone, a fork that the system refuses, a lock
that does not hold, a full disk. The submission is tried again with a fresh worker; when that fails too, it is not
graded, and the next one is.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
from typing import BinaryIO

from autograder.batch.cores import dedicate
from autograder.batch.jobs import Job, Setting, not_graded
from autograder.course import CourseError, GraderError, with_foundations
from autograder.grades import Grade
from autograder.grading import Grader
from autograder.isolation.near.protocols import MissingLibraryError
from autograder.suites.limits import Exhausted

TRIES = 2  # of one submission
PAUSE = 0.2  # seconds before the second one


class SteadyGrader:
    """Grades one submission after the other in this process, with a worker that is replaced when it is in trouble."""

    def __init__(self, setting: Setting) -> None:
        """Collects the suites.

        Raises:
            GraderError, CourseError: no submission can be graded.
        """
        self.setting = setting
        self._grader: Grader = setting.grader()

    def grade(self, job: Job) -> Grade:
        """The submission's grade, or what there is of one that could not be graded (see `not_graded`).

        Raises:
            CourseError, MissingLibraryError: no other submission can be graded either.
        """
        why = ""
        for attempt in range(TRIES):
            try:
                if attempt:
                    time.sleep(PAUSE)
                    self._replace_worker()
                return self._grader.grade(job.submission, job.reusable)
            except (CourseError, MissingLibraryError):
                raise
            except GraderError as error:
                why = str(error)
            except Exhausted:
                why = "the grader took too long"
            except Exception as error:
                why = f"the grader failed ({type(error).__name__}: {error})"
        with contextlib.suppress(GraderError, OSError):
            self._replace_worker()  # the next submission begins with a fresh one
        return not_graded(self.setting, job, why)

    def close(self) -> None:
        """Ends the worker."""
        self._grader.worker.close()

    def _replace_worker(self) -> None:
        with contextlib.suppress(GraderError, OSError):
            self._grader.worker.close()
        self._grader.worker = self.setting.worker()
        needed = with_foundations(self._grader.course, self._grader.exercises)
        self._grader.worker.prepare(list(dict.fromkeys(name for exercise in needed for name in exercise.libraries)))


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Grades what it is given until there is no more. Both sides are the grader's own, and so may use pickle."""
    setting, number, processes = pickle.load(requests)
    dedicate(number, processes)
    grader: SteadyGrader | None = None
    try:
        while True:
            job = pickle.load(requests)
            answer: Grade | Exception
            try:
                grader = grader or SteadyGrader(setting)
                answer = grader.grade(job)
            except (GraderError, CourseError) as error:
                answer = error
            pickle.dump(answer, answers)
            answers.flush()
    finally:
        if grader is not None:
            grader.close()


def main() -> None:
    """Serves on standard input and output; what a suite prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
