"""Which known mistakes were made, as far as the evidence is unambiguous.

For every recorded call there is what the submission gave, what is right, and what each known mistake gives. A mistake
is *possible* when the submission gave the same wherever the mistake shows. A function's mistakes are named when
possible ones together explain every wrong answer of that function, and no other set does as well; otherwise nothing
is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from autograder.course import Course
from autograder.diagnosis.catalogue import known_mistakes
from autograder.diagnosis.evidence import Evidence, KeyedCall, Signature, evidence, keyed
from autograder.diagnosis.replay import Variant
from autograder.grades import Hint
from autograder.isolation.between.executor import handles
from autograder.isolation.near.remote import Call
from autograder.suites.runner import Outcome

FROM_FAILED, FROM_PASSED = 16, 6  # how many of a test's last calls are looked at


class Suspect(NamedTuple):
    """A known mistake and where it shows: what it gives for a call where it does not give what is right."""

    hint: Hint
    shows: Mapping[str, Signature]


class Knowledge(Protocol):
    """What is known of an exercise's calls."""

    def right(self, calls: Sequence[KeyedCall]) -> Mapping[str, Signature]:
        """What is right, by the calls' keys."""

    def suspects(self, calls: Sequence[KeyedCall], given: Mapping[str, Signature]) -> Sequence[Suspect]:
        """The known mistakes; those may be left out that cannot explain what was given."""


class Replays:
    """Knowledge from the solution and the catalogue, replayed here."""

    def __init__(self, course: Course, name: str) -> None:
        stand_ins = {
            base: course.stand_in(base).read_text(encoding="utf-8")
            for base in course.names
            if course.stand_in(base).is_file() and base != name
        }
        solution = course.solution(name).read_text(encoding="utf-8")
        self._solution = Variant(name, {**stand_ins, name: solution})
        self._again = Variant(name, {**stand_ins, name: solution})
        self._mistakes = [
            (Hint(mistake.id, mistake.hint), Variant(name, {**stand_ins, name: mistake.source}))
            for mistake in known_mistakes(course, name)
        ]

    def right(self, calls: Sequence[KeyedCall]) -> Mapping[str, Signature]:
        """See `Knowledge`. What comes out differently with other random numbers says nothing and is left out."""
        once, again = dict(self._solution.answers(calls)), dict(self._again.answers(calls, seed=1))
        return {key: found for key, found in once.items() if key in again and found.agrees(again[key])}

    def suspects(self, calls: Sequence[KeyedCall], given: Mapping[str, Signature]) -> Sequence[Suspect]:
        """See `Knowledge`. A mistake that explains no wrong answer is left out, and is not replayed any further."""
        right = self.right(calls)
        wrong = {key for key, found in given.items() if key in right and not found.agrees(right[key])}
        return [
            Suspect(hint, shows)
            for hint, variant in self._mistakes
            if (not given or any(found.agrees(given[key]) for key, found in variant.answers(calls, only=wrong)))
            and (shows := _shows(variant, calls, right, given)) is not None
        ]


def _shows(
    variant: Variant, calls: Sequence[KeyedCall], right: Mapping[str, Signature], given: Mapping[str, Signature]
) -> dict[str, Signature] | None:
    """Where a mistake does not give what is right, and what; None when the submission gave something else there."""
    shows: dict[str, Signature] = {}
    for key, found in variant.answers(calls):
        if key in right and not found.agrees(right[key]):
            if key in given and not given[key].agrees(found):
                return None
            shows[key] = found
    return shows


def diagnose(outcomes: Sequence[Outcome], knowledge: Knowledge) -> list[Hint]:
    """The mistakes that the submission's author made, in the catalogue's order."""
    if all(outcome.status == "passed" for outcome in outcomes):
        return []
    calls = keyed(chosen_calls(outcomes))
    right = knowledge.right(calls)
    facts = [fact for fact in evidence(calls) if fact.key in right]
    wrong = {fact.key: fact for fact in facts if not fact.signature.agrees(right[fact.key])}
    if not wrong:
        return []
    given = {fact.key: fact.signature for fact in facts}
    possible = [s for s in knowledge.suspects(calls, given) if _is_possible(s, given)]
    named: list[Hint] = []
    for target in dict.fromkeys(fact.target for fact in wrong.values()):
        named += _explanation({key: fact for key, fact in wrong.items() if fact.target == target}, possible)
    return [suspect.hint for suspect in possible if suspect.hint in named]


def chosen_calls(outcomes: Sequence[Outcome]) -> list[Call]:
    """The last calls of every test, the failing one among them, with all that made the objects that they use."""
    chosen: list[Call] = []
    for outcome in outcomes:
        last = outcome.calls[-(FROM_FAILED if outcome.status == "failed" else FROM_PASSED) :]
        wanted = {handle.id for call in last for handle in _uses(call)}
        earlier = outcome.calls[: len(outcome.calls) - len(last)]
        before: list[Call] = []
        for call in reversed(earlier):
            touched = {handle.id for handle in (*_uses(call), *handles(call.value))}
            if touched & wanted:
                wanted |= {handle.id for handle in _uses(call)}
                before.append(call)
        chosen += [*reversed(before), *last]
    return chosen


def _uses(call: Call) -> list:  # type: ignore[type-arg]
    return list(handles((call.request.path, call.request.args, dict(call.request.kwargs))))


def _is_possible(suspect: Suspect, given: Mapping[str, Signature]) -> bool:
    """Whether the submission gave the mistake's answer wherever it shows, and not only such as many mistakes give."""
    shown = [(given[key], theirs) for key, theirs in suspect.shows.items() if key in given]
    return all(ours.agrees(theirs) for ours, theirs in shown) and any(theirs.telling for _, theirs in shown)


def _explanation(wrong: Mapping[str, Evidence], possible: Sequence[Suspect]) -> list[Hint]:
    """The fewest mistakes that explain all wrong answers of one function, if that is unambiguous."""
    left, named = set(wrong), []
    while left:
        explained = [(left & set(suspect.shows), suspect) for suspect in possible]
        most = max((len(keys) for keys, _ in explained), default=0)
        best = [suspect for keys, suspect in explained if len(keys) == most]
        if most == 0 or len(best) > 1:
            return []
        named.append(best[0].hint)
        left -= set(best[0].shows)
    return named
