"""What the session looks like: the exercise, the course, the keys. Nothing here decides anything."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from autograder.course import Course, holes
from autograder.loop.recap import hard
from autograder.loop.state import Memory, Standing, text_digest
from autograder.loop.watch import Watch
from autograder.reports.console import NARROW, has_unicode, is_plain
from autograder.reports.terminal import (
    MORE_TESTS,
    bar,
    count,
    file_of,
    mark,
    print_failures,
    print_passed,
    print_tests,
    state,
)
from autograder.submission import Submission
from autograder.term.assignments import assignments, due, whole

KEYS = {
    "n": "next", "p": "previous", "l": "list", "o": "lesson", "h": "hint", "d": "debug", "r": "run the picture",
    "t": "all tests", "q": "quit",
}  # fmt: skip


def redraw(console: Console, watch: Watch) -> None:
    """Draws the screen in place of the one before, without a flicker; plain lines are said one after the other."""
    if is_plain(console) or not console.is_terminal or console.legacy_windows:
        if not is_plain(console):
            console.clear()
        draw(console, watch)
        return
    with console.capture() as captured:
        draw(console, watch)
    lines = captured.get().rstrip("\n").split("\n")
    if len(lines) < console.height:
        text = "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"
    else:
        text = "\x1b[2J\x1b[H" + "\n".join(lines)  # what is above can be scrolled back to
    console.file.write(text)
    console.file.flush()


def draw(console: Console, watch: Watch) -> None:
    """The session as it stands."""
    if watch.listing:
        print_course(console, watch.course, watch.memory, watch.submission, watch.at)
    else:
        _print_exercise(console, watch)
    if not is_plain(console):
        console.print()
        print_keys(console)


def print_keys(console: Console) -> None:
    """What each key does."""
    if is_plain(console):
        console.print(f"Keys: {', '.join(f'{key} {what}' for key, what in KEYS.items())}.")
        return
    between = " · " if has_unicode(console) else " | "
    keys = Text(between, style="dim").join(
        Text.assemble((key, "bold"), f"\u00a0{_joined(what)}") for key, what in KEYS.items()
    )
    console.print(keys)


def print_course(console: Console, course: Course, memory: Memory, submission: Submission, at: str = "") -> None:
    """The course: what is done, what each exercise builds on, and what is next.

    Args:
        console: where.
        course: the course.
        memory: what is known of the exercises.
        submission: the student's files.
        at: the exercise that is being worked on.
    """
    passed = [name for name in course.names if memory.status(name, text_digest(submission, name)) == "passed"]
    known = [memory.of(name) for name in course.names if memory.status(name, text_digest(submission, name))]
    points = f"{sum(standing.score for standing in known):g} points"
    done = f"{len(passed)} of {count(len(course.names), 'exercise')}, {points}"
    following = next((name for name in course.names if name not in passed), None)
    console.print(f"[bold]{escape(course.title)}[/]")
    if is_plain(console):
        for number, exercise in enumerate(course.exercises, 1):
            console.print(f"{number}. {exercise.title}, {_told(course, memory, submission, exercise.name)}.")
    else:
        _print_table(console, course, memory, submission, at or following or "")
    console.print(f"{done}." if is_plain(console) else f"{bar(console, len(passed), len(course.names), 20)} {done}")
    if course.core:
        core = f"{len(set(course.core) & set(passed))} of {count(len(course.core), 'exercise')}"
        console.print(f"Core path: {core}." if is_plain(console) else f"{_core_mark(console)} the core path: {core}")
    for line in _deadlines(course, passed):
        console.print(line, markup=False)
    if most := hard(course, memory):
        console.print(f"What was hard: {', '.join(most)}. Look back: make recap", markup=False)
    if following is None:
        console.print(f"[green]All done.[/] You have built it all. [dim]{MORE_TESTS}[/]")
    else:
        console.print(f"[bold]Next:[/] {escape(course.exercise(following).title)}, in {file_of(following)}.")


def _deadlines(course: Course, passed: Collection[str], exercise: str = "") -> Iterator[str]:
    """What is due, and what is left of it; of an exercise's assignments alone when one is named."""
    now = datetime.now(UTC)
    for assignment in (*assignments(course), whole(course)):
        if (said := due(assignment, now)) and (not exercise or exercise in assignment.exercises):
            left = [name for name in assignment.exercises if name not in passed]
            yield f"{assignment.title} {said}. {'Left: ' + ', '.join(left) if left else 'All of it passes'}."


def _print_exercise(console: Console, watch: Watch) -> None:
    exercise, names = watch.exercise, watch.course.names
    plain = is_plain(console)
    if watch.news:
        _print_news(console, watch.news)
    place = f"{names.index(exercise.name) + 1} of {len(names)}"
    console.print(f"[bold]{escape(exercise.title)}[/] [dim]({place})[/]")
    console.print(f"[dim]{file_of(exercise.name)}[/]")
    known = {name: watch.memory.status(name, text_digest(watch.submission, name)) for name in names}
    for line in _deadlines(watch.course, [name for name in names if known[name] == "passed"], exercise.name):
        console.print(f"[dim]{escape(line)}[/]")
    grade = watch.grade
    if watch.trouble:
        console.print(Text(watch.trouble, style="yellow"))
    elif grade is None:
        console.print(_before(watch))
    elif grade.status in ("not_started", "missing"):
        console.print(_where_to_begin(watch))
    else:
        attempts = count(watch.memory.of(exercise.name).attempts, "attempt")
        points = f"{grade.score:g} of {grade.max_score:g} points, {attempts}"
        said = "passed" if grade.status == "passed" else state(grade)
        shown = "" if plain else f"{bar(console, grade.score, grade.max_score)} "
        console.print(f"{shown}{points}: {said}" + ("." if plain else ""))
        if not plain:
            console.print()
        if watch.whole and grade.status not in ("error", "timeout", "crashed"):
            print_tests(console, grade)
            console.print()
        if grade.status == "passed":
            console.print(f"[green]Passed.[/] You have built {escape(exercise.built)}.")
            print_passed(console, grade)
            if watch.finished:
                console.print(f"[bold green]All done.[/] You have built it all. [dim]{MORE_TESTS}[/]")
        else:
            print_failures(console, grade, whole=False)
    for more in (watch.hint, watch.example, watch.picture):
        if more:
            console.print(Text(f"\n{more}" if not plain else more, style="cyan"))
    if watch.checking and grade is not None and not plain:
        console.print("[dim]Checking ...[/]")


def _print_news(console: Console, news: str) -> None:
    tick = "" if is_plain(console) else f"{mark(console, 'passed')} "
    console.print(f"{tick}[green]{escape(news)}[/]")
    console.print()


def _before(watch: Watch) -> str:
    """What can be said of an exercise before it was checked."""
    if not watch.checking:
        return "Save the file, and it is checked."
    return f"{count(len(left), 'hole')} to fill. Checking ..." if (left := watch.holes(watch.at)) else "Checking ..."


def _where_to_begin(watch: Watch) -> str:
    file, left = file_of(watch.at), watch.grade.holes if watch.grade else ()
    if not left:
        return f"{file} is not there. `git checkout {file}` brings it back."
    first = f"Open {file} and fill the first hole, on line {left[0]}."
    return f"Not started: {count(len(left), 'hole')}.\n{first}\nSave the file, and it is checked at once."


def _print_table(console: Console, course: Course, memory: Memory, submission: Submission, at: str) -> None:
    wide, roomy = console.width >= NARROW, console.height > len(course.names) + 12
    table = Table(box=None, pad_edge=False, show_header=wide, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("exercise", no_wrap=True)
    if wide:
        table.add_column("builds on", overflow="fold")
        table.add_column("points", justify="right", no_wrap=True)
        table.add_column("attempts", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    arrow, part = "▸" if has_unicode(console) else ">", ""
    for exercise in course.exercises:
        name = exercise.name
        if roomy and exercise.part != part:
            part = exercise.part
            table.add_row("", f"[dim]{escape(part)}[/]")
        standing, status = memory.of(name), memory.status(name, text_digest(submission, name))
        style = "green" if status == "passed" else "dim" if not standing.attempts else "yellow"
        said = f"[{style}]{_state(standing, status, submission, name)}[/]"
        points = f"{standing.score:g}/{standing.max_score:g}" if status else ""
        attempts = str(standing.attempts or "")
        based = " ".join(exercise.builds_on)
        if not wide:
            more = [points if standing.attempts else "", count(standing.attempts, "attempt") if attempts else ""]
            more += [f"builds on {based}" if based else ""]
            said = ", ".join([said, *filter(None, more)])
        columns = [based, points, attempts] if wide else []
        shown = f"[bold]{name}[/]" if name == at else name
        if name in course.core:
            shown += f" {_core_mark(console)}"
        table.add_row(arrow if name == at else "", shown, *columns, said)
    console.print(table)


def _core_mark(console: Console) -> str:
    """What marks an exercise of the core path."""
    return "[cyan]◆[/]" if has_unicode(console) else "*"


def _told(course: Course, memory: Memory, submission: Submission, name: str) -> str:
    standing, status = memory.of(name), memory.status(name, text_digest(submission, name))
    facts = [_state(standing, status, submission, name)]
    if status:
        facts.append(f"{standing.score:g} of {standing.max_score:g} points")
    if standing.attempts:
        facts.append(count(standing.attempts, "attempt"))
    if name in course.core:
        facts.append("on the core path")
    if course.exercise(name).builds_on:
        facts.append(f"builds on {' and '.join(course.exercise(name).builds_on)}")
    return ", ".join(facts)


def _state(standing: Standing, status: str, submission: Submission, name: str) -> str:
    """How an exercise stands, as far as it is remembered."""
    if name not in submission.sources and name not in submission.problems:
        return "missing"
    if status == "passed":
        return "passed"
    left = len(holes(submission.sources.get(name, "")))
    if not left:
        return "to be fixed" if status else "not checked"
    return f"{count(left, 'hole')} left" if standing.attempts else count(left, "hole")


def _joined(text: str) -> str:
    """A text that no line break comes between."""
    return text.replace(" ", "\u00a0")
