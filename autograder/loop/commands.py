"""The commands of the student's loop: `watch`, `course`, `read`, `hint`, `reset`, `submit` and `notebook`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from autograder.course import LEVELS, Course, CourseError
from autograder.reports.console import open_console


def add_commands(commands: Any) -> None:
    """Adds them to the program's commands."""
    watch = commands.add_parser("watch", help="check an exercise whenever it is saved, and go on when it passes")
    watch.add_argument("exercise", nargs="?", metavar="EXERCISE", help="begin here (the first that does not pass)")
    add_plain(watch)
    watch.set_defaults(run=_watch)

    overview = commands.add_parser("course", help="the exercises: what is done, and what is next")
    add_plain(overview)
    overview.set_defaults(run=_course)

    read = commands.add_parser("read", help="the lesson as a page in the browser, beside your editor")
    read.add_argument("exercise", nargs="?", metavar="EXERCISE", help="this one (the one that you are at)")
    read.set_defaults(run=_read)

    hint = commands.add_parser("hint", help="the next hint, for the exercise that you are at")
    hint.add_argument("exercise", nargs="?", metavar="EXERCISE", help="or for this one")
    hint.add_argument("function", nargs="?", default="", metavar="FUNCTION", help="of it (the first with a hole)")
    hint.add_argument("--all", action="store_true", help="those that you have read, once more")
    hint.set_defaults(run=_hint)

    debug = commands.add_parser("debug", help="an example that fails, as a script to run, print from and stop in")
    debug.add_argument("exercise", nargs="?", metavar="EXERCISE", help="of this one (the one that you are at)")
    debug.add_argument("--no-run", action="store_true", help="only write it")
    debug.set_defaults(run=_debug)

    recap = commands.add_parser("recap", help="look back on a part: what was hard, and where the lesson answers it")
    recap.add_argument("part", nargs="?", default="", metavar="PART", help="Foundations, ... (the one that you are at)")
    recap.set_defaults(run=_recap)

    compare = commands.add_parser("compare", help="your answer beside another right one, once yours passes")
    compare.add_argument("exercise", metavar="EXERCISE")
    add_plain(compare)
    compare.set_defaults(run=_compare)

    reset = commands.add_parser("reset", help="begin an exercise anew; your text is kept beside it")
    reset.add_argument("exercise", metavar="EXERCISE")
    reset.add_argument("--level", choices=LEVELS, help="how much of it is open (as the course has it)")
    reset.set_defaults(run=_reset)

    submit = commands.add_parser("submit", help="write one zip to hand in")
    submit.add_argument("--out", type=Path, metavar="ZIP", help="where to (build/submission.zip)")
    submit.add_argument("--assignment", default="", metavar="NAME", help="of course.toml (the whole course)")
    submit.add_argument("--yes", action="store_true", help="do not ask")
    add_plain(submit)
    submit.set_defaults(run=_submit)

    notebook = commands.add_parser("notebook", help="open the exercises as notebooks")
    notebook.add_argument("exercise", nargs="?", metavar="EXERCISE", help="open this one at once")
    notebook.add_argument("--no-browser", action="store_true", help="only say where it can be opened")
    notebook.add_argument("--port", type=int, default=8888, metavar="N", help="or the next that is free")
    notebook.set_defaults(run=_notebook)


def add_plain(parser: argparse.ArgumentParser) -> None:
    """Adds `--plain`."""
    parser.add_argument("--plain", action="store_true", help="lines of text alone, as for a screen reader")


def _watch(options: argparse.Namespace, course: Course) -> int:
    from autograder.loop.run import watch

    name = course.select([options.exercise])[0].name if options.exercise else ""
    watch(course, open_console(options.plain), name)
    return 0


def _course(options: argparse.Namespace, course: Course) -> int:
    from autograder.loop.screen import print_course
    from autograder.loop.state import load
    from autograder.submission import read_submission

    submission = read_submission(course.exercises_folder, course)
    print_course(open_console(options.plain), course, load(course), submission)
    return 0


def _read(options: argparse.Namespace, course: Course) -> int:
    from autograder.loop.hints import current
    from autograder.loop.lessons import open_lesson

    exercise = course.select([options.exercise])[0] if options.exercise else current(course)
    there, said = open_lesson(course, exercise.name)
    print(said)
    return 0 if there else 1


def _hint(options: argparse.Namespace, course: Course) -> int:
    from autograder.loop.hints import current, next_hint, told_so_far

    exercise = course.select([options.exercise])[0] if options.exercise else current(course)
    if options.function and options.function not in (places := [place for place, _ in exercise.hints]):
        raise CourseError(f"{exercise.name} has hints for {', '.join(places)}.")
    print(told_so_far(course, exercise) if options.all else next_hint(course, exercise, options.function))
    return 0


def _recap(options: argparse.Namespace, course: Course) -> int:
    from autograder.loop.recap import part_of, recap

    print(recap(course, part_of(course, options.part)))
    return 0


def _compare(options: argparse.Namespace, course: Course) -> int:
    from autograder.loop.compare import compare

    compare(course, course.select([options.exercise])[0], open_console(options.plain))
    return 0


def _debug(options: argparse.Namespace, course: Course) -> int:
    from autograder.loop.debug import run, write_example
    from autograder.loop.hints import current

    exercise = course.select([options.exercise])[0] if options.exercise else current(course)
    path, said = write_example(course, exercise)
    print(said, flush=True)
    if path and options.no_run:
        print(f"Open it in your editor, and run it: make debug EX={exercise.name}")
    return run(course, path) if path and not options.no_run else 0


def _reset(options: argparse.Namespace, course: Course) -> int:
    from autograder.loop.reset import reset

    exercise = course.select([options.exercise])[0]
    print(reset(course, exercise.name, options.level or exercise.level))
    return 0


def _submit(options: argparse.Namespace, course: Course) -> int:
    from autograder.loop.handin import hand_in

    out = options.out or course.root / "build" / f"{options.assignment or 'submission'}.zip"
    console = open_console(options.plain)
    return 0 if hand_in(course, console, out, ask=not options.yes, assignment=options.assignment) else 1


def _notebook(options: argparse.Namespace, course: Course) -> int:
    from autograder.notebook.lab import open_lab

    name = course.select([options.exercise])[0].name if options.exercise else ""
    return open_lab(course, name, browser=not options.no_browser, port=options.port)
