"""An exercise's own hints, for the function that is being worked on, each more telling than the one before."""

from __future__ import annotations

from collections.abc import Sequence

from autograder.course import Course, Exercise, holes, place_of
from autograder.loop.state import Memory, load, save
from autograder.submission import Submission, read_submission


def next_hint(course: Course, exercise: Exercise, asked: str = "") -> str:
    """The next hint for the function that is being worked on, or `asked` for; after the last one it stays at the last.

    Args:
        course: the course.
        exercise: which.
        asked: a function or class of it; none for the one that is worked on.
    """
    memory = load(course)
    submission = read_submission(course.exercises_folder, course)
    told = tell(memory, exercise, asked or working_on(exercise, submission))
    save(course, memory)
    earlier = f"\nThe earlier ones: make hint EX={exercise.name} ALL=1" if memory.of(exercise.name).told() > 1 else ""
    return f"{exercise.title}\n{told}{earlier}"


def working_on(exercise: Exercise, submission: Submission, lines: Sequence[int] = ()) -> str:
    """The function with the first hole that is left; where none is, one that goes wrong at one of these lines."""
    source = submission.sources.get(exercise.name, "")
    return next((place for line in (*holes(source), *lines) if (place := place_of(source, line))), "")


def current(course: Course) -> Exercise:
    """The exercise that was worked on last, if it does not pass yet, else the first that does not."""
    memory = load(course)
    passed = [name for name in course.names if memory.of(name).status == "passed"]
    unfinished = [name for name in course.names if name not in passed]
    at = memory.at if memory.at in unfinished else next(iter(unfinished), course.names[-1])
    return course.exercise(at)


def told_so_far(course: Course, exercise: Exercise) -> str:
    """All hints that were told, in their order."""
    counts = load(course).of(exercise.name).hints
    lines = [
        f"Hint {step} of {len(hints)} for {place}: {hint}"
        for place, hints in exercise.hints
        for step, hint in enumerate(hints[: counts.get(place, 0)], 1)
    ]
    nothing = f"You have read no hint for {exercise.name} yet. `make hint EX={exercise.name}` tells the first."
    return "\n".join(lines) or nothing


def tell(memory: Memory, exercise: Exercise, at: str = "") -> str:
    """The next hint for a function after those that were told; for the first that has more where it has none."""
    if not exercise.hints:
        return f"There is no hint for {exercise.name} beyond the comments above its holes."
    counts = memory.of(exercise.name).hints
    place, hints = _chosen(exercise, at) or next(
        ((place, hints) for place, hints in exercise.hints if counts.get(place, 0) < len(hints)), exercise.hints[-1]
    )
    step = min(counts.get(place, 0), len(hints) - 1)
    counts[place] = step + 1
    more = "" if step + 1 == len(hints) else "\nAsk again for a more telling one."
    return f"Hint {step + 1} of {len(hints)} for {place}: {hints[step]}{more}"


def _chosen(exercise: Exercise, at: str) -> tuple[str, tuple[str, ...]] | None:
    """The hints of a function, or of the class that it is in, or of the class's methods where only that is named."""
    fitting = [entry for entry in exercise.hints if f"{at}.".startswith(f"{entry[0]}.")]
    fitting = fitting or [entry for entry in exercise.hints if at and entry[0].startswith(f"{at}.")][:1]
    return max(fitting, key=lambda entry: len(entry[0]), default=None)
