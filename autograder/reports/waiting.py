"""What is said while exercises are checked: a line for each as its answer comes, and which one is next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from autograder.grades import ExerciseGrade
from autograder.reports.terminal import mark


@contextmanager
def waiting(quiet: bool = False) -> Iterator[Callable[[ExerciseGrade], None]]:
    """A spinner on the error stream, where that is a terminal, and above it what has come of each exercise.

    Args:
        quiet: say nothing at all, as for a screen reader, which would read it all twice.

    Yields:
        What is told of each exercise that was judged.
    """
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda grade: None
        return
    with console.status("Checking ...") as status:

        def said(grade: ExerciseGrade) -> None:
            console.print(f"{mark(console, grade.status)} {grade.name}")
            status.update("Checking the next ...")

        yield said
