"""Steps that were taken down, in a form that can be compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from autograder.diagnosis.evidence import KeyedCall, Signature, kind_of, signature
from autograder.isolation.between.steps import GRADIENT, LARGE

POINTS = 3000
_TYPES = re.compile(r"(?:tensor|array) \S+ |\b(?:bool|int|float) (?=\[)")


class Key(NamedTuple):
    """What a step is called in any version of the file, in clear or as the reference writes it."""

    function: str
    name: str
    kind: str


@dataclass(frozen=True)
class Step:
    """A step that happened.

    Attributes:
        value: what was given, as the recorder took it down.
        key: what it is called, as the reference calls it.
        caller: for an argument, the line of the call; 0 where nobody knows.
        last: the last line of its statement.
    """

    line: int
    function: str
    name: str
    kind: str
    value: Any
    key: Key
    caller: int = 0
    last: int = 0

    @cached_property
    def loose(self) -> Signature:
        """The value as numbers in a shape, whatever kind of number or list they are in."""
        loose = signature(_plain(self.value, strict=False), None, ())
        return loose._replace(kind=_TYPES.sub("", loose.kind))

    @cached_property
    def strict(self) -> str:
        """Its kind, with dtypes, and whether gradients flow."""
        return kind_of(_plain(self.value, strict=True))

    @property
    def clear(self) -> Key:
        """What it is called in its own file."""
        return Key(self.function, self.name, self.kind)

    def is_as(self, step: Step) -> bool:
        """Whether another step gave the same numbers."""
        return _are_equal(self.value, step.value) or self.loose.agrees(step.loose)

    def has_kind_of(self, step: Step) -> bool:
        """Whether another step gave the same kind of value."""
        return self.strict == step.strict

    def has_shape_of(self, step: Step) -> bool:
        """Whether another step gave a value of the same shape."""
        return self.loose.kind == step.loose.kind


class Right(Protocol):
    """A step of the solution: a `Step`, or what a release knows of one."""

    @property
    def key(self) -> Key:
        """What it is called."""

    def is_as(self, step: Step) -> bool:
        """Whether a step of a submission gave the same numbers."""

    def has_kind_of(self, step: Step) -> bool:
        """Whether it gave the same kind of value."""

    def has_shape_of(self, step: Step) -> bool:
        """Whether it gave a value of the same shape."""


class Made(NamedTuple):
    """A call of a submission that was made again."""

    steps: list[Step]
    signature: Signature | None
    raised: tuple[str, int, str] | None = None  # the type, the line and the function


class RightlyMade(NamedTuple):
    """The same call of the solution."""

    steps: Sequence[Right]
    raised: bool = False


class Reference(Protocol):
    """The solution's steps: taken down here, or read in a release."""

    def knows(self, call: str) -> bool:
        """Whether there is anything about a call, by its key."""

    def steps(self, calls: Sequence[KeyedCall], wanted: Container[int]) -> Mapping[str, RightlyMade]:
        """What happened in some of the calls, by their keys."""

    def points(self) -> Collection[Key]:
        """All steps that there can be."""

    def key(self, key: Key) -> Key:
        """A step of a submission, as it is called here."""

    def has_line(self, line: str) -> bool:
        """Whether a line, without its comment and indent, is one of the solution's."""


def steps_of(points: Any, taken: Any, called: Callable[[Key], Key] = lambda key: key) -> Iterator[Step]:
    """The steps that a recorder took down; over there it may have been made to say anything."""
    table = points_in(points)
    keys: dict[int, Key] = {}
    for index, value, caller in taken:
        line, clear, last = table[index]
        if index not in keys:
            keys[index] = called(clear)
        yield step_of(line, clear, value, keys[index], int(caller), last)


def points_in(points: Any) -> list[tuple[int, Key, int]]:
    """The first line, the name and the last line of what a recorder says can happen."""
    table = [tuple(point) for point in points[:POINTS]]
    return [(int(line), Key(*(str(part)[:100] for part in rest)), int(last)) for line, *rest, last in table]


def step_of(line: int, clear: Key, value: Any, key: Key, caller: int = 0, last: int = 0) -> Step:
    """A step by its name in its own file and in the reference."""
    return Step(line, *clear, value, key, caller, last or line)


def _are_equal(a: Any, b: Any) -> bool:
    """Whether two plain values are the same: it is quickly found out, and most are."""
    try:
        return type(a) is type(b) and isinstance(a, (bool, int, float, str, list, type(None))) and bool(a == b)
    except (TypeError, ValueError, RuntimeError):  # there are arrays in them
        return False


def bare(line: str) -> str:
    """A line of a file without its comment and indent."""
    return line.split("  #")[0].strip()


def _plain(value: Any, *, strict: bool) -> Any:
    if isinstance(value, tuple) and len(value) == 3 and value[0] == GRADIENT:
        return ["gradient", value[1], value[2]] if strict else value[1]
    if isinstance(value, tuple) and len(value) == 3 and value[0] == LARGE:
        return [str(value[1]), value[2]]
    if isinstance(value, (list, tuple)):
        return [_plain(item, strict=strict) for item in value]
    return value
