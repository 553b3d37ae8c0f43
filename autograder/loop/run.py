"""The session in the real world: files that are saved, keys that are pressed, answers that come, and one screen."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from autograder.course import Course, CourseError
from autograder.loop import screen
from autograder.loop.checker import Checker, CheckJob
from autograder.loop.grader import impatient
from autograder.loop.keys import read_keys, single_keys
from autograder.loop.lessons import open_lesson
from autograder.loop.state import load, save
from autograder.loop.watch import Check, Example, Lesson, Picture, Quit, Warm, Watch, Wish
from autograder.reports.console import is_plain
from autograder.submission import Submission, SubmissionError, read_submission

Event = Callable[[Watch], list[Wish]]
QUIET = 20  # milliseconds without another change: some editors save in several steps
PICTURE_SECONDS = 600.0  # a window may stay open that long


def watch(course: Course, console: Console, name: str = "") -> None:
    """Runs the session until somebody quits.

    Raises:
        CourseError: there are no exercises to watch.
    """
    course, folder = impatient(course), course.exercises_folder
    if not folder.is_dir():
        raise CourseError(f"There is no folder {folder}.")
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    session = Watch(course, load(course), read_submission(folder, course))
    wishes = session.begin(name)
    with single_keys():
        if is_plain(console):
            screen.print_keys(console)
        screen.redraw(console, session)  # before anything that takes time
        checker = Checker(course, lambda number, verdict: events.put(lambda watch: watch.verdict(number, verdict)))
        _in_background(read_keys, lambda key: events.put(lambda watch: watch.key(key)))
        _in_background(_follow, folder, course, events)
        _redraw_when_resized(events)
        try:
            while _fulfil(wishes, session, checker, events):
                event = _next(events)
                session.memory = load(course)  # `make hint` may have changed it
                wishes = event(session)
                save(course, session.memory)
                if not (is_plain(console) and session.checking):  # said when there is an answer
                    screen.redraw(console, session)
        except KeyboardInterrupt:
            pass
        finally:
            checker.close()
            console.print()


def _fulfil(wishes: list[Wish], session: Watch, checker: Checker, events: queue.SimpleQueue[Event]) -> bool:
    """Does what the session asks for; returns whether it goes on."""
    for wish in wishes:
        match wish:
            case Check(number, name):
                checker.check(CheckJob(number, session.course.exercise(name), session.submission))
            case Warm(name):
                checker.warm(session.course.exercise(name))
            case Picture(name):
                _in_background(_draw_picture, session.course, name, events)
            case Lesson(name):
                _in_background(_open_lesson, session.course, name, events)
            case Example(name):
                _in_background(_write_example, session.course, name, events)
            case Quit():
                return False
    return True


def _next(events: queue.SimpleQueue[Event]) -> Event:
    while True:  # with a limit to each wait, for Ctrl-C cannot end a wait on Windows
        try:
            return events.get(timeout=1)
        except queue.Empty:
            continue


def _follow(folder: Path, course: Course, events: queue.SimpleQueue[Event]) -> None:
    """Reads the exercises again whenever one is saved."""
    from watchfiles import watch as changes

    def is_source(change: object, path: str) -> bool:
        return path.endswith((".py", ".ipynb")) and "/." not in path.removeprefix(str(folder)).replace("\\", "/")

    follow = partial(changes, folder, watch_filter=is_source, step=QUIET, debounce=10 * QUIET, raise_interrupt=False)
    try:
        for _ in follow():
            _read(folder, course, events)
    except (OSError, RuntimeError):  # this file system tells nobody what changes; so it is asked
        for _ in follow(force_polling=True, poll_delay_ms=100):
            _read(folder, course, events)


def _read(folder: Path, course: Course, events: queue.SimpleQueue[Event]) -> None:
    try:
        submission = read_submission(folder, course)
    except SubmissionError:
        submission = Submission(folder.name, {})
    events.put(lambda watch: watch.saved(submission))


def _draw_picture(course: Course, name: str, events: queue.SimpleQueue[Event]) -> None:
    """Runs the exercise as a script, as a student would."""
    script = course.stub(name)
    try:
        ran = subprocess.run(
            [sys.executable, str(script)],
            cwd=course.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=PICTURE_SECONDS,
        )
        lines = (ran.stdout if ran.returncode == 0 else ran.stderr).strip().splitlines()
        said = "\n".join(lines[-5:]) or "The picture was shown."
        if ran.returncode:
            said = f"The picture could not be drawn: {lines[-1] if lines else 'the program ended early'}."
    except (OSError, subprocess.TimeoutExpired) as error:
        said = f"The picture could not be drawn: {error}."
    events.put(lambda watch: watch.shown(name, said))


def _open_lesson(course: Course, name: str, events: queue.SimpleQueue[Event]) -> None:
    _, said = open_lesson(course, name)
    events.put(lambda watch: watch.shown(name, said))


def _write_example(course: Course, name: str, events: queue.SimpleQueue[Event]) -> None:
    """In a process of its own, for the checker goes on."""
    command = [sys.executable, "-P", "-m", "autograder", "debug", name, "--no-run"]
    try:
        ran = subprocess.run(
            command,
            cwd=course.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=PICTURE_SECONDS,
        )
        said = ran.stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        said = f"The example could not be written: {error}."
    events.put(lambda watch: watch.written(name, said))


def _redraw_when_resized(events: queue.SimpleQueue[Event]) -> None:
    for name in ("SIGWINCH", "SIGCONT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: events.put(lambda watch: []))


def _in_background(work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()
