"""An exercise's own hints, one step at a time, each more telling than the one before."""

from __future__ import annotations

from autograder.course import Course, Exercise
from autograder.loop.state import Memory, load, save


def next_hint(course: Course, exercise: Exercise) -> str:
    """The next hint, with its place among all; after the last one it stays at the last."""
    memory = load(course)
    told = tell(memory, exercise)
    save(course, memory)
    return told


def tell(memory: Memory, exercise: Exercise) -> str:
    """The next hint after those that were told."""
    if not exercise.hints:
        return f"There is no hint for {exercise.name} beyond the comments above its holes."
    standing = memory.of(exercise.name)
    step = min(standing.hints, len(exercise.hints) - 1)
    standing.hints = step + 1
    more = "" if step + 1 == len(exercise.hints) else "\nAsk again for a more telling one."
    return f"Hint {step + 1} of {len(exercise.hints)}: {exercise.hints[step]}{more}"
