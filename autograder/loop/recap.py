"""Looking back on a part of the course: what was hard, which mistakes were made, and where the lesson answers each."""

from __future__ import annotations

import re
from collections.abc import Iterator

from autograder.course import Course, CourseError, Exercise
from autograder.diagnosis.grounds import grounds
from autograder.loop.hints import current
from autograder.loop.reset import fresh_text
from autograder.loop.state import Memory, Standing, load
from autograder.stubs import plain

HARD = 6  # attempts, hints, and mistakes twice


def part_of(course: Course, asked: str) -> str:
    """A part's title by its beginning, in either case; for none, the part that is worked on.

    Raises:
        CourseError: no part begins like this, or more than one.
    """
    parts = list(dict.fromkeys(exercise.part for exercise in course.exercises))
    if not asked:
        return current(course).part
    fitting = [part for part in parts if part.lower().startswith(asked.lower())]
    if len(fitting) != 1:
        raise CourseError(f"There is no part {asked!r}. The parts are: {', '.join(parts)}.")
    return fitting[0]


def recap(course: Course, part: str) -> str:
    """The page, in lines of text."""
    memory = load(course)
    exercises = [exercise for exercise in course.exercises if exercise.part == part]
    begun = [exercise for exercise in exercises if memory.of(exercise.name).attempts]
    lines = [f"Looking back: {part}"]
    for exercise in begun:
        lines += ["", *_exercise(course, exercise, memory.of(exercise.name))]
    if left := [exercise.title for exercise in exercises if memory.of(exercise.name).status != "passed"]:
        lines += ["", f"Still to do: {', '.join(left)}."]
    return "\n".join(lines)


def hard(course: Course, memory: Memory) -> list[str]:
    """The exercises that took most, at most three, each with what it took."""
    taken = [(_effort(memory.of(name)), name) for name in course.names]
    most = sorted((entry for entry in taken if entry[0] >= HARD), key=lambda entry: -entry[0])[:3]
    return [f"{course.exercise(name).title} ({_taken(memory.of(name))})" for _, name in most]


def paragraph(text: str, words: str) -> str:
    """The paragraph of a lesson, or the entry of a docstring, that holds these words; the words where none does."""
    blocks = re.split(r'\n(?:[ \t]*#?[ \t]*\n)+|"""|^# %%[^\n]*$|\n(?=[ \t]+[\w, ]+: )', text, flags=re.MULTILINE)
    return next((whole for block in blocks if plain(words) in (whole := plain(block))), words)


def _exercise(course: Course, exercise: Exercise, standing: Standing) -> Iterator[str]:
    yield f"{exercise.title}: {_taken(standing)}{', passed' if standing.status == 'passed' else ''}."
    answers, text = grounds(course, exercise.name), fresh_text(course, exercise.name, "guided")
    for mistake, hint in standing.mistakes.items():
        yield f"  You made this mistake: {hint}"
        if mistake in answers:
            yield f"  The lesson says: {paragraph(text, answers[mistake])}"
    if not standing.mistakes:
        yield "  No mistake that has a name."


def _effort(standing: Standing) -> int:
    return standing.attempts + standing.told() + 2 * len(standing.mistakes)


def _taken(standing: Standing) -> str:
    facts = ((standing.attempts, "attempt"), (len(standing.mistakes), "known mistake"), (standing.told(), "hint"))
    return ", ".join(f"{number} {what}{'s' * (number != 1)}" for number, what in facts if number)
