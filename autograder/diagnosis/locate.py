"""Where a wrong answer goes wrong first: its steps beside the solution's, on the same calls.

A few calls that went wrong, and a few that did not, are made once more: over there in a fresh process, and here on the
solution, both with their steps taken down. The first step that differs while all before it agree is the place. Steps
that differ also where the answer is right are the author's own way, and no mistake. Where calls do not agree on a
place, nothing is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autograder.diagnosis.evidence import KeyedCall, Signature, signature
from autograder.diagnosis.replay import Handles, Trace, needed, recording, taken
from autograder.diagnosis.traced import Made, Step, steps_of
from autograder.diagnosis.words import how
from autograder.grades import Place
from autograder.isolation.near.remote import Session, Stopped, StudentError

WRONG, RIGHT = 3, 3  # how many calls of a function are made again
MOST_CALLS = 80  # with all that made their objects
PLACES = 2
Key = tuple[str, str, str]


class Difference(NamedTuple):
    """The first step that differs.

    Attributes:
        what: "value", "kind" (a dtype, a gradient), "more" or "fewer" (turns), "path", "called" (a function), "raised".
        wanted: the solution's step, where there is one.
        raised: the exception's type.
    """

    step: Step
    what: str
    wanted: Step | None = None
    raised: str = ""


@dataclass(frozen=True)
class Located:
    """What became of the calls that were made again.

    Attributes:
        places: where it goes wrong first.
        stateful: functions whose calls went right in a fresh process.
    """

    places: tuple[Place, ...] = ()
    stateful: tuple[str, ...] = ()


def locate(
    calls: Sequence[KeyedCall],
    wrong: Mapping[str, Collection[str]],
    right: Mapping[str, Signature],
    visible: Collection[str],
    session: Session,
    trace: Trace,
    solution: str,
) -> Located:
    """Finds the places.

    Args:
        calls: what the suites asked, in order.
        wrong: by function, the keys of the calls that it answered wrongly.
        right: what is right, by key.
        visible: the keys of calls of visible tests.
        session: a fresh one, with the submission.
        trace: the solution.
        solution: its text.
    """
    chosen = _chosen(calls, wrong, right, visible)
    wanted = needed(calls, [call.key in chosen for call in calls])
    if not wanted or len(wanted) > MOST_CALLS:
        return Located()
    theirs = _over_there(session, calls, wanted)
    ours = trace.steps(calls, wanted)
    rest = {key: value for key, value in ours.items() if key in theirs}
    known = {point[1:] for point in trace.points}
    texts = _Texts(session.sources[session.name], solution)
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
            difference = _first(order, theirs, rest, own_way, known, texts)
            if difference is not None:
                votes.setdefault(target, []).append((difference, call.key in visible))
    places = []
    for found_votes in votes.values():
        if place := _agreed(found_votes, texts):
            places.append(place)
    unique = list({(place.line, place.name): place for place in places}.values())
    return Located(tuple(unique) if len(unique) <= PLACES else (), tuple(dict.fromkeys(stateful)))


def _chosen(
    calls: Sequence[KeyedCall],
    wrong: Mapping[str, Collection[str]],
    right: Mapping[str, Signature],
    visible: Collection[str],
) -> set[str]:
    """The smallest calls of visible tests first; and for each function some that it answers rightly."""
    failed = {key for keys in wrong.values() for key in keys}
    size = {call.key: (call.key not in visible, len(call.call.message)) for call in calls}
    chosen: set[str] = set()
    for target, keys in wrong.items():
        chosen.update(sorted((key for key in keys if key in size), key=lambda key: (size[key], key))[:WRONG])
        good = {c.key for c in calls if c.call.name == target and c.key in right and c.key not in failed}
        chosen.update(sorted(good, key=lambda key: (size[key], key))[:RIGHT])
    return chosen


def _over_there(session: Session, calls: Sequence[KeyedCall], wanted: Collection[int]) -> dict[str, Made]:
    """The steps of the submission, each call after the ones that it needs."""
    made: dict[str, Made] = {}
    translated = Handles()
    for index, call in enumerate(calls):
        if index not in wanted or (request := translated.request(call.call.request)) is None:
            continue
        raised = None
        try:
            points = session.perform(recording(session.name, call.key))
            try:
                value = session.perform(request)
                translated.learn(call.call.value, value)
                found: Signature | None = signature(value, None, session.calls[-1].changed)
            except StudentError as error:
                failure = error.failure
                found = signature(None, failure, ())
                frames = [frame for frame in failure.frames if frame[0] == f"{session.name}.py"]
                raised = (failure.type_name, frames[-1][1], frames[-1][2]) if frames else None
            made[call.key] = Made(list(steps_of(points, session.perform(taken()))), found, raised)
        except (Stopped, StudentError):
            break  # its process is gone, or it is no module that can be taken down
    return made


def _own_way(
    calls: Sequence[KeyedCall],
    theirs: Mapping[str, Made],
    ours: Mapping[str, Made],
    failed: Collection[str],
    right: Mapping[str, Signature],
) -> set[Key]:
    """The steps that differ in a call whose answer is right."""
    found: set[Key] = set()
    for call in calls:
        if call.key not in ours or call.key in failed or call.key not in right or "__init__" in right[call.key].kind:
            continue
        if not right[call.key].telling:
            continue  # an object came back, and nobody knows what is in it
        counts: Counter[Key] = Counter()
        wanted: dict[Key, list[Step]] = {}
        for step in ours[call.key].steps:
            wanted.setdefault(step.key, []).append(step)
        for step in theirs[call.key].steps:
            same = wanted.get(step.key, [])
            number = counts[step.key]
            counts[step.key] += 1
            if same and (number >= len(same) or not step.loose.agrees(same[number].loose)):
                found.add(step.key)
    return found


def _first(
    order: Sequence[str],
    theirs: Mapping[str, Made],
    ours: Mapping[str, Made],
    own_way: Collection[Key],
    known: Collection[Key],
    texts: _Texts,
) -> Difference | None:
    """The first difference in some calls that were made one after the other.

    A step that differs where answers are right, too, is the fault only if what comes after it is as it should be.
    """
    found = [difference for key in order for difference in _differences(theirs[key], ours[key], known)]
    last = order[-1]
    given, right = theirs[last].signature or _NONE, ours[last].signature or _NONE
    found = [difference for difference in found if difference.what != "kind" or given.kind != right.kind]
    if not found:
        return None
    index = next((i for i, difference in enumerate(found) if difference.step.key not in own_way), 0)
    first = found[index]
    before = [difference for difference in found[:index] if not texts.as_given(_line(difference, texts))]
    if before:
        if not texts.as_given(_line(first, texts)):
            return None
        first = before[0]
    if first.what == "raised" or _is_alike(first.step.function, theirs[last], ours[last], known):
        return first
    return None


def _is_alike(function: str, theirs: Made, ours: Made, known: Collection[Key]) -> bool:
    """Whether a function goes the solution's way: it names all that is named there, and uses no other functions."""
    named = {step.key for step in theirs.steps}
    needed_too = {step.key for step in ours.steps if step.function == function and step.kind == "value"}
    functions = {name for name, *_ in known}
    return needed_too <= named and all(step.function in functions for step in theirs.steps)


def _differences(theirs: Made, ours: Made, known: Collection[Key]) -> Iterator[Difference]:
    """All steps that differ, as long as both go the same way."""
    wanted: dict[Key, list[tuple[int, Step]]] = {}
    for index, step in enumerate(ours.steps):
        wanted.setdefault(step.key, []).append((index, step))
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
                if step.kind != "argument" or step.caller:
                    yield Difference(step, "called" if step.kind == "argument" else "path")
                return
            continue
        index, other = wanted[step.key][number]
        for skipped in ours.steps[reached + 1 : index]:
            behind = counts[skipped.key] <= _number(wanted[skipped.key], skipped)
            if skipped.kind == "turn" and skipped.key in lines and skipped.key != step.key and behind:
                yield Difference(lines[skipped.key], "fewer", skipped)
                return
        reached = max(reached, index)
        if not step.loose.agrees(other.loose):
            yield Difference(step, "value", other)
        elif step.strict.kind != other.strict.kind:
            yield Difference(step, "kind", other)
    if theirs.raised is not None and ours.raised is None:
        kind, line, function = theirs.raised
        inside = next((step for step in reversed(theirs.steps) if step.function.split(".")[-1] == function), None)
        if inside is None:
            inside = Step(line, function, "raise", "value", None, _NONE, _NONE)
        yield Difference(inside._replace(line=line, name="raise", kind="value"), "raised", raised=kind)


_NONE = signature(None, None, ())


def _number(steps: Sequence[tuple[int, Step]], step: Step) -> int:
    return next(number for number, (_, other) in enumerate(steps) if other is step)


class _Texts:
    """The two files, to see whether a line is as it should be."""

    def __init__(self, theirs: str, ours: str) -> None:
        self.lines = theirs.split("\n")
        self._right = {_bare(line) for line in ours.split("\n")}

    def as_given(self, line: int) -> bool:
        """Whether a line is one of the solution's, but for its comment."""
        return 0 < line <= len(self.lines) and _bare(self.lines[line - 1]) in self._right


def _bare(line: str) -> str:
    return line.split("  #")[0].strip()


def _agreed(votes: Sequence[tuple[Difference, bool]], texts: _Texts) -> Place | None:
    """The place that most calls point to."""
    placed = [(_line(difference, texts), difference, visible) for difference, visible in votes]
    (line, count), *_ = Counter(line for line, *_ in placed).most_common(1)
    if 2 * count <= len(placed):
        return None
    _, difference, visible = next(vote for vote in sorted(placed, key=lambda vote: not vote[2]) if vote[0] == line)
    step = difference.step
    if texts.as_given(line) and difference.what != "called":
        return None  # the line is as it should be: what is wrong came in where no step was taken down
    if step.kind == "argument" and line != step.line and difference.what != "called":
        difference = replace_name(difference, f"`{step.name}` of `{step.function}`")
    return Place(line, step.function, difference.step.name, how(difference, numbers=visible))


def replace_name(difference: Difference, name: str) -> Difference:
    """The difference under another name."""
    return difference._replace(step=difference.step._replace(name=name))


def _line(difference: Difference, texts: _Texts) -> int:
    """The step's line; of an argument that of the call, unless that is as it should be and so a default is not."""
    step = difference.step
    if step.kind == "argument" and step.caller and (texts.as_given(step.line) or not texts.as_given(step.caller)):
        return step.caller
    return step.line
