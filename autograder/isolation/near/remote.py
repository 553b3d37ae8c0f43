"""A submission's module as a suite sees it: `softmax.softmax(scores)` runs over there, and plain values come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from autograder.isolation.between.executor import Gradients
from autograder.isolation.between.messages import LIBRARY, Failure, Request, RequestKind
from autograder.isolation.between.values import mapped
from autograder.isolation.between.wire import Handle, WireError
from autograder.isolation.near.failures import Stopped, StudentError, Unfit
from autograder.isolation.near.session import Call, Session

__all__ = ["Call", "Failure", "Remote", "RemoteModule", "Session", "Stopped", "StudentError", "Unfit"]


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
    def patched(self, answers: Mapping[str, Any]) -> Iterator[None]:
        """While it lasts, functions over there give fixed answers, as `{"torch.cuda.is_available": True}`."""
        self._perform(Request("patch", (), (), answers))
        try:
            yield
        finally:
            self._perform(Request("patch", ()))


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
        return self._ask("call", args, kwargs)

    def __len__(self) -> int:
        return int(Remote(self._perform, (*self._path, "__len__"))())

    def __repr__(self) -> str:
        return f"<{self.type_name or '.'.join(str(part) for part in self._path)}>"

    def value(self) -> Any:
        """What it is: an attribute's plain value."""
        return self._ask("read")

    def gradients(self, *args: Any, cotangent: Any = None, **kwargs: Any) -> Gradients:
        """Calls it and differentiates `sum(cotangent * result)` by every floating-point argument and parameter."""
        return Gradients(*self._ask("gradients", args, kwargs, cotangent))

    def _ask(
        self,
        kind: RequestKind,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        cotangent: Any = None,
    ) -> Any:
        """Sends remote objects as their handles, and makes remote objects of the handles that come back."""
        request = Request(kind, self._path, mapped(args, _sendable), mapped(dict(kwargs or {}), _sendable), cotangent)
        return mapped(self._perform(request), self._received)

    def _received(self, value: Any) -> Any:
        return Remote(self._perform, (value,), value.type_name) if isinstance(value, Handle) else value


def _sendable(value: Any) -> Any:
    if not isinstance(value, Remote):
        return value
    if len(value._path) > 1 or not isinstance(value._path[0], Handle):
        raise WireError(f"{value!r} is no object: call it, or read its value, before it is sent")
    return value._path[0]
