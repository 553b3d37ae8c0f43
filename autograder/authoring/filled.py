"""An open stub, filled with somebody else's answer: what a student hands in who writes whole functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from autograder.course import holes

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def filled(stub: str, answer: str) -> str:
    """The stub with each function or class that has a hole in it as the answer has it.

    What else the answer needs, its imports and helpers, comes before the first of them. A helper of the course that the
    answer does without stays a hole, and what the stub builds on it is the answer's, too.
    """
    left = holes(stub)
    theirs = {node.name: node for node in _definitions(answer)}
    lines = stub.splitlines(keepends=True)
    ours = [*_definitions(stub)]
    asked = [node for node in ours if any(_first(node) <= hole <= _last(node) for hole in left)]
    lacking = {node.name for node in asked} - theirs.keys()
    opened = [node for node in ours if node.name in theirs and (node in asked or lacking & {*_names(node)})]
    for place, node in reversed([*enumerate(opened)]):
        text = _source(answer, theirs[node.name])
        rest = "" if place else _rest(answer, {other.name for other in opened})
        lines[_first(node) - 1 : _last(node)] = [rest, text]
    return "".join(lines)


def _definitions(text: str) -> Iterator[_Definition]:
    return (node for node in ast.parse(text).body if isinstance(node, _Definition))


def _names(node: ast.AST) -> Iterator[str]:
    """The names that a definition uses."""
    return (part.id for part in ast.walk(node) if isinstance(part, ast.Name))


def _rest(answer: str, taken: set[str]) -> str:
    """All that the answer holds besides these definitions."""
    nodes = [node for node in ast.parse(answer).body if not (isinstance(node, _Definition) and node.name in taken)]
    return "".join(_source(answer, node) for node in nodes)


def _source(text: str, node: ast.stmt) -> str:
    return "".join(text.splitlines(keepends=True)[_first(node) - 1 : _last(node)]).rstrip("\n") + "\n"


def _first(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, _Definition) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _last(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
