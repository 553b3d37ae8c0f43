"""A failed test in words: what happened, where in the student's file, what the numbers were.

For a visible test everything is said. For a hidden one neither its inputs nor anything that student code wrote: its own
texts might carry the inputs out.
"""

from __future__ import annotations

import ast
import builtins
import signal
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autograder.course import holes
from autograder.declared import INPUTS_TEST
from autograder.isolation.near.remote import Call, Failure, Remote, Stopped, StudentError
from autograder.suites.compare import Mismatch, as_numpy, describe_kind
from autograder.suites.differences import describe
from autograder.suites.plugin import is_suite
from autograder.suites.runner import Outcome
from autograder.suites.shown import example, written

FORBIDDEN = {
    "network": "it tried to open a network connection, and submissions are graded offline",
    "program": "it tried to start another program, and a submission is graded by itself",
    "process": "it tried to start another process, and a submission is graded in one",
    "signal": "it tried to send a signal to a process, and a submission is graded by itself",
    "write": "it tried to write a file, and submissions are graded without writing any",
    "read": "it tried to read a file that it does not need, and submissions see only Python's libraries",
    "system": "it asked the system for something that submissions are graded without",
}
SHOWN_CODE = 80  # of a suite's own
SHOWN_LINE = 200  # characters of a line of a student's file
_ENDINGS: dict[int, str] = {
    signal.SIGSEGV: "Python itself crashed (a segmentation fault)",
    signal.SIGABRT: "Python itself crashed (it aborted)",
    signal.SIGFPE: "Python itself crashed (a division in compiled code)",
    signal.SIGILL: "Python itself crashed (an illegal instruction)",
    signal.SIGXCPU: "it used up all its processor time",
    signal.SIGKILL: "the system ended it, probably because it used too much memory",
    signal.SIGSYS: "it asked the system for something that submissions are graded without",
}


# The exceptions that are named for hidden tests: a name that the submission chooses may carry an input out.
_COMMON = (
    *("AttributeError", "IndexError", "KeyError", "NameError", "NotImplementedError", "RuntimeError", "TypeError"),
    *("UnboundLocalError", "ValueError", "ZeroDivisionError"),
)


class Explanation(NamedTuple):
    """What a student reads about a failure, and the line of the exercise's file that it is about; 0 for none."""

    text: str
    line: int = 0


@dataclass(frozen=True)
class Explainer:
    """Explains the failures of one exercise.

    Attributes:
        name: the exercise.
        source: the student's file.
        definitions: the lines of each function and class in it.
        call_seconds: a call's deadline.
        asked: the names that the suites have asked for. Of a hidden test no other is told: a submission may define as
            many functions and classes as it likes, and choose among them.
        late: whether visible tests, too, are explained as hidden ones are: student code knew of these before.
    """

    name: str
    source: str
    definitions: Mapping[str, tuple[int, int]]
    call_seconds: float
    asked: Collection[str] = ()
    late: bool = False

    def explain(self, outcome: Outcome) -> Explanation:
        """What a student reads about a test that did not pass."""
        full = outcome.test.visibility == "visible" and not self.late
        hole = self._hole(outcome)
        own = [call for call in outcome.calls if not call.of_library]
        call = own[-1] if own else None
        happened = self._unfinished(outcome, hole) or self._what_happened(outcome, call, full)
        text = "\n".join(part for part in (happened, outcome.test.meaning) if part)
        return Explanation(text, hole or self._line(outcome, call, full))

    def loading(self, failure: Failure) -> Explanation:
        """Why the file could not be loaded. No test ran yet, so nothing hidden can be in it: all is said."""
        file, line = failure.syntax[:2] if failure.syntax else (failure.frames or [("", 0, "")])[-1][:2]
        return Explanation(self._loading(failure), max(line, 0) if file == f"{self.name}.py" else 0)

    def _loading(self, failure: Failure) -> str:
        if failure.kind == "timeout":
            return f"{self.name}.py did not finish loading. Look for a loop outside of all functions."
        if failure.kind == "crashed":
            return f"Loading {self.name}.py ended the program: {_ending(failure.status)}."
        if failure.syntax:
            file, line, column, text = failure.syntax
            caret = f"\n    {text.rstrip()}\n    {' ' * max(column - 1, 0)}^" if text.strip() else ""
            return f"{file} line {line} is not valid Python: {failure.message}.{caret}"
        if failure.type_name in ("ImportError", "ModuleNotFoundError"):
            return f"{self.name}.py could not be loaded: {failure.message}{self._at(failure, full=True)}."
        return f"Loading {self.name}.py failed: {self._raised(failure, full=True)}"

    def _what_happened(self, outcome: Outcome, call: Call | None, full: bool) -> str:
        error = outcome.error
        if error is None:
            return "This test counts only when the others have earned at least half of their points."
        if isinstance(error, Stopped):
            return self._stopped(error.failure, call, full)
        if isinstance(error, StudentError):
            return self._raised(error.failure, full, call)
        if call is None:
            return str(error) if full else f"{self.name}.py gave nothing that the test can work with."
        if isinstance(error, Mismatch):
            difference = describe(error.got, error.expected, error.wrong, numbers=full)
            made = "" if is_result(call, error.got) else _compared(error, full)
            what = f", {error.what}" if error.what else made
            if not full:
                kind = f": {error.kind}." if error.kind else f"{what} is not right."
                return " ".join(part for part in (f"{self._called(call, full)}{kind}", difference) if part)
            parts = (f"`{call.name}`{what}: {error.text}.", difference, example(call, error))
            return "\n".join(part for part in parts if part)
        if isinstance(error, AssertionError) and full and str(error):
            return f"{str(error).splitlines()[0]}\n{example(call, None)}"
        if isinstance(error, AssertionError):
            return str(error) if outcome.test.name == INPUTS_TEST else f"{self._called(call, full)} is not right."
        returned = describe_kind(call.value) if full else "something"
        return f"{self._called(call, full)} returned {returned}, which the test cannot work with."

    def _called(self, call: Call, full: bool) -> str:
        """A call's target, as it is written in code."""
        name, _, method = call.name.partition(".")
        return f"`{call.name}`" if full or name in self.asked else f"`object.{method}`"

    def _stopped(self, failure: Failure, call: Call | None, full: bool) -> str:
        where = self._called(call, full) if call else f"{self.name}.py"
        if failure.kind == "timeout":
            return f"{where} gave no answer within {self.call_seconds:g} seconds. Look for a loop that never ends."
        return f"{where} ended the program: {_ending(failure.status, full)}."

    def _hole(self, outcome: Outcome) -> int:
        """The line of a hole that the failure comes from: one that is left in a function that the test called."""
        if outcome.error is None:
            return 0
        called = {call.name.split(".")[0] for call in outcome.calls if not call.of_library}
        left = holes(self.source)
        for line in left:
            if self._definition(line) in called:
                return line
        error = outcome.error
        if isinstance(error, StudentError) and "llipsis" in error.failure.message and left:
            return left[0]
        return 0

    def _definition(self, line: int) -> str:
        """The function or class that a line is in."""
        inside = (name for name, (first, last) in self.definitions.items() if first <= line <= last)
        return next(inside, "")

    def _line(self, outcome: Outcome, call: Call | None, full: bool) -> int:
        """The line that a failure is about: the one that raised, for a visible test; or where the function begins."""
        error = outcome.error
        frames = error.failure.frames if isinstance(error, StudentError) else ()
        own = [line for file, line, _ in frames if file == f"{self.name}.py"]
        if full and own:
            return own[-1]
        name = (own and self._told(own[-1], full)) or (call.name.split(".")[0] if call else "")
        return self.definitions.get(name, (0, 0))[0] if full or name in self.asked else 0

    def _told(self, line: int, full: bool) -> str:
        """The function or class that a line is in, if that may be told."""
        name = self._definition(line)
        return name if full or name in self.asked else ""

    def _unfinished(self, outcome: Outcome, hole: int) -> str:
        """That the failure comes from a hole, if it does."""
        error = outcome.error
        if function := hole and self._definition(hole):
            called = {call.name.split(".")[0] for call in outcome.calls}
            if function in called:
                return f"`{function}` is not finished: line {hole} still holds `...  # FINISH ME`."
        if hole:
            return f"Something that is needed here is not finished: see line {hole}, `...  # FINISH ME`."
        if error is None:
            return ""
        if outcome.calls and outcome.calls[-1].value is ...:
            return f"`{outcome.calls[-1].name}` returned `...`: an answer is still missing in it."
        return ""

    def _raised(self, failure: Failure, full: bool, call: Call | None = None) -> str:
        where = self._called(call, full) if call else "it"
        if failure.kind == "missing":
            return (
                f"{self.name}.py has no `{failure.message}`."
                if full
                else f"{self.name}.py lacks something that it needs."
            )
        if failure.forbidden in FORBIDDEN:
            return f"{where}: {FORBIDDEN[failure.forbidden]}{self._at(failure, full)}."
        if failure.type_name == "SystemExit":
            return f"{where} called `exit`{self._at(failure, full)}. A function returns its result instead."
        if failure.type_name == "RecursionError":
            return f"{where} calls itself without end{self._at(failure, full)}."
        if failure.type_name == "MemoryError":
            return f"{where} used more memory than there is for one exercise{self._at(failure, full)}."
        known = _is_well_known(failure.type_name) if full else failure.type_name in _COMMON
        kind = failure.type_name if known else "an exception of your own" if full else "an exception"
        if failure.type_name == "TypeError" and not failure.frames:
            return (
                f"{where} could not be called as the exercise says: check the names and the order of its parameters."
                + (f" Python says: {failure.message}" if full else "")
            )
        message = f": {failure.message}" if full and failure.message else ""
        shown = f"\n    {written(call)}" if full and call and any(True for _ in call.arguments) else ""
        return f"{where} raised {kind}{self._at(failure, full)}{message}{shown}"

    def _at(self, failure: Failure, full: bool) -> str:
        """Where it was raised: for a hidden test the function alone, for a line may carry an input out."""
        if not failure.frames:
            return ""
        file, line, _ = failure.frames[-1]
        own = file == f"{self.name}.py"
        if not full:
            name = self._told(line, full) if own else ""
            return f" in `{name}`" if name else ""
        lines = self.source.split("\n")  # as Python counts them
        shown = f": `{printable(lines[line - 1]).strip()[:SHOWN_LINE]}`" if own and 0 < line <= len(lines) else ""
        return f" (line {line} of {file}{shown})"


def _compared(error: Mismatch, full: bool) -> str:
    """What a test holds against the expected where it is no call's result: as its own code has it, if short."""
    made = ", what the test makes of its result"
    frames = traceback.extract_tb(error.__traceback__) if full else []
    suite = next((frame for frame in reversed(frames) if is_suite(Path(frame.filename))), None)
    said = _argument(suite.filename, suite.lineno or 0) if suite else ""
    return f"{made} (`{said}`)" if 0 < len(said) <= SHOWN_CODE else made


@lru_cache(maxsize=256)
def _argument(file: str, line: int) -> str:
    """The first argument of the comparison in a line of a suite."""
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return ""
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id.startswith("assert_")
        and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return ast.unparse(calls[-1].args[0]) if calls and calls[-1].args else ""


def is_result(call: Call, got: object) -> bool:
    """Whether what was compared is what the call returned, or a part of it, and not something made of that."""
    parts = call.value if isinstance(call.value, (list, tuple)) else ()
    return got is None or _equal(got, call.value) or any(_equal(got, part) for part in parts[:10])


def _equal(a: object, b: object) -> bool:
    if a is b:
        return True
    try:
        return np.array_equal(as_numpy(a), as_numpy(b), equal_nan=True)
    except (TypeError, ValueError):
        return not isinstance(a, Remote) and not isinstance(b, Remote) and type(a) is type(b) and bool(a == b)


def printable(text: str) -> str:
    """A line of somebody else's file without what a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)


def _ending(status: int, full: bool = True) -> str:
    if status < 0:
        return _ENDINGS.get(-status, f"it was ended by signal {-status}" if full else "it was ended by a signal")
    return (
        f"it left Python{f' with code {status}' if full else ''}" if status else "it sent something that is no answer"
    )


def _is_well_known(name: str) -> bool:
    known = getattr(builtins, name, None)
    return (isinstance(known, type) and issubclass(known, BaseException)) or name in ("LinAlgError", "AxisError")
