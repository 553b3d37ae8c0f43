"""Grades in the terminal: colored, narrow, or as plain lines that a screen reader can read out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from autograder.course import Course
from autograder.grades import ExerciseGrade, Grade, TestResult
from autograder.reports.console import NARROW, has_unicode, is_plain
from autograder.reports.gates import markup, name, terminal

BAR = 10  # characters
NAMED = 4  # exercises of one status that a line of the table names
MORE_TESTS = "These are the tests that you see; the hand-in has more."
_STYLES = {"passed": "green", "failed": "red", "not_started": "dim", "missing": "yellow"}


def print_check(console: Console, course: Course, grade: Grade) -> None:
    """What a student sees: each trouble in words, then the table, then the one thing to do next."""
    for note in grade.notes:
        console.print(f"[yellow]{markup(note)}[/]\n")
    for exercise in grade.exercises:
        title = f"[bold]{escape(course.exercise(exercise.name).title)}[/] [dim]({exercise.name}.py)[/]"
        if exercise.status == "passed" and any(test.printed for test in exercise.tests):
            console.print(title)
            print_passed(console, exercise)
            console.print()
        if exercise.status not in ("passed", "not_started", "missing"):
            console.print(title)
            print_failures(console, exercise, whole=True)
            if not exercise.hints:
                console.print(f"  [dim]For a hint: make hint EX={exercise.name}[/]")
            console.print()
    for sentence in _hidden_faults(grade):
        console.print(f"[yellow]{escape(sentence)}[/]\n")
    if is_plain(console):
        for exercise in grade.exercises:
            console.print(f"{exercise.name}: {state(exercise)}, {exercise.score:g} of {exercise.max_score:g} points.")
        if len(grade.exercises) > 1:
            console.print(f"In all: {grade.score:g} of {grade.max_score:g} points.")
    else:
        console.print(_table(console, grade))
    console.print(f"\n{_next_step(course, grade)}")


def print_failures(console: Console, exercise: ExerciseGrade, *, whole: bool) -> None:
    """What is wrong with one exercise: its first failure in full, then what a known mistake says.

    Args:
        console: where.
        exercise: the grade.
        whole: whether the other failures are listed, and not only counted.
    """
    if exercise.carried_forward:
        names = " and ".join(exercise.carried_forward)
        console.print(f"  [dim]Checked with a right {escape(names)} in place of yours.[/]")
    failed = exercise.wrong
    if len({test.feedback for test in failed}) == 1 and exercise.status in ("error", "timeout", "crashed"):
        _print_indented(console, failed[0].feedback, 2)
    elif failed:
        waiting = [test for test in failed if test.line in exercise.holes]
        real = [test for test in failed if test.line not in exercise.holes]
        first, rest = real[0] if real else None, real[1:]
        if first:
            console.print(f"  {mark(console, first.status)} {name(first.title)}")
            _print_indented(console, first.feedback, 4)
            _print_printed(console, first)
        for test in rest if whole else ():
            console.print(f"  {mark(console, test.status)} {name(test.title)}{_short_reason(test, first)}")
            _print_printed(console, test)
        if rest and not whole:
            console.print(f"  [dim]{len(rest)} more {'does' if len(rest) == 1 else 'do'} not pass yet.[/]")
        if waiting:
            _print_text(console, _not_finished(exercise, len(waiting)), 2)
    for place in exercise.places:
        _print_text(console, terminal(place.sentence), 2, "yellow")
    for hint in exercise.hints:
        _print_text(console, terminal(f"Hint: {hint.text}"), 2, "cyan")


def print_passed(console: Console, exercise: ExerciseGrade) -> None:
    """What was printed in tests that pass."""
    for test in exercise.tests:
        if test.status == "passed" and test.printed:
            console.print(f"  {mark(console, test.status)} {name(test.title)}")
            _print_printed(console, test)


def print_tests(console: Console, exercise: ExerciseGrade) -> None:
    """Every test of an exercise, with its points."""
    for test in exercise.tests:
        points = f"{test.score:g} of {test.max_score:g}"
        console.print(f"  {mark(console, test.status)} {name(test.title)} [dim]({points})[/]")
        _print_printed(console, test)


def print_grades(console: Console, grades: Sequence[Grade]) -> None:
    """One line a submission."""
    if is_plain(console):
        for grade in grades:
            said = "could not be read" if grade.unreadable else f"{grade.score:g} of {grade.max_score:g} points"
            console.print(f"{name(grade.submission)}: {said}.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("submission", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("", no_wrap=True)
    table.add_column("not passed", overflow="fold")
    for grade in grades:
        if grade.unreadable:
            table.add_row(name(grade.submission), "–" if has_unicode(console) else "-", "", "could not be read")
        else:
            points, drawn = f"{grade.score:g}/{grade.max_score:g}", bar(console, grade.score, grade.max_score)
            table.add_row(name(grade.submission), points, drawn, _open(grade))
    console.print(table)


def print_reading(console: Console, grades: Sequence[Grade]) -> None:
    """What could not be read of the submissions, and what was found and not used: nobody must look for it."""
    unread = [grade for grade in grades if grade.unreadable]
    noted = [grade for grade in grades if grade.notes and not grade.unreadable]
    if unread:
        console.print(f"\n{count(len(unread), 'submission')} could not be read. They have no points, and no zeros:")
    for grade in unread:
        console.print(f"  {name(grade.submission)}: {name(grade.unreadable)}")
    if noted:
        console.print(f"\nTo be looked at in {count(len(noted), 'submission')}:")
    for grade in noted:
        for note in grade.notes:
            console.print(f"  {name(grade.submission)}: {name(note)}")


def print_refused(console: Console, refused: Mapping[str, str]) -> None:
    """The attempts that were not graded, and why."""
    if refused:
        console.print(f"\n{count(len(refused), 'attempt')} not graded:")
    for submission, why in refused.items():
        console.print(f"  {name(submission)}: {name(why)}")


def print_others(console: Console, others: Sequence[str]) -> None:
    """Whose grades lie in the folder of results, and were not among the submissions."""
    shown = ", ".join(map(name, others[:NAMED])) + (f" and {len(others) - NAMED} more" if len(others) > NAMED else "")
    console.print(f"\nThe results also hold {count(len(others), 'grade')} of submissions that were not given: {shown}.")
    console.print("They stay in every report; `grade --prune` moves them away.")


def _open(grade: Grade) -> str:
    """Which exercises did not pass, a few by name."""
    by_status: dict[str, list[str]] = {}
    for exercise in grade.exercises:
        if exercise.status != "passed":
            by_status.setdefault(exercise.status.replace("_", " "), []).append(exercise.name)
    if len(grade.exercises) == 1:
        return ", ".join(by_status)
    return "; ".join(
        f"{', '.join(names)} ({status})" if len(names) <= NAMED else f"{len(names)} exercises ({status})"
        for status, names in by_status.items()
    )


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


def _table(console: Console, grade: Grade) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    wide = console.width >= NARROW
    table.add_column(overflow="fold")
    if wide:
        table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")

    def add(name: str, score: float, max_score: float, said: str) -> None:
        shown = (bar(console, score, max_score),) if wide else ()
        table.add_row(name, *shown, f"{score:g}/{max_score:g}", said)

    for exercise in grade.exercises:
        style = _STYLES.get(exercise.status, "red")
        add(f"[{style}]{exercise.name}[/]", exercise.score, exercise.max_score, f"[{style}]{state(exercise)}[/]")
    if len(grade.exercises) > 1:
        add("", grade.score, grade.max_score, "in all")
    return table


def state(exercise: ExerciseGrade) -> str:
    """How an exercise stands, in a few words."""
    if exercise.status == "not_started":
        return f"not started ({count(len(exercise.holes), 'hole')})"
    if exercise.status == "missing":
        return f"there is no {exercise.name}.py"
    if exercise.holes and exercise.status != "error":
        left, total = len(exercise.holes), exercise.holes_total
        return f"{left} of {count(total, 'hole')} left" if left < total else f"{count(left, 'hole')} left"
    said = {"error": "cannot be loaded", "timeout": "timed out", "not_graded": "not graded"}
    return said.get(exercise.status, exercise.status)


def _next_step(course: Course, grade: Grade) -> str:
    for exercise in grade.exercises:
        file = file_of(exercise.name)
        if exercise.status == "passed":
            continue
        if exercise.status == "missing":
            return f"[bold]Next:[/] {file} is not there. `git checkout {file}` brings it back."
        failed = exercise.wrong[0] if exercise.wrong else None
        if exercise.holes and (exercise.status == "not_started" or failed is None or failed.line in exercise.holes):
            return f"[bold]Next:[/] open {file} at line {exercise.holes[0]} and fill the first hole."
        if exercise.status == "error":
            return f"[bold]Next:[/] make {file} load; what is wrong stands above."
        if exercise.status == "not_graded":
            return f"[bold]Next:[/] run it again: {exercise.name} was not graded, and {file} is not to blame."
        assert failed is not None  # it did not pass
        line = exercise.places[0].line if exercise.places else failed.line
        where = f"{file} at line {line}" if line else file
        return f"[bold]Next:[/] {where}: {name(failed.title)}."
    if len(grade.exercises) == 1:
        return f"You have built {escape(course.exercise(grade.exercises[0].name).built)}. [dim]{MORE_TESTS}[/]"
    return f"[bold green]All done.[/] You have built it all. [dim]{MORE_TESTS}[/]"


def file_of(name: str) -> str:
    """Where an exercise stands, as this system writes paths."""
    return os.path.join("exercises", f"{name}.py")


def bar(console: Console, score: float, max_score: float, length: int = BAR) -> str:
    """How much of something is done, drawn."""
    filled = int(length * score / max_score) if max_score else 0
    full, empty = ("█", "░") if has_unicode(console) else ("#", ".")
    return f"[green]{full * filled}[/][dim]{empty * (length - filled)}[/]"


def mark(console: Console, status: str) -> str:
    """A test's outcome: a tick or a cross, and a word where marks cannot be seen."""
    if is_plain(console):
        return {"passed": "Passes:", "failed": "Fails:"}.get(status, "Not run:")
    if status == "passed":
        return "[green]✓[/]" if has_unicode(console) else "[green]ok[/]"
    return f"[red]{'✗' if has_unicode(console) else 'x'}[/]" if status == "failed" else "[dim]-[/]"


def count(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _hidden_faults(grade: Grade) -> Iterator[str]:
    """The exercises that pass their own tests, and yet others fail with them and pass without."""
    passed = {exercise.name for exercise in grade.exercises if exercise.status == "passed"}
    for exercise in grade.exercises:
        for base in exercise.carried_forward if exercise.status == "passed" else ():
            if base in passed:
                yield (
                    f"{exercise.name} passes with a right {base}, and not with yours: something in {file_of(base)} is "
                    "still wrong, though it passes its own tests."
                )


def _not_finished(exercise: ExerciseGrade, tests: int) -> str:
    """All that is unfinished, in one sentence."""
    names = [f"`{function}`" for function in exercise.unfinished] or [file_of(exercise.name)]
    lines = [str(line) for line in exercise.holes]
    where = f"line{'' if len(lines) == 1 else 's'} {listed(lines)}"
    them = "it" if len(names) == 1 else "them"
    return f"Not finished yet: {listed(names)} ({where}). {count(tests, 'test')} wait{'s' * (tests == 1)} for {them}."


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def _print_printed(console: Console, test: TestResult) -> None:
    """What the student's own code printed in a test."""
    if test.printed:
        _print_text(console, "It printed:", 4, "dim")
        for line in terminal(test.printed).split("\n"):
            _print_text(console, line, 6)


def _short_reason(test: TestResult, first: TestResult | None) -> str:
    if first and test.feedback == first.feedback:
        return " [dim](the same)[/]"
    return f"\n    [dim]{name(test.feedback.splitlines()[0])}[/]" if test.feedback else ""


def _print_indented(console: Console, text: str, indent: int) -> None:
    lines = terminal(text).split("\n")
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below.strip() == "^":
            _print_pointed(console, line, len(below) - 1, indent)
        elif line.strip() != "^":
            _print_text(console, line.strip(), indent + len(line) - len(line.lstrip()))


def _print_pointed(console: Console, line: str, column: int, indent: int) -> None:
    """A line of code with a caret below one of its columns, also where the line is too long for the terminal."""
    code = line.lstrip()
    indent, column = indent + len(line) - len(code), max(column - (len(line) - len(code)), 0)
    if is_plain(console):
        _print_text(console, code, indent)
        _print_text(console, f"It stopped at character {column + 1} of this line.", indent)
        return
    width = max(console.width - indent, 10)
    for start in range(0, max(len(code), column + 1), width):
        console.print(Text(" " * indent + code[start : start + width]), soft_wrap=True)
        if start <= column < start + width:
            console.print(Text(" " * (indent + column - start) + "^"), soft_wrap=True)


def _print_text(console: Console, text: str, indent: int, style: str = "") -> None:
    if is_plain(console):
        console.print(Text(" " * indent + text))
    else:
        console.print(Padding(Text(text, style=style), (0, 0, 0, indent), expand=False))
