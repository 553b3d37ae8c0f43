"""What runs beside a notebook's kernel, for `%check`: the grader, and the drawings of where two arrays differ."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from autograder.batch.service import Message, serve
from autograder.course import Course, CourseError, Exercise, GraderError, foundations, load_course
from autograder.grades import ExerciseGrade
from autograder.grading import VISIBLE, Grader
from autograder.isolation.near.worker import Worker, start_worker
from autograder.notebook.beside import answer
from autograder.notebook.cells import Place
from autograder.notebook.heatmap import heatmap
from autograder.notebook.table import as_html, as_text
from autograder.submission import Submission
from autograder.suites.compare import Mismatch, as_numpy
from autograder.suites.runner import Outcome, Run


class Checking:
    """Checks what stands in a notebook; one worker and each exercise's grader stay warm."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._worker: Worker | None = None
        self._graders: dict[str, DrawingGrader] = {}

    def check(self, question: Message) -> Message:
        """Runs an exercise's visible suite.

        Args:
            question: the `exercise`, its module's `text`, `places` and `definitions` (see `cells.Module`), and the
                `folder` of the notebook.

        Returns:
            The `score` and `max_score`, and the grade as `html` and `text`.

        Raises:
            CourseError, GraderError: there is nothing to check yet, or it could not be checked.
        """
        exercise = self._course.exercise(question["exercise"])
        name, absent = exercise.name, self._not_run(exercise.name, question["definitions"])
        if absent and not question["definitions"]:
            raise CourseError(f"Nothing to check yet: run the cells that define {_listing(absent)}, then %check again.")
        sources = {name: question["text"]}
        for base in foundations(self._course, exercise):
            if (source := answer(base, self._course, Path(question["folder"]))) is not None:
                sources[base] = source
        try:
            grader = self._grader(exercise)
            grader.drawings = {}
            grade = grader.grade(Submission("notebook", sources)).exercises[0]
        except GraderError:
            self.close()  # the next check begins with a fresh worker
            raise
        places = [Place(*place) for place in question["places"]]
        tests = (replace(test, feedback=in_cells(test.feedback, name, places)) for test in grade.tests)
        notes = [in_cells(place.sentence, name, places) for place in grade.places]
        grade = replace(grade, tests=tuple(tests), places=())
        if absent:
            notes.insert(0, f"Not run in this notebook yet: the cells that define {_listing(absent)}.")
        html, text = as_html(grade, grader.drawings, notes), as_text(grade, notes)
        return {"score": grade.score, "max_score": grade.max_score, "html": html, "text": text}

    def close(self) -> None:
        """Ends the worker."""
        if self._worker is not None:
            self._worker.close()
        self._worker, self._graders = None, {}

    def _grader(self, exercise: Exercise) -> DrawingGrader:
        self._worker = self._worker or start_worker()
        if exercise.name not in self._graders:
            self._graders[exercise.name] = DrawingGrader.start(
                self._course, [exercise], VISIBLE, self._worker, locked=False
            )
        return self._graders[exercise.name]

    def _not_run(self, name: str, defined: Sequence[str]) -> list[str]:
        """The functions and classes of the exercise that no cell has defined."""
        try:
            body = ast.parse(self._course.stub(name).read_text(encoding="utf-8")).body
        except (OSError, SyntaxError, ValueError):  # a student may be in the middle of the script
            return []
        asked = [node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        return [definition for definition in asked if definition not in defined]


@dataclass
class DrawingGrader(Grader):
    """Draws where arrays differ, for the tests that students see anyway.

    Attributes:
        drawings: of the exercise that was judged last, by the names of its tests.
    """

    drawings: dict[str, str] = field(default_factory=dict)

    def judge(self, run: Run, *, late: bool = False) -> ExerciseGrade:
        """See `Grader`."""
        if run.exercise in self.exercises:  # and not one that it builds on
            self.drawings = {outcome.test.name: _drawing(outcome) for outcome in run.outcomes}
        return super().judge(run, late=late)


def _drawing(outcome: Outcome) -> str:
    error = outcome.error
    if outcome.test.visibility != "visible" or not isinstance(error, Mismatch) or error.wrong is None:
        return ""
    return heatmap(as_numpy(error.got), as_numpy(error.expected), error.wrong)


def in_cells(feedback: str, name: str, places: Sequence[Place]) -> str:
    """What is said about a file's lines, said about a notebook's cells.

    Args:
        feedback: the grader's words on the module `name`.
        name: the exercise.
        places: where each line of the module stands.
    """

    def cell(match: re.Match[str]) -> str:
        number = int(match[2]) - 1
        if not 0 <= number < len(places):
            return match[0]
        return f"{match[1]}ine {places[number].line} of cell [{places[number].cell}]"

    feedback = re.sub(
        rf"\b([lL])ine (\d{{1,6}})(?: of {name}\.py|(?= still holds `)|(?=, `\.\.\.)|(?=, in `))", cell, feedback
    )
    feedback = re.sub(rf"^{name}\.py\b", "Your notebook", feedback, flags=re.MULTILINE)
    return re.sub(rf"\b{name}\.py\b", "your notebook", feedback)


def _listing(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def main(root: str) -> None:
    """Answers `%check` for a course."""
    checking = Checking(load_course(Path(root)))
    try:
        serve(checking.check)
    finally:
        checking.close()


if __name__ == "__main__":
    main(sys.argv[1])
