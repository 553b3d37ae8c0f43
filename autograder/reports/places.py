"""Where in a student's own file a failure is, for reports that point at lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from autograder.grades import ExerciseGrade, Grade

# As `suites.explain` says it: "(line 3 of softmax.py: ...)", "softmax.py line 3 is not", "line 3 still holds".
_LINE = r"line (\d{{1,6}}) (?:of {name}\.py|still holds)|{name}\.py line (\d{{1,6}}) "


class Trouble(NamedTuple):
    """A failure with the line that it is about, or where the function begins; 1 where nothing says which."""

    file: str
    line: int
    title: str
    text: str


def troubles(grade: Grade) -> Iterator[Trouble]:
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
                line = _line(exercise, test.feedback)
                yield Trouble(f"exercises/{exercise.name}.py", line, test.title, (test.feedback + hints).strip())


def _line(exercise: ExerciseGrade, feedback: str) -> int:
    found = re.search(_LINE.format(name=re.escape(exercise.name)), feedback)
    if found:
        return int(found[1] or found[2])
    called = re.match(r"`(\w+)", feedback)
    if called and called[1] in exercise.lines:
        return exercise.lines[called[1]]
    return exercise.holes[0] if exercise.holes else 1
