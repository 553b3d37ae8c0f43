"""Messages over a pair of file descriptors: four bytes of length, then the message."""

from __future__ import annotations

import os
import select
import struct
import time

from autograder.isolation.between.wire import MAX_FRAME, WireError

_CHUNK = 1 << 16


class Channel:
    """Sends and receives whole messages, with a deadline where one is given.

    Args:
        read_fd: where messages come from.
        write_fd: where they go.
        bell: a descriptor that can be read once the conversation is to end, as if the deadline had passed.

    Raises:
        EOFError: the other side closed its end.
        TimeoutError: the deadline (in the seconds of `time.monotonic`) passed, or the bell rang.
        WireError: a message claims to be larger than any message may be.
    """

    def __init__(self, read_fd: int, write_fd: int, bell: int | None = None) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._bell = bell
        self._buffer = bytearray()
        if hasattr(select, "poll"):
            os.set_blocking(read_fd, False)
            os.set_blocking(write_fd, False)

    def send(self, message: bytes, deadline: float | None = None) -> None:
        """Sends one message."""
        if len(message) > MAX_FRAME:
            raise WireError("a message is too large")
        rest = memoryview(struct.pack(">I", len(message)) + message)
        while rest:
            try:
                rest = rest[os.write(self.write_fd, rest) :]
            except BlockingIOError:
                self._wait(self.write_fd, select.POLLOUT, deadline)
            except BrokenPipeError:
                raise EOFError from None

    def receive(self, deadline: float | None = None) -> bytes:
        """Returns the next message."""
        (length,) = struct.unpack(">I", self._take(4, deadline))
        if length > MAX_FRAME:
            raise WireError("a message is too large")
        return self._take(length, deadline)

    def close(self) -> None:
        """Closes both descriptors."""
        for fd in {self.read_fd, self.write_fd}:
            os.close(fd)

    def _take(self, count: int, deadline: float | None) -> bytes:
        while len(self._buffer) < count:
            try:
                data = os.read(self.read_fd, max(_CHUNK, min(count - len(self._buffer), 1 << 20)))
            except BlockingIOError:
                self._wait(self.read_fd, select.POLLIN, deadline)
                continue
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError
            self._buffer += data
            # A sender that drips single bytes must not outlive the deadline.
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _wait(self, fd: int, event: int, deadline: float | None) -> None:
        poll = select.poll()
        poll.register(fd, event)
        if self._bell is not None:
            poll.register(self._bell, select.POLLIN)
        ready = poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000)
        if not ready or self._bell in dict(ready):
            raise TimeoutError


def is_readable(fd: int) -> bool:
    """Whether something can be read without waiting."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll(0))  # and not that it is closed
