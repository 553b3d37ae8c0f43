"""A grading process as the one that asks it sees it: its end is not the submission's.

What it was at is tried again in a fresh one; when that fails too, it is not graded, and the next one is.
"""

from __future__ import annotations

import contextlib
import errno
import pickle
import subprocess
import sys
import threading
import time

from autograder.batch.jobs import Job, Setting, not_graded
from autograder.course import Exercise
from autograder.grades import Grade
from autograder.isolation.near.protocols import WorkerError

COMMAND = [sys.executable, "-P", "-m", "autograder.batch.steady"]
TRIES = 2  # of one submission
PAUSE = 0.2  # seconds before the second one
START = 300.0  # seconds for a process to collect the suites, beside others that do the same
PATIENCE = 300.0  # seconds for a submission besides the budgets of its exercises


class GradingProcess:
    """A warm grader (see `steady`) in a process of its own, which is replaced when it dies or does not answer."""

    def __init__(self, setting: Setting, number: int = 0, processes: int = 1) -> None:
        """Prepares; the process starts with its first submission.

        Args:
            setting: what to grade, and how.
            number: which of the processes that grade on this machine it is.
            processes: how many there are.
        """
        self.setting = setting
        self._share = number, processes
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._seconds = START + PATIENCE + sum(map(_longest, setting.course().select(setting.exercises)))

    def grade(self, job: Job) -> Grade:
        """The submission's grade, or what there is of one that could not be graded (see `not_graded`).

        Raises:
            GraderError, CourseError: no submission can be graded.
        """
        why = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE)
            try:
                answer = self._ask(job)
            except OSError as error:
                why = f"a grading process cannot be started ({error.strerror})"
            except (EOFError, pickle.UnpicklingError):
                why = "the grading process ended, or hung"
            else:
                if isinstance(answer, Grade):
                    return answer
                self._end()
                if not isinstance(answer, WorkerError):
                    raise answer
                why = str(answer)
            self._end()
        return not_graded(self.setting, job, why)

    def close(self) -> None:
        """Ends the process, whatever it is doing. May be called from any thread."""
        self._closed = True
        self._end()

    def _ask(self, job: Job) -> Grade | Exception:
        if self._closed:
            raise EOFError
        if self._process is None:
            self._process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._send((self.setting, *self._share))
        assert self._process.stdout is not None
        timer = threading.Timer(self._seconds, self._process.kill)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError as error:  # no thread is to be had now
            raise OSError(errno.EAGAIN, str(error)) from None
        try:
            self._send(job)
            answer: Grade | Exception = pickle.load(self._process.stdout)
            return answer
        finally:
            timer.cancel()

    def _send(self, value: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        pickle.dump(value, self._process.stdin)
        self._process.stdin.flush()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()


def _longest(exercise: Exercise) -> float:
    """Seconds that an exercise's processes may take at most, by its budget: it may be begun twice."""
    budget = exercise.budget
    return 2 * float(budget.exercise + budget.load * (budget.restarts + 2))
