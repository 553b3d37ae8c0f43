"""A worker whose work another thread can stop at once, even when it hangs, and that stays warm all the same."""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress

from autograder.isolation.between.channel import Channel
from autograder.isolation.near.worker import CAN_FORK, ForkedChild, ForkingWorker, SpawnedChild, SpawningWorker


class Cancelled(KeyboardInterrupt):
    """The check was stopped from outside. Like Ctrl-C, it goes through pytest and hypothesis without being judged."""


class StoppableForkingWorker(ForkingWorker):
    """While it is stopped, it gives no child, and a child that is asked something ends instead of answering."""

    def __init__(self) -> None:
        super().__init__()
        self._heard, self._bell = os.pipe()  # a byte in it says stop

    def stop(self) -> None:
        """Stops what runs now. May be called from any thread."""
        with suppress(OSError):  # it is closed already
            os.write(self._bell, b"!")

    def resume(self) -> None:
        """Works again. Called by the thread that the work is in."""
        while _is_readable(self._heard):
            os.read(self._heard, 64)

    def is_stopped(self) -> bool:
        """Whether it was stopped since it last began to work."""
        return _is_readable(self._heard)

    def child(self) -> ForkedChild:
        """See `Worker`."""
        if self.is_stopped():
            raise Cancelled
        fd = super().child()._channel.read_fd
        return ForkedChild(self, _Line(fd, self._heard))

    def close(self) -> None:
        """See `Worker`."""
        super().close()
        os.close(self._heard)
        os.close(self._bell)


class _Line(Channel):
    """A channel whose wait for an answer ends, as at the deadline, when somebody rings the bell."""

    def __init__(self, fd: int, bell: int) -> None:
        super().__init__(fd, fd)
        self._bell = bell

    def receive(self, deadline: float | None = None) -> bytes:
        """See `Channel`."""
        if not self._buffer:
            poll = select.poll()
            poll.register(self.read_fd, select.POLLIN)
            poll.register(self._bell, select.POLLIN)
            seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._bell in dict(poll.poll(None if seconds is None else seconds * 1000)):
                raise TimeoutError
        return super().receive(deadline)


class StoppableSpawningWorker(SpawningWorker):
    """The same where there is no fork: what runs now is a process, and is ended."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._running: SpawnedChild | None = None
        self._stopped = False

    def stop(self) -> None:
        """Stops what runs now. May be called from any thread."""
        with self._lock:
            self._stopped = True
            if self._running:
                self._running._process.kill()

    def resume(self) -> None:
        """Works again. Called by the thread that the work is in."""
        with self._lock:
            self._stopped, self._running = False, None

    def is_stopped(self) -> bool:
        """Whether it was stopped since it last began to work."""
        return self._stopped

    def child(self) -> SpawnedChild:
        """See `Worker`."""
        with self._lock:
            if self._stopped:
                raise Cancelled
            self._running = super().child()
            return self._running


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


StoppableWorker = StoppableForkingWorker | StoppableSpawningWorker


def start_stoppable_worker() -> StoppableWorker:
    """Starts the kind of worker that this system can have; returns before it is ready."""
    return StoppableForkingWorker() if CAN_FORK else StoppableSpawningWorker()
