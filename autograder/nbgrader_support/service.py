"""The locked grader in a process of its own, for as long as one run of nbgrader's autograde.

Each run begins with the suites as they are on the disk.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.batch.local import Setting
from autograder.batch.service import Message, Service, serve
from autograder.course import GraderError
from autograder.grades import Grade, as_json, from_json
from autograder.submission import Submission

if TYPE_CHECKING:
    from autograder.grading import Grader


class GradingService:
    """Grades submissions one after the other in another process, which starts when it is first needed."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self._service = Service(__name__, str(root), *names)
        self.close = self._service.close

    def grade(self, submission: Submission) -> Grade:
        """Grades one submission.

        Raises:
            GraderError: it could not be graded, for a reason that is not the submission's.
        """
        try:
            return from_json(self._service.ask(vars(submission)))
        except GraderError as error:
            raise GraderError(f"{submission.name} was not graded. {error}") from None


def main(arguments: Sequence[str]) -> None:
    """Grades whatever is asked."""
    root, *names = arguments
    graders: list[Grader] = []

    def grade(question: Message) -> Message:
        if not graders:
            graders.append(Setting(Path(root), tuple(names), locked=True).grader())
        return as_json(graders[0].grade(Submission(**question)))

    try:
        serve(grade)
    finally:
        for grader in graders:
            grader.worker.close()


if __name__ == "__main__":
    main(sys.argv[1:])
