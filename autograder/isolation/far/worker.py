"""The worker: imports the libraries once, before any student code, and forks a child for every exercise.

It is started with an empty environment and one open descriptor, its control socket, on standard input. On it the near
side tells it what to do (see `between/messages.py`), and the worker answers each. It holds no suite, no solution and
no submission, so there is nothing in it for a child to inherit.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence

from autograder.isolation.between.channel import Channel
from autograder.isolation.between.messages import End, Import, Spawn, Spawned
from autograder.isolation.between.wire import decode, encode
from autograder.isolation.far import child, profiles

CONTROL = 0  # the descriptor of the control socket
GRACE = 2.0  # seconds between a child's hanging up and its end
_CONTROL = {"import": Import, "spawn": Spawn, "end": End}  # by the verb, which is each one's last field
CHANNEL = 3  # the descriptor of a child's channel


def main() -> None:
    """Serves the near side until it hangs up; then no child is left."""
    control = socket.socket(fileno=CONTROL)
    alive = 0
    try:
        while True:
            message, descriptors = _receive(control)
            if isinstance(message, Import):
                control.send(encode(_import(message.names)))
            elif isinstance(message, Spawn):
                spawned = _spawn(control, descriptors[0], message.protection)
                alive = spawned.pid
                control.send(encode(spawned))
            else:
                control.send(encode(_end(alive, GRACE if message.ends_itself else 0.0)))
                alive = 0
    except EOFError:
        if alive:
            _end(alive, 0.0)


def alone() -> None:
    """Where there is no fork: this process is the child itself, with its channel on standard input and output."""
    channel = Channel(os.dup(0), os.dup(1))
    _import(Import(*decode(channel.receive())).names)
    child.run(channel, os.getppid())


def _import(names: Sequence[str]) -> list[str]:
    """Imports libraries and returns the names of those that are not there."""
    missing = []
    with contextlib.suppress(OSError):
        tempfile.gettempdir()  # which is found by writing there, and some libraries ask for it when they are imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            try:
                importlib.import_module(name)
            except ImportError:
                missing.append(name)
    if "torch" in sys.modules:
        # One thread computes the same bits everywhere, and no thread pool means that forking is safe.
        sys.modules["torch"].set_num_threads(1)
    gc.collect()
    gc.freeze()  # what is here now is shared with every child; its collector need not look at it
    return missing


def _spawn(control: socket.socket, descriptor: int, protection: str) -> Spawned:
    """A child with its own channel; when the system refuses to fork, the near side hears why."""
    worker = os.getpid()
    profiles.start(protection)
    try:
        pid = os.fork()
    except OSError as error:
        profiles.stop(protection)
        os.close(descriptor)
        return Spawned(0, error.strerror or str(error))
    if pid:
        profiles.stop(protection)
        os.close(descriptor)
        return Spawned(pid)
    try:
        control.detach()
        os.dup2(descriptor, CHANNEL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.closerange(CHANNEL + 1, 65536)
        child.run(Channel(CHANNEL, CHANNEL), worker)
    finally:
        os._exit(1)


def _end(pid: int, grace: float) -> int:
    """Ends the child; returns its exit code, minus the signal that it died of, or 0 when it had to be ended."""
    if not pid:
        return 0
    deadline = time.monotonic() + grace
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return 0
        time.sleep(0.001)


def _receive(control: socket.socket) -> tuple[Import | Spawn | End, list[int]]:
    """One small message and the descriptors that came with it. The near side is trusted."""
    data, ancillary, _, _ = control.recvmsg(1 << 16, socket.CMSG_SPACE(array.array("i").itemsize))
    if not data:
        raise EOFError
    descriptors = array.array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    fields = decode(data)
    return _CONTROL[fields[-1]](*fields), list(descriptors)
