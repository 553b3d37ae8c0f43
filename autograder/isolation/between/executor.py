"""What a request means: find an object, call it, differentiate it, or patch something on this machine.

The far side executes a student's code with it; the near side replays the same requests on known mistakes, which are
trusted. A request names its target by a path: where to start (one of the submission's modules, `library:torch` for an
installed library, or an object that an earlier request returned) and the attributes to follow from there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from autograder.isolation.between.messages import LIBRARY as LIBRARY
from autograder.isolation.between.messages import Request as Request
from autograder.isolation.between.steps import Point, Recorder
from autograder.isolation.between.values import handles as handles
from autograder.isolation.between.values import is_tensor, mapped
from autograder.isolation.between.wire import Handle, encode


class Gradients(NamedTuple):
    """A function's value and the gradients of `sum(cotangent * value)`; None where nothing flows back."""

    value: Any
    args: list[Any]
    kwargs: dict[str, Any]
    parameters: dict[str, Any]


class Missing(Exception):
    """The path leads nowhere: the submission does not define this name."""


@dataclass
class Executor:
    """Executes requests against modules that are loaded in this process.

    Attributes:
        modules: the submission's modules by name.
        objects: what was returned and cannot travel; an object's handle is its index in this list.
    """

    modules: Mapping[str, ModuleType]
    objects: list[Any] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)  # id(object) to its index
    patches: ExitStack = field(default_factory=ExitStack)
    recorder: Recorder | None = None

    def refer(self, value: object) -> Handle:
        """Keeps `value` here and returns a handle to it; the same object keeps its handle."""
        number = self.numbers.setdefault(id(value), len(self.objects))
        if number == len(self.objects):
            self.objects.append(value)
        return Handle(number, type(value).__name__)

    def resolve(self, handle: Handle) -> Any:
        """The object that a handle stands for."""
        try:
            return self.objects[handle.id]
        except IndexError:
            raise Missing(f"object {handle.id}") from None

    def execute(self, request: Request) -> tuple[Any, list[str]]:
        """Returns the request's value and the names of the arguments that were changed in place by it."""
        if request.kind == "record":
            return self.record(str(request.path[0]), *request.args), []
        if request.kind == "steps":
            return self.recorder.steps if self.recorder else [], []
        if request.kind == "patch":
            self.patch(request.kwargs)
            return None, []
        target = self.find(request.path)
        if request.kind == "read":
            return target, []
        arguments = {**{str(i): value for i, value in enumerate(request.args)}, **request.kwargs}
        before = {name: _fingerprint(value) for name, value in arguments.items()}
        value = (
            self.gradients(target, request) if request.kind == "gradients" else target(*request.args, **request.kwargs)
        )
        return value, [name for name, value in arguments.items() if _fingerprint(value) != before[name]]

    def find(self, path: Sequence[Any]) -> Any:
        """Follows a path to its object."""
        start, *attributes = path
        if isinstance(start, str):
            start = importlib.import_module(start[len(LIBRARY) :]) if start.startswith(LIBRARY) else self.modules[start]
        for name in attributes:
            try:
                start = getattr(start, name)
            except AttributeError:
                raise Missing(name) from None
        return start

    def gradients(self, target: Callable[..., Any], request: Request) -> Gradients:
        """Calls `target` on leaves that require gradients and differentiates the result."""
        import torch

        args = [_leaf(value) for value in request.args]
        kwargs = {name: _leaf(value) for name, value in request.kwargs.items()}
        value = target(*args, **kwargs)
        owner = getattr(target, "__self__", target)
        parameters = dict(owner.named_parameters()) if isinstance(owner, torch.nn.Module) else {}
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"the result is a {type(value).__name__}, and only a tensor has gradients")
        leaves = [leaf for leaf in [*args, *kwargs.values(), *parameters.values()] if _wants_gradient(leaf)]
        found: dict[int, Any] = {}
        if leaves and value.requires_grad:
            # As a sum and not as `grad_outputs`, for which PyTorch imports SymPy in every child.
            total = (value if request.cotangent is None else value * request.cotangent).sum()
            flowed = torch.autograd.grad(total, leaves, allow_unused=True)
            found = {id(leaf): gradient for leaf, gradient in zip(leaves, flowed, strict=True)}
        return Gradients(
            value.detach(),
            [found.get(id(leaf)) for leaf in args],
            {name: found.get(id(leaf)) for name, leaf in kwargs.items()},
            {name: found.get(id(leaf)) for name, leaf in parameters.items()},
        )

    def record(self, name: str, seed: int) -> list[Point]:
        """Takes down the steps of a module's functions from now on; says where they can happen, the first time."""
        new = self.recorder is None
        if self.recorder is None:
            self.recorder = Recorder(name)
            loader: Any = self.modules[name].__loader__
            self.modules = {**self.modules, name: self.recorder.load(loader.get_source(name))}
        self.recorder.begin(seed)
        return self.recorder.points if new else []

    def patch(self, answers: Mapping[str, Any]) -> None:
        """Makes functions give fixed answers, as `{"torch.cuda.is_available": True}`; no answers: the truth again."""
        self.patches.close()
        for dotted, answer in answers.items():
            path, _, name = dotted.rpartition(".")
            owner = _locate(path)
            self.patches.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, _constant(answer))


def _locate(dotted: str) -> Any:
    """The module or attribute of a module that a dotted name means."""
    try:
        return importlib.import_module(dotted)
    except ImportError:
        owner, _, name = dotted.rpartition(".")
        return getattr(_locate(owner), name)


def _constant(answer: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: answer


def _wants_gradient(value: Any) -> bool:
    return bool(getattr(value, "requires_grad", False))


def _leaf(value: Any) -> Any:
    """A floating-point tensor as a fresh leaf that requires its gradient; anything else as it is."""
    if is_tensor(value) and value.is_floating_point():
        return value.detach().clone().requires_grad_()
    return value


def _fingerprint(value: Any) -> object:
    """What must stay the same of an argument: its numbers and structure. Objects may change: they have a life."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype, value.tobytes()
    if type(value) in (list, tuple, dict) or is_tensor(value):
        plain = mapped(value, lambda leaf: leaf.detach() if _wants_gradient(leaf) else leaf)
        return encode(plain, lambda other: Handle(id(other), ""))
    return None
