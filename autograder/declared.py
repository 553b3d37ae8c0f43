"""The tests of a suite as its text declares them: read, and not imported, which would take pytest and NumPy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The test that every suite has without writing it (see `suites.plugin.InputsAreLeftAlone`).
INPUTS_TEST, INPUTS_TITLE, INPUTS_WORTH = "inputs_are_left_alone", "Your inputs are left as they were", 1.0


@dataclass(frozen=True)
class Declared:
    """A test as it stands in a suite.

    Attributes:
        worth: its points.
        meaning: what a failure means; the test's docstring.
        rests_on: words of the exercise's text that ask for what it tests.
    """

    name: str
    title: str
    worth: float
    meaning: str
    rests_on: tuple[str, ...] = ()


def declared_tests(suite: Path) -> list[Declared]:
    """The tests of a suite's file in order, and last the one that comes by itself."""
    tests = [*_tests(suite.read_text(encoding="utf-8"))]
    return [*tests, Declared(INPUTS_TEST, INPUTS_TITLE, INPUTS_WORTH, "")]


def _tests(text: str) -> Iterator[Declared]:
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            if not (points := _arguments(node, "points")):
                continue
            worth, title = points[:2]
            meaning = " ".join((ast.get_docstring(node) or "").split())
            grounds = tuple(map(str, _arguments(node, "rests_on")))
            yield Declared(node.name.removeprefix("test_"), str(title), float(worth), meaning, grounds)


def _arguments(node: ast.FunctionDef, name: str) -> list[Any]:
    """What a decorator of a test is called with; nothing where the test has none of this name."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == name:
            return [ast.literal_eval(argument) for argument in decorator.args]
    return []
