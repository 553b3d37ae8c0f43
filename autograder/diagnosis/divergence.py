"""Two runs of a call, step by step: where a submission's goes another way than the solution's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from autograder.diagnosis.evidence import Signature, signature
from autograder.diagnosis.traced import Key, Made, Reference, Right, RightlyMade, Step, bare, step_of


class Difference(NamedTuple):
    """The first step that differs.

    Attributes:
        what: "value", "kind" (a dtype, a gradient), "more" or "fewer" (turns), "extra" (a value more than there should
            be), "path", "called" (a function), "changed" (in place), "missing" (a step before it), "own" (a step that
            the solution does not have), "raised".
        wanted: the solution's step, where there is one.
        raised: the exception's type.
    """

    step: Step
    what: str
    wanted: Right | None = None
    raised: str = ""


def first_difference(
    order: Sequence[str],
    theirs: Mapping[str, Made],
    ours: Mapping[str, RightlyMade],
    right: Mapping[str, Signature],
    own_way: OwnWay,
    known: Collection[Key],
    texts: Texts,
    flows: bool,
) -> Difference | None:
    """The first difference in some calls that were made one after the other.

    A step that differs where answers are right, too, is the fault only if what comes after it is as it should be.
    `flows` says that gradients were asked for, so that it matters where they come from.
    """
    found = [difference for key in order for difference in _differences(theirs[key], ours[key], known)]
    last = order[-1]
    given, wanted = theirs[last].signature or _NONE, right.get(last, _NONE)
    found = [
        difference
        for difference in found
        if difference.what != "kind"
        or given.kind != wanted.kind
        or (flows and difference.step.key not in own_way.kinds)
    ]
    if not found:
        return _changed(theirs[last], given, wanted) or _missing(theirs[last], ours[last], known)
    index = next((i for i, difference in enumerate(found) if difference.step.key not in own_way.values), 0)
    first = found[index]
    before = [difference for difference in found[:index] if not texts.as_given(line_of(difference, texts))]
    if before:
        if not texts.as_given(line_of(first, texts)):
            return None
        first = before[0]
    if first.what != "raised" and not _is_alike(first.step.key.function, theirs[last], ours[last], known):
        return None
    return _own_step_before(first, theirs[last], known) if texts.as_given(line_of(first, texts)) else first


def _own_step_before(first: Difference, made: Made, known: Collection[Key]) -> Difference:
    """For a line that is as it should be: the step right before it, if that is one that the solution has not."""
    at = next((index for index, step in enumerate(made.steps) if step is first.step), 0)
    own = None
    for step in reversed(made.steps[:at]):
        if step.function != first.step.function or step.kind != "value" or step.key in known:
            break
        own = step
    return Difference(own, "own") if own else first


def _missing(theirs: Made, ours: RightlyMade, known: Collection[Key]) -> Difference | None:
    """The step before which an argument should have been given another value, where all else is as it should be."""
    named = {step.key for step in theirs.steps}
    missing = {step.key for step in ours.steps if step.key.kind == "value"} - named
    if len(missing) != 1 or not all(step.key in known for step in theirs.steps):
        return None
    (key,) = missing
    at = next(index for index, step in enumerate(ours.steps) if step.key == key)
    after = {step.key for step in ours.steps[at + 1 :] if step.key.function == key.function} & named
    step = next((step for step in theirs.steps if step.key in after and step.kind != "argument"), None)
    return Difference(step, "missing") if step and key._replace(kind="argument") in named else None


def _changed(made: Made, given: Signature, wanted: Signature) -> Difference | None:
    """The first step that changes an argument which should be left alone, where all else is as it should be."""
    changed = set(_CHANGED.findall(given.kind)) - set(_CHANGED.findall(wanted.kind))
    function = next((step.function for step in made.steps if step.kind == "argument"), "")
    names = [step.name for step in made.steps if step.kind == "argument" and step.function == function]
    theirs = {names[int(name)] if name.isdigit() and int(name) < len(names) else name for name in changed}
    values = (step for step in made.steps if step.kind == "value" and step.function == function)
    step = next((step for step in values if step.name in theirs), None)
    return Difference(step, "changed") if step else None


_CHANGED = re.compile(r"changed (\w+)")


def _is_alike(function: str, theirs: Made, ours: RightlyMade, known: Collection[Key]) -> bool:
    """Whether a function goes the solution's way: it names all that is named there, and uses no other functions."""
    named = {step.key for step in theirs.steps}
    keys = [step.key for step in ours.steps]
    if theirs.raised:  # what comes after it was never reached
        reached = [index for index, key in enumerate(keys) if key in named]
        keys = keys[: max(reached, default=-1) + 1]
    needed_too = {key for key in keys if key.function == function and key.kind == "value"}
    functions = {key.function for key in known}
    return needed_too <= named and all(step.key.function in functions for step in theirs.steps)


def _differences(theirs: Made, ours: RightlyMade, known: Collection[Key]) -> Iterator[Difference]:
    """All steps that differ, as long as both go the same way."""
    wanted: dict[Key, list[tuple[int, Right]]] = {}
    for index, right in enumerate(ours.steps):
        wanted.setdefault(right.key, []).append((index, right))
    lines = {step.key: step for step in theirs.steps}
    counts: Counter[Key] = Counter()
    reached = -1
    for step in theirs.steps:
        number = counts[step.key]
        counts[step.key] += 1
        if step.key not in wanted or number >= len(wanted[step.key]):
            if step.key in wanted and step.kind == "turn":
                yield Difference(step, "more", wanted[step.key][-1][1])
                return
            if step.key in known:
                if step.kind == "value" and step.key in wanted:
                    yield Difference(step, "extra")
                elif step.kind != "argument" or step.caller:
                    yield Difference(step, "called" if step.kind == "argument" else "path")
                return
            continue
        index, other = wanted[step.key][number]
        for skipped in ours.steps[reached + 1 : index]:
            behind = counts[skipped.key] <= _number(wanted[skipped.key], skipped)
            if skipped.key.kind == "turn" and skipped.key in lines and skipped.key != step.key and behind:
                yield Difference(lines[skipped.key], "fewer", skipped)
                return
        reached = max(reached, index)
        if not other.is_as(step):
            yield Difference(step, "value", other)
        elif not other.has_kind_of(step):
            yield Difference(step, "kind", other)
    if theirs.raised is not None and not ours.raised:
        kind, line, function = theirs.raised
        inside = next((step for step in reversed(theirs.steps) if step.function.split(".")[-1] == function), None)
        if inside is None:
            clear = Key(function, "raise", "value")
            inside = step_of(line, clear, None, clear)
        yield Difference(replace(inside, line=line, name="raise", kind="value"), "raised", raised=kind)


_NONE = signature(None, None, ())


def _number(steps: Sequence[tuple[int, Right]], step: Right) -> int:
    return next(number for number, (_, other) in enumerate(steps) if other is step)


class Texts:
    """The submission's file, to see whether a statement is as it should be."""

    def __init__(self, source: str, reference: Reference, ends: Mapping[int, int]) -> None:
        self._lines = source.split("\n")
        self._reference = reference
        self._ends = ends

    def as_given(self, line: int) -> bool:
        """Whether the statement that begins in a line has the solution's lines alone, but for comments."""
        lines = self._lines[line - 1 : max(self._ends.get(line, line), line)] if line > 0 else []
        return bool(lines) and all(self._reference.has_line(bare(text)) for text in lines)


def line_of(difference: Difference, texts: Texts) -> int:
    """The step's line; of an argument that of the call, unless that is as it should be and so a default is not."""
    step = difference.step
    if step.kind == "argument" and step.caller and (texts.as_given(step.line) or not texts.as_given(step.caller)):
        return step.caller
    return step.line


class OwnWay(NamedTuple):
    """Steps that differ where the answer is right: in their numbers, and in where gradients flow."""

    values: set[Key]
    kinds: set[Key]
