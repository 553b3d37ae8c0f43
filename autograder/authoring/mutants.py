"""Generated mutants of the solutions, and which of them the hidden suites kill.

A mutant is a solution with one small change: an operator, a constant, a comparison, an argument, a keyword, a
condition, a statement, a function for its neighbor. Every mutant must lose points, but for those that are equivalent,
which `tests/mutants/NAME.toml` lists with the reason why. Tools that mutate whole projects start a test run for each
mutant; here a warm grader takes well under a second for one.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, ParentNodeProvider

from autograder.batch.cores import grading_pool
from autograder.course import Budget, Course, Exercise, load_course
from autograder.files import digest
from autograder.grading import HIDDEN, Grader
from autograder.isolation.near.worker import start_worker

QUICK = Budget(call=3.0, load=20.0, exercise=30.0, restarts=0)  # a mutant that loops for ever is killed
REPORT = "tests/mutants/report.json"

_OPERATORS: dict[type[cst.BaseBinaryOp], type[cst.BaseBinaryOp]] = {
    cst.Add: cst.Subtract,
    cst.Subtract: cst.Add,
    cst.Multiply: cst.Divide,
    cst.Divide: cst.Multiply,
    cst.FloorDivide: cst.Divide,
    cst.Modulo: cst.FloorDivide,
    cst.Power: cst.Multiply,
    cst.MatrixMultiply: cst.Multiply,
    cst.BitAnd: cst.BitOr,
    cst.BitOr: cst.BitAnd,
}
_COMPARISONS: dict[type[cst.BaseCompOp], type[cst.BaseCompOp]] = {
    cst.LessThan: cst.LessThanEqual,
    cst.LessThanEqual: cst.LessThan,
    cst.GreaterThan: cst.GreaterThanEqual,
    cst.GreaterThanEqual: cst.GreaterThan,
    cst.Equal: cst.NotEqual,
    cst.NotEqual: cst.Equal,
    cst.In: cst.NotIn,
    cst.NotIn: cst.In,
    cst.Is: cst.IsNot,
    cst.IsNot: cst.Is,
}
_NEIGHBOURS = {
    **{"max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum", "argmax": "argmin", "amax": "amin"},
    **{"sum": "mean", "mean": "sum", "sin": "cos", "cos": "sin", "tril": "triu", "triu": "tril", "clamp": "clip_"},
    **{"zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "exp": "expm1", "log": "log1p", "rsqrt": "sqrt"},
    **{"softmax": "log_softmax", "log_softmax": "softmax", "logsigmoid": "sigmoid", "True": "False", "False": "True"},
}
_SYMMETRIC = ("transpose", "swapaxes", "maximum", "minimum")  # of two arguments


@dataclass(frozen=True)
class Mutant:
    """A changed solution.

    Attributes:
        change: what was changed, as "function: old -> new"; the same change elsewhere in the function is numbered.
        source: the changed solution.
    """

    change: str
    source: str


class _Finder(cst.CSTVisitor):
    """Collects the changes: a node, what takes its place, and the function that it is in."""

    METADATA_DEPENDENCIES = (ParentNodeProvider,)

    def __init__(self) -> None:
        self.found: list[tuple[cst.CSTNode, cst.CSTNode | cst.RemovalSentinel, str]] = []
        self._inside: list[str] = []

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:  # noqa: N802  (LibCST's names, here and below)
        self._inside.append(node.name.value)

    def leave_FunctionDef(self, original_node: cst.FunctionDef) -> None:  # noqa: N802
        self._inside.pop()

    def visit_If(self, node: cst.If) -> bool:  # noqa: N802
        if not self._inside:
            return False  # the picture at the end
        self._add(node.test, cst.UnaryOperation(cst.Not(), _in_parentheses(node.test)))
        return True

    def visit_Annotation(self, node: cst.Annotation) -> bool:  # noqa: N802
        return False

    def visit_Raise(self, node: cst.Raise) -> bool:  # noqa: N802
        return False

    def visit_FormattedString(self, node: cst.FormattedString) -> bool:  # noqa: N802
        return False

    def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:  # noqa: N802
        if type(node.operator) in _OPERATORS:
            self._add(node, node.with_changes(operator=_OPERATORS[type(node.operator)]()))
            if isinstance(node.operator, (cst.Subtract, cst.Divide)):
                self._add(node, node.with_changes(left=_in_parentheses(node.right), right=_in_parentheses(node.left)))

    def visit_UnaryOperation(self, node: cst.UnaryOperation) -> None:  # noqa: N802
        self._add(node, node.expression)

    def visit_ComparisonTarget(self, node: cst.ComparisonTarget) -> None:  # noqa: N802
        if type(node.operator) in _COMPARISONS:
            self._add(node, node.with_changes(operator=_COMPARISONS[type(node.operator)]()))

    def visit_BooleanOperation(self, node: cst.BooleanOperation) -> None:  # noqa: N802
        self._add(node, node.with_changes(operator=cst.Or() if isinstance(node.operator, cst.And) else cst.And()))

    def visit_IfExp(self, node: cst.IfExp) -> None:  # noqa: N802
        self._add(node, node.with_changes(body=node.orelse, orelse=node.body))

    def visit_Integer(self, node: cst.Integer) -> None:  # noqa: N802
        self._add(node, cst.Integer(str(node.evaluated_value + 1)))
        if node.evaluated_value > 1:
            self._add(node, cst.Integer(str(node.evaluated_value - 1)))

    def visit_Float(self, node: cst.Float) -> None:  # noqa: N802
        value = float(node.value)
        self._add(node, cst.Float(repr(2 * value if value else 1.0)))

    def visit_Name(self, node: cst.Name) -> None:  # noqa: N802
        parent = self.get_metadata(ParentNodeProvider, node)
        is_target = isinstance(parent, (cst.Param, cst.AssignTarget, cst.FunctionDef, cst.ClassDef, cst.ImportAlias))
        is_keyword = isinstance(parent, cst.Arg) and parent.keyword is node
        if node.value in _NEIGHBOURS and not is_keyword and (not is_target or node.value in ("True", "False")):
            self._add(node, cst.Name(_NEIGHBOURS[node.value]))

    def visit_Call(self, node: cst.Call) -> None:  # noqa: N802
        for place, argument in enumerate(node.args):
            if argument.keyword is not None:
                rest = [*node.args[:place], *node.args[place + 1 :]]
                self._add(node, node.with_changes(args=_without_last_comma(rest)))
        plain = [argument for argument in node.args if argument.keyword is None and not argument.star]
        symmetric = isinstance(node.func, cst.Attribute) and node.func.attr.value in _SYMMETRIC
        if len(plain) >= 2 and not (symmetric and len(plain) == 2):
            first, second = plain[0], plain[1]
            swapped = [first.with_changes(value=second.value), second.with_changes(value=first.value), *node.args[2:]]
            self._add(node, node.with_changes(args=swapped))

    def visit_Slice(self, node: cst.Slice) -> None:  # noqa: N802
        for bound in ("lower", "upper"):
            if (value := getattr(node, bound)) is not None and getattr(value, "value", "") != "0":
                self._add(node, node.with_changes(**{bound: None}))

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:  # noqa: N802
        if not self._inside:
            return
        lines = node.body
        for place, line in enumerate(lines):
            if not isinstance(line, cst.SimpleStatementLine) or _is_docstring(line):
                continue
            if len(lines) > 1 and isinstance(line.body[0], (cst.Expr, cst.AugAssign, cst.Assign)):
                self._add(node, node.with_changes(body=[*lines[:place], *lines[place + 1 :]]), line)
            following = lines[place + 1] if place + 1 < len(lines) else None
            if isinstance(following, cst.SimpleStatementLine) and _depend(line, following):
                self._add(node, node.with_changes(body=[*lines[:place], following, line, *lines[place + 2 :]]), line)

    def _add(self, old: cst.CSTNode, new: cst.CSTNode, shown: cst.CSTNode | None = None) -> None:
        if self._inside:
            self.found.append((old, new, self._label(old, new, shown)))

    def _label(self, old: cst.CSTNode, new: cst.CSTNode, shown: cst.CSTNode | None) -> str:
        module = cst.Module([])
        if shown is not None:
            removed = len(new.body) < len(old.body)  # type: ignore[attr-defined]
            verb = "dropped" if removed else "one later"
            return f"{'.'.join(self._inside)}: {_short(module.code_for_node(shown))} -> {verb}"
        return f"{'.'.join(self._inside)}: {_short(module.code_for_node(old))} -> {_short(module.code_for_node(new))}"


def mutants(source: str) -> list[Mutant]:
    """All mutants of a solution's text that parse and differ from it."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    finder = _Finder()
    wrapper.visit(finder)
    result: list[Mutant] = []
    seen: dict[str, int] = {}
    for old, new, label in finder.found:
        changed = cast(cst.Module, wrapper.module.deep_replace(old, cast(cst.CSTNode, new))).code
        try:
            compile(changed, "mutant", "exec")
        except (SyntaxError, ValueError):
            continue
        if changed != source:
            seen[label] = seen.get(label, 0) + 1
            result.append(Mutant(label if seen[label] == 1 else f"{label} (#{seen[label]})", changed))
    return result


@dataclass(frozen=True)
class Score:
    """What became of an exercise's mutants.

    Attributes:
        survivors: those that lost no points and are not listed as equivalent.
        stale: entries in the list of equivalent ones that no mutant has, or that are killed after all.
    """

    name: str
    killed: int
    equivalent: int
    survivors: tuple[str, ...]
    stale: tuple[str, ...]

    @property
    def total(self) -> int:
        """All but the equivalent ones."""
        return self.killed + len(self.survivors)


def run_mutants(course: Course, exercises: Sequence[Exercise], processes: int, sample: int = 1) -> Iterator[Score]:
    """Grades every mutant (or every `sample`-th) and gives a report per exercise, in the course's order."""
    jobs = [(course.root, exercise.name, sample) for exercise in exercises]
    with grading_pool(processes) as pool:
        yield from pool.map(_run_one, jobs)


def _run_one(job: tuple[Path, str, int]) -> Score:
    root, name, sample = job
    course = load_course(root)
    exercise = replace(course.exercise(name), budget=QUICK)
    reasons = equivalents(course, name)
    worker = start_worker()
    try:
        grader = Grader.start(course, [exercise], HIDDEN, worker, locked=False)
        chosen = mutants(course.solution(name).read_text(encoding="utf-8"))[::sample]
        alive = [mutant.change for mutant in chosen if grader.survives(exercise, mutant.source)]
    finally:
        worker.close()
    survivors = tuple(change for change in alive if change not in reasons)
    stale = tuple(change for change in reasons if change not in alive) if sample == 1 else ()
    return Score(name, len(chosen) - len(alive), len(alive) - len(survivors), survivors, stale)


def equivalents(course: Course, name: str) -> dict[str, str]:
    """The mutants that are known to do what the solution does, with the reason why."""
    path = _list(course, name)
    if not path.is_file():
        return {}
    return {entry["mutant"]: entry["reason"] for entry in tomllib.loads(path.read_text(encoding="utf-8"))["equivalent"]}


def _list(course: Course, name: str) -> Path:
    return course.root / "tests" / "mutants" / f"{name}.toml"


def store(course: Course, reports: Sequence[Score]) -> None:
    """Keeps what was measured, with a digest of what it was measured on."""
    path = course.root / REPORT
    path.parent.mkdir(parents=True, exist_ok=True)
    known = read_stored(course)
    for report in reports:
        known[report.name] = {"of": _digest(course, report.name), "killed": report.killed, "all": report.total}
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_stored(course: Course) -> dict[str, Any]:
    """What was measured last."""
    path = course.root / REPORT
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def standing(course: Course, name: str) -> str:
    """How an exercise's mutants stand, in words for one line."""
    entry = read_stored(course).get(name)
    if entry is None:
        return "mutants not measured"
    changed = "" if entry["of"] == _digest(course, name) else " (before the last change)"
    return f"mutants killed {entry['killed']} of {entry['all']}{changed}"


def _digest(course: Course, name: str) -> str:
    files = (course.solution(name), course.suite(name, "hidden"), _list(course, name))
    return digest(b"".join(file.read_bytes() for file in files if file.is_file()))[:16]


def _depend(line: cst.SimpleStatementLine, following: cst.SimpleStatementLine) -> bool:
    """Whether exchanging two statements can matter: one of them changes what the other names."""
    first, second = line.body[0], following.body[0]
    if isinstance(second, cst.Return):
        return False  # what comes after it never runs: that is the mutant without it
    return bool(_changed(first) & _named(second) or _changed(second) & _named(first))


def _changed(statement: cst.BaseSmallStatement) -> set[str]:
    """What a statement assigns to, or whose method it calls, as text; for `a[i]` and `a.f()` also `a`."""
    if isinstance(statement, cst.Assign):
        targets: list[cst.BaseExpression] = [target.target for target in statement.targets]
    elif isinstance(statement, (cst.AnnAssign, cst.AugAssign)):
        targets = [statement.target]
    else:
        targets = [call.func.value for call in _calls_of_methods(statement)]
    flat = [e.value for t in targets if isinstance(t, cst.Tuple) for e in t.elements] + targets
    return {_code(target) for target in flat}


def _named(statement: cst.BaseSmallStatement) -> set[str]:
    """Every name, attribute and item in a statement, as text; an array whose item is assigned is not named by that."""
    items = [t.target.value for t in getattr(statement, "targets", ()) if isinstance(t.target, cst.Subscript)]
    found = m.findall(statement, m.Name() | m.Attribute() | m.Subscript())
    named = {_code(node) for node in found if not any(node is item for item in items)}
    return named | {_code(item) for item in items if _code(item) in _code(getattr(statement, "value", item))}


def _calls_of_methods(statement: cst.BaseSmallStatement) -> Iterator[Any]:
    if isinstance(statement, cst.Expr) and m.matches(statement.value, m.Call(func=m.Attribute())):
        yield statement.value


def _code(node: cst.CSTNode) -> str:
    return cst.Module([]).code_for_node(node)


def _in_parentheses(node: cst.BaseExpression) -> cst.BaseExpression:
    if isinstance(node, (cst.BinaryOperation, cst.Comparison, cst.BooleanOperation, cst.IfExp)) and not node.lpar:
        return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return node


def _without_last_comma(arguments: Sequence[cst.Arg]) -> list[cst.Arg]:
    return [*arguments[:-1], arguments[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)] if arguments else []


def _is_docstring(line: cst.SimpleStatementLine) -> bool:
    return isinstance(line.body[0], cst.Expr) and isinstance(
        line.body[0].value, (cst.SimpleString, cst.ConcatenatedString)
    )


def _short(code: str) -> str:
    lines = [line.split("  #")[0].strip() for line in code.splitlines() if not line.strip().startswith("#")]
    return " ".join(" ".join(line for line in lines if line).split())
