"""Grades in the terminal; as plain text where it is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from autograder.course import Course
from autograder.grades import ExerciseGrade, Grade, TestResult

BAR = 10  # characters
_STYLES = {"passed": "green", "failed": "red", "not_started": "dim", "missing": "yellow"}


def print_check(console: Console, course: Course, grade: Grade) -> None:
    """What a student sees: each trouble in words, then the table, then the one thing to do next."""
    for note in grade.notes:
        console.print(f"[yellow]{escape(note)}[/]\n")
    for exercise in grade.exercises:
        if exercise.status not in ("passed", "not_started", "missing"):
            print_exercise(console, course, exercise)
    console.print(_table(console, course, grade))
    console.print(f"\n{_next_step(course, grade)}")


def print_exercise(console: Console, course: Course, exercise: ExerciseGrade) -> None:
    """What is wrong with one exercise: its first failure in full, the others by their titles."""
    console.print(f"[bold]{escape(course.exercise(exercise.name).title)}[/] [dim]({exercise.name}.py)[/]")
    if exercise.carried_forward:
        names = " and ".join(exercise.carried_forward)
        console.print(f"  [dim]Checked with a right {escape(names)} in place of yours.[/]")
    failed = [test for test in exercise.tests if test.status != "passed"]
    if len({test.feedback for test in failed}) == 1 and exercise.status in ("error", "timeout", "crashed"):
        _print_indented(console, failed[0].feedback, 2)
    else:
        first, *rest = sorted(failed, key=lambda test: test.status != "failed")
        console.print(f"  [red]{_cross(console)}[/] {escape(first.title)}")
        _print_indented(console, first.feedback, 4)
        for test in rest:
            mark = _cross(console) if test.status == "failed" else "-"
            console.print(f"  [red]{mark}[/] {escape(test.title)}{_short_reason(test, first)}")
    for hint in exercise.hints:
        console.print(Padding(Text(f"Hint: {hint.text}", style="cyan"), (0, 0, 0, 2)))
    if not exercise.hints:
        console.print(f"  [dim]For a hint: make hint EX={exercise.name}[/]")
    console.print()


def print_grades(console: Console, grades: Sequence[Grade]) -> None:
    """One line a submission."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("submission", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("", no_wrap=True)
    table.add_column("not passed", overflow="fold")
    for grade in grades:
        open_ones = [f"{e.name} ({e.status.replace('_', ' ')})" for e in grade.exercises if e.status != "passed"]
        table.add_row(
            escape(grade.submission),
            f"{grade.score:g}/{grade.max_score:g}",
            _bar(console, grade.score, grade.max_score),
            ", ".join(open_ones) if len(open_ones) < len(grade.exercises) else "nothing passed yet",
        )
    console.print(table)


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar with rate and time left on the error stream, where that is a terminal."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=total < 2 or not console.is_terminal) as bar:
        task = bar.add_task("grading", total=total, rate="")

        def advance() -> None:
            bar.advance(task)
            speed = bar.tasks[task].speed
            bar.update(task, rate=f"{speed:.1f}/s" if speed else "")

        yield advance


def _table(console: Console, course: Course, grade: Grade) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for exercise in grade.exercises:
        style = _STYLES.get(exercise.status, "red")
        table.add_row(
            f"[{style}]{exercise.name}[/]",
            _bar(console, exercise.score, exercise.max_score),
            f"{exercise.score:g}/{exercise.max_score:g}",
            f"[{style}]{state(exercise)}[/]",
        )
    if len(grade.exercises) > 1:
        table.add_row("", _bar(console, grade.score, grade.max_score), f"{grade.score:g}/{grade.max_score:g}", "in all")
    return table


def state(exercise: ExerciseGrade) -> str:
    """How an exercise stands, in a few words."""
    if exercise.status == "not_started":
        return f"not started ({_count(len(exercise.holes), 'hole')})"
    if exercise.status == "missing":
        return f"there is no {exercise.name}.py"
    if exercise.holes and exercise.status != "error":
        return f"{len(exercise.holes)} of {_count(exercise.holes_total, 'hole')} left"
    return {"error": "cannot be loaded", "timeout": "does not come to an end"}.get(exercise.status, exercise.status)


def _next_step(course: Course, grade: Grade) -> str:
    for exercise in grade.exercises:
        file = f"exercises/{exercise.name}.py"
        if exercise.status == "passed":
            continue
        if exercise.status == "missing":
            return f"[bold]Next:[/] {file} is not there. `git checkout {file}` brings it back."
        if exercise.holes:
            return f"[bold]Next:[/] open {file} at line {exercise.holes[0]} and fill the first hole."
        if exercise.status == "error":
            return f"[bold]Next:[/] make {file} load; what is wrong stands above."
        failed = next(test for test in exercise.tests if test.status != "passed")
        return f"[bold]Next:[/] {file}: {escape(failed.title)}."
    if len(grade.exercises) == 1:
        return f"You have built {escape(course.exercise(grade.exercises[0].name).built)}."
    return "[bold green]All done.[/] You have built it all."


def _bar(console: Console, score: float, max_score: float) -> str:
    filled = int(BAR * score / max_score) if max_score else 0
    full, empty = ("█", "░") if _unicode(console) else ("#", ".")
    return f"[green]{full * filled}[/][dim]{empty * (BAR - filled)}[/]"


def _cross(console: Console) -> str:
    return "✗" if _unicode(console) else "x"


def _unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _short_reason(test: TestResult, first: TestResult) -> str:
    if test.feedback == first.feedback:
        return " [dim](the same)[/]"
    return f"\n    [dim]{escape(test.feedback.splitlines()[0])}[/]" if test.feedback else ""


def _print_indented(console: Console, text: str, indent: int) -> None:
    for line in text.splitlines():
        spaces = len(line) - len(line.lstrip())
        console.print(Padding(Text(line.strip()), (0, 0, 0, indent + spaces)))
