"""Solution → stub: every marked answer becomes `...  # FINISH ME`, everything else stays as it is.

Where a function is open, its signature and docstring stay, and all the rest of it is one hole.
"""

from __future__ import annotations

import re
from collections.abc import Container

import libcst as cst

from autograder.course import LEVELS, WHOLE, Course, CourseError
from autograder.files import write_whole

MARK = "# FINISH ME"
_REGION = re.compile(
    r"^(?P<indent>[ \t]*)# BEGIN SOLUTION[^\n]*\n.*?^[ \t]*# END SOLUTION[^\n]*$", re.MULTILINE | re.DOTALL
)
_MARKED = re.compile(rf"{_REGION.pattern}|{MARK}[ \t]*$", re.MULTILINE | re.DOTALL)
_HOLE = cst.Ellipsis()


class _Digger(cst.CSTTransformer):
    def leave_SimpleStatementLine(  # noqa: N802  (LibCST's name)
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine:
        comment = updated_node.trailing_whitespace.comment
        if comment is None or comment.value.strip() != MARK:
            return updated_node
        (statement,) = updated_node.body
        hole: cst.BaseSmallStatement
        if isinstance(statement, (cst.Assign, cst.AnnAssign)):
            hole = statement.with_changes(value=_HOLE)
        elif isinstance(statement, cst.Return):
            hole = cst.Return(_HOLE)
        else:
            hole = cst.Expr(_HOLE)
        return updated_node.with_changes(body=[hole])


class _Opener(cst.CSTTransformer):
    """Makes one hole of each function that holds an answer; innermost functions belong to those around them."""

    def __init__(self, chosen: Container[str] | None) -> None:
        self.found: list[str] = []
        self._chosen = chosen  # their full names; None for all
        self._path: list[str] = []

    def visit_ClassDef(self, node: cst.ClassDef) -> None:  # noqa: N802
        self._path.append(node.name.value)

    def leave_ClassDef(  # noqa: N802
        self, original_node: cst.ClassDef, updated_node: cst.ClassDef
    ) -> cst.ClassDef:
        self._path.pop()
        return updated_node

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:  # noqa: N802
        self._path.append(node.name.value)
        return False

    def leave_FunctionDef(  # noqa: N802
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        name = ".".join(self._path)
        self._path.pop()
        if MARK not in cst.Module([]).code_for_node(updated_node.body):
            return updated_node
        self.found.append(name)
        if self._chosen is not None and name not in self._chosen:
            return updated_node
        hole: cst.BaseSmallStatement = cst.Return(_HOLE) if original_node.name.value != "__init__" else cst.Expr(_HOLE)
        comment = cst.TrailingWhitespace(cst.SimpleWhitespace("  "), cst.Comment(f"{MARK}: {WHOLE}"))
        line = cst.SimpleStatementLine([hole], trailing_whitespace=comment)
        docstring = [updated_node.body.body[0]] if updated_node.get_docstring() is not None else []
        return updated_node.with_changes(body=cst.IndentedBlock([*docstring, line]))  # type: ignore[list-item]


def stub(solution: str, level: str = "guided") -> str:
    """The text that students get for a solution's text, at one of `LEVELS`.

    Raises:
        CourseError: the solution does not parse, or a region has no end.
    """
    text = _REGION.sub(lambda match: f"{match['indent']}...  {MARK}", solution)
    if "# BEGIN SOLUTION" in text or "# END SOLUTION" in text:
        raise CourseError("a solution's region has a beginning or an end without the other")
    try:
        module = cst.parse_module(text)
        if level != LEVELS[0]:
            everything = _Opener(())
            module.visit(everything)
            module = module.visit(_Opener(None if level == "open" else everything.found[-1:]))
        return module.visit(_Digger()).code
    except cst.ParserSyntaxError as error:
        raise CourseError(f"a solution does not parse: {error.message}") from None


def with_one_hole(solution: str) -> dict[int, str]:
    """The solution with one answer at a time left out, by the line of the answer's mark in the solution."""
    marks = list(_MARKED.finditer(solution))
    texts: dict[int, str] = {}
    for mark in marks:
        kept = _MARKED.sub(lambda match: match[0] if match.start() == mark.start() else _unmarked(match[0]), solution)  # noqa: B023
        texts[solution.count("\n", 0, mark.start()) + 1] = stub(kept)
    return texts


def _unmarked(answer: str) -> str:
    """An answer that is kept: the same lines without their marks."""
    return re.sub(r"[ \t]*# (?:FINISH ME|BEGIN SOLUTION|END SOLUTION)[^\n]*", "", answer)


def stubs(course: Course, level: str | None = None) -> dict[str, str]:
    """Each exercise's stub, as `solutions/` gives it now, at its own level or at another."""
    return {
        exercise.name: stub(course.solution(exercise.name).read_text(encoding="utf-8"), level or exercise.level)
        for exercise in course.exercises
        if course.solution(exercise.name).is_file()
    }


def write_stubs(course: Course) -> list[str]:
    """Writes `exercises/` and returns the names of those that changed."""
    changed = []
    for name, text in stubs(course).items():
        path = course.stub(name)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_whole(path, text)
            changed.append(name)
    return changed
