"""What student code tried and may not do, for the sentence about it. Refusing is the kernel's part."""

from __future__ import annotations

import os
import sys

_refused = "system"


def listen() -> None:
    """Begins to remember."""
    sys.addaudithook(_notice)


def take_refused() -> str:
    """The last thing tried that submissions may not do, by its name in the near side's sentences."""
    global _refused
    refused, _refused = _refused, "system"
    return refused


_EVENTS = {
    "network": ("socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"),
    "program": ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.startfile"),
    "process": ("os.fork", "os.forkpty"),
    "signal": ("os.kill", "os.killpg", "signal.pthread_kill"),
    "write": (
        *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.link"),
        *("os.symlink", "os.utime", "os.setxattr", "shutil.rmtree", "shutil.move"),
    ),
    "read": ("os.listdir", "os.scandir", "os.chdir"),
}
_KINDS = {event: kind for kind, events in _EVENTS.items() for event in events}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _notice(event: str, arguments: tuple[object, ...]) -> None:
    """Remembers what was tried, for the sentence about it. Refusing is the kernel's part."""
    global _refused
    if event == "open":
        flags = arguments[2]
        _refused = "write" if isinstance(flags, int) and flags & _WRITING else "read"
    elif event in _KINDS:
        _refused = _KINDS[event]
