"""The magics `%check softmax` and `%%check softmax`.

In the notebook of an exercise the name can be left out. What is checked is what stands in the notebook's memory now:
each function and class as it was last run. Exercises that it builds on are taken from the notebooks beside it, also by
`import`.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from autograder.course import Course, CourseError, Exercise, GraderError, find_course
from autograder.grades import ExerciseGrade
from autograder.grading import VISIBLE, Grader, foundations
from autograder.isolation.between.importer import MemoryImporter
from autograder.isolation.near.worker import start_worker
from autograder.notebook.heatmap import heatmap
from autograder.notebook.table import as_html, as_text
from autograder.submission import Submission, SubmissionError, module_name, read_submission
from autograder.suites.compare import Mismatch, as_numpy
from autograder.suites.runner import Outcome, Run


def register(shell: InteractiveShell) -> None:
    """Makes `%check` and `%%check` known, and the exercises beside the notebook importable."""
    checks = Checks(shell)
    shell.register_magic_function(checks.line, "line", "check")  # type: ignore[arg-type]
    shell.register_magic_function(checks.cell, "cell", "check")  # type: ignore[arg-type]
    if not any(isinstance(finder, BesideTheNotebook) for finder in sys.meta_path):
        sys.meta_path.insert(0, BesideTheNotebook())


@dataclass
class Checks:
    """The checks of one notebook; each exercise's grader stays warm."""

    shell: InteractiveShell
    _graders: dict[str, DrawingGrader] = field(default_factory=dict)

    def line(self, line: str) -> float | None:
        """`%check softmax` shows how the exercise stands and returns its points, which nbgrader reads."""
        try:
            course = find_course()
            exercise = course.exercise(line.strip() or self._notebook(course))
            grade = self.check(course, exercise)
        except (CourseError, GraderError) as error:
            print(error)
            return 0.0
        if os.environ.get("NBGRADER_EXECUTION") == "validate" and grade.score < grade.max_score:
            print(as_text(grade), file=sys.stderr)  # the only words of a cell that `nbgrader validate` shows
        html = as_html(grade, self._graders[exercise.name].drawings)
        display({"text/html": html, "text/plain": as_text(grade)}, raw=True)  # type: ignore[no-untyped-call]
        return grade.score

    def cell(self, line: str, cell: str) -> float | None:
        """`%%check softmax` runs the cell, and then does what `%check` does if it ran through."""
        ran = self.shell.run_cell(cell)  # type: ignore[no-untyped-call]
        return self.line(line) if ran.success else None

    def check(self, course: Course, exercise: Exercise) -> ExerciseGrade:
        """Runs the visible suite on what stands in the notebook."""
        history = self.shell.history_manager.input_hist_parsed if self.shell.history_manager else []
        sources = {exercise.name: module_in(history, exercise.name, self.shell.user_ns)}
        for base in foundations(course, exercise):
            if (source := _beside(base, course)) is not None:
                sources[base] = source
        if exercise.name not in self._graders:
            self._graders[exercise.name] = DrawingGrader.start(
                course, [exercise], VISIBLE, start_worker(), locked=False
            )
        grader = self._graders[exercise.name]
        grader.drawings = {}
        return grader.grade(Submission("notebook", sources)).exercises[0]

    def _notebook(self, course: Course) -> str:
        """The exercise that this notebook is, as far as Jupyter or the editor says."""
        path = os.environ.get("JPY_SESSION_NAME") or self.shell.user_ns.get("__vsc_ipynb_file__") or ""
        name = module_name(Path(path).stem)
        if name not in course.names:
            raise CourseError(f"Say which exercise to check: %check {course.names[0]}, for instance.")
        return name


@dataclass
class DrawingGrader(Grader):
    """Draws where arrays differ, for the tests that students see anyway.

    Attributes:
        drawings: of the exercise that was judged last, by the names of its tests.
    """

    drawings: dict[str, str] = field(default_factory=dict)

    def judge(self, run: Run) -> ExerciseGrade:
        """See `Grader`."""
        if run.exercise in self.exercises:  # and not one that it builds on
            self.drawings = {outcome.test.name: _drawing(outcome) for outcome in run.outcomes}
        return super().judge(run)


def _drawing(outcome: Outcome) -> str:
    error = outcome.error
    if outcome.test.visibility != "visible" or not isinstance(error, Mismatch) or error.wrong is None:
        return ""
    return heatmap(as_numpy(error.got), as_numpy(error.expected), error.wrong)


def module_in(history: Sequence[str], module: str, defined: Container[str]) -> str:
    """The module that the cells which were run make: imports (not of itself), then each definition as last run.

    A value counts when a definition needs it and it is still there. Everything else that was tried does not.
    """
    found: dict[str, dict[str, str]] = {"import": {}, "definition": {}, "value": {}}
    for text in history:
        for kind, name, statement in _statements(text):
            found[kind][name] = statement
    own = re.compile(rf"(from|import)\s+{module}\b")
    imports = sorted(found["import"], key=lambda statement: not statement.startswith("from __future__"))
    needed = _names("\n".join(found["definition"].values()))
    values = dict.fromkeys(found["value"][name] for name in found["value"] if name in needed and name in defined)
    kept = [*(statement for statement in imports if not own.match(statement)), *values, *found["definition"].values()]
    return "\n".join(kept) + "\n"


def _statements(text: str) -> Iterator[tuple[str, str, str]]:
    """A cell's imports, definitions and values: the kind, the name, and the text in whole lines."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    lines = text.splitlines()
    for node in tree.body:
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
        statement = "\n".join(lines[first - 1 : node.end_lineno])
        match node:
            case ast.Import() | ast.ImportFrom():
                yield "import", statement, statement
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield "definition", name, statement
            case ast.Assign() | ast.AnnAssign():
                for name in sorted(_names(statement, ast.Store)):
                    yield "value", name, statement
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="run_cell_magic"), args=[name, _, cell])):
                if ast.literal_eval(name) == "check":  # our own magic ran its cell as Python
                    yield from _statements(ast.literal_eval(cell))


def _names(text: str, context: type[ast.expr_context] = ast.Load) -> set[str]:
    nodes = ast.walk(ast.parse(text))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, context)}


class BesideTheNotebook(MetaPathFinder):
    """Lets `import softmax` find `01-softmax.ipynb`; a right stand-in where the student has none."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds exercises alone, and leaves scripts to Python."""
        try:
            course = find_course()
        except CourseError:
            return None
        if fullname not in course.names or Path(f"{fullname}.py").is_file():
            return None
        source = _beside(fullname, course)
        if source is None and course.stand_in(fullname).is_file():
            source = course.stand_in(fullname).read_text(encoding="utf-8")
        return None if source is None else MemoryImporter({fullname: source}).find_spec(fullname)


def _beside(name: str, course: Course) -> str | None:
    """The student's own work on another exercise, from the folder of the notebook."""
    for path in (*sorted(Path.cwd().glob(f"*-{name}.ipynb")), Path(f"{name}.ipynb"), Path(f"{name}.py")):
        try:
            return read_submission(path, course).sources[name]
        except (SubmissionError, KeyError):
            continue
    return None
