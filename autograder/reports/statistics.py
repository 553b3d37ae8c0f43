"""Item analysis, in its standard terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from autograder.reports.gradebook import Entry


class Item(NamedTuple):
    """One test as an item.

    Attributes:
        passed: how many students passed it, of `asked`.
        difficulty: the part of the students that passed it (the item's p value: 1 is easy).
        discrimination: the point-biserial correlation of passing it with the rest of the score; None where all or
            none passed, or all have the same rest.
    """

    exercise: str
    title: str
    visibility: str
    passed: int
    asked: int
    difficulty: float
    discrimination: float | None


def read(entries: Sequence[Entry]) -> list[Entry]:
    """Those that say something about somebody's work; a mean over the others would be of nobody's."""
    return [entry for entry in entries if entry.counts]


def items(entries: Sequence[Entry]) -> list[Item]:
    """Every test, in the exercises' order."""
    import numpy as np  # here, for a student's check loads all formats and draws none

    found: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    titles: dict[tuple[str, str], tuple[str, str]] = {}
    for entry in read(entries):
        for exercise in entry.grade.exercises:
            for test in exercise.tests:
                key = (exercise.name, test.name)
                titles[key] = (test.title, test.visibility)
                # Without the test itself: an item always agrees with a sum that holds it.
                found.setdefault(key, []).append((test.status == "passed", entry.grade.score - test.score))
    result = []
    for (exercise_name, name), pairs in found.items():
        passed, rest = (np.array(column, float) for column in zip(*pairs, strict=True))
        varied = passed.std() > 0 and rest.std() > 1e-9
        correlation = float(np.corrcoef(passed, rest)[0, 1]) if varied else None
        title, visibility = titles[exercise_name, name]
        result.append(
            Item(exercise_name, title, visibility, int(passed.sum()), len(pairs), float(passed.mean()), correlation)
        )
    return result


def mistakes(entries: Sequence[Entry]) -> list[tuple[str, str, str, int]]:
    """Each known mistake that was made: exercise, id, hint, and by how many; the most frequent first."""
    counts = Counter(
        (exercise.name, hint.mistake, hint.text)
        for entry in read(entries)
        for exercise in entry.grade.exercises
        for hint in exercise.hints
    )
    return [(*key, count) for key, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
