"""`compare`: a student's own answer beside another right one, with what each does better, once the own one passes."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from time import perf_counter

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from autograder.authoring.answers import described, other_answer
from autograder.course import Course, CourseError, Exercise
from autograder.loop.state import load, text_digest
from autograder.reports.console import is_plain
from autograder.reports.terminal import count
from autograder.submission import read_submission

WIDE = 150  # columns: below that, one stands under the other
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
TELLING = 1.25  # by how much one must be shorter or faster for a word about it


@dataclass(frozen=True)
class Answer:
    """One of the two.

    Attributes:
        text: all of its module.
        code: what is shown of it: no lesson, docstrings or picture.
        seconds: how long its calls in the visible tests took.
    """

    text: str
    code: str
    seconds: float

    @property
    def lines(self) -> int:
        """How many lines of code it has."""
        return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in self.code.splitlines())

    @property
    def loops(self) -> int:
        """How many loops of Python's own it has."""
        loops = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
        return sum(isinstance(node, loops) for node in ast.walk(ast.parse(self.code)))


def compare(course: Course, exercise: Exercise, console: Console) -> None:
    """Shows both, and says what each does better.

    Raises:
        CourseError: the student's own does not pass, or there is no other.
    """
    name = exercise.name
    submission = read_submission(course.exercises_folder, course)
    if load(course).status(name, text_digest(submission, name)) != "passed":
        raise CourseError(f"{name} does not pass yet: `make check EX={name}` first. Then another answer tells more.")
    text = other_answer(course, name).read_text(encoding="utf-8")
    own = submission.sources[name]
    times = _seconds(course, exercise, {"own": own, "other": text})
    mine, theirs = (Answer(t, code(t), times[kind]) for kind, t in (("own", own), ("other", text)))
    style, better = described(text)
    _show(console, mine, theirs, f"Another: {style}")
    found = (
        ("Yours", advantages(mine, theirs, "the other")),
        ("The other", [*advantages(theirs, mine, "yours"), better]),
    )
    for who, sentences in found:
        for sentence in filter(None, sentences):
            console.print(f"{who}: {sentence}", markup=False, highlight=False)


def code(text: str) -> str:
    """An answer without its lesson, its docstrings and its picture; comments within functions stay."""
    lines = text.splitlines()
    for node in ast.walk(tree := ast.parse(text)):
        if isinstance(node, _Documented) and ast.get_docstring(node) is not None:
            first = node.body[0]
            lines[first.lineno - 1 : first.end_lineno] = [""] * ((first.end_lineno or first.lineno) - first.lineno + 1)
    for node in tree.body:
        if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
            del lines[node.lineno - 1 :]
    kept = "\n".join("" if line.startswith("#") else line.rstrip() for line in lines)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"(:)\n\n+(?=[ ])", r"\1\n", kept)).strip() + "\n"


def advantages(one: Answer, other: Answer, name: str) -> list[str]:
    """What the one has over the other, whose name is given, as far as it can be counted."""
    found = []
    if one.lines * TELLING < other.lines:
        found.append(f"{count(one.lines, 'line')} of code, where {name} has {other.lines}.")
    if one.loops < other.loops:
        number = f"{one.loops or 'no'} loop{'s' * (one.loops != 1)}"
        found.append(f"{number} of Python's own, where {name} has {other.loops}: with large arrays that decides.")
    if one.seconds * TELLING < other.seconds:
        found.append(f"the visible tests' calls took {one.seconds:.2g} s, and {other.seconds:.2g} s with {name}.")
    return found


def _seconds(course: Course, exercise: Exercise, texts: dict[str, str]) -> dict[str, float]:
    """How long the visible suite takes with each; the better of two runs, in turns."""
    from autograder.grading import VISIBLE, Grader
    from autograder.isolation.near.worker import start_worker
    from autograder.suites.runner import Effort

    worker = start_worker()
    best = dict.fromkeys(texts, float("inf"))
    try:
        grader = Grader.start(course, [exercise], VISIBLE, worker, locked=False)
        for _ in range(2):
            for kind, text in texts.items():
                begun = perf_counter()
                grader.run(exercise, {**grader.stand_ins(exercise), exercise.name: text}, Effort(search=False))
                best[kind] = min(best[kind], perf_counter() - begun)
    finally:
        worker.close()
    return best


def _show(console: Console, mine: Answer, theirs: Answer, title: str) -> None:
    if console.width >= WIDE and not is_plain(console):
        table = Table("Yours", title, show_lines=False)
        table.add_row(
            *(Syntax(answer.code, "python", word_wrap=True, background_color="default") for answer in (mine, theirs))
        )
        console.print(table)
        return
    for heading, answer in (("Yours", mine), (title, theirs)):
        console.print(f"{heading}\n", markup=False, highlight=False)
        console.print(answer.code, markup=False, highlight=False, soft_wrap=True)
