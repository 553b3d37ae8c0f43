"""Every command of a project ends with a sentence for people, whatever happened."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from autograder.course import CourseError
from projects.modules import NotReady


class ProjectError(Exception):
    """Something that cannot be done; the message says what, and what to do, in sentences for people."""


def run(work: Callable[[Console], None]) -> int:
    """Runs a command to its end, says in a sentence what stopped it, and returns the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        work(console)
        return 0
    except (ProjectError, NotReady, CourseError) as error:
        console.print(str(error), markup=False)
    except OSError as error:
        console.print(about(error), markup=False)
    except KeyboardInterrupt:
        console.print("Stopped. What is finished is kept: start this again and it goes on from there.")
        return 130
    return 1


def says_full(error: BaseException) -> bool:
    """Whether an error, of whichever library, means that the disk is full."""
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)


def disk_full(path: Path) -> OSError:
    """The system's own error for a full disk."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def about(error: OSError) -> str:
    """What happened, where, and what to try."""
    if says_full(error):
        return "The disk is full. What is finished is kept: make room, and start this again."
    where = f" with {error.filename}" if error.filename else ""
    return f"This cannot be done{where}: {error.strerror or error}."


def first_line(error: BaseException) -> str:
    """An error's first line, or its name where it says nothing."""
    return clipped(next(iter(str(error).strip().splitlines()), "") or type(error).__name__)


def clipped(text: str) -> str:
    """The text without its full stop, and not longer than a line or two."""
    return text.rstrip(".") if len(text) <= 160 else f"{text[:157]}..."
