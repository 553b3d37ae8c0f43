"""One warm process that forks a child in milliseconds, and every conversation with it held to a deadline."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from autograder.isolation.between.channel import Channel, is_readable
from autograder.isolation.between.messages import FULL, End, Import, Spawn, Spawned
from autograder.isolation.between.wire import WireError, decode, encode
from autograder.isolation.near.patience import MOST, Waiting
from autograder.isolation.near.protocols import (
    ENVIRONMENT,
    Canceled,
    Died,
    MissingLibraryError,
    OutOfTime,
    WorkerError,
    command,
)

_GONE = "the worker process did not start, or it was ended from outside"
GRACE = 60  # seconds for it to end by itself: it may be in the middle of an import
PATIENCE = 120  # seconds for the worker itself to answer


class ForkingWorker:
    """See `Worker`. Where one method raises `WorkerError`, this worker is of no use any more, but for `child`."""

    def __init__(self, protection: str = FULL, secrets: Sequence[str] = ()) -> None:
        self.protection = protection
        self.secrets = secrets
        try:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._heard, self._bell = os.pipe()  # a byte in it says stop
            with theirs:
                self._process = subprocess.Popen(
                    command("main"),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,  # Ctrl-C in the terminal is ours to handle
                )
        except OSError as error:
            raise WorkerError(f"a worker process cannot be started: {error.strerror}") from None
        self._socket.settimeout(PATIENCE)
        self._importing = 0
        self._imported: set[str] = set()

    def prepare(self, libraries: Sequence[str]) -> None:
        """See `Worker`. Imports begin while the near side goes on with its own."""
        new = [name for name in libraries if name not in self._imported]
        if new:
            self._imported.update(new)
            self._say(Import(new))
            self._importing += 1

    def child(self) -> ForkedChild:
        """See `Worker`."""
        if self.is_stopped():
            raise Canceled
        self._wait_for_imports()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise WorkerError(f"there are too many open files: {error.strerror}") from None
        with theirs:
            try:
                socket.send_fds(self._socket, [encode(Spawn(self.protection))], [theirs.fileno()])
                spawned = Spawned(*self._answer())
            except (OSError, WorkerError):
                ours.close()
                raise WorkerError(_GONE) from None
        if not spawned.pid:
            ours.close()
            raise WorkerError(f"no process can be forked: {spawned.why}")
        fd = ours.detach()
        return ForkedChild(self, Channel(fd, fd, self._heard), spawned.pid)

    def end_child(self, ends_itself: bool) -> int:
        """Ends the child that runs now, if one does, and returns how it ended.

        Args:
            ends_itself: it hung up, so its own end is a moment away and says more than ours.
        """
        self._say(End(ends_itself))
        return int(self._answer())

    def stop(self) -> None:
        """See `Worker`."""
        with suppress(OSError):  # it is closed already
            os.write(self._bell, b"!")

    def resume(self) -> None:
        """See `Worker`."""
        while is_readable(self._heard):
            os.read(self._heard, 64)

    def is_stopped(self) -> bool:
        """See `Worker`."""
        return self._socket.fileno() >= 0 and is_readable(self._heard)

    def close(self) -> None:
        """See `Worker`."""
        if self._socket.fileno() >= 0:
            self._socket.close()
            os.close(self._heard)
            os.close(self._bell)
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:  # it was stopped from outside, say
            self._process.kill()
            self._process.wait()

    def _wait_for_imports(self) -> None:
        while self._importing:
            missing = self._answer()
            self._importing -= 1
            if missing:
                raise MissingLibraryError(f"these libraries are not installed: {', '.join(missing)}")

    def _answer(self) -> Any:
        try:
            return decode(self._socket.recv(1 << 16))
        except (OSError, WireError):
            raise WorkerError(_GONE) from None

    def _say(self, message: tuple[Any, ...]) -> None:
        try:
            self._socket.send(encode(message))
        except OSError:
            raise WorkerError(_GONE) from None


class ForkedChild:
    """A child of a `ForkingWorker`."""

    def __init__(self, worker: ForkingWorker, channel: Channel, pid: int) -> None:
        self._worker = worker
        self._channel = channel
        self._waiting = Waiting(pid)
        self._status: int | None = None

    def ask(self, message: bytes, seconds: float) -> bytes:
        """See `Child`."""
        begun, before, granted = time.monotonic(), self.waited(), 0.0
        try:
            # Sending cannot be taken up again; a child that only waits for its next message reads at once.
            self._channel.send(message, begun + (1 + MOST) * seconds)
            while True:
                try:
                    return self._channel.receive(begun + seconds + granted)
                except TimeoutError:
                    waited = min(self.waited() - before, MOST * seconds)
                    if waited <= granted or self._worker.is_stopped():
                        raise
                    granted = waited
        except TimeoutError:
            self.end()
            raise OutOfTime from None
        except (EOFError, WireError) as error:
            raise Died(self.end(ends_itself=isinstance(error, EOFError))) from None

    def waited(self) -> float:
        """See `Child`."""
        return self._waiting.seconds()

    def end(self, ends_itself: bool = False) -> int:
        """See `Child`."""
        if self._status is None:
            self._status = 0
            try:
                self._status = self._worker.end_child(ends_itself)
            finally:
                self._waiting.close()
                self._channel.close()  # a child whose worker is gone sees that, and ends
        return self._status
