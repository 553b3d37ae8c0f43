"""An exercise's own hints, one step at a time, each more telling than the one before."""

from __future__ import annotations

from autograder.course import Course, Exercise
from autograder.loop.state import Memory, load, save


def next_hint(course: Course, exercise: Exercise) -> str:
    """The next hint, with its place among all; after the last one it stays at the last."""
    memory = load(course)
    told = tell(memory, exercise)
    save(course, memory)
    earlier = f"\nThe earlier ones: make hint EX={exercise.name} ALL=1" if memory.of(exercise.name).hints > 1 else ""
    return f"{exercise.title}\n{told}{earlier}"


def current(course: Course) -> Exercise:
    """The exercise that was worked on last, if it does not pass yet, else the first that does not."""
    memory = load(course)
    passed = [name for name in course.names if memory.of(name).status == "passed"]
    unfinished = [name for name in course.names if name not in passed]
    at = memory.at if memory.at in unfinished else next(iter(unfinished), course.names[-1])
    return course.exercise(at)


def told_so_far(course: Course, exercise: Exercise) -> str:
    """All hints that were told, in their order."""
    told = exercise.hints[: load(course).of(exercise.name).hints]
    if not told:
        return f"You have read no hint for {exercise.name} yet. `make hint EX={exercise.name}` tells the first."
    return "\n".join(f"Hint {step} of {len(exercise.hints)}: {hint}" for step, hint in enumerate(told, 1))


def tell(memory: Memory, exercise: Exercise) -> str:
    """The next hint after those that were told."""
    if not exercise.hints:
        return f"There is no hint for {exercise.name} beyond the comments above its holes."
    standing = memory.of(exercise.name)
    step = min(standing.hints, len(exercise.hints) - 1)
    standing.hints = step + 1
    more = "" if step + 1 == len(exercise.hints) else "\nAsk again for a more telling one."
    return f"Hint {step + 1} of {len(exercise.hints)}: {exercise.hints[step]}{more}"
