"""A submission's module as a suite sees it: `softmax.softmax(scores)` runs over there, and plain values come back."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from autograder.course import Budget
from autograder.isolation.between.executor import LIBRARY, Gradients, Request
from autograder.isolation.between.wire import Allowance, Handle, WireError, decode, encode
from autograder.isolation.near.worker import Child, Confinement, Died, OutOfTime, Worker, WorkerError


@dataclass(frozen=True)
class Trouble:
    """Why a request has no value. Text in it was written by student code, and so is shown to its author at most.

    Attributes:
        kind: "raised", "timeout", "crashed", "missing" (no such name), "unfinished" or "not loaded".
        type_name: the exception's type.
        bases: the built-in types that the exception is, most special first.
        message: the exception's text.
        frames: (file, line, function) of the student's own lines, innermost last.
        forbidden: what the code tried and may not do, if that is what went wrong.
        syntax: (file, line, column, text) of a syntax error.
        status: how a process that died has ended (see `Died.status`).
    """

    kind: str
    type_name: str = ""
    bases: tuple[str, ...] = ()
    message: str = ""
    frames: tuple[tuple[str, int, str], ...] = ()
    forbidden: str | None = None
    syntax: tuple[str, int, int, str] | None = None
    status: int = 0


class StudentError(Exception):
    """Student code raised an exception. The instance is also of the built-in type that it was, say `ValueError`."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(f"{trouble.type_name}: {trouble.message}")
        self.trouble = trouble


class Stopped(BaseException):
    """The call will never answer: its process hangs, died, or was never loaded.

    Not an `Exception`: neither a suite nor hypothesis may catch it and try again.
    """

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.kind)
        self.trouble = trouble


@dataclass(frozen=True)
class Call:
    """A request and what came of it, as they are recorded.

    Attributes:
        message: the request as it was sent, whatever the suite did to its arrays later.
        changed: the arguments (position or name) that the call changed in place.
        output: what it printed.
        warnings: what it was warned of, as "RuntimeWarning: overflow encountered in exp".
        owner: the type of the object that was asked, if it was one.
    """

    message: bytes
    value: Any = None
    trouble: Trouble | None = None
    changed: tuple[str, ...] = ()
    output: str = ""
    warnings: tuple[str, ...] = ()
    owner: str = ""

    @cached_property
    def request(self) -> Request:
        """What was asked."""
        return Request(*decode(self.message))

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """What was handed over, by position ("0", "1") or name."""
        return {**{str(place): value for place, value in enumerate(self.request.args)}, **self.request.kwargs}

    @property
    def of_library(self) -> bool:
        """Whether the target is an installed library's, or the machine's, and not the submission's."""
        start = self.request.path[0] if self.request.path else LIBRARY
        return isinstance(start, str) and start.startswith(LIBRARY)

    @property
    def name(self) -> str:
        """The target as a student writes it, without the module: `softmax`, `MiniTransformerBlock.forward`."""
        start, *attributes = self.request.path or ("",)
        parts = [*attributes] if isinstance(start, str) else [self.owner or start.type_name, *attributes]
        return ".".join(parts)


@dataclass
class Session:
    """One exercise of one submission on the far side, from its first call to its end.

    Attributes:
        sources: the modules that the child gets, the exercise's among them.
        calls: everything that was asked so far.
        definitions: the first and last line of each function and class, once loaded.
        allowance: how much its answers may hold together: they are kept, and so must fit the grader's memory.
    """

    worker: Worker
    name: str
    sources: Mapping[str, str]
    budget: Budget = field(default_factory=Budget)
    confinement: Confinement = field(default_factory=Confinement)
    readable: Sequence[str] = ()
    calls: list[Call] = field(default_factory=list)
    definitions: dict[str, tuple[int, int]] = field(default_factory=dict)
    allowance: Allowance = field(default_factory=Allowance)
    loading_trouble: Trouble | None = None
    _named: set[str] = field(default_factory=set)  # what suites have asked for
    _child: Child | None = None
    _starts: int = 0
    _spent: float = 0.0  # seconds of waiting for it; what the suite itself takes is not its business

    def load(self) -> Trouble | None:
        """Starts the child and imports the module; returns what went wrong, if anything did."""
        if self._child is None and self.loading_trouble is None:
            self._start()
        return self.loading_trouble

    def perform(self, request: Request) -> Any:
        """Performs a request over there and records it.

        Raises:
            StudentError: student code raised something.
            Stopped: there will be no answer.
        """
        if self.load():
            raise Stopped(self.loading_trouble)  # type: ignore[arg-type]
        sent = Request(*(_sendable(part) for part in request))
        self._named.update(part for part in sent.path if isinstance(part, str))
        call = replace(self._ask(sent), owner=self._owner(sent))
        self.calls.append(call)
        if call.trouble is None:
            return call.value
        if call.trouble.kind in ("timeout", "crashed"):
            raise Stopped(call.trouble)
        raise _as_raised(call.trouble)

    def end(self) -> None:
        """Ends the child, whatever it is doing."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _start(self) -> None:
        if self._starts > self.budget.restarts:
            self.loading_trouble = Trouble("timeout" if self._last_kind() == "timeout" else "crashed")
            return
        self._starts += 1
        self._child = self.worker.child()
        start = {
            "name": self.name,
            "sources": dict(self.sources),
            "locked": self.confinement.locked,
            "limits": dict(self.confinement.limits),
            "readable": list(self.readable),
        }
        # No student code runs before the first answer, so this one can be believed.
        try:
            said, why = decode(self._child.ask(encode(start), self.budget.load))
        except (OutOfTime, Died):
            raise WorkerError(
                "a child of the worker does not start: the machine is too busy, or lacks memory"
            ) from None
        if said != "ready":
            raise WorkerError(f"a submission cannot be shut in on this machine: {why}")
        call = self._exchange(encode("load"), self.budget.load)
        if call.trouble is not None:
            self.loading_trouble = call.trouble
            self.end()
            return
        try:
            self.definitions = _checked_definitions(call.value, self.sources[self.name])
        except Exception:  # see `_exchange`
            self.loading_trouble = Trouble("crashed")
            self.end()

    def _owner(self, request: Request) -> str:
        """The type of the object that is asked, where this side knows the name: others could tell anything."""
        start = request.path[0] if request.path else None
        if not isinstance(start, Handle):
            return ""
        return start.type_name if start.type_name in self._named | self.definitions.keys() else "object"

    def _last_kind(self) -> str:
        return next((call.trouble.kind for call in reversed(self.calls) if call.trouble), "")

    def _ask(self, request: Request) -> Call:
        message = encode(tuple(request))
        left = self.budget.exercise - self._spent
        if left <= 0:
            self.end()
            self.loading_trouble = Trouble("timeout")
            return Call(message, trouble=self.loading_trouble)
        return self._exchange(message, min(left, self.budget.call))

    def _exchange(self, message: bytes, seconds: float) -> Call:
        assert self._child is not None
        begun = time.monotonic()
        try:
            answer = self._child.ask(message, seconds)
        except OutOfTime:
            trouble = Trouble("timeout")
        except Died as died:
            trouble = Trouble("crashed", status=died.status)
        else:
            try:
                return self._understood(message, answer)
            except Exception:  # an answer that is none: only code that writes to our channel sends one
                trouble = Trouble("crashed")
        finally:
            self._spent += time.monotonic() - begun
        self.end()
        return Call(message, trouble=trouble)

    def _understood(self, message: bytes, answer: bytes) -> Call:
        """The answer as a record, or any exception at all: every part of it may be anything."""
        kind, value, changed, output, warned = decode(answer, lambda handle: handle, self.allowance)
        if kind == "error":
            return Call(message, trouble=_as_trouble(value, self.sources), output=_checked_text(output))
        call = Call(message, value=value, output=_checked_text(output), warnings=tuple(map(_checked_text, warned)))
        return replace(call, changed=tuple(name for name in call.arguments if name in changed)) if changed else call


class RemoteModule:
    """The submission's module: its functions and classes are its attributes."""

    def __init__(self, perform: Callable[[Request], Any], name: str, calls: Sequence[Call] = ()) -> None:
        self._perform = perform
        self._name = name
        self._calls = calls

    def output(self) -> str:
        """What the last call printed."""
        return self._calls[-1].output

    def warnings(self) -> tuple[str, ...]:
        """What the last call was warned of, as "RuntimeWarning: overflow encountered in exp"."""
        return self._calls[-1].warnings

    def __getattr__(self, name: str) -> Remote:
        if name.startswith("_"):
            raise AttributeError(name)
        return Remote(self._perform, (self._name, name))

    def library(self, name: str) -> Remote:
        """An installed library over there, for objects that a test needs and no student wrote."""
        return Remote(self._perform, (LIBRARY + name,))

    @contextmanager
    def pretending(self, answers: Mapping[str, Any]) -> Iterator[None]:
        """While it lasts, functions over there give fixed answers, as `{"torch.cuda.is_available": True}`."""
        self._perform(Request("pretend", (), (), answers))
        try:
            yield
        finally:
            self._perform(Request("pretend", ()))


class Remote:
    """Something over there: a function, a class, an object or an attribute. Nothing is sent until it is called."""

    def __init__(self, perform: Callable[[Request], Any], path: tuple[Any, ...], type_name: str = "") -> None:
        self._perform = perform
        self._path = path
        self.type_name = type_name

    def __getattr__(self, name: str) -> Remote:
        if name.startswith("__"):
            raise AttributeError(name)
        return Remote(self._perform, (*self._path, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls it there with plain values, or with other remote objects."""
        return self._wrapped(self._perform(Request("call", self._path, args, kwargs)))

    def __len__(self) -> int:
        return int(self._perform(Request("call", (*self._path, "__len__"))))

    def __repr__(self) -> str:
        return f"<{self.type_name or '.'.join(str(part) for part in self._path)}>"

    def value(self) -> Any:
        """What it is: an attribute's plain value."""
        return self._wrapped(self._perform(Request("read", self._path)))

    def gradients(self, *args: Any, cotangent: Any = None, **kwargs: Any) -> Gradients:
        """Calls it and differentiates `sum(cotangent * result)` by every floating-point argument and parameter."""
        return Gradients(*self._perform(Request("gradients", self._path, args, kwargs, cotangent)))

    def _wrapped(self, value: Any) -> Any:
        if isinstance(value, Handle):
            return Remote(self._perform, (value,), value.type_name)
        if type(value) in (list, tuple):
            return type(value)(self._wrapped(item) for item in value)
        return value


def _sendable(value: Any) -> Any:
    """The value with every remote object as its handle."""
    if isinstance(value, Remote):
        if len(value._path) > 1 or not isinstance(value._path[0], Handle):
            raise WireError(f"{value!r} is no object: call it, or read its value, before it is sent")
        return value._path[0]
    if type(value) in (list, tuple):
        return type(value)(_sendable(item) for item in value)
    if type(value) is dict:
        return {key: _sendable(item) for key, item in value.items()}
    return value


def _as_raised(trouble: Trouble) -> StudentError:
    return next((kind(trouble) for name in trouble.bases if (kind := _student_kind(name))), StudentError(trouble))


@lru_cache(maxsize=256)
def _student_kind(name: str) -> type[StudentError] | None:
    """The student's version of a built-in exception; one class each, or hypothesis would take old errors for new."""
    builtin = getattr(builtins, name, None)
    if not (isinstance(builtin, type) and issubclass(builtin, Exception)) or builtin is Exception:
        return None
    if issubclass(builtin, (StopIteration, StopAsyncIteration)):
        return None  # in a suite's loop it would be the loop's end, and no error
    try:
        kind: type[StudentError] = type(name, (StudentError, builtin), {"__init__": StudentError.__init__})
        kind(Trouble("raised"))
    except TypeError:  # its constructor wants what we do not have
        return None
    return kind


def _as_trouble(value: Mapping[str, Any], sources: Mapping[str, str]) -> Trouble:
    missing = value["missing"]
    return Trouble(
        "missing" if missing is not None else "raised",
        type_name=_checked_text(value["type"])[:100],
        bases=tuple(_checked_text(name) for name in value["bases"]),
        message=_checked_text(missing if missing is not None else value["message"]),
        frames=_checked_frames(value["frames"], sources),
        forbidden=None if value["forbidden"] is None else _checked_text(value["forbidden"]),
        syntax=_checked_syntax(value.get("syntax")),
    )


def _checked_text(value: object) -> str:
    if type(value) is not str:
        raise TypeError("not a text")
    # Nothing that a terminal would obey, and nothing that cannot be written as UTF-8.
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value[:4096])


def _checked_frames(value: Any, sources: Mapping[str, str]) -> tuple[tuple[str, int, str], ...]:
    """The frames that can be: in lines that there are, of files that were handed in. Others could tell anything."""
    lengths = {f"{name}.py": source.count("\n") + 1 for name, source in sources.items()}
    frames = ((_checked_text(file), int(line), _checked_text(name)) for file, line, name in value)
    return tuple((file, line, name) for file, line, name in frames if 0 <= line <= lengths.get(file, -1))


def _checked_syntax(value: Any) -> tuple[str, int, int, str] | None:
    if value is None:
        return None
    file, line, column, text = value
    shown = _checked_text(text)
    return _checked_text(file), int(line), min(int(column), len(shown) + 1), shown


def _checked_definitions(value: Any, source: str) -> dict[str, tuple[int, int]]:
    """The definitions that can be: within the file, and one after the other."""
    places = sorted((int(first), int(last), _checked_text(name)) for name, (first, last) in dict(value).items())
    definitions: dict[str, tuple[int, int]] = {}
    below = 0
    for first, last, name in places:
        if below < first <= last <= source.count("\n") + 1 and name.isidentifier():
            definitions[name] = first, last
            below = last
    return definitions
