"""Collects suites once and runs them against any number of submissions.

The grader stays one warm process: pytest's collection, hypothesis and the references are loaded once, and each
submission only costs its own calls.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import pytest

from autograder.course import Course, Exercise, GraderError
from autograder.declared import INPUTS_TEST
from autograder.grades import VISIBILITIES, TestStatus, Visibility
from autograder.isolation.near.remote import Call, Session, StudentError, Unfit
from autograder.suites.examples import Examples
from autograder.suites.internals import begin_session, prepare_config, run_item, tear_down
from autograder.suites.limits import bounded
from autograder.suites.plugin import WORKBENCH, Opener, Workbench, exercise_of

_FOLDERS: tuple[str, ...] = VISIBILITIES

# Why a suite's own files cannot be written or opened, whatever the submission is: a full disk, no more descriptors.
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EROFS, errno.EAGAIN}


class SuiteError(GraderError):
    """A suite itself is wrong: it cannot be collected, or its own set-up fails."""


@dataclass(frozen=True)
class Test:
    """A test as its suite declares it."""

    name: str
    title: str
    visibility: Visibility
    worth: float
    meaning: str


@dataclass(frozen=True)
class Outcome:
    """What came of one test.

    Attributes:
        error: why it failed; None when it passed or was not run.
        calls: what it asked of the submission, in order.
        asked: how many of these every submission is asked; the others searched for a smaller example.
    """

    test: Test
    status: TestStatus
    error: BaseException | None = None
    calls: tuple[Call, ...] = ()
    asked: int = 0


class Run(NamedTuple):
    """An exercise's suites, run on a submission.

    Attributes:
        outcomes: what came of each test, in order.
        session: what all calls went through; it has ended.
    """

    exercise: Exercise
    outcomes: Sequence[Outcome]
    session: Session


class Begun(NamedTuple):
    """An exercise's visible tests, run on a submission; `Run` is the whole.

    Attributes:
        outcomes: what came of each.
        session: what their calls went through; it rests. None where no test asked anything.
    """

    exercise: Exercise
    outcomes: Sequence[Outcome]
    session: Session | None

    @property
    def passed(self) -> bool:
        """Whether all of them did."""
        return all(outcome.status == "passed" for outcome in self.outcomes)


class Effort(NamedTuple):
    """How much of a run somebody needs.

    Attributes:
        search: look for the smallest examples that fail, for somebody will read them.
        until_failed: stop after the first test that fails.
    """

    search: bool = True
    until_failed: bool = False


class Suites:
    """The suites of some exercises, ready to run."""

    def __init__(self, course: Course, exercises: Sequence[Exercise], visibilities: Sequence[Visibility]) -> None:
        paths = [course.suite(exercise.name, kind) for exercise in exercises for kind in visibilities]
        if absent := [path for path in paths if not path.is_file()]:
            raise SuiteError(f"there is no suite {absent[0].relative_to(course.root)}")
        self._errors: dict[int, BaseException] = {}
        self._workbench = Workbench()
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # three quarters of pytest's start, and none is needed
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # a reference that loads a model is quick, and not news
        os.environ["TRANSFORMERS_VERBOSITY"] = "error"
        arguments = ["-c", os.devnull, f"--rootdir={course.root}", "--import-mode=importlib", "-s"]
        off = [
            "terminal",
            "cacheprovider",
            "junitxml",
            "doctest",
            "warnings",
            "logging",
            "faulthandler",
            "unraisableexception",
        ]
        arguments += ["-p", "autograder.suites.plugin", *(part for name in off for part in ("-p", f"no:{name}"))]
        for path in paths:  # else pytest takes what this process has loaded under that name, however old
            sys.modules.pop(".".join(path.relative_to(course.root).with_suffix("").parts), None)
        self._examples = Examples()
        config = prepare_config([*arguments, *map(str, paths)], [self, self._examples])
        config.stash[WORKBENCH] = self._workbench
        self._session = begin_session(config)
        config.hook.pytest_sessionstart(session=self._session)
        try:
            items = self._session.perform_collect()
        except (pytest.UsageError, pytest.Collector.CollectError) as error:
            raise SuiteError(f"the suites cannot be collected: {error}") from None
        self._items: dict[str, dict[Test, list[pytest.Item]]] = {}
        for item in sorted(items, key=lambda item: _FOLDERS.index(item.path.parent.name)):
            tests = self._items.setdefault(exercise_of(item.path), {})
            tests.setdefault(_declared(item), []).append(item)
        for tests in self._items.values():
            last = next(test for test in tests if test.name == INPUTS_TEST)
            tests[last] = tests.pop(last)[-1:]  # once, and after all the calls that it looks at

    def tests(self, name: str) -> list[Test]:
        """The exercise's tests in order."""
        return list(self._items[name])

    def run(self, exercise: Exercise, opener: Opener, effort: Effort = Effort()) -> Run:  # noqa: B008 (immutable)
        """Runs an exercise's tests against a submission."""
        return self.finish(self.begin(exercise, opener, effort), opener, effort)

    def begin(self, exercise: Exercise, opener: Opener, effort: Effort = Effort()) -> Begun:  # noqa: B008
        """Runs an exercise's visible tests."""
        tests = [test for test in self._items[exercise.name] if _comes_first(test)]
        outcomes, session = self._run_tests(Begun(exercise, (), None), tests, opener, effort)
        return Begun(exercise, outcomes, session)

    def finish(self, begun: Begun, opener: Opener, effort: Effort = Effort()) -> Run:  # noqa: B008
        """Runs the rest of an exercise's tests, in a fresh process."""
        tests = [test for test in self._items[begun.exercise.name] if not _comes_first(test)]
        outcomes, session = self._run_tests(begun, tests, opener, effort)
        if session is None:
            raise SuiteError(f"the suites of {begun.exercise.name} ask for no submission")
        return Run(begun.exercise, _without_free_points(outcomes), session)

    def _run_tests(
        self, begun: Begun, tests: Sequence[Test], opener: Opener, effort: Effort
    ) -> tuple[list[Outcome], Session | None]:
        """All outcomes so far, and what the calls went through."""
        self._workbench.opener, self._workbench.session = opener, begun.session
        self._examples.search = effort.search
        chosen = self._items[begun.exercise.name]
        queue = [item for test in tests for item in chosen[test]]
        following = dict(zip(queue, [*queue[1:], None], strict=False))
        outcomes = list(begun.outcomes)
        try:
            for test in tests:
                if effort.until_failed and not all(outcome.status == "passed" for outcome in outcomes):
                    break
                outcomes.append(self._run_test(test, chosen[test], following, begun.exercise.budget.exercise))
            return outcomes, self._workbench.session
        finally:
            try:
                tear_down(self._session)  # also after a stop in the middle
            finally:
                self._workbench.close()

    def _run_test(
        self, test: Test, items: list[pytest.Item], following: dict[pytest.Item, pytest.Item | None], budget: float
    ) -> Outcome:
        error: BaseException | None = None
        calls: list[Call] = []
        failing: list[Call] = []  # what is reported comes last
        searched = 0
        for item in items:
            begun = len(self._workbench.calls)
            self._errors.clear()
            self._examples.asked = 0
            with bounded(budget):
                run_item(item, following[item])
            made = self._workbench.calls[begun:]
            if self._errors and error is None:
                error, failing = self._errors[id(item)], made
                searched = begun + len(made) - self._examples.asked if self._examples.asked else 0
            else:
                calls += made
        found = (*calls, *failing)
        return Outcome(test, "failed" if error else "passed", error, found, len(found) - searched)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
        """Keeps what went wrong, instead of formatting a traceback that nobody sees.

        Trouble in set-up is the suite's own, trouble of the worker or the machine is the grader's: neither is the
        submission's, and both end the run.
        """
        if call.excinfo is not None:
            error = call.excinfo.value
            if isinstance(error, Unfit):
                raise error.cause from None  # nothing can be said about the submission
            if isinstance(error, OSError) and error.errno in OF_THE_MACHINE and not isinstance(error, StudentError):
                raise SuiteError(f"{item.nodeid} could not be run: {error.strerror}") from error
            if call.when != "call":
                raise SuiteError(f"{item.nodeid} fails in its {call.when}: {error!r}") from error
            self._errors[id(item)] = error
        outcome: Literal["passed", "failed"] = "passed" if call.excinfo is None else "failed"
        when = cast(Literal["setup", "call", "teardown"], call.when)
        return pytest.TestReport(item.nodeid, item.location, {}, outcome, None, when)


def _comes_first(test: Test) -> bool:
    """Whether nothing hidden is asked in a test: the one that looks at all calls comes last."""
    return test.visibility == "visible" and test.name != INPUTS_TEST


def _declared(item: pytest.Item) -> Test:
    mark = item.get_closest_marker("points")
    if mark is None:
        raise SuiteError(f"{item.nodeid} has no points")
    function: Any = getattr(item, "function", None)
    name = getattr(item, "originalname", None) or item.name
    meaning = (item.__doc__ if function is None else function.__doc__) or ""
    kind = "visible" if name == INPUTS_TEST else cast(Visibility, item.path.parent.name)
    return Test(name.removeprefix("test_"), mark.args[1], kind, float(mark.args[0]), " ".join(meaning.split()))


def _without_free_points(outcomes: list[Outcome]) -> list[Outcome]:
    """Leaving inputs alone is worth nothing without half of the rest: a function that does nothing does that too."""
    rest = [outcome for outcome in outcomes if outcome.test.name != INPUTS_TEST]
    earned = sum(outcome.test.worth for outcome in rest if outcome.status == "passed")
    if 2 * earned >= sum(outcome.test.worth for outcome in rest):
        return outcomes
    free: dict[TestStatus, TestStatus] = {"passed": "not_run"}
    return [
        o if o.test.name != INPUTS_TEST else Outcome(o.test, free.get(o.status, o.status), o.error) for o in outcomes
    ]
