"""Where in a student's own file a failure is, for reports that point at lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from autograder.grades import Grade


class Annotation(NamedTuple):
    """A failure with the line that it is about; 1 where nothing says which."""

    file: str
    line: int
    title: str
    text: str


def annotations_of(grade: Grade) -> Iterator[Annotation]:
    """What is wrong in exercises that were started, a failure each; what is said twice is given once."""
    for exercise in grade.exercises:
        if exercise.status in ("passed", "not_started", "missing"):
            continue
        said: set[str] = set()
        failed = [test for test in exercise.tests if test.status == "failed"]
        for test in failed or exercise.tests[:1]:  # where none was run, they all say why
            if test.feedback not in said:
                said.add(test.feedback)
                hints = "".join(f"\nHint: {hint.text}" for hint in exercise.hints)
                line = test.line or (exercise.holes[0] if exercise.holes else 1)
                yield Annotation(f"exercises/{exercise.name}.py", line, test.title, (test.feedback + hints).strip())
        for place in exercise.places:
            yield Annotation(f"exercises/{exercise.name}.py", place.line, "It goes wrong here first", place.sentence)
