"""Which known mistakes were made, as far as the evidence is unambiguous.

For every recorded call there is what the submission gave, what is right, and what each known mistake gives. A mistake
is *possible* when the submission gave the same wherever the mistake shows. A function's mistakes are named when
possible ones together explain every wrong answer of that function, and no other set does as well; otherwise nothing
is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

from autograder.course import Course
from autograder.diagnosis.catalogue import known_mistakes
from autograder.diagnosis.evidence import KeyedCall, Signature, evidence, groups, keyed
from autograder.diagnosis.reach import affected, changed_steps
from autograder.diagnosis.replay import Trace, Variant
from autograder.diagnosis.traced import Key, Reference
from autograder.grades import Hint
from autograder.isolation.near.remote import Call
from autograder.suites.runner import Outcome

FIRST, LAST = 24, 16  # how many of a test's calls are looked at: edge cases come first, and failures last
TRIED = 4  # how many wrong answers of a function a mistake may fail to explain before it is given up


class Suspect(NamedTuple):
    """A known mistake and where it shows: what it gives for a call where it does not give what is right.

    Attributes:
        at: the steps of what it changes, as the reference calls them.
    """

    hint: Hint
    shows: Mapping[str, Signature]
    at: frozenset[Key] = frozenset()


class Knowledge(Protocol):
    """What is known of an exercise's calls."""

    def right(self, calls: Sequence[KeyedCall]) -> Mapping[str, Signature]:
        """What is right, by the calls' keys."""

    def suspects(self, calls: Sequence[KeyedCall], given: Mapping[str, Signature]) -> Sequence[Suspect]:
        """The known mistakes; those may be left out that cannot explain what was given."""

    @property
    def reference(self) -> Reference:
        """The solution's steps."""


class Replays:
    """Knowledge from the solution and the catalogue, replayed here."""

    def __init__(self, course: Course, name: str) -> None:
        self._course, self._name = course, name
        self._stand_ins = {
            base: course.stand_in(base).read_text(encoding="utf-8")
            for base in course.names
            if course.stand_in(base).is_file() and base != name
        }
        self._text = course.solution(name).read_text(encoding="utf-8")
        self._solution, self._again = self._variant(self._text), self._variant(self._text)

    def _variant(self, text: str) -> Variant:
        return Variant(self._name, {**self._stand_ins, self._name: text})

    @cached_property  # a finished course never asks for them
    def _mistakes(self) -> list[_Known]:
        return [
            _Known(
                Hint(mistake.id, mistake.hint),
                self._variant(mistake.source),
                affected(self._text, mistake.source),
                changed_steps(self._text, mistake.source),
            )
            for mistake in known_mistakes(self._course, self._name)
        ]

    @cached_property
    def reference(self) -> Trace:
        """See `Knowledge`."""
        return Trace(self._solution)

    def right(self, calls: Sequence[KeyedCall]) -> Mapping[str, Signature]:
        """See `Knowledge`. What comes out differently with other random numbers says nothing and is left out."""
        once, again = dict(self._solution.answers(calls)), dict(self._again.answers(calls, salt=1))
        return {key: found for key, found in once.items() if key in again and found.agrees(again[key])}

    def suspects(self, calls: Sequence[KeyedCall], given: Mapping[str, Signature]) -> Sequence[Suspect]:
        """See `Knowledge`. A mistake that explains no wrong answer is left out, and is not replayed any further."""
        right = self.right(calls)
        wrong: dict[str, list[str]] = {}
        for key, call, *_ in calls:
            if key in given and key in right and not given[key].agrees(right[key]):
                wrong.setdefault(call.name, []).append(key)
        tried = {keys[i * len(keys) // TRIED] for keys in wrong.values() for i in range(TRIED)}
        suspects = []
        for known in self._mistakes:
            within = {call.key for call in calls if known.may_show_in(call)}
            first = known.variant.answers(calls, only=within & tried)
            if not given or any(found.agrees(given[key]) for key, found in first):
                shows = _shows(known.variant.answers(calls, only=within), right, given)
                suspects += [] if shows is None else [Suspect(known.hint, shows, known.at)]
        return suspects


class _Known(NamedTuple):
    """A known mistake with the functions and classes that it affects, all when None."""

    hint: Hint
    variant: Variant
    affects: frozenset[str] | None
    at: frozenset[Key]

    def may_show_in(self, call: KeyedCall) -> bool:
        """Whether the call, or what was done before to its objects, went through something that is affected."""
        return self.affects is None or not self.affects.isdisjoint(call.through)


def _shows(
    answers: Iterable[tuple[str, Signature]], right: Mapping[str, Signature], given: Mapping[str, Signature]
) -> dict[str, Signature] | None:
    """Where a mistake does not give what is right, and what; None when the submission gave something else there."""
    shows: dict[str, Signature] = {}
    for key, found in answers:
        if key in right and not found.agrees(right[key]):
            if key in given and not given[key].agrees(found):
                return None
            shows[key] = found
    return shows


class Diagnosis(NamedTuple):
    """What a submission did wrong, and the known mistakes that may be why.

    Attributes:
        wrong: by function, the keys of the calls that it answered wrongly.
        possible: the mistakes that contradict nothing, in the catalogue's order.
        uses: for each function and class the others that it is built on. What goes wrong in one goes wrong in those
            above it, so nothing is said about a function while one that it uses is wrong for an unknown reason.
        calls: what was looked at, and `right` what is right, by key.
    """

    wrong: Mapping[str, Collection[str]]
    possible: Sequence[Suspect]
    uses: Mapping[str, Collection[str]]
    calls: Sequence[KeyedCall] = ()
    right: Mapping[str, Signature] = {}

    def lowest(self) -> dict[str, Collection[str]]:
        """What is wrong, without the functions that use another one that is: the fault is looked for in that one.

        An object of a library is built on whatever was put into it.
        """
        tops = {target.split(".")[0] for target in self.wrong}

        def below(top: str) -> set[str]:
            return tops & set(self.uses.get(top, self.uses.keys()))

        # Of two that name each other neither is lower.
        high = {top for top in tops if any(top not in below(other) for other in below(top))}
        return {target: keys for target, keys in self.wrong.items() if target.split(".")[0] not in high}

    def hints(self, at: Collection[Key] = (), without: str = "") -> list[Hint]:
        """The mistakes that the submission's author made.

        Args:
            at: the steps where it goes wrong first. Of two mistakes that explain as much, the one there was made; one
                that changes other steps of the same functions was not.
            without: a mistake that is to be taken for unknown.
        """
        functions = {key.function for key in at}
        possible = [
            suspect
            for suspect in self.possible
            if suspect.hint.mistake != without
            and (suspect.at & {*at} or functions.isdisjoint(key.function for key in suspect.at))
        ]
        explained = {target: _explanation(keys, possible, {*at}) for target, keys in self.wrong.items()}
        unknown = {target.split(".")[0] for target, hints in explained.items() if not hints}
        named = [
            hint
            for target, hints in explained.items()
            if not unknown & set(self.uses.get(target.split(".")[0], ()))
            for hint in hints
        ]
        return [suspect.hint for suspect in possible if suspect.hint in named]


NOTHING = Diagnosis({}, (), {})


def diagnose(
    outcomes: Sequence[Outcome],
    knowledge: Knowledge,
    uses: Mapping[str, Collection[str]],
    unfinished: Collection[str] = (),
) -> Diagnosis:
    """Compares what a submission gave for all the exercise's tests with what is known.

    Args:
        outcomes: of the tests.
        knowledge: what is known.
        uses: see `Diagnosis`.
        unfinished: functions and classes with a hole: what they, and those that use them, give is no evidence.
    """
    if all(outcome.status == "passed" or not outcome.error for outcome in outcomes):
        return NOTHING  # all is well, or nothing was asked
    calls = keyed(chosen_calls(outcomes))
    right = knowledge.right(calls)
    open_ones = {*unfinished, *(name for name in uses if not set(unfinished).isdisjoint(uses[name]))}
    facts = [fact for fact in evidence(calls) if fact.key in right and fact.target.split(".")[0] not in open_ones]
    wrong: dict[str, set[str]] = {}
    for fact in facts:
        if not fact.signature.agrees(right[fact.key]):
            wrong.setdefault(fact.target, set()).add(fact.key)
    given = {fact.key: fact.signature for fact in facts}
    suspects = knowledge.suspects(calls, given) if wrong else []
    return Diagnosis(wrong, [suspect for suspect in suspects if _is_possible(suspect, given)], uses, calls, right)


def chosen_calls(outcomes: Sequence[Outcome]) -> list[Call]:
    """The first and last calls of every test, with all that made the objects that they use."""
    chosen: list[Call] = []
    for outcome in outcomes:
        calls = outcome.calls[: outcome.asked]
        wanted: set[int] = set()
        kept: list[Call] = []
        for place, group in reversed([*enumerate(groups(calls))]):
            if place < FIRST or place >= len(calls) - LAST or wanted & group:
                wanted |= group
                kept.append(calls[place])
        chosen += reversed(kept)
    return chosen


def _is_possible(suspect: Suspect, given: Mapping[str, Signature]) -> bool:
    """Whether the submission gave the mistake's answer wherever it shows, and not only such as many mistakes give."""
    shown = [(given[key], theirs) for key, theirs in suspect.shows.items() if key in given]
    return all(ours.agrees(theirs) for ours, theirs in shown) and any(theirs.telling for _, theirs in shown)


def _explanation(wrong: Collection[str], possible: Sequence[Suspect], at: Collection[Key]) -> list[Hint]:
    """The fewest mistakes that explain all wrong answers of one function, if that is unambiguous."""
    left, named = set(wrong), []
    while left:
        explained = [(left & set(suspect.shows), suspect) for suspect in possible]
        most = max((len(keys) for keys, _ in explained), default=0)
        best = [suspect for keys, suspect in explained if len(keys) == most]
        if len(best) > 1:
            best = [suspect for suspect in best if not suspect.at.isdisjoint(at)]
        if most == 0 or len(best) != 1:
            return []
        named.append(best[0].hint)
        left -= set(best[0].shows)
    return named
