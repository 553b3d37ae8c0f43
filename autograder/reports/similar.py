"""Work that is alike: pairs of submissions with long passages in common, by copydetect's fingerprints (winnowing).

The stub's own text, which everybody has, is taken out before. What is left may be common because the exercise leaves
little choice: a number here is a reason to read both texts, and nothing else.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from autograder.course import Course, CourseError, Exercise, GraderError
from autograder.grades import Grade

NOISE, WINDOW = 25, 1  # tokens: matches of fewer say nothing; every fingerprint is kept, for exercises are short


@dataclass(frozen=True)
class Pair:
    """Two submissions of one exercise.

    Attributes:
        share: the greater part of one of them, without the stub, that the other holds too, from 0 to 1.
        tokens: how much they have in common, in copydetect's tokens.
        same_wrong: whether both have lost points at the same tests, and no known mistake explains it.
        lines: both texts side by side: kind (" ", "-", "+"), left, right.
    """

    exercise: str
    names: tuple[str, str]
    share: float
    tokens: int
    same_wrong: bool
    lines: Sequence[tuple[str, str, str]]


def pairs(
    course: Course, sources: Mapping[str, Mapping[str, str]], grades: Sequence[Grade], least: float
) -> Iterator[Pair]:
    """The pairs that are alike, exercise by exercise, the most alike first.

    Args:
        course: the course.
        sources: the texts by submission and exercise.
        grades: their grades.
        least: the share from which on a pair is listed; one that shares an unexplained wrong answer is from half of it.

    Raises:
        CourseError: copydetect is not installed.
    """
    wrong = {grade.submission: _unexplained(grade) for grade in grades}
    for exercise in course.exercises:
        texts = {name: modules[exercise.name] for name, modules in sources.items() if exercise.name in modules}
        found = []
        for one, other, share, tokens in _compared(course, exercise, texts):
            own = wrong.get(one, {}).get(exercise.name)
            same = own is not None and own == wrong.get(other, {}).get(exercise.name)
            if share >= (least / 2 if same else least):
                lines = list(_side_by_side(texts[one], texts[other]))
                found.append(Pair(exercise.name, (one, other), share, tokens, same, lines))
        yield from sorted(found, key=lambda pair: (-pair.share, pair.names))


def _compared(course: Course, exercise: Exercise, texts: Mapping[str, str]) -> Iterator[tuple[str, str, float, int]]:
    try:
        # It asks for a progress bar and a logger on import, and prints both where a report is.
        with contextlib.redirect_stderr(io.StringIO()):
            from copydetect import CodeFingerprint, compare_files
    except ModuleNotFoundError:
        raise CourseError("This needs copydetect: pip install 'autograder[similar]'.") from None
    logging.getLogger("copydetect").setLevel(logging.ERROR)
    # The texts of one group are compared once: forty untouched stubs are no pair of anybody's.
    stub = course.stub(exercise.name).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        try:
            boilerplate = np.array(sorted(_print(CodeFingerprint, Path(folder, "stub.py"), stub).hashes))
            prints = {
                name: _print(CodeFingerprint, Path(folder, f"{number}.py"), text, boilerplate)
                for number, (name, text) in enumerate(sorted(texts.items()))
                if text.strip() != stub.strip()
            }
        except OSError as error:
            raise GraderError(f"The texts could not be laid out: {error.strerror}.") from None
    for one, other in combinations(prints, 2):
        if not len(prints[one].hashes) or not len(prints[other].hashes):
            continue
        tokens, (first, second), _ = compare_files(prints[one], prints[other])
        yield one, other, min(max(first, second), 1.0), int(tokens)


def _print(kind: Any, path: Path, text: str, boilerplate: Any = None) -> Any:
    path.write_text(text, encoding="utf-8")
    options = {} if boilerplate is None else {"boilerplate": boilerplate}
    return kind(str(path), NOISE, WINDOW, language="python", **options)


def _unexplained(grade: Grade) -> dict[str, tuple[str, ...]]:
    """For each exercise that nobody can explain, the tests that failed with what was said."""
    return {
        exercise.name: tuple(f"{test.name} {test.feedback}" for test in exercise.tests if test.status == "failed")
        for exercise in grade.exercises
        if exercise.status == "failed" and not exercise.hints
    }


def _side_by_side(left: str, right: str) -> Iterator[tuple[str, str, str]]:
    one, other = left.splitlines(), right.splitlines()
    for kind, a, b, c, d in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        for number in range(max(b - a, d - c)):
            first = one[a + number] if a + number < b else ""
            second = other[c + number] if c + number < d else ""
            yield " " if kind == "equal" else "-", first, second
