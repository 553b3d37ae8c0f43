"""Recorded calls as evidence: which call it was, and what it gave, in a form that can be compared and stored.

A call's *key* is a digest of its request, with every object that stays over there named by its own history: how it was
made and what was done with it since. Suites are deterministic, so the same calls have the same keys in every grade.

An outcome's *signature* is its kind and shape, and a few weighted sums of its numbers. Two outcomes are taken for the
same when their signatures agree up to rounding; from a signature no outcome of more than a few numbers can be rebuilt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from autograder.isolation.between.executor import handles
from autograder.isolation.between.wire import Handle, WireError, encode
from autograder.isolation.near.remote import Call, Failure

SUMS = 4
LOOKED_AT = 2**20  # numbers of an outcome's array; nothing that is right has more
# Of the sums of the numbers' sizes: coarser than rounding, finer than what a mistake changes.
TOLERANCE, TOLERANCE_FLOAT64 = 1e-4, 1e-9
_STAND_INS = {"nan": 1.7e3, "inf": 2.9e3, "-inf": -4.3e3}  # so that where a NaN stands matters too


class Signature(NamedTuple):
    """What an outcome looks like.

    Attributes:
        kind: its types and shapes, or how it failed.
        sums: weighted sums of its numbers.
        size: the sum of its numbers' sizes, which says how exact the sums can be.
        telling: whether another mistake would hardly give the same by chance.
        tolerance: how far the sums of two equal outcomes may be apart, as a part of `size`.
    """

    kind: str
    sums: tuple[float, ...]
    size: float
    telling: bool
    tolerance: float = TOLERANCE

    def agrees(self, other: Signature) -> bool:
        """Whether both are the same up to rounding."""
        allowed = max(self.tolerance, other.tolerance) * max(self.size, other.size, 1e-3)
        return self.kind == other.kind and all(
            abs(a - b) <= allowed for a, b in zip(self.sums, other.sums, strict=True)
        )


class Evidence(NamedTuple):
    """One recorded call.

    Attributes:
        target: the function, class or method that was called.
        signature: what the submission gave.
    """

    key: str
    target: str
    signature: Signature
    call: Call


class KeyedCall(NamedTuple):
    """A recorded call with its key.

    Attributes:
        group: the numbers of the objects that it may have changed (see `groups`).
        through: the functions and classes that it, and whatever was done to these objects before, was asked of.
    """

    key: str
    call: Call
    group: frozenset[int]
    through: frozenset[str]


def groups(calls: Sequence[Call]) -> list[frozenset[int]]:
    """For each call the objects that it may have changed: those it worked with or returned, and all tied to these.

    What was once in one call together is tied: a model and its weight, a model and the hook that listens to it.
    """
    tied: dict[int, frozenset[int]] = {}
    result = []
    for call in calls:
        request = call.request
        touched = {handle.id for handle in handles((request.path, request.args, dict(request.kwargs), call.value))}
        group = frozenset(touched).union(*(tied.get(number, ()) for number in touched))
        if any(tied.get(number) != group for number in touched):
            tied.update(dict.fromkeys(group, group))
        result.append(group)
    return result


@dataclass(frozen=True)
class _ObjectHistory:
    """What is known of an object over there.

    Attributes:
        made_by: the call that returned it first, and as which of its objects.
        last_change: the key of the last call that may have changed it.
        asked_of: the functions and classes that anything was asked of that may have changed it.
    """

    made_by: str
    last_change: str
    asked_of: frozenset[str]

    @property
    def name(self) -> tuple[str, str]:
        """What tells it from objects that were made or treated otherwise."""
        return self.made_by, self.last_change


_NO_HISTORY = _ObjectHistory("", "", frozenset())


def keyed(calls: Sequence[Call]) -> list[KeyedCall]:
    """Each call with its key."""
    histories: dict[int, _ObjectHistory] = {}
    state = ""  # a digest of what was done to libraries and patched, which later calls may depend on
    result = []
    for call, group in zip(calls, groups(calls), strict=True):
        request = call.request
        used = list(handles((request.path, request.args, dict(request.kwargs))))
        named = [histories.get(handle.id, _NO_HISTORY).name for handle in used]
        plain = tuple(_numbered(part, used) for part in (request.path, request.args, dict(request.kwargs)))
        try:
            data = encode((request.kind, *plain, request.cotangent, named, state))
        except WireError:
            continue
        key = hashlib.sha256(data).hexdigest()[:24]
        if request.kind == "patch" and not request.kwargs:
            state = ""
        elif sets_the_scene(call):
            state = hashlib.sha256(encode((request.kind, *plain))).hexdigest()[:24]
        known = [histories[number].asked_of for number in group if number in histories]
        through = frozenset([call.name.split(".")[0]]).union(*known)
        made = {handle.id: f"{key}.{index}" for index, handle in reversed([*enumerate(handles(call.value))])}
        for number in group:
            made_by = histories[number].made_by if number in histories else made.get(number, "")
            histories[number] = _ObjectHistory(made_by or made.get(number, ""), key, through)
        result.append(KeyedCall(key, call, group, through))
    return result


def sets_the_scene(call: Call) -> bool:
    """Whether it may change what later calls give without an object that they share: it patches, or sets a library."""
    request = call.request
    shared = handles((request.args, dict(request.kwargs), call.value))
    return request.kind == "patch" or (call.of_library and not any(shared))


def signature(value: Any, failure: Failure | None, changed: Sequence[str]) -> Signature:
    """The signature of a call's value, or of its failure, and of which arguments it changed in place."""
    if failure is not None:
        return Signature(f"{failure.kind} {_root_type(failure)}", (), 0.0, telling=False)
    parts = _Parts([f"changed {name}" for name in changed])
    parts.add(value)
    flat = np.concatenate(parts.numbers) if parts.numbers else np.zeros(0)
    for place in np.flatnonzero(~np.isfinite(flat)):
        flat[place] = _STAND_INS[str(flat[place])]
    with np.errstate(all="ignore"):  # numbers near the largest there are
        sums = tuple(float(total) for total in _weights(flat.size) @ flat)
    in_float64 = any("float64" in kind for kind in parts.kinds) and not any("float32" in kind for kind in parts.kinds)
    tolerance = TOLERANCE_FLOAT64 if in_float64 else TOLERANCE
    telling = parts.has_text or _is_telling(flat)
    return Signature(";".join(parts.kinds), sums, float(np.abs(flat).sum()), telling, tolerance)


def kind_of(value: Any) -> str:
    """The kind of a value, as its signature has it."""
    parts = _Parts([])
    parts.add(value)
    return ";".join(parts.kinds)


@dataclass
class _Parts:
    """A value taken apart: what it is made of, and its numbers."""

    kinds: list[str]
    numbers: list[np.ndarray] = field(default_factory=list)
    has_text: bool = False

    def add(self, value: Any) -> None:
        if hasattr(value, "detach"):
            self._add_numbers(f"tensor {value.dtype}", _as_array(value.detach()))
        elif isinstance(value, (np.ndarray, np.generic)):
            self._add_numbers(f"array {value.dtype}", np.asarray(value))
        elif isinstance(value, (bool, int, float)):
            self._add_numbers(type(value).__name__, np.asarray(float(value)))
        elif isinstance(value, (list, tuple)):
            self.kinds.append(f"{len(value)}(")
            for item in value:
                self.add(item)
            self.kinds.append(")")
        elif isinstance(value, dict):
            for name, item in sorted(value.items(), key=lambda pair: str(pair[0])):
                self.kinds.append(str(name))
                self.add(item)
        elif isinstance(value, Handle):
            self.kinds.append(value.type_name)
        else:
            self.has_text |= isinstance(value, (str, bytes)) and len(value) > 0
            self.kinds.append(hashlib.sha256(repr(value).encode("utf-8", "replace")).hexdigest()[:12])

    def _add_numbers(self, kind: str, array: np.ndarray) -> None:
        self.kinds.append(f"{kind} {list(array.shape)}")
        flat = array.reshape(-1)[:LOOKED_AT]
        for part in (flat.real, flat.imag) if np.iscomplexobj(flat) else (flat,):
            self.numbers.append(part.astype(np.float64))


def _as_array(tensor: Any) -> np.ndarray:
    # bfloat16 has no NumPy counterpart; doubles hold every real tensor's numbers
    # (of a tensor without numbers, whose axes may be any, doubles could be more than can be indexed)
    return np.asarray((tensor if tensor.is_complex() or not tensor.numel() else tensor.double()).numpy())


@lru_cache(maxsize=256)
def _weights(count: int) -> np.ndarray:
    """[SUMS, count] fixed weights between 0.5 and 1.5, irregular enough that no two mistakes cancel in all sums."""
    steps = np.sqrt(np.array([2.0, 3.0, 5.0, 7.0]))[:, None] * np.arange(1, count + 1)[None, :]
    return 0.5 + np.mod(steps, 1.0)  # type: ignore[no-any-return]


def _is_telling(flat: np.ndarray) -> bool:
    distinct = np.unique(flat)
    return distinct.size > 1 or (
        distinct.size == 1 and float(distinct[0]) not in (0.0, 1.0, -1.0, *_STAND_INS.values())
    )


def _root_type(failure: Failure) -> str:
    return failure.bases[0] if failure.bases else failure.message if failure.kind == "missing" else ""


def _numbered(value: Any, used: list[Handle]) -> Any:
    """The value with every handle replaced by its place among those used: its number says nothing by itself."""
    if isinstance(value, Handle):
        return ("handle", used.index(value))
    if isinstance(value, (list, tuple)):
        return [_numbered(item, used) for item in value]
    if isinstance(value, dict):
        return {key: _numbered(item, used) for key, item in value.items()}
    return value


def evidence(calls: Sequence[KeyedCall]) -> Iterator[Evidence]:
    """The recorded calls that can be compared: those of the submission's own functions and objects that came back."""
    for key, call, *_ in calls:
        if call.name.startswith("object."):
            continue  # an object of a library: a profiler, say, which counts otherwise wherever it runs
        if call.failure is None or call.failure.kind in ("raised", "missing"):
            yield Evidence(key, call.name, signature(call.value, call.failure, call.changed), call)
