"""Whether what hidden tests ask for is said, in the text or a docstring that every student has; and what hints say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from autograder.authoring.skeleton import stub
from autograder.course import LEVELS, Course, Exercise, holes, place_of
from autograder.declared import INPUTS_TEST, declared_tests
from autograder.stubs import plain

WORDS = 2  # the least that a sentence has: less than that is found anywhere
TELLING = 5  # words in a row of a hint that stand on the screen already


def unfounded(course: Course, name: str) -> list[str]:
    """What is wrong with what an exercise's hidden tests rest on, a sentence a test; empty when all is fair."""
    solution = course.solution(name).read_text(encoding="utf-8")
    texts = {level: plain(stub(solution, level)) for level in LEVELS}
    return list(_complaints(course, name, texts))


def _complaints(course: Course, name: str, texts: dict[str, str]) -> Iterator[str]:
    for test in declared_tests(course.suite(name, "hidden")):
        if test.name == INPUTS_TEST:
            continue
        if not test.rests_on:
            yield f"the hidden test {test.name} names no sentence that it rests on"
        for sentence in test.rests_on:
            absent = [level for level, text in texts.items() if plain(sentence) not in text]
            if absent or len(sentence.split()) < WORDS:
                where = "too short to be looked up" if not absent else f"not in the stub ({', '.join(absent)})"
                yield f"the hidden test {test.name} rests on {sentence!r}, which is {where}"


def unguided(course: Course, exercise: Exercise) -> list[str]:
    """What is wrong with an exercise's hints: a function without any, one for none, words that stand above the hole."""
    text = stub(course.solution(exercise.name).read_text(encoding="utf-8"))
    screen = plain(text)
    places = {place_of(text, line) for line in holes(text)}
    hinted = [place for place, _ in exercise.hints]
    found = [
        f"there is no hint for {p}" for p in sorted(places) if not any(f"{p}.".startswith(f"{h}.") for h in hinted)
    ]
    found += [
        f"there are hints for {h}, where no hole is"
        for h in hinted
        if not any(f"{p}.".startswith(f"{h}.") for p in places)
    ]
    for place, hints in exercise.hints:
        for sentence in (part for hint in hints for part in re.split(r"(?<=[.?!:;]) ", hint)):
            if len(sentence.split()) >= TELLING and sentence in screen:
                found.append(f"a hint for {place} says what stands in the stub: {sentence}")
    return found
