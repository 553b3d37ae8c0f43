"""What the visible suite notices by itself: students have no other, so a mistake that passes it passes in silence."""

from __future__ import annotations

from dataclasses import dataclass

from autograder.authoring.skeleton import with_one_hole
from autograder.course import Course, Exercise
from autograder.diagnosis.catalogue import known_mistakes
from autograder.grading import VISIBLE, Grader
from autograder.isolation.near.worker import Worker

ENOUGH = 0.9  # of the known mistakes: some show only in long sequences, rare dtypes or large numbers


@dataclass(frozen=True)
class Coverage:
    """How far an exercise's visible suite reaches.

    Attributes:
        mistakes: how many known mistakes were tried.
        missed: those that pass every visible test.
        unreached: lines of the solution whose answer can be left out without any visible test failing.
        sample: every n-th known mistake was tried; a few say nothing of the share.
    """

    mistakes: int
    missed: tuple[str, ...]
    unreached: tuple[int, ...]
    sample: int = 1

    def words(self) -> str:
        """The figures, for one line."""
        seen = self.mistakes - len(self.missed)
        return f"seen by visible tests {seen} of {self.mistakes}, holes that none reaches {len(self.unreached)}"

    def complaints(self) -> list[str]:
        """What is wrong with it, in sentences."""
        found = []
        if self.sample == 1 and len(self.missed) > (1 - ENOUGH) * self.mistakes + 1e-9:
            found.append(f"the visible suite misses {', '.join(self.missed)}: {ENOUGH:.0%} is the least")
        if self.unreached:
            lines = ", ".join(map(str, self.unreached))
            found.append(f"no visible test fails when the answer in line {lines} of the solution is left out")
        return found


def coverage(course: Course, exercise: Exercise, worker: Worker, sample: int = 1) -> Coverage:
    """Tries every `sample`-th known mistake, and the solution with one hole at a time, on the visible suite alone."""
    grader = Grader.start(course, [exercise], VISIBLE, worker, locked=False)
    mistakes = known_mistakes(course, exercise.name)[::sample]
    missed = tuple(mistake.id for mistake in mistakes if grader.survives(exercise, mistake.source))
    solution = course.solution(exercise.name).read_text(encoding="utf-8")
    holed = with_one_hole(solution)
    unreached = tuple(line for line, text in holed.items() if grader.survives(exercise, text))
    return Coverage(len(mistakes), missed, unreached, sample)
