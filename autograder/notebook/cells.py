"""The module that a notebook's cells make, and where in which cell each of its lines stands."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from autograder.notebooks import PYTHON_MAGICS


class Place(NamedTuple):
    """A line of a cell: the number that Jupyter shows beside the cell, and the line in it, from 1."""

    cell: int
    line: int


class Module(NamedTuple):
    """A module's text, where each of its lines stands, and the functions and classes that it defines."""

    text: str
    places: tuple[Place, ...]
    definitions: frozenset[str]


class _Statement(NamedTuple):
    kind: str  # "import", "definition" or "value"
    name: str
    lines: tuple[str, ...]
    place: Place


def module_in(history: Sequence[str], module: str, defined: Container[str]) -> Module:
    """The module that the cells which were run make: imports (not of itself), then each definition as last run.

    A value counts when a definition needs it and it is still there. Everything else that was tried does not.

    Args:
        history: the cells' texts, each at its number in the notebook.
        module: the module's name.
        defined: the names that the notebook knows now.
    """
    found: dict[str, dict[str, _Statement]] = {"import": {}, "definition": {}, "value": {}}
    for number, text in enumerate(history):
        for statement in _statements(text, number):
            found[statement.kind][statement.name] = statement
    own = re.compile(rf"(from|import)\s+{module}\b")
    imports = sorted(found["import"].values(), key=lambda statement: not statement.name.startswith("from __future__"))
    definitions = found["definition"]
    needed = {name for statement in definitions.values() for name in _names("\n".join(statement.lines))}
    values = [found["value"][name] for name in found["value"] if name in needed and name in defined]
    kept = [*(s for s in imports if not own.match(s.name)), *dict.fromkeys(values), *definitions.values()]
    lines = [line for statement in kept for line in statement.lines]
    places = [Place(s.place.cell, s.place.line + i) for s in kept for i in range(len(s.lines))]
    return Module("\n".join(lines) + "\n", tuple(places), frozenset(definitions))


def _statements(text: str, cell: int, above: int = 0) -> Iterator[_Statement]:
    """A cell's imports, definitions and values, each in whole lines; `above` is how many lines stand before it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    lines = text.split("\n")
    for node in tree.body:
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
        statement, place = tuple(lines[first - 1 : node.end_lineno]), Place(cell, above + first)
        match node:
            case ast.Import() | ast.ImportFrom():
                yield _Statement("import", "\n".join(statement), statement, place)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield _Statement("definition", name, statement, place)
            case ast.Assign() | ast.AnnAssign():
                for name in sorted(_names("\n".join(statement), ast.Store)):
                    yield _Statement("value", name, statement, place)
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="run_cell_magic"), args=[name, _, inner])):
                if ast.literal_eval(name) in PYTHON_MAGICS:  # it ran its cell as Python
                    yield from _statements(ast.literal_eval(inner), cell, above + 1)


def _names(text: str, context: type[ast.expr_context] = ast.Load) -> set[str]:
    nodes = ast.walk(ast.parse(text))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
