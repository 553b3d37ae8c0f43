"""How much a test's own work, or a diagnosis, may take.

Both are the course's own code, but they work with what a submission answered: a column and a row, both small, make a
matrix that fills the machine.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TypeVar

from autograder.course import CourseError, GraderError

if sys.platform == "linux":
    import resource

SECONDS = 60.0  # besides the time of the submission's own answers; either usually takes less than one
MEMORY = 2**31  # bytes besides what is mapped


T = TypeVar("T")


class Exhausted(BaseException):
    """The time is up. Not an `Exception`: a replayed call may catch those."""


@contextmanager
def bounded(more: float = 0.0) -> Iterator[None]:
    """Raises `Exhausted` after a while, and makes a `MemoryError` of what takes too much, where the system can.

    Args:
        more: seconds that it may take besides, for waiting.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        yield
        return
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = mapped + MEMORY
    before = signal.signal(signal.SIGALRM, _exhausted)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(limit, soft), hard))
        signal.setitimer(signal.ITIMER_REAL, SECONDS + more)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def contained(work: Callable[[], T], otherwise: T) -> T:
    """What some work comes to, or `otherwise` when it fails or takes too much: it costs words, and never a grade.

    Only what is about the submission may be done in it: trouble of the grader's own is not to be hidden.
    """
    try:
        with bounded():
            return work()
    except (GraderError, CourseError):
        raise
    except (Exception, Exhausted):
        return otherwise


def _exhausted(number: int, frame: FrameType | None) -> None:
    raise Exhausted
