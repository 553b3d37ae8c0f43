"""How much a test's own work, or a diagnosis, may take.

Both are the course's own code, but they work with what a submission answered: a column and a row, both small, make a
matrix that fills the machine.
"""

from __future__ import annotations

import ctypes
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
    if sys.platform != "linux":
        yield
        return
    timed = _by_signal if threading.current_thread() is threading.main_thread() else _by_thread
    with _little_memory(), timed(SECONDS + more):
        yield


@contextmanager
def _little_memory() -> Iterator[None]:
    """The limit is the process's: of several threads, the first one sets it and the last one lifts it."""
    global _limited, _lifted
    with _lock:
        if not _limited:
            mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            _lifted = soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            limit = mapped + MEMORY
            resource.setrlimit(
                resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(limit, soft), hard)
            )
        _limited += 1  # last: where the limit cannot be set, say for want of descriptors, none is to be lifted
    try:
        yield
    finally:
        with _lock:
            _limited -= 1
            if not _limited:
                resource.setrlimit(resource.RLIMIT_AS, _lifted)


_lock = threading.Lock()
_limited, _lifted = 0, (-1, -1)


@contextmanager
def _by_signal(seconds: float) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _exhausted)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _by_thread(seconds: float) -> Iterator[None]:
    """Signals reach the main thread alone: another one is interrupted by a third, as Python lets one do."""
    thread = ctypes.c_ulong(threading.get_ident())
    interrupt, ended, lock = ctypes.pythonapi.PyThreadState_SetAsyncExc, threading.Event(), threading.Lock()

    def late() -> None:
        with lock:
            if not ended.is_set():
                interrupt(thread, ctypes.py_object(Exhausted))

    timer = threading.Timer(seconds, late)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            ended.set()
            interrupt(thread, None)  # one that was on its way comes no more
        timer.cancel()


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
