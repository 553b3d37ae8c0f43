"""The magics `%check softmax` and `%%check softmax`.

In the notebook of an exercise the name can be left out. What is checked is what stands in the notebook's memory now:
each function and class as it was last run. Exercises that it builds on are taken from the notebooks beside it, also by
`import`. The grader runs in a process of its own (see `checking`), so that a check leaves the kernel as it was.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from autograder.batch.service import Message, Service
from autograder.course import Course, CourseError, GraderError, find_course
from autograder.notebook.beside import BesideTheNotebook
from autograder.notebook.cells import module_in
from autograder.submission import module_name


def register(shell: InteractiveShell) -> None:
    """Makes `%check` and `%%check` known, and the exercises beside the notebook importable."""
    checks = Checks(shell)
    shell.register_magic_function(checks.line, "line", "check")  # type: ignore[arg-type]
    shell.register_magic_function(checks.cell, "cell", "check")  # type: ignore[arg-type]
    if not any(isinstance(finder, BesideTheNotebook) for finder in sys.meta_path):
        sys.meta_path.insert(0, BesideTheNotebook())


@dataclass
class Checks:
    """The checks of one notebook; the process that answers them stays warm."""

    shell: InteractiveShell
    _services: dict[Path, Service] = field(default_factory=dict)

    def line(self, line: str) -> float | None:
        """`%check softmax` shows how the exercise stands; to nbgrader it also returns the points."""
        try:
            answer = self.check(find_course(), line.strip())
        except (CourseError, GraderError) as error:
            print(error)
            answer = {"score": 0.0, "max_score": 1.0, "text": str(error)}
        else:
            display({"text/html": answer["html"], "text/plain": answer["text"]}, raw=True)  # type: ignore[no-untyped-call]
        grading = os.environ.get("NBGRADER_EXECUTION")
        if grading == "validate" and answer["score"] < answer["max_score"]:
            print(answer["text"], file=sys.stderr)  # the only words of a cell that `nbgrader validate` shows
        return float(answer["score"]) if grading else None

    def cell(self, line: str, cell: str) -> float | None:
        """`%%check softmax` runs the cell, and then does what `%check` does if it ran through."""
        ran = self.shell.run_cell(cell)  # type: ignore[no-untyped-call]
        return self.line(line) if ran.success else None

    def check(self, course: Course, name: str) -> Message:
        """Has the visible suite run on what stands in the notebook; see `Checking.check` for the answer.

        Raises:
            CourseError, GraderError: there is no such exercise, nothing to check yet, or it could not be checked.
        """
        exercise = course.exercise(name or self._notebook(course))
        history = self.shell.history_manager.input_hist_parsed if self.shell.history_manager else []
        module = module_in(history, exercise.name, self.shell.user_ns)
        if course.root not in self._services:
            self._services[course.root] = Service("autograder.notebook.checking", str(course.root))
        question = {**module._asdict(), "definitions": sorted(module.definitions)}
        return self._services[course.root].ask({"exercise": exercise.name, "folder": str(Path.cwd()), **question})

    def _notebook(self, course: Course) -> str:
        """The exercise that this notebook is, as far as Jupyter or the editor says."""
        path = os.environ.get("JPY_SESSION_NAME") or self.shell.user_ns.get("__vsc_ipynb_file__") or ""
        name = module_name(Path(path).stem)
        if name not in course.names:
            raise CourseError(f"Say which exercise to check: %check {course.names[0]}, for instance.")
        return name
