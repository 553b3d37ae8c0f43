"""The locked grader in a process of its own, for as long as one run of nbgrader's autograde.

Each run begins with the suites as they are on the disk.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from autograder.batch.jobs import Job, Setting
from autograder.batch.service import Message, Service, serve
from autograder.batch.steady import SteadyGrader
from autograder.course import GraderError
from autograder.grades import Grade, as_json, from_json
from autograder.submission import Submission


class GradingService:
    """Grades submissions one after the other in another process, which starts when it is first needed."""

    def __init__(self, root: Path, names: Sequence[str], protection: str) -> None:
        """Prepares.

        Args:
            root: the course's folder.
            names: the exercises that are graded.
            protection: the profile that submissions are shut in with.
        """
        self._service = Service(__name__, str(root), protection, *names)
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
    root, protection, *names = arguments
    graders: list[SteadyGrader] = []

    def grade(question: Message) -> Message:
        if not graders:
            graders.append(SteadyGrader(Setting(Path(root), tuple(names), protection)))
        found = graders[0].grade(Job(Submission(**question)))
        return as_json(found) if found.graded else {"error": found.notes[-1]}

    try:
        serve(grade)
    finally:
        for grader in graders:
            grader.close()


if __name__ == "__main__":
    main(sys.argv[1:])
