"""Solution → stub: every marked answer becomes `...  # FINISH ME`, everything else stays as it is."""

from __future__ import annotations

import re

import libcst as cst

from autograder.course import Course, CourseError
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


def stub(solution: str) -> str:
    """The text that students get for a solution's text.

    Raises:
        CourseError: the solution does not parse, or a region has no end.
    """
    text = _REGION.sub(lambda match: f"{match['indent']}...  {MARK}", solution)
    if "# BEGIN SOLUTION" in text or "# END SOLUTION" in text:
        raise CourseError("a solution's region has a beginning or an end without the other")
    try:
        return cst.parse_module(text).visit(_Digger()).code
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


def stubs(course: Course) -> dict[str, str]:
    """Each exercise's stub, as `solutions/` gives it now."""
    paths = {name: course.solution(name) for name in course.names}
    return {name: stub(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


def write_stubs(course: Course) -> list[str]:
    """Writes `exercises/` and returns the names of those that changed."""
    changed = []
    for name, text in stubs(course).items():
        path = course.stub(name)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_whole(path, text)
            changed.append(name)
    return changed
