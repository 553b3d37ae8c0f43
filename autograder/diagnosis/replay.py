"""What a known mistake, or the solution, gives for recorded calls. Both are the course's own text, so they run here."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from autograder.diagnosis.evidence import KeyedCall, Signature, signature
from autograder.isolation.between.executor import Executor, Missing, Request, handles
from autograder.isolation.between.wire import Handle, WireError, decode, encode
from autograder.isolation.far.importer import MemoryImporter
from autograder.isolation.near.remote import Trouble


class Variant:
    """One version of an exercise's module, and what it gave for the calls that it was asked so far."""

    def __init__(self, name: str, sources: Mapping[str, str]) -> None:
        self.name = name
        self.sources = sources
        self.known: dict[str, Signature] = {}
        self._module: ModuleType | None = None

    def answers(self, calls: Sequence[KeyedCall], seed: int = 0) -> Iterator[tuple[str, Signature]]:
        """The signatures for these calls by their keys, one after the other, so that one may stop at any.

        A call that needs an object that was never made has none.
        """
        if all(key in self.known for key, _ in calls):
            yield from ((key, self.known[key]) for key, _ in calls)
            return
        replayed: Iterable[tuple[str, Signature]] = self._replay(calls, seed)
        if any(call.of_library for _, call in calls):
            replayed = list(replayed)  # what a suite does to a library it also undoes, if it comes to its end
        for key, found in replayed:
            self.known[key] = found
            yield key, found

    def _replay(self, calls: Sequence[KeyedCall], seed: int) -> Iterator[tuple[str, Signature]]:
        with _quietly(), _seeded(seed):
            executor = Executor({self.name: self._load()})
            stand_ins: dict[int, Handle] = {}  # the submission's handles to ours
            try:
                for key, call in calls:
                    if key in self.known and not call.has_objects:
                        yield key, self.known[key]  # and nothing else depends on it
                        continue
                    request = _translated(call.request, stand_ins)
                    if request is None:
                        continue
                    value, trouble, changed = _perform(executor, request)
                    if trouble is None:
                        pairs = zip(handles(call.value), handles(value), strict=False)
                        stand_ins.update({theirs.id: ours for theirs, ours in pairs})
                    yield key, signature(value, trouble, changed)
            finally:
                executor.pretences.close()

    def _load(self) -> ModuleType:
        if self._module is None:
            importer = MemoryImporter(self.sources)
            importer.install()
            try:
                self._module = importlib.import_module(self.name)
            finally:
                importer.remove()
        return self._module


def _perform(executor: Executor, request: Request) -> tuple[Any, Trouble | None, list[str]]:
    """As the far side does it: on copies, and with plain values back."""
    try:
        copied = Request(*decode(encode(tuple(request)), executor.resolve))
        value, changed = executor.execute(copied)
        return decode(encode(value, executor.refer)), None, changed
    except Missing as missing:
        return None, Trouble("missing", message=str(missing)), []
    except WireError:
        return None, Trouble("raised"), []
    except Exception as error:  # a known mistake may fail in any way
        bases = tuple(base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins")
        return None, Trouble("raised", bases=bases), []


def _translated(request: Request, stand_ins: Mapping[int, Handle]) -> Request | None:
    """The request with our handles in place of the submission's; None when one of them does not exist here."""
    if any(handle.id not in stand_ins for handle in handles((request.path, request.args, dict(request.kwargs)))):
        return None
    return Request(*(_swap(part, stand_ins) for part in request))


def _swap(value: Any, stand_ins: Mapping[int, Handle]) -> Any:
    if isinstance(value, Handle):
        return stand_ins[value.id]
    if isinstance(value, (list, tuple)):
        return type(value)(_swap(item, stand_ins) for item in value)
    if isinstance(value, dict):
        return {key: _swap(item, stand_ins) for key, item in value.items()}
    return value


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers as on the far side, and afterwards as they would have been."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
