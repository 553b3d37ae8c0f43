"""The examples of a property test, drawn once: they are the same for every submission, and cost more than their calls.

Hypothesis itself draws them, as it would in a plain pytest run. It is asked again only where it alone can help: to find
the smallest example that fails, for a test whose examples students see.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import hypothesis
import pytest
from hypothesis.strategies import DataObject

from autograder.isolation.near.remote import Call
from autograder.suites.internals import fixture_names, settings_of
from autograder.suites.plugin import WORKBENCH
from autograder.suites.randomness import own_random_numbers, seed

Example = Mapping[str, Any]
ENOUGH = 10  # failures of one test


class Examples:
    """Runs property tests on examples that it keeps.

    Attributes:
        search: whether the smallest example that fails is looked for, where students see it.
        asked: how many calls were made when the last property test had used its examples; what came after them
            searched for a smaller one, and was another search for every submission.
    """

    def __init__(self) -> None:
        self.search = True
        self.asked = 0
        self._drawn: dict[pytest.Function, Sequence[Example]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> object:
        """Runs a property test; other tests are left to pytest."""
        test: Any = pyfuncitem.obj
        if not hypothesis.is_hypothesis_test(test):
            return None
        fixtures = {name: pyfuncitem.funcargs[name] for name in fixture_names(pyfuncitem)}
        if pyfuncitem not in self._drawn:
            self._drawn[pyfuncitem] = _draw(test, fixtures)
        examples = self._drawn[pyfuncitem]
        if any(isinstance(value, DataObject) for example in examples for value in example.values()):
            return None  # what comes next is drawn inside the test
        with own_random_numbers():
            self._run(test, fixtures, examples, pyfuncitem.config.stash[WORKBENCH].calls)
        return True

    def _run(self, test: Any, fixtures: Mapping[str, Any], examples: Sequence[Example], calls: Sequence[Call]) -> None:
        failures: list[tuple[Example, Exception]] = []
        for example in examples:
            if error := _failure(test, fixtures, example):
                failures.append((example, error))
            if len(failures) == ENOUGH:
                break
        self.asked = len(calls)
        if not failures:
            return
        # It went on after the first, for a diagnosis learns from each. The one that is reported comes last.
        example, error = failures[0]
        if self.search and hypothesis.Phase.shrink in settings_of(test).phases:
            test(**fixtures)
        raise _failure(test, fixtures, example) or error


def _failure(test: Any, fixtures: Mapping[str, Any], example: Example) -> Exception | None:
    """What the test raises for one example."""
    seed(0)  # as hypothesis does
    try:
        test.hypothesis.inner_test(**fixtures, **deepcopy(dict(example)))
    except Exception as error:
        return error
    return None


def _draw(test: Any, fixtures: Mapping[str, Any]) -> list[Example]:
    """What hypothesis hands to the test."""
    drawn: list[Example] = []
    inner = test.hypothesis.inner_test

    @functools.wraps(inner)  # its name and source are the seed
    def record(**arguments: Any) -> None:
        drawn.append({name: value for name, value in arguments.items() if name not in fixtures})

    test.hypothesis.inner_test = record
    try:
        test(**fixtures)
    finally:
        test.hypothesis.inner_test = inner
    return drawn
