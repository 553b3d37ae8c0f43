"""What a known mistake, or the solution, gives for recorded calls. Both are the course's own text, so they run here."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from autograder.diagnosis.evidence import KeyedCall, Signature, sets_the_scene, signature
from autograder.diagnosis.traced import Key, RightlyMade, bare, steps_of
from autograder.isolation.between.executor import Executor, Missing, Request, handles
from autograder.isolation.between.importer import MemoryImporter
from autograder.isolation.between.steps import Recorder, points_of
from autograder.isolation.between.wire import Handle, WireError, decode, encode
from autograder.isolation.near.remote import Failure
from autograder.suites.randomness import own_random_numbers, seed

KEPT = 20_000  # signatures of one version: a few megabytes


class Variant:
    """One version of an exercise's module, and what it gave for the calls that it was asked so far."""

    def __init__(self, name: str, sources: Mapping[str, str]) -> None:
        self.name = name
        self.sources = sources
        self.signatures: dict[str, Signature] = {}
        self._module: ModuleType | None = None

    def answers(
        self, calls: Sequence[KeyedCall], only: Container[str] | None = None, salt: int = 0
    ) -> Iterator[tuple[str, Signature]]:
        """The signatures for these calls by their keys, one after the other, so that one may stop at any.

        A call that needs an object that was never made has none. What is known is not done again, unless a later call
        needs the objects that it makes or changes.

        Args:
            calls: in the order in which they were made.
            only: the keys that are asked for; all when None.
            salt: with another, the calls draw other random numbers.
        """
        if len(self.signatures) > KEPT:
            self.signatures.clear()
        asked = [only is None or call.key in only for call in calls]
        unknown = [wanted and call.key not in self.signatures for wanted, call in zip(asked, calls, strict=True)]
        chosen = needed(calls, unknown)
        steps = self._replay(calls, asked, chosen, salt)
        if any(calls[index].call.of_library for index in chosen):
            return iter(list(steps))  # what a suite does to a library it also undoes, if it comes to its end
        return steps

    def _replay(
        self, calls: Sequence[KeyedCall], asked: Sequence[bool], needed: Container[int], salt: int
    ) -> Iterator[tuple[str, Signature]]:
        with _quietly(), own_random_numbers():
            executor = Executor({self.name: self._load()})
            ours_for: dict[int, Handle] = {}  # the submission's handles to ours
            try:
                for index, (key, call, *_) in enumerate(calls):
                    if index in needed and (request := _translated(call.request, ours_for)) is not None:
                        seed(int(key, 16) + salt)
                        value, failure, changed = _perform(executor, request)
                        if failure is None:
                            pairs = zip(handles(call.value), handles(value), strict=False)
                            ours_for.update({theirs.id: ours for theirs, ours in pairs})
                        if key not in self.signatures:
                            self.signatures[key] = signature(value, failure, changed)
                    if asked[index] and key in self.signatures:
                        yield key, self.signatures[key]
            finally:
                executor.patches.close()

    def _load(self) -> ModuleType:
        if self._module is None:
            importer = MemoryImporter(self.sources)
            importer.install()
            try:
                self._module = importlib.import_module(self.name)
            finally:
                importer.remove()
        return self._module


def needed(calls: Sequence[KeyedCall], unknown: Sequence[bool]) -> set[int]:
    """The indices of the unknown calls, of all that made or changed what they use, and what was done to libraries."""
    chosen: set[int] = set()
    wanted: set[int] = set()
    if not any(unknown):
        return chosen
    for index in reversed(range(len(calls))):
        _, call, group, _ = calls[index]
        if unknown[index] or wanted & group or (chosen and sets_the_scene(call)):
            chosen.add(index)
            wanted |= group
    first = min((index for index in chosen if sets_the_scene(calls[index].call)), default=len(calls))
    return chosen | {index for index in range(first, len(calls)) if sets_the_scene(calls[index].call)}


class Handles:
    """A submission's handles, as they were recorded, to those of another process."""

    def __init__(self) -> None:
        self._ours: dict[int, Handle] = {}

    def learn(self, recorded: Any, value: Any) -> None:
        """The objects of a value stand for those of the recorded one."""
        pairs = zip(handles(recorded), handles(value), strict=False)
        self._ours.update({theirs.id: ours for theirs, ours in pairs})

    def request(self, request: Request) -> Request | None:
        """The request there; None when it needs an object that does not exist there."""
        return _translated(request, self._ours)


class Trace:
    """The solution's steps, taken down here. See `traced.Reference`."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant
        source = variant.sources[variant.name]
        self._recorder = Recorder(variant.name)
        self._module: ModuleType | None = None
        self._points = [Key(point.function, point.name, point.kind) for point in points_of(source)]
        self._lines = frozenset(map(bare, source.split("\n")))

    def knows(self, call: str) -> bool:
        """See `Reference`."""
        return True

    def points(self) -> Collection[Key]:
        """See `Reference`."""
        return self._points

    def key(self, key: Key) -> Key:
        """See `Reference`."""
        return key

    def has_line(self, line: str) -> bool:
        """See `Reference`."""
        return line in self._lines

    def lines(self) -> Collection[str]:
        """The solution's lines, without comments and indents."""
        return self._lines

    def steps(self, calls: Sequence[KeyedCall], wanted: Container[int]) -> Mapping[str, RightlyMade]:
        """See `Reference`."""
        made: dict[str, RightlyMade] = {}
        name = self._variant.name
        with _quietly(), own_random_numbers(), _installed(self._variant.sources):
            if self._module is None:
                self._module = self._recorder.load(self._variant.sources[name])
            executor = Executor({name: self._module}, recorder=self._recorder)
            translated = Handles()
            try:
                for index, (key, call, *_) in enumerate(calls):
                    if index in wanted and (request := translated.request(call.request)) is not None:
                        executor.execute(recording(name, key))
                        value, failure, _ = _perform(executor, request)
                        if failure is None:
                            translated.learn(call.value, value)
                        steps = list(steps_of(self._recorder.points, [*self._recorder.steps]))
                        made[key] = RightlyMade(steps, failure is not None)
            finally:
                executor.patches.close()
        return made


def recording(name: str, key: str) -> Request:
    """The request to take down what happens in a module during the next one, which has this key."""
    return Request("record", (name,), (int(key, 16) % 2**62,))


def taken() -> Request:
    """The request for the steps that were taken down."""
    return Request("steps", ())


@contextlib.contextmanager
def _installed(sources: Mapping[str, str]) -> Iterator[None]:
    importer = MemoryImporter(sources)
    importer.install()
    try:
        yield
    finally:
        importer.remove()


def _perform(executor: Executor, request: Request) -> tuple[Any, Failure | None, list[str]]:
    """As the far side does it: on copies, and with plain values back."""
    try:
        copied = Request(*decode(encode(tuple(request)), executor.resolve))
        value, changed = executor.execute(copied)
        return decode(encode(value, executor.refer, executor.modules)), None, changed
    except Missing as missing:
        return None, Failure("missing", message=str(missing)), []
    except WireError:
        return None, Failure("raised"), []
    except Exception as error:  # a known mistake may fail in any way
        bases = tuple(base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins")
        return None, Failure("raised", bases=bases), []


def _translated(request: Request, ours_for: Mapping[int, Handle]) -> Request | None:
    """The request with our handles in place of the submission's; None when one of them does not exist here."""
    if any(handle.id not in ours_for for handle in handles((request.path, request.args, dict(request.kwargs)))):
        return None
    return Request(*(_swap(part, ours_for) for part in request))


def _swap(value: Any, ours_for: Mapping[int, Handle]) -> Any:
    if isinstance(value, Handle):
        return ours_for[value.id]
    if isinstance(value, (list, tuple)):
        return type(value)(_swap(item, ours_for) for item in value)
    if isinstance(value, dict):
        return {key: _swap(item, ours_for) for key, item in value.items()}
    return value


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Nothing is printed, and what a replayed call sets for warnings or NumPy's errors ends with it."""
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with np.errstate():
            yield
