"""The locks that a child is shut in with, before the first line of student source is compiled: each is one class.

A lock that cannot be applied raises `OSError` (or `ImportError`), and nothing of a submission runs. What `profiles`
makes of them stands there; what each is for, in SECURITY.md.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from autograder.isolation.between.messages import Limits
from autograder.isolation.far import broker, calls_lock, files_lock, root_folder
from autograder.isolation.far.kernel import call
from autograder.isolation.far.lock import Lock

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
THREADS = 128  # of one child, besides what its user runs already where that is somebody's account
# Users who are nobody: numbers that are given to none; where a container has 65536 in all, those that systemd makes up
# for one process. See https://systemd.io/UIDS-GIDS.
_NOBODIES = (range(0x70000000, 0x78000000), range(61184, 65520))
_WORKER = int.from_bytes(os.urandom(8), "little")  # one child of it lives at a time
_READABLE = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime"),
    *("/usr/share/zoneinfo", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
)


class Resources(Lock):
    """Memory, processor time, threads, descriptors, and not one byte of a file; it ends when the worker ends."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        import resource  # not on Windows, where nothing is locked

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        alone = os.geteuid() == 0 and _become_nobody()  # root's threads are not counted
        for kind, value in (
            (resource.RLIMIT_AS, mapped + limits.memory_mib * 2**20),
            (resource.RLIMIT_CPU, limits.cpu_seconds),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, 128),
            (resource.RLIMIT_NPROC, THREADS if alone else 4096),
            (resource.RLIMIT_MEMLOCK, 0),
            (resource.RLIMIT_MSGQUEUE, 0),
        ):
            _, most = resource.getrlimit(kind)
            value = value if most == resource.RLIM_INFINITY else min(value, most)
            # At the soft limit of processor time comes a signal that can be caught, a second later one that cannot.
            resource.setrlimit(kind, (value, value + 1 if kind == resource.RLIMIT_CPU else value))

    def missing(self, limits: Limits) -> str:
        """See `Lock`."""
        try:
            bytearray((limits.memory_mib + 64) * 2**20)
        except MemoryError:
            return ""
        return "more memory than allowed can be had"


class Privileges(Lock):
    """No capability, not even as root; no new ones; it ends when the worker ends."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        call("prctl", _PR_SET_PDEATHSIG, 9, 0, 0, 0)
        # capset, version 3: two words each of effective, permitted, inheritable
        call("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))
        call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    def missing(self, limits: Limits) -> str:
        """See `Lock`."""
        return "the root folder can be changed" if _works(os.chroot, "/") else ""


class Files(Lock):
    """Landlock: the libraries and what a suite hands out can be read, nothing else, and nothing can be written."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        files_lock.allow_reading([*library_folders(), *_READABLE, *readable])

    def missing(self, limits: Limits) -> str:
        """See `Lock`."""
        return "the root folder can be listed" if _works(os.listdir, "/") or _works(os.listdir, "/etc") else ""


class Broker(Lock):
    """Another process opens files for this one, which opens none: the same that Landlock would let it read."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        broker.hand_over([*library_folders(), *_READABLE, *readable])

    def missing(self, limits: Limits) -> str:
        """See `Lock`."""
        return "the root folder can be listed" if _works(os.listdir, "/") or _works(os.listdir, "/etc") else ""


class OwnRoot(Lock):
    """A root folder of its own, in a mount namespace: what it may read is mounted there to be read, and is all."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        root_folder.enter([*library_folders(), *_READABLE, *readable])

    def missing(self, limits: Limits) -> str:
        """See `Lock`."""
        there = [path for path in ("/etc/passwd", "/proc/1") if _works(os.stat, path)]
        there += [path for path in ("/", os.path.dirname(sys.prefix)) if _works(os.listdir, path)]
        return f"{there[0]} can be seen" if there else ""


class Calls(Lock):
    """seccomp: no sockets, programs, processes, signals to others, tracing; files are opened to be read."""

    def start(self) -> None:
        """Builds the filter, once for all children."""
        calls_lock.program()

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)  # and no debugger
        calls_lock.restrict()

    def missing(self, limits: Limits) -> str:
        """See `Lock`."""
        if _works(socket.socket):
            return "a socket can be made"
        try:
            if os.fork() == 0:
                os._exit(0)
        except OSError:
            return ""
        return "a process can be forked"


def library_folders() -> list[str]:
    """Where Python and the installed libraries are; the project's own folder is not among them."""
    folders = {*sys.path, f"{sys.base_prefix}/lib", f"{sys.prefix}/lib"}
    return sorted(folder for folder in folders if folder and os.path.isdir(folder))


def _works(function: Callable[..., Any], *arguments: object) -> bool:
    try:
        function(*arguments)
    except OSError:
        return False
    return True


def _become_nobody() -> bool:
    """Takes nobody as the real user, by which the kernel counts threads; files are still opened as root's."""
    for users in _NOBODIES:
        with suppress(OSError):  # a container may not allow it
            os.setresuid(users[_WORKER % len(users)], -1, -1)
            return True
    return False
