"""A process that answers a line with a line: what grades beside a notebook's kernel or nbgrader, and not in it.

Both may be whole Jupyter servers, or a student's own session: no suite is collected and no library loaded there, and
whatever a grader sets for itself (threads, limits, signals) ends with its process.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from autograder.course import CourseError, GraderError
from autograder.files import PROGRAM

TRIES = 2  # of one question, when the process itself dies
Message = dict[str, Any]


class Service:
    """The asking side. The process starts with the first question, and again after it has died."""

    def __init__(self, module: str, *arguments: str) -> None:
        """Prepares.

        Args:
            module: what runs over there; it calls `serve`.
            arguments: what it is told on its command line.
        """
        self._command = [sys.executable, "-P", "-m", module, *arguments]
        self._process: subprocess.Popen[str] | None = None

    def ask(self, question: Message) -> Message:
        """Sends a question and waits for its answer.

        Raises:
            GraderError: there is none, or it says why.
        """
        for _ in range(TRIES):
            try:
                answer = self._ask(question)
            except (OSError, ValueError):
                self.close()
                continue
            except BaseException:  # somebody interrupts: the answer that comes later is to no other question
                self.close()
                raise
            if "error" in answer:
                raise GraderError(answer["error"])
            return answer
        raise GraderError("The grading process ended twice before it gave an answer.")

    def close(self) -> None:
        """Ends the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, question: Message) -> Message:
        if self._process is None:
            # The program need not be installed: it may have been put on Python's path by hand.
            path = os.pathsep.join(filter(None, (str(PROGRAM.parent), os.environ.get("PYTHONPATH"))))
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # an interrupt is for the one who asks
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer: Message = json.loads(self._process.stdout.readline())
        return answer


def serve(answer: Callable[[Message], Message]) -> None:
    """The answering side: answers every line of standard input, until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a suite prints is no answer
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        for line in sys.stdin:
            try:
                found = answer(json.loads(line))
            except (GraderError, CourseError) as error:
                found = {"error": str(error)}
            print(json.dumps(found), file=answers, flush=True)
