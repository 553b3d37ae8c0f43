"""Starts workers and children, and holds every conversation with them to its deadline."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from autograder.course import GraderError
from autograder.files import PROGRAM
from autograder.isolation.between.channel import Channel
from autograder.isolation.between.wire import WireError, decode, encode

ROOT = str(PROGRAM.parent)
CAN_FORK = sys.platform == "linux"  # macOS can fork too, but its system libraries do not survive it
_ENVIRONMENT = {
    # The whole environment of a worker: what makes libraries quiet, offline and repeatable.
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUTF8": "1",
    "HOME": "/nonexistent",
}


_GONE = "the worker process did not start, or it was ended from outside"


class WorkerError(GraderError):
    """A worker could not start, or a library is missing."""


class OutOfTime(Exception):
    """No answer came before the deadline."""


class Died(Exception):
    """The child ended by itself, or sent back something that is no answer.

    Attributes:
        status: its exit code, or minus the signal that ended it; 0 when it had to be ended.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Confinement:
    """How a child is shut in.

    Attributes:
        locked: whether it is at all; a student's own check is not.
        limits: resource limits by name (see `far.lockdown`).
    """

    locked: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)


class Child(Protocol):
    """A process with one exercise loaded."""

    def ask(self, message: bytes, seconds: float) -> bytes:
        """Sends a message and returns the answer, or raises `OutOfTime` or `Died`."""

    def end(self) -> int:
        """Ends the process, whatever it is doing, and returns how it ended (see `Died.status`)."""


class Worker(Protocol):
    """Gives children that have the libraries loaded."""

    def prepare(self, libraries: Sequence[str]) -> None:
        """Begins to import libraries; returns at once."""

    def child(self) -> Child:
        """A fresh child. The one before it must have ended."""

    def close(self) -> None:
        """Ends the worker and whatever runs in it."""


def start_worker() -> Worker:
    """Starts the kind of worker that this system can have; returns before it is ready."""
    return ForkingWorker() if CAN_FORK else SpawningWorker()


class ForkingWorker:
    """One warm process that forks a child in milliseconds."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(120)
        with theirs:
            self._process = subprocess.Popen(
                _command("main"),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,  # Ctrl-C in the terminal is ours to handle
            )
        self._importing = 0
        self._imported: set[str] = set()

    def prepare(self, libraries: Sequence[str]) -> None:
        """See `Worker`. Imports begin while the near side goes on with its own."""
        new = [name for name in libraries if name not in self._imported]
        if new:
            self._imported.update(new)
            self._say("import", new)
            self._importing += 1

    def child(self) -> ForkedChild:
        """See `Worker`."""
        self._wait_for_imports()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._socket, [encode(("spawn",))], [theirs.fileno()])
                self._answer()
            except (OSError, WorkerError):
                ours.close()
                raise WorkerError(_GONE) from None
        fd = ours.detach()
        return ForkedChild(self, Channel(fd, fd))

    def end_child(self, ends_itself: bool) -> int:
        """Ends the child that runs now, if one does, and returns how it ended.

        Args:
            ends_itself: it hung up, so its own end is a moment away and says more than ours.
        """
        self._say("end", ends_itself)
        return int(self._answer())

    def close(self) -> None:
        """See `Worker`."""
        self._socket.close()
        self._process.wait()

    def _wait_for_imports(self) -> None:
        while self._importing:
            missing = self._answer()
            self._importing -= 1
            if missing:
                raise WorkerError(f"these libraries are not installed: {', '.join(missing)}")

    def _answer(self) -> Any:
        try:
            return decode(self._socket.recv(1 << 16))
        except (OSError, WireError):
            raise WorkerError(_GONE) from None

    def _say(self, *message: Any) -> None:
        try:
            self._socket.send(encode(message))
        except OSError:
            raise WorkerError(_GONE) from None


class ForkedChild:
    """A child of a `ForkingWorker`."""

    def __init__(self, worker: ForkingWorker, channel: Channel) -> None:
        self._worker = worker
        self._channel = channel
        self._status: int | None = None

    def ask(self, message: bytes, seconds: float) -> bytes:
        """See `Child`."""
        deadline = time.monotonic() + seconds
        try:
            self._channel.send(message, deadline)
            return self._channel.receive(deadline)
        except TimeoutError:
            self.end()
            raise OutOfTime from None
        except (EOFError, WireError) as error:
            raise Died(self.end(ends_itself=isinstance(error, EOFError))) from None

    def end(self, ends_itself: bool = False) -> int:
        """See `Child`."""
        if self._status is None:
            self._status = self._worker.end_child(ends_itself)
            self._channel.close()
        return self._status


class SpawningWorker:
    """Where there is no fork, every child is a process of its own, and the next one warms up while this one works."""

    def __init__(self) -> None:
        self._libraries: list[str] = []
        self._next: SpawnedChild | None = None

    def prepare(self, libraries: Sequence[str]) -> None:
        """See `Worker`."""
        new = [name for name in libraries if name not in self._libraries]
        if new:
            self._libraries += new
            self.close()
            self._next = SpawnedChild(self._libraries)

    def child(self) -> SpawnedChild:
        """See `Worker`."""
        child = self._next or SpawnedChild(self._libraries)
        self._next = SpawnedChild(self._libraries)
        return child

    def close(self) -> None:
        """See `Worker`."""
        if self._next:
            self._next.end()
            self._next = None


class SpawnedChild:
    """A child that is a process of its own."""

    def __init__(self, libraries: Sequence[str]) -> None:
        system = {name: os.environ[name] for name in ("SYSTEMROOT", "PATH") if name in os.environ}
        self._process = subprocess.Popen(
            _command("alone"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**system, **_ENVIRONMENT},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._channel = Channel(self._process.stdout.fileno(), self._process.stdin.fileno())
        self._channel.send(encode(("import", list(libraries))))

    def ask(self, message: bytes, seconds: float) -> bytes:
        """See `Child`. Pipes cannot be polled everywhere, so a timer ends a process that is late."""
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        try:
            self._channel.send(message)
            return self._channel.receive()
        except (EOFError, WireError, OSError):
            late = not timer.is_alive()
            status = self.end()
            raise (OutOfTime() if late else Died(status)) from None
        finally:
            timer.cancel()

    def end(self) -> int:
        """See `Child`."""
        status = self._process.poll()
        self._process.kill()
        with self._process:  # closes the pipes and waits
            return status or 0


def _command(start: str) -> list[str]:
    # The project is importable while the worker starts, and not once student code runs.
    program = (
        f"import sys; sys.path.insert(0, {ROOT!r}); from autograder.isolation.far import worker; "
        f"sys.path.pop(0); worker.{start}()"
    )
    return [sys.executable, "-s", "-P", "-c", program]
