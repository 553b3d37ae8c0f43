"""Steps that were taken down, in a form that can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from autograder.diagnosis.evidence import Signature, signature
from autograder.isolation.between.steps import GRADIENT, LARGE

POINTS = 3000
_TYPES = re.compile(r"(?:tensor|array) \S+ |\b(?:bool|int|float) (?=\[)")


class Step(NamedTuple):
    """A step that happened.

    Attributes:
        value: what was given, as the recorder took it down.
        loose: it as numbers in a shape, whatever kind of number or list they are in.
        strict: with dtypes, and whether gradients flow.
        caller: for an argument, the line of the call; 0 where nobody knows.
    """

    line: int
    function: str
    name: str
    kind: str
    value: Any
    loose: Signature
    strict: Signature
    caller: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """What the step is called in any version of the file."""
        return self.function, self.name, self.kind


class Made(NamedTuple):
    """A call that was made again."""

    steps: list[Step]
    signature: Signature | None
    raised: tuple[str, int, str] | None = None  # the type, the line and the function


def steps_of(points: Any, taken: Any) -> Iterator[Step]:
    """The steps that a recorder took down; over there it may have been made to say anything."""
    table = [tuple(point) for point in points[:POINTS]]
    for index, value, caller in taken:
        line, (function, name, kind) = int(table[index][0]), (str(part)[:100] for part in table[index][1:4])
        loose = signature(_plain(value, strict=False), None, ())
        loose = loose._replace(kind=_TYPES.sub("", loose.kind))
        strict = signature(_plain(value, strict=True), None, ())
        yield Step(line, function, name, kind, value, loose, strict, int(caller))


def _plain(value: Any, *, strict: bool) -> Any:
    if isinstance(value, tuple) and len(value) == 2 and value[0] == GRADIENT:
        return ["gradient", value[1]] if strict else value[1]
    if isinstance(value, tuple) and len(value) == 3 and value[0] == LARGE:
        return [str(value[1]), value[2]]
    if isinstance(value, (list, tuple)):
        return [_plain(item, strict=strict) for item in value]
    return value
