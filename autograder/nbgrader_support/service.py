"""The locked grader in a process of its own, for as long as one run of nbgrader's autograde.

nbgrader's process may be a whole Jupyter server: no suite is collected and no library loaded there, and each run begins
with the suites as they are on the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autograder.batch.jobs import Job, Setting
from autograder.batch.steady import SteadyGrader
from autograder.course import CourseError, GraderError
from autograder.grades import Grade, as_json, from_json
from autograder.submission import Submission

TRIES = 2  # of one submission, when the grading process itself dies


class GradingService:
    """Grades submissions one after the other in another process, which starts when it is first needed."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self._command = [sys.executable, "-P", "-m", __name__, str(root), *names]
        self._process: subprocess.Popen[str] | None = None

    def grade(self, submission: Submission) -> Grade:
        """Grades one submission.

        Raises:
            GraderError: it could not be graded, for a reason that is not the submission's.
        """
        for _ in range(TRIES):
            try:
                answer = self._ask(submission)
            except (OSError, ValueError):
                self.close()
                continue
            if "error" in answer:
                raise GraderError(answer["error"])
            return from_json(answer)
        raise GraderError(f"The grading process ended twice before {submission.name} was graded.")

    def close(self) -> None:
        """Ends the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, submission: Submission) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(vars(submission)), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def main(arguments: Sequence[str]) -> None:
    """Answers one line with one line, until there are no more."""
    root, *names = arguments
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a suite prints is no answer
    grader = None
    for line in sys.stdin:
        try:
            grader = grader or SteadyGrader(Setting(Path(root), tuple(names)))
            grade = grader.grade(Job(Submission(**json.loads(line))))
            answer = as_json(grade) if grade.graded else {"error": grade.notes[-1]}
        except (GraderError, CourseError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), file=answers, flush=True)
    if grader is not None:
        grader.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main(sys.argv[1:])
