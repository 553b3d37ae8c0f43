"""Where a wrong answer goes wrong first: its steps beside the solution's, on the same calls.

A few calls that went wrong, and a few that did not, are made once more: over there in a fresh process, and here on the
solution, both with their steps taken down. The first step that differs while all before it agree is the place. Steps
that differ also where the answer is right are the author's own way, and no mistake. Where calls do not agree on a
place, nothing is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from autograder.diagnosis.divergence import Difference, OwnWay, Texts, first_difference, line_of
from autograder.diagnosis.evidence import KeyedCall, Signature, sets_the_scene, signature
from autograder.diagnosis.replay import Handles, needed, recording, taken
from autograder.diagnosis.traced import (
    Key,
    Made,
    Reference,
    Right,
    RightlyMade,
    points_in,
    steps_of,
)
from autograder.diagnosis.words import how
from autograder.grades import Place
from autograder.isolation.near.remote import Session, Stopped, StudentError

WRONG, RIGHT = 3, 3  # how many calls of a function are made again
MOST_CALLS = 60  # with all that made their objects
PLACES = 2


@dataclass(frozen=True)
class Located:
    """What became of the calls that were made again.

    Attributes:
        places: where it goes wrong first.
        stateful: functions whose calls went right in a fresh process.
        at: the steps on the places' lines, as the reference calls them.
    """

    places: tuple[Place, ...] = ()
    stateful: tuple[str, ...] = ()
    at: frozenset[Key] = frozenset()


def locate(
    calls: Sequence[KeyedCall],
    wrong: Mapping[str, Collection[str]],
    right: Mapping[str, Signature],
    visible: Collection[str],
    session: Session,
    reference: Reference,
) -> Located:
    """Finds the places.

    Args:
        calls: what the suites asked, in order.
        wrong: by function, the keys of the calls that it answered wrongly.
        right: what is right, by key.
        visible: the keys of calls of visible tests.
        session: a fresh one, with the submission.
        reference: the solution's steps.
    """
    chosen = to_be_made([call for call in calls if reference.knows(call.key)], wrong, right, visible)
    wanted = needed(calls, [call.key in chosen for call in calls])
    if not wanted:
        return Located()
    theirs, points = _over_there(session, calls, _fresh_first(calls, wanted, wrong, chosen), reference)
    rest = {key: value for key, value in reference.steps(calls, wanted).items() if key in theirs}
    known = set(reference.points())
    texts = Texts(session.sources[session.name], reference, {line: last for line, _, last in points})
    failed = {key for keys in wrong.values() for key in keys}
    own_way = _own_way(calls, theirs, rest, failed, right)
    votes: dict[str, list[tuple[Difference, bool]]] = {}
    stateful = []
    for target, keys in wrong.items():
        for call in calls:
            if call.key not in keys or call.key not in chosen or call.key not in rest:
                continue
            found = theirs[call.key]
            if call.key in right and found.signature is not None and found.signature.agrees(right[call.key]):
                stateful.append(target)
                continue
            before = [c.key for c in calls if c.group & call.group and c.key in rest]
            order = [*before[: before.index(call.key)], call.key] if call.key in before else [call.key]
            flows = call.call.request.kind == "gradients"
            difference = first_difference(order, theirs, rest, right, own_way, known, texts, flows)
            if difference is not None:
                votes.setdefault(target, []).append((difference, call.key in visible))
    places = []
    for target, found_votes in votes.items():
        if target not in stateful and (place := _agreed(found_votes, texts)):
            places.append(place)
    unique = list({(place.line, place.name): place for place in places}.values())
    if len(unique) > PLACES:
        unique = []
    lines = {place.line for place in unique}
    at = frozenset(reference.key(key) for line, key, _ in points if line in lines)
    return Located(tuple(unique), tuple(dict.fromkeys(stateful)), at)


def to_be_made(
    calls: Sequence[KeyedCall],
    wrong: Mapping[str, Collection[str]],
    right: Mapping[str, Signature],
    visible: Collection[str],
) -> set[str]:
    """The smallest calls of visible tests first; and for each function some that it answers rightly."""
    failed = {key for keys in wrong.values() for key in keys}
    size = {call.key: (call.key not in visible, len(call.call.message), call.key) for call in calls}
    turns: list[list[str]] = []
    for target, keys in wrong.items():
        good = {c.key for c in calls if c.call.name == target and c.key in right and c.key not in failed}
        for found, most in ((set(keys) & size.keys(), WRONG), (good, RIGHT)):
            turns.append(sorted(found, key=size.__getitem__)[:most])
    chosen: set[str] = set()
    for key in (key for turn in zip_longest(*turns) for key in turn if key is not None):
        if len(needed(calls, [call.key in chosen or call.key == key for call in calls])) <= MOST_CALLS:
            chosen.add(key)
    return chosen


def _fresh_first(
    calls: Sequence[KeyedCall], wanted: Collection[int], wrong: Mapping[str, Collection[str]], chosen: Collection[str]
) -> list[int]:
    """The order in which calls are made: one that went wrong comes before all that it does not need.

    Where libraries are set, the calls' own order matters.
    """
    failed = {key for keys in wrong.values() for key in keys}
    candidates = [call for call in calls if call.key in failed and call.key in chosen]
    if not candidates or any(sets_the_scene(calls[index].call) for index in wanted):
        return sorted(wanted)
    first = min(candidates, key=lambda call: len(call.call.message))
    alone = needed(calls, [call.key == first.key for call in calls])
    return sorted(wanted, key=lambda index: (index not in alone, index))


def _over_there(
    session: Session, calls: Sequence[KeyedCall], order: Iterable[int], reference: Reference
) -> tuple[dict[str, Made], list[tuple[int, Key, int]]]:
    """The steps of the submission, each call after the ones that it needs; and where steps can happen in it."""
    made: dict[str, Made] = {}
    points: Any = []
    translated = Handles()
    for call in (calls[index] for index in order):
        if (request := translated.request(call.call.request)) is None:
            continue
        raised = None
        try:
            points = session.perform(recording(session.name, call.key)) or points
            try:
                value = session.perform(request)
                translated.learn(call.call.value, value)
                found: Signature | None = signature(value, None, session.calls[-1].changed)
            except StudentError as error:
                failure = error.failure
                found = signature(None, failure, ())
                frames = [frame for frame in failure.frames if frame[0] == f"{session.name}.py"]
                raised = (failure.type_name, frames[-1][1], frames[-1][2]) if frames else None
            made[call.key] = Made(list(steps_of(points, session.perform(taken()), reference.key)), found, raised)
        except (Stopped, StudentError):
            break  # its process is gone, or it is no module that can be taken down
    return made, points_in(points)


def _own_way(
    calls: Sequence[KeyedCall],
    theirs: Mapping[str, Made],
    ours: Mapping[str, RightlyMade],
    failed: Collection[str],
    right: Mapping[str, Signature],
) -> OwnWay:
    """The steps that differ in a call whose answer is right."""
    found = OwnWay(set(), set())
    for call in calls:
        if call.key not in ours or call.key in failed or call.key not in right or "__init__" in right[call.key].kind:
            continue
        if not right[call.key].telling:
            continue  # an object came back, and nobody knows what is in it
        counts: Counter[Key] = Counter()
        wanted: dict[Key, list[Right]] = {}
        for other in ours[call.key].steps:
            wanted.setdefault(other.key, []).append(other)
        for step in theirs[call.key].steps:
            same = wanted.get(step.key, [])
            number = counts[step.key]
            counts[step.key] += 1
            if same and (number >= len(same) or not same[number].is_as(step)):
                found.values.add(step.key)
            elif same and call.call.request.kind == "gradients" and not same[number].has_kind_of(step):
                found.kinds.add(step.key)
    return found


def _agreed(votes: Sequence[tuple[Difference, bool]], texts: Texts) -> Place | None:
    """The place that most calls point to."""
    placed = [(line_of(difference, texts), difference, visible) for difference, visible in votes]
    (line, count), *_ = Counter(line for line, *_ in placed).most_common(1)
    if 2 * count <= len(placed):
        return None
    _, difference, visible = next(vote for vote in sorted(placed, key=lambda vote: not vote[2]) if vote[0] == line)
    step = difference.step
    if texts.as_given(line) and difference.what not in ("called", "missing"):
        return None  # the line is as it should be: what is wrong came in where no step was taken down
    if step.kind == "argument" and line != step.line and difference.what != "called":
        difference = replace_name(difference, f"`{step.name}` of `{step.function}`")
    return Place(line, step.function, difference.step.name, how(difference, numbers=visible))


def replace_name(difference: Difference, name: str) -> Difference:
    """The difference under another name."""
    return difference._replace(step=replace(difference.step, name=name))
