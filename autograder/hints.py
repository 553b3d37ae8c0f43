"""An exercise's own hints, one step at a time, each more telling than the one before."""

from __future__ import annotations

import json

from autograder.course import Course, Exercise

STATE = ".autograder/hints.json"


def next_hint(course: Course, exercise: Exercise) -> str:
    """The next hint, with its place among all; after the last one it stays at the last."""
    if not exercise.hints:
        return f"There is no hint for {exercise.name} beyond the comments above its holes."
    path = course.root / STATE
    try:
        seen = {str(name): int(count) for name, count in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        seen = {}  # the file may be deleted or damaged at any time: the hints begin anew
    step = min(max(seen.get(exercise.name, 0), 0), len(exercise.hints) - 1)
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({**seen, exercise.name: step + 1}), encoding="utf-8")
    except OSError:
        pass  # without a place to remember, the first hint comes again
    more = "" if step + 1 == len(exercise.hints) else "\nAsk again for a more telling one."
    return f"Hint {step + 1} of {len(exercise.hints)}: {exercise.hints[step]}{more}"
