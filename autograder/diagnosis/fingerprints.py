"""What known mistakes give for the visible suites' calls, as numbers: a release's knowledge, without the answers.

A suite's calls are the same in every check, up to the first failure, which decides what comes after it. So the calls
are collected from runs of the solution and of every known mistake, and each is replayed on all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autograder.course import Course, CourseError
from autograder.diagnosis.diagnose import Knowledge, Replays, Suspect, chosen_calls
from autograder.diagnosis.evidence import Evidence, KeyedCall, Signature, evidence, keyed
from autograder.diagnosis.footprints import NOTHING, Footprints, hidden_key, written
from autograder.diagnosis.locate import to_be_made
from autograder.diagnosis.replay import needed
from autograder.diagnosis.traced import Key, Reference, RightlyMade
from autograder.grades import Hint
from autograder.suites.runner import Outcome
from autograder.versions import TooNew, require_format

FORMAT = 1
_DIGITS = 12  # of a sum: more than its comparison looks at, and less than what differs between machines


def knowledge(course: Course, name: str) -> Knowledge:
    """What is known here: everything where the solution is, else what the release recorded, else nothing."""
    if course.solution(name).is_file():
        return Replays(course, name)
    path = course.fingerprints(name)
    return Fingerprints(read(path) if path.is_file() else {"right": {}, "mistakes": []})


class Fingerprints:
    """Knowledge from recorded signatures."""

    def __init__(self, recorded: Mapping[str, Any]) -> None:
        self._right = _signatures(recorded["right"])
        self._suspects = [
            Suspect(
                Hint(entry["mistake"], entry["text"]),
                _signatures(entry["shows"]),
                frozenset(Key(*map(str, key)) for key in entry.get("at", ())),
            )
            for entry in recorded["mistakes"]
        ]
        self._reference = Footprints(recorded.get("steps", NOTHING))

    @property
    def reference(self) -> Reference:
        """See `Knowledge`."""
        return self._reference

    def right(self, calls: Sequence[KeyedCall]) -> Mapping[str, Signature]:
        """See `Knowledge`."""
        return _only(self._right, _keys(calls))

    def suspects(self, calls: Sequence[KeyedCall], given: Mapping[str, Signature]) -> Sequence[Suspect]:
        """See `Knowledge`."""
        keys = _keys(calls)
        return [suspect._replace(shows=_only(suspect.shows, keys)) for suspect in self._suspects]


def record(replays: Replays, runs: Iterable[Sequence[Outcome]]) -> dict[str, Any]:
    """The fingerprints for the calls of some runs of a suite; a mistake that never shows there is left out."""
    right: dict[str, Signature] = {}
    suspects: dict[Hint, dict[str, Signature]] = {}
    changes: dict[Hint, frozenset[Key]] = {}
    made: dict[str, RightlyMade] = {}
    for outcomes in runs:
        calls = keyed(chosen_calls(outcomes))
        facts = [*evidence(calls)]
        judged = {fact.key for fact in facts}
        found = _only(replays.right(calls), judged)
        right.update(found)
        for hint, shows, at in replays.suspects(calls, {}):
            suspects.setdefault(hint, {}).update(_only(shows, judged))
            changes[hint] = at
        made.update(_made(replays, calls, facts, found))
    return {
        "right": _plain(right),
        "mistakes": [
            {
                "mistake": hint.mistake,
                "text": hint.text,
                "shows": _plain(shows),
                "at": sorted(hidden_key(key) for key in changes[hint]),
            }
            for hint, shows in suspects.items()
            if shows
        ],
        "steps": written(made, replays.reference.points(), replays.reference.lines()),
    }


def _made(
    replays: Replays, calls: Sequence[KeyedCall], facts: Sequence[Evidence], right: Mapping[str, Signature]
) -> Mapping[str, RightlyMade]:
    """The solution's steps in the calls that would be made again for what went wrong here; in a right run, in any."""
    known = [fact for fact in facts if fact.key in right]
    wrong: dict[str, set[str]] = {}
    for fact in [fact for fact in known if not fact.signature.agrees(right[fact.key])] or known:
        wrong.setdefault(fact.target, set()).add(fact.key)
    chosen = to_be_made(calls, wrong, right, {call.key for call in calls})
    return replays.reference.steps(calls, needed(calls, [call.key in chosen for call in calls]))


def dump(recorded: Mapping[str, Any]) -> str:
    """As JSON text, the same for the same fingerprints."""
    return json.dumps({"format": FORMAT, **recorded}, ensure_ascii=False, separators=(",", ":")) + "\n"


def read(path: Path) -> dict[str, Any]:
    """Reads recorded fingerprints.

    Raises:
        CourseError: the file is damaged, or a later version of this program wrote it.
    """
    try:
        recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        require_format(recorded, FORMAT, str(path))
        Fingerprints(recorded)
    except TooNew as error:
        raise CourseError(str(error)) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise CourseError(f"{path} is damaged. Take it from the release again.") from None
    return recorded


def _plain(signatures: Mapping[str, Signature]) -> dict[str, list[Any]]:
    return {
        key: [s.kind, [_rounded(x) for x in s.sums], _rounded(s.size), int(s.telling), s.tolerance]
        for key, s in sorted(signatures.items())
    }


def _signatures(plain: Mapping[str, Any]) -> dict[str, Signature]:
    return {
        key: Signature(str(kind), tuple(map(float, sums)), float(size), bool(telling), float(tolerance))
        for key, (kind, sums, size, telling, tolerance) in plain.items()
    }


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _keys(calls: Sequence[KeyedCall]) -> set[str]:
    return {call.key for call in calls}


def _only(signatures: Mapping[str, Signature], keys: set[str]) -> dict[str, Signature]:
    return {key: found for key, found in signatures.items() if key in keys}
