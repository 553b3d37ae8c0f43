"""A failed test in words: what happened, where in the student's file, what the numbers were.

For a visible test everything is said. For a hidden one neither its inputs nor anything that student code wrote: its own
texts might carry the inputs out.
"""

from __future__ import annotations

import builtins
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograder.course import holes
from autograder.isolation.between.wire import Handle
from autograder.isolation.near.remote import Call, Remote, Stopped, StudentError, Trouble
from autograder.suites.compare import Mismatch, as_numpy, describe_kind
from autograder.suites.differences import describe
from autograder.suites.plugin import INPUTS_TEST
from autograder.suites.runner import Outcome

FORBIDDEN = {
    "network": "it tried to open a network connection, and submissions are graded offline",
    "program": "it tried to start another program, and a submission is graded by itself",
    "process": "it tried to start another process, and a submission is graded in one",
    "signal": "it tried to send a signal to a process, and a submission is graded by itself",
    "write": "it tried to write a file, and submissions are graded without writing any",
    "read": "it tried to read a file that it does not need, and submissions see only Python's libraries",
    "system": "it asked the system for something that submissions are graded without",
}
SHOWN_AXES = 5
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


@dataclass(frozen=True)
class Explainer:
    """Explains the failures of one exercise.

    Attributes:
        name: the exercise.
        source: the student's file.
        definitions: the lines of each function and class in it.
        call_seconds: a call's deadline.
    """

    name: str
    source: str
    definitions: Mapping[str, tuple[int, int]]
    call_seconds: float

    def explain(self, outcome: Outcome) -> str:
        """What a student reads about a test that did not pass."""
        full = outcome.test.visibility == "visible"
        happened = self._what_happened(outcome, full)
        return "\n".join(part for part in (happened, outcome.test.meaning) if part)

    def loading(self, trouble: Trouble) -> str:
        """Why the file could not be loaded. No test ran yet, so nothing hidden can be in it: all is said."""
        if trouble.kind == "timeout":
            return f"{self.name}.py did not finish loading. Look for a loop outside of all functions."
        if trouble.kind == "crashed":
            return f"Loading {self.name}.py ended the program: {_ending(trouble.status)}."
        if trouble.syntax:
            file, line, column, text = trouble.syntax
            caret = f"\n    {text.rstrip()}\n    {' ' * (column - 1)}^" if text.strip() else ""
            return f"{file} line {line} is not valid Python: {trouble.message}.{caret}"
        if trouble.type_name in ("ImportError", "ModuleNotFoundError"):
            return f"{self.name}.py could not be loaded: {trouble.message}{self._at(trouble)}."
        return f"Loading {self.name}.py failed: {self._raised(trouble, full=True)}"

    def _what_happened(self, outcome: Outcome, full: bool) -> str:
        error, own = outcome.error, [call for call in outcome.calls if not call.of_library]
        call = own[-1] if own else None
        if error is None:
            return "This counts once half of the other points are there."
        unfinished = self._unfinished(outcome)
        if unfinished:
            return unfinished
        if isinstance(error, Stopped):
            return self._stopped(error.trouble, call)
        if isinstance(error, StudentError):
            return self._raised(error.trouble, full, call)
        if call is None:
            return str(error) if full else f"{self.name}.py gave nothing that the test can work with."
        if isinstance(error, Mismatch):
            with np.errstate(all="ignore"):
                difference = describe(error.got, error.expected, error.wrong)
            if not full:
                return " ".join(part for part in (f"`{call.name}` is not right.", difference) if part)
            return "\n".join(
                part for part in (f"`{call.name}`: {error.text}.", difference, example(call, error)) if part
            )
        if isinstance(error, AssertionError) and full and str(error):
            return f"{str(error).splitlines()[0]}\n{example(call, None)}"
        if isinstance(error, AssertionError):
            return str(error) if outcome.test.name == INPUTS_TEST else f"`{call.name}` is not right."
        returned = describe_kind(call.value) if full else "something"
        return f"`{call.name}` returned {returned}, which the test cannot work with."

    def _stopped(self, trouble: Trouble, call: Call | None) -> str:
        where = f"`{call.name}`" if call else f"{self.name}.py"
        if trouble.kind == "timeout":
            return f"{where} gave no answer within {self.call_seconds:g} seconds. Look for a loop that never ends."
        return f"{where} ended the program: {_ending(trouble.status)}."

    def _unfinished(self, outcome: Outcome) -> str:
        """Whether the failure comes from a hole: one is left in a function that the test called."""
        called = {call.name.split(".")[0] for call in outcome.calls if not call.of_library}
        for line in holes(self.source):
            for function, (first, last) in self.definitions.items():
                if first <= line <= last and function in called:
                    return f"`{function}` is not finished: line {line} still holds `...  # FINISH ME`."
        error = outcome.error
        if isinstance(error, StudentError) and "llipsis" in error.trouble.message and holes(self.source):
            return (
                f"Something that is needed here is not finished: see line {holes(self.source)[0]}, `...  # FINISH ME`."
            )
        if outcome.calls and outcome.calls[-1].value is ...:
            return f"`{outcome.calls[-1].name}` returned `...`: an answer is still missing in it."
        return ""

    def _raised(self, trouble: Trouble, full: bool, call: Call | None = None) -> str:
        where = f"`{call.name}`" if call else "it"
        if trouble.kind == "missing":
            return (
                f"{self.name}.py has no `{trouble.message}`."
                if full
                else f"{self.name}.py lacks something that it needs."
            )
        if trouble.forbidden in FORBIDDEN:
            return f"{where}: {FORBIDDEN[trouble.forbidden]}{self._at(trouble)}."
        if trouble.type_name == "SystemExit":
            return f"{where} called `exit`{self._at(trouble)}. A function returns its result instead."
        if trouble.type_name == "RecursionError":
            return f"{where} calls itself without end{self._at(trouble)}."
        if trouble.type_name == "MemoryError":
            return f"{where} used more memory than there is for one exercise{self._at(trouble)}."
        kind = trouble.type_name if _is_well_known(trouble.type_name) else "an exception of your own"
        if trouble.type_name == "TypeError" and not trouble.frames:
            return (
                f"{where} could not be called as the exercise says: check the names and the order of its parameters."
                + (f" Python says: {trouble.message}" if full else "")
            )
        message = f": {trouble.message}" if full and trouble.message else ""
        return f"{where} raised {kind}{self._at(trouble)}{message}"

    def _at(self, trouble: Trouble) -> str:
        if not trouble.frames:
            return ""
        file, line, _ = trouble.frames[-1]
        lines = self.source.splitlines()
        shown = (
            f": `{lines[line - 1].strip()[:SHOWN_LINE]}`"
            if file == f"{self.name}.py" and 0 < line <= len(lines)
            else ""
        )
        return f" (line {line} of {file}{shown})"


def example(call: Call, error: Mismatch | None) -> str:
    """A failing call as a student would write it, with what was expected, what came, and where the two differ."""
    arguments = [show(value) for value in call.request.args]
    arguments += [f"{name}={show(value)}" for name, value in call.request.kwargs.items()]
    lines = [f"{call.name}({', '.join(arguments)})"]
    if error is not None and error.expected is not None and not isinstance(error.expected, type):
        lines.append(f"expected  {show(error.expected)}")
    lines.append(f"got       {show(call.value if error is None or error.got is None else error.got)}")
    if error is not None and error.wrong is not None and error.wrong.ndim:
        place = tuple(int(i) for i in np.argwhere(error.wrong)[0])
        got, wanted = as_numpy(error.got)[place], as_numpy(error.expected)[place]
        lines.append(f"differs   at {list(place)}: {got:.6g} instead of {wanted:.6g}")
    return "\n".join(_indented(line) for line in lines)


def show(value: Any) -> str:
    """A value in a few lines at most."""
    if isinstance(value, (Handle, Remote)):
        return f"<{value.type_name}>"
    if hasattr(value, "detach") or isinstance(value, (np.ndarray, np.generic)):
        array = as_numpy(value)
        if array.ndim > SHOWN_AXES:  # even the corners of so many axes are thousands of numbers
            return describe_kind(value)
        return np.array2string(array, precision=4, separator=", ", threshold=24, edgeitems=2, suppress_small=True)
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _indented(text: str) -> str:
    first, *rest = text.splitlines() or [""]
    return "\n".join([f"    {first}", *(f"              {line.strip()}" for line in rest)])


def _ending(status: int) -> str:
    if status < 0:
        return _ENDINGS.get(-status, f"it was ended by signal {-status}")
    return f"it left Python with code {status}" if status else "it sent something that is no answer"


def _is_well_known(name: str) -> bool:
    known = getattr(builtins, name, None)
    return (isinstance(known, type) and issubclass(known, BaseException)) or name in ("LinAlgError", "AxisError")
