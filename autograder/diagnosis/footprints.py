"""The solution's steps as digests: whether a value is right can be asked of them, and what is right cannot be read.

A step's name, and its numbers up to rounding, are hashed together with the call that they belong to, and so little of
the hash is kept that most numbers share theirs with many others. Numbers that agree up to rounding must have the same
hash: so they are put into cells, and of four grids, each a quarter of a cell beside the last, the one is taken in which
the right number lies farthest from a border.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any, NamedTuple, cast

from autograder.diagnosis.evidence import TOLERANCE, TOLERANCE_FLOAT64, KeyedCall, Signature
from autograder.diagnosis.traced import Key, RightlyMade, Step

GRIDS = 4
CELL = 2.0  # in what two sums may be apart
NAME, LINE, NUMBERS, KIND = 6, 5, 4, 3  # hexadecimal digits of a digest
UNKNOWN = "\0unknown"  # the value of a step of which only this is known


def short(text: str, digits: int) -> str:
    """A digest of so few digits that other texts have it too."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:digits]


def hidden_key(key: Key) -> Key:
    """A step's name that says no more than its kind."""
    return Key(short(key.function, NAME), short(f"{key.function} {key.name}", NAME), key.kind)


class Footprint(NamedTuple):
    """What is known of one step of the solution.

    Attributes:
        salt: the call that it belongs to.
        text: the grids, one letter; digests of the numbers, loose and exact (nothing where they are no float64), of
            the shape and of the kind.
    """

    key: Key
    salt: str
    text: str

    def is_as(self, step: Step) -> bool:
        """See `Right`."""
        if not self.has_shape_of(step):
            return False
        grids, loose, exact, _, _ = self.parts()
        if exact and step.loose.tolerance == TOLERANCE_FLOAT64:
            return _numbers(self._salt, step.loose, TOLERANCE_FLOAT64, grids) == exact
        return _numbers(self._salt, step.loose, TOLERANCE, grids) == loose

    def has_kind_of(self, step: Step) -> bool:
        """See `Right`."""
        return short(f"{self._salt} {step.strict}", KIND) == self.parts()[4]

    def has_shape_of(self, step: Step) -> bool:
        """See `Right`."""
        return short(f"{self._salt} {step.loose.kind}", KIND) == self.parts()[3]

    @property
    def _salt(self) -> str:
        return f"{self.salt} {' '.join(self.key)}"

    def parts(self) -> tuple[int, str, str, str, str]:
        """The text taken apart."""
        numbers = self.text[1 : -2 * KIND]
        return (
            ord(self.text[0]) - ord("A"),
            numbers[:NUMBERS],
            numbers[NUMBERS:],
            self.text[-2 * KIND : -KIND],
            self.text[-KIND:],
        )


def footprint(step: Step, salt: str) -> Footprint:
    """What a release may know of a step of the solution."""
    key = hidden_key(step.key)
    bare = Footprint(key, salt, "")
    exact = step.loose.tolerance == TOLERANCE_FLOAT64
    grids = _best_grids(step.loose, TOLERANCE_FLOAT64 if exact else TOLERANCE)
    numbers = _numbers(bare._salt, step.loose, TOLERANCE, grids)
    if exact:
        numbers += _numbers(bare._salt, step.loose, TOLERANCE_FLOAT64, grids)
    kinds = (short(f"{bare._salt} {kind}", KIND) for kind in (step.loose.kind, step.strict))
    return bare._replace(text=f"{chr(ord('A') + grids)}{numbers}{''.join(kinds)}")


def _numbers(salt: str, signature: Signature, tolerance: float, grids: int) -> str:
    size, first = divmod(grids, GRIDS)
    octave = math.floor(_octaves(signature) + size / GRIDS)
    cell = math.floor(_cells(signature, tolerance, octave) + first / GRIDS)
    return short(f"{salt} {octave} {cell}", NUMBERS)


def _octaves(signature: Signature) -> float:
    return math.log2(min(max(signature.size, 1e-3), sys.float_info.max))


def _cells(signature: Signature, tolerance: float, octave: int) -> float:
    cells = signature.sums[0] / (CELL * tolerance) / 2.0**octave if signature.sums else 0.0
    return cells if math.isfinite(cells) else 0.0


def _best_grids(signature: Signature, tolerance: float) -> int:
    """The grids in which the numbers lie farthest from a border."""
    size = min(range(GRIDS), key=lambda grid: _off_center(_octaves(signature) + grid / GRIDS))
    octave = math.floor(_octaves(signature) + size / GRIDS)
    cells = _cells(signature, tolerance, octave)
    return size * GRIDS + min(range(GRIDS), key=lambda grid: _off_center(cells + grid / GRIDS))


def _off_center(place: float) -> float:
    return abs(place - math.floor(place) - 0.5)


class Footprints:
    """The solution's steps, read in a release. See `traced.Reference`."""

    def __init__(self, recorded: Mapping[str, Any]) -> None:
        """Reads what `written` has written.

        Raises:
            LookupError, TypeError, ValueError: it is damaged.
        """
        self._lines = frozenset(map(str, recorded["lines"]))
        self._points = [Key(*map(str, point)) for point in recorded["points"]]
        self._calls = {str(key): str(text) for key, text in recorded["calls"].items()}

    def knows(self, call: str) -> bool:
        """See `Reference`."""
        return call in self._calls

    def points(self) -> Collection[Key]:
        """See `Reference`."""
        return self._points

    def key(self, key: Key) -> Key:
        """See `Reference`."""
        return hidden_key(key)

    def has_line(self, line: str) -> bool:
        """See `Reference`."""
        return short(line, LINE) in self._lines

    def steps(self, calls: Sequence[KeyedCall], wanted: Container[int]) -> Mapping[str, RightlyMade]:
        """See `Reference`."""
        keys = [call.key for index, call in enumerate(calls) if index in wanted and call.key in self._calls]
        return {key: self._made(key) for key in keys}

    def _made(self, key: str) -> RightlyMade:
        text = self._calls[key]
        entries = (entry.partition(":") for entry in text.removeprefix("!").split())
        steps = [Footprint(self._points[int(point, 16)], key, said) for point, _, said in entries]
        return RightlyMade(steps, text.startswith("!"))


def written(made: Mapping[str, RightlyMade], points: Collection[Key], lines: Collection[str]) -> dict[str, Any]:
    """What a release gets of the solution's steps in some calls; `lines` are the solution's."""
    hidden = list(dict.fromkeys(hidden_key(key) for key in points))
    place = {key: number for number, key in enumerate(hidden)}
    calls = {}
    for call, (steps, raised) in sorted(made.items()):
        prints = (footprint(cast(Step, step), call) for step in steps)
        calls[call] = f"{'!' if raised else ''}{' '.join(f'{place[p.key]:x}:{p.text}' for p in prints)}"
    return {
        "lines": sorted({short(line, LINE) for line in lines}),
        "points": [list(key) for key in hidden],
        "calls": calls,
    }


NOTHING: dict[str, Any] = {"lines": [], "points": [], "calls": {}}
