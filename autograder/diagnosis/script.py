"""A failing example as a script of a few lines, which its student can run, print from and stop in.

What the suite asked over there, and all that made the objects that it asked, is written down as Python does it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograder.diagnosis.evidence import keyed
from autograder.diagnosis.replay import needed
from autograder.isolation.between.messages import LIBRARY
from autograder.isolation.between.wire import Handle
from autograder.isolation.near.remote import Call
from autograder.suites.compare import Mismatch
from autograder.suites.explain import is_result
from autograder.suites.runner import Outcome, Run

INLINE = 120  # numbers of an array that are written into the script; others lie in a file beside it
WIDTH = 100
_NOT_FINITE = re.compile(r"(?<![\w.])(nan|inf)(?!\w)")


@dataclass
class Script:
    """A script in the making.

    Attributes:
        exercise: the module that it is about.
        lines: what it does.
        arrays: the arrays beside it, by name.
        libraries: what it imports.
    """

    exercise: str
    lines: list[str] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=lambda: {"numpy"})
    _objects: dict[int, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def add(self, call: Call, result: str = "") -> None:
        """Writes a call down; what comes back gets a name, this one or one of its own."""
        request = call.request
        if request.kind == "patch":
            self.libraries.add("unittest.mock")
            for name, answer in request.kwargs.items():
                self.lines.append(f"unittest.mock.patch({name!r}, lambda *_, **__: {self.value(answer)}).start()")
            if not request.kwargs:
                self.lines.append("unittest.mock.patch.stopall()")
            return
        objects = [*_paths(call.value)]
        name = result or (self._name(objects[0][1].type_name) if objects else "")
        target = self._target(request.path)
        if request.kind == "gradients":
            self._add_gradients(call, target, name or "value")
        else:
            called = target if request.kind == "read" else self._called(target, call)
            self.lines.append(f"{name} = {called}" if name else called)
        for path, handle in objects:
            self._objects.setdefault(handle.id, f"{name}{path}")

    def _called(self, target: str, call: Call) -> str:
        arguments = [self.value(value) for value in call.request.args]
        arguments += [f"{name}={self.value(value)}" for name, value in call.request.kwargs.items()]
        short = f"{target}({', '.join(arguments)})"
        if len(short) <= WIDTH and "\n" not in short:
            return short
        return "\n".join([f"{target}(", *(f"    {argument}," for argument in arguments), ")"])

    def _add_gradients(self, call: Call, target: str, name: str) -> None:
        """As the far side does it: floating-point arguments are leaves, and the sum of the result is differentiated."""
        leaves, written = [], []
        for key, value in [*((str(i), v) for i, v in enumerate(call.request.args)), *call.request.kwargs.items()]:
            text = self.value(value)
            if hasattr(value, "requires_grad") and value.is_floating_point():
                leaf = f"input_{key}"
                self.lines.append(f"{leaf} = {text}.requires_grad_()")
                leaves.append(leaf)
                text = leaf
            written.append(text if key.isdigit() else f"{key}={text}")
        self.lines.append(f"{name} = {target}({', '.join(written)})")
        cotangent = call.request.cotangent
        self.lines.append(f"{name if cotangent is None else f'({name} * {self.value(cotangent)})'}.sum().backward()")
        self.lines += [f'print("gradient of {leaf}:", {leaf}.grad, sep="\\n")' for leaf in leaves]

    def _target(self, path: tuple[Any, ...]) -> str:
        start, *attributes = path
        if isinstance(start, Handle):
            first = self._objects.get(start.id, "...")
        elif start.startswith(LIBRARY):
            first = start.removeprefix(LIBRARY)
            self.libraries.add(first)
        else:
            first = start
        return ".".join([first, *attributes])

    def _name(self, type_name: str) -> str:
        name = re.sub(r"\W", "", type_name).lower() or "made"
        taken = {self.exercise, "given", "expected", *self._taken}
        free = next(c for c in (name, *(f"{name}_{i}" for i in range(2, 10_000))) if c not in taken)
        self._taken.add(free)
        return free

    def value(self, value: Any) -> str:
        """A value as Python writes it, whole."""
        if isinstance(value, Handle):
            return self._objects.get(value.id, "...")
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(np.asarray(value))
        if hasattr(value, "detach"):
            return self._tensor(value.detach())
        if isinstance(value, float):
            return repr(value) if np.isfinite(value) else f'float("{value}")'
        if isinstance(value, (list, tuple)):
            items = ", ".join(map(self.value, value))
            comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
            return f"[{items}]" if isinstance(value, list) else f"({items}{comma})"
        if isinstance(value, dict):
            return f"{{{', '.join(f'{self.value(key)}: {self.value(item)}' for key, item in value.items())}}}"
        if isinstance(value, type):
            return f"np.{value.__name__}" if value.__module__ == "numpy" else value.__name__
        if type(value).__module__ == "torch":
            self.libraries.add("torch")
            return f"torch.{value!r}" if repr(value).startswith("device") else repr(value)
        return f"np.{value!r}" if isinstance(value, np.dtype) else "..." if value is ... else repr(value)

    def _array(self, array: np.ndarray) -> str:
        if array.size > INLINE or (array.ndim > 1 and not array.size):
            return self._beside(array)
        kind = "" if array.dtype.name in ("float64", "int64", "bool") else f", dtype=np.{array.dtype.name}"
        return f"np.array({_numbers(array.tolist())}{kind})"

    def _tensor(self, tensor: Any) -> str:
        self.libraries.add("torch")
        if tensor.numel() > INLINE or (tensor.ndim > 1 and not tensor.numel()):
            wide = tensor.float() if tensor.is_floating_point() and str(tensor.dtype) == "torch.bfloat16" else tensor
            return f"torch.from_numpy({self._beside(wide.numpy())}).to({tensor.dtype})"
        kind = "" if str(tensor.dtype) in ("torch.float32", "torch.int64", "torch.bool") else f", dtype={tensor.dtype}"
        return f"torch.tensor({_numbers(tensor.tolist())}{kind})"

    def _beside(self, array: np.ndarray) -> str:
        name = f"array_{len(self.arrays)}"
        self.arrays[name] = array
        return f'arrays["{name}"]'


def script(run: Run, outcome: Outcome, told: str, title: str, right: Mapping[str, str]) -> Script | None:
    """The example of a failed test; None where it asked nothing.

    Args:
        run: that it failed in.
        outcome: the test's.
        told: what is said of the failure.
        title: the exercise's.
        right: where the stand-in stands, by exercise, that was used in place of the student's own.
    """
    own = [call for call in outcome.calls if not call.of_library and call.request.kind != "patch"]
    if not own:
        return None
    name = run.exercise.name
    end = next(index for index, call in enumerate(run.session.calls) if call is own[-1])
    calls = keyed(run.session.calls[: end + 1])
    chosen = sorted(needed(calls, [call.call is own[-1] for call in calls]))
    made = Script(name)
    for place in chosen:
        if calls[place].call is not own[-1]:
            made.add(calls[place].call)
    made.add(own[-1], "given")
    made.lines.append('print("given:", given, sep="\\n")')
    error = outcome.error
    if isinstance(error, Mismatch) and error.expected is not None:
        made.lines.append(f"expected = {made.value(error.expected)}")
        what = "" if is_result(own[-1], error.got) else f" of {error.what or 'what the test makes of it'}"
        made.lines.append(f'print("expected{what}:", expected, sep="\\n")')
    made.lines = [*_head(made, title, outcome.test.title, told, right), *made.lines]
    return made


def _head(made: Script, title: str, test: str, told: str, right: Mapping[str, str]) -> Iterator[str]:
    said = "\n".join(f"    {line}".rstrip() for line in told.replace("\\", "\\\\").replace('"""', "'''").split("\n"))
    yield f'"""{title}: the smallest example that was found to fail.\n\n{test}\n{said}\n'
    yield "Print what you like, here and in the exercise; breakpoint() stops there.\n" + '"""\n'
    yield "import sys\nfrom pathlib import Path\n"
    imports = sorted({name.partition(".")[0] if name != "unittest.mock" else name for name in made.libraries})
    yield "\n".join(f"import {name}{' as np' if name == 'numpy' else ''}" for name in imports)
    yield '\nsys.path.insert(0, str(Path(__file__).resolve().parents[2] / "exercises"))'
    for name, path in right.items():
        yield f"\n# A right {name} in place of yours, as in the check: delete these lines, and yours is used."
        yield f'sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "{path}"))'
        yield f"import {name}  # noqa: E402, F401\n\nsys.path.pop(0)"
    yield f"import {made.exercise}  # noqa: E402\n"
    if made.arrays:
        yield 'arrays = np.load(Path(__file__).with_suffix(".npz"))'


def _numbers(value: Any) -> str:
    """Nested lists of numbers."""
    return _NOT_FINITE.sub(r"np.\1", repr(value))


def _paths(value: Any, path: str = "") -> Iterator[tuple[str, Handle]]:
    """The objects in a value, and how one gets to each."""
    if isinstance(value, Handle):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _paths(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, f"{path}[{key!r}]")
