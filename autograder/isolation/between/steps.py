"""What happens inside a module's functions, step by step: what is handed in, assigned, decided and returned.

The module is compiled again from its parsed source, with a note after every assignment, in every condition and every
`return`. Both sides do it: the far side with a student's module, the near side with the solution. Steps are bounded in
number and size; code that wants to lie about its own can only mislead its author.
"""

from __future__ import annotations

import ast
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

MOST_STEPS = 1500  # of one request
MOST_NUMBERS = 4096  # of one value; of more, as many are looked at
MOST_IN_ALL = 2**19
MOST_NODES = 20_000  # of PyTorch's graphs
ITEMS, DEPTH, CHARACTERS = 64, 3, 500
NOTE = "__note_step__"
GRADIENT, LARGE, OBJECT, LAYER = "\0gradient", "\0large", "\0object", "\0layer"


class Point(NamedTuple):
    """A point of the source where steps happen.

    Attributes:
        line: its line, from 1.
        function: the function or method, as `MultiHeadAttention.forward`.
        name: the variable, "return", or which of the function's conditions.
        kind: "argument", "value", "condition", "turn" (of a loop) or "return".
        last: the last line of what is written there; of a block's head alone.
    """

    line: int
    function: str
    name: str
    kind: str
    last: int


def points_of(source: str) -> list[Point]:
    """Where steps can happen in a module.

    Raises:
        SyntaxError: the source is none.
    """
    return _noted(source, "module.py")[1]


def _noted(source: str, file: str) -> tuple[ast.Module, list[Point]]:
    tree, points = ast.parse(source, file), list[Point]()
    tree.body = list(_Notes(points).definitions(tree.body, ""))
    return ast.fix_missing_locations(tree), points


@dataclass
class Recorder:
    """Records the steps of one module.

    Attributes:
        points: where steps can happen.
        steps: what happened since the last `begin`: the point's index, the value, and for arguments the caller's line.
    """

    name: str
    points: list[Point] = field(default_factory=list)
    steps: list[tuple[int, Any, int]] = field(default_factory=list)
    _left: int = MOST_IN_ALL
    _flows: dict[Any, frozenset[tuple[int, ...]]] = field(default_factory=dict)  # by node of PyTorch's graph
    _busy: bool = False

    def load(self, source: str) -> ModuleType:
        """The module, compiled with notes; it takes the place of the one that was loaded before.

        Raises:
            SyntaxError: the source is none.
        """
        tree, self.points = _noted(source, f"{self.name}.py")
        code = compile(tree, f"{self.name}.py", "exec", dont_inherit=True)
        module = ModuleType(self.name)
        module.__dict__[NOTE] = self.note
        sys.modules[self.name] = module
        exec(code, module.__dict__)  # the student's own text, on the far side; the course's, on the near one
        return module

    def begin(self, seed: int) -> None:
        """Forgets what happened so far, and makes what is random the same on both sides."""
        self.steps.clear()
        self._flows.clear()
        self._left = MOST_IN_ALL
        random.seed(seed)
        np.random.seed(seed % 2**32)
        if torch := sys.modules.get("torch"):
            torch.default_generator.manual_seed(seed % 2**63)

    def note(self, index: int, value: Any) -> Any:
        """Takes down a step, and gives the value back."""
        if self._busy or len(self.steps) >= MOST_STEPS or self._left < 0:
            return value
        self._busy = True  # looking at a value may run the student's own code, whose steps are none
        try:
            kind = self.points[index].kind
            taken = bool(value) if kind == "condition" else self._taken(value, 0)
            self.steps.append((index, taken, self._caller() if kind == "argument" else 0))
        except Exception:  # a value that cannot be looked at is none to compare
            self.steps.append((index, (OBJECT, ""), 0))
        finally:
            self._busy = False
        return value

    def _caller(self) -> int:
        """The line of this module that called the function which is noted now."""
        frame = sys._getframe(3)
        for _ in range(4):  # a layer is called by way of PyTorch
            if frame is None:
                return 0
            if frame.f_code.co_filename == f"{self.name}.py":
                return frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return 0

    def _taken(self, value: Any, depth: int) -> Any:
        """A value as it is now, in plain values."""
        torch = sys.modules.get("torch")
        if value is None or isinstance(value, (bool, int, float, complex)):
            return value
        if isinstance(value, (str, bytes)):
            return value[:CHARACTERS]
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(np.asarray(value), value)
        if torch is not None and isinstance(value, torch.Tensor):
            numbers = self._array(value.detach(), value)
            return (GRADIENT, numbers, self._leaves(value)) if value.requires_grad else numbers
        if torch is not None and isinstance(value, torch.nn.Module):
            return _layer(value, torch)
        if isinstance(value, (list, tuple)) and type(value).__module__ != self.name and depth < DEPTH:
            self._left -= len(value)
            return [len(value), *(self._taken(item, depth + 1) for item in _ends(value))]
        if isinstance(value, dict) and type(value).__module__ != self.name and depth < DEPTH:
            self._left -= len(value)
            items = _ends(list(value.items()))
            return [len(value), *((self._taken(key, depth + 1), self._taken(item, depth + 1)) for key, item in items)]
        if isinstance(value, (torch.dtype, torch.device) if torch is not None else ()):
            return str(value)
        return (OBJECT, "")

    def _leaves(self, tensor: Any) -> list[str]:
        """The shapes of all that gradients flow back to from a tensor."""
        if tensor.grad_fn is None:
            return []
        waiting = [tensor.grad_fn]
        while waiting and len(self._flows) < MOST_NODES:
            node = waiting[-1]
            below = [following for following, _ in node.next_functions if following is not None]
            if new := [following for following in below if following not in self._flows]:
                waiting += new
                continue
            own = {tuple(node.variable.shape)} if hasattr(node, "variable") else set[tuple[int, ...]]()
            self._flows[node] = frozenset(own).union(*(self._flows[following] for following in below))
            waiting.pop()
        return sorted(map(str, self._flows.get(tensor.grad_fn, ())))

    def _array(self, array: Any, value: Any) -> Any:
        count = int(np.prod(array.shape))
        self._left -= min(count, MOST_NUMBERS)
        if count <= MOST_NUMBERS:
            return array.copy() if isinstance(array, np.ndarray) else array.clone()
        flat = array.reshape(-1)[:: -(-count // MOST_NUMBERS)]
        return (LARGE, list(array.shape), flat.copy() if isinstance(flat, np.ndarray) else flat.clone())


def _ends(items: Sequence[Any]) -> Sequence[Any]:
    """The items, of many the first and the last."""
    return items if len(items) <= ITEMS else [*items[: ITEMS // 2], *items[-ITEMS // 2 :]]


def _layer(layer: Any, torch: Any) -> Any:
    """What a library's layer is and holds, but for numbers that were drawn; of the student's own nothing."""
    if not type(layer).__module__.startswith("torch."):
        return (OBJECT, "")
    facts = [f"{name}: {child!r}"[:CHARACTERS] for name, child in [("", layer), *layer.named_children()]][:ITEMS]
    for name, parameter in [*layer.named_parameters()][:ITEMS]:
        numbers = parameter.detach()
        constant = bool(numbers.numel()) and bool((numbers == numbers.reshape(-1)[0]).all())
        first = float(numbers.reshape(-1)[0]) if constant else "drawn"
        facts.append(f"{name} {tuple(numbers.shape)} {numbers.dtype} {first} {parameter.requires_grad}")
    return (LAYER, *facts)


class _Notes:
    """Writes notes into a tree."""

    def __init__(self, points: list[Point]) -> None:
        self._points = points
        self._conditions: dict[str, int] = {}

    def definitions(self, body: Sequence[ast.stmt], outer: str) -> Iterator[ast.stmt]:
        """A module's or class's statements, with notes in its functions."""
        for statement in body:
            if isinstance(statement, ast.FunctionDef):
                self._function(statement, outer)
            elif isinstance(statement, ast.ClassDef):
                statement.body = list(self.definitions(statement.body, f"{outer}{statement.name}."))
            yield statement

    def _function(self, node: ast.FunctionDef, outer: str) -> None:
        function = f"{outer}{node.name}"
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        entry = [
            self._note(node, function, argument.arg, "argument", ast.Name(argument.arg, ast.Load()), argument.lineno)
            for argument in arguments
            if argument.arg not in ("self", "cls")
        ]
        first = int(ast.get_docstring(node, clean=False) is not None)
        body = self._block(node.body[first:], function)
        node.body = [*node.body[:first], *(_statement(note, node) for note in entry), *body]

    def _block(self, body: Sequence[ast.stmt], function: str) -> list[ast.stmt]:
        return [new for statement in body for new in self._statement(statement, function)]

    def _statement(self, node: ast.stmt, function: str) -> Iterator[ast.stmt]:
        if isinstance(node, ast.FunctionDef):
            self._function(node, f"{function}.")
        elif isinstance(node, ast.Return) and node.value is not None:
            node.value = self._note(node, function, "return", "return", node.value)
        elif isinstance(node, (ast.If, ast.While)):
            number = self._conditions[function] = self._conditions.get(function, 0) + 1
            node.test = self._note(node, function, f"condition {number}", "condition", node.test)
        for block in ("body", "orelse", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) and isinstance(getattr(node, block, None), list):
                setattr(node, block, self._block(getattr(node, block), function))
        for handler in getattr(node, "handlers", ()):
            handler.body = self._block(handler.body, function)
        if isinstance(node, ast.For):
            notes = self._targets(node, [node.target], function, "turn")
            node.body = [*(_statement(note, node) for note in notes), *node.body]
        yield node
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)) and node.value is not None:
            targets = [node.target]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            # `merged.append(token)` changes `merged`, and `init.zeros_(self.weight)` changes `self.weight`.
            called = [node.value.func.value] if isinstance(node.value.func, ast.Attribute) else []
            targets = [
                target for target in [*called, *node.value.args] if isinstance(target, (ast.Name, ast.Attribute))
            ]
        else:
            return
        for note in self._targets(node, targets, function, "value"):
            yield _statement(note, node)

    def _targets(self, node: ast.stmt, targets: Sequence[ast.expr], function: str, kind: str) -> Iterator[ast.expr]:
        for target in targets:
            if isinstance(target, (ast.Tuple, ast.List)):
                yield from self._targets(node, target.elts, function, kind)
            elif isinstance(target, (ast.Starred, ast.Subscript)):
                yield from self._targets(node, [target.value], function, kind)
            elif isinstance(target, (ast.Name, ast.Attribute)):
                name = ast.unparse(target)
                yield self._note(node, function, name, kind, ast.parse(name, mode="eval").body)

    def _note(self, at: ast.stmt, function: str, name: str, kind: str, value: ast.expr, line: int = 0) -> ast.expr:
        body = getattr(at, "body", None)
        last = body[0].lineno - 1 if isinstance(body, list) and body else at.end_lineno or at.lineno
        self._points.append(Point(line or at.lineno, function, name, kind, line or max(last, at.lineno)))
        call = ast.Call(ast.Name(NOTE, ast.Load()), [ast.Constant(len(self._points) - 1), value], [])
        return ast.copy_location(call, value if kind in ("return", "condition") else at)


def _statement(value: ast.expr, at: ast.stmt) -> ast.stmt:
    new = ast.copy_location(ast.Expr(value), at)
    for node in ast.walk(new):
        ast.copy_location(node, at)
    return new
