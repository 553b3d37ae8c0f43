"""Where there is no fork, every child is a process of its own, and the next one warms up while this one works."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence

from autograder.isolation.between.channel import Channel
from autograder.isolation.between.messages import UNPROTECTED, Import
from autograder.isolation.between.wire import WireError, encode
from autograder.isolation.near.protocols import ENVIRONMENT, Canceled, Died, OutOfTime, command


class SpawningWorker:
    """See `Worker`."""

    def __init__(self, protection: str = UNPROTECTED, secrets: Sequence[str] = ()) -> None:
        self.protection = protection
        self.secrets = secrets
        self._libraries: list[str] = []
        self._next: SpawnedChild | None = None
        self._lock = threading.Lock()
        self._running: SpawnedChild | None = None
        self._stopped = False

    def prepare(self, libraries: Sequence[str]) -> None:
        """See `Worker`."""
        new = [name for name in libraries if name not in self._libraries]
        if new:
            self._libraries += new
            self.close()
            self._next = SpawnedChild(self._libraries)

    def child(self) -> SpawnedChild:
        """See `Worker`."""
        with self._lock:
            if self._stopped:
                raise Canceled
            self._running = self._next or SpawnedChild(self._libraries)
            self._next = SpawnedChild(self._libraries)
            return self._running

    def stop(self) -> None:
        """See `Worker`."""
        with self._lock:
            self._stopped = True
            if self._running:
                self._running.kill()

    def resume(self) -> None:
        """See `Worker`."""
        with self._lock:
            self._stopped, self._running = False, None

    def is_stopped(self) -> bool:
        """See `Worker`."""
        return self._stopped

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
            command("alone"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**system, **ENVIRONMENT},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._channel = Channel(self._process.stdout.fileno(), self._process.stdin.fileno())
        self._channel.send(encode(Import(list(libraries))))

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

    def waited(self) -> float:
        """See `Child`. Here nothing tells."""
        return 0.0

    def kill(self) -> None:
        """Ends the process at once; whoever waits for its answer sees it dead."""
        self._process.kill()

    def end(self) -> int:
        """See `Child`."""
        status = self._process.poll()
        self._process.kill()
        with self._process:  # closes the pipes and waits
            return status or 0
