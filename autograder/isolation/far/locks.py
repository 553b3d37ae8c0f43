"""The locks that a child is shut in with, before the first line of student source is compiled: each is one class.

A lock that cannot be applied raises `OSError` (or `ImportError`), and nothing of a submission runs. What `profiles`
makes of them stands there; what each is for, in SECURITY.md.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from autograder.isolation.between.messages import Limits
from autograder.isolation.far import calls_lock, files_lock, root_folder
from autograder.isolation.far.kernel import call

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
THREADS = 128  # of one child, besides what its user runs already where that is somebody's account
_FIRST_USER, _USERS = 61184, 4096  # numbers that systemd keeps for users who are made up for one process
_READABLE = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime"),
    *("/usr/share/zoneinfo", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
)


class Lock(Protocol):
    """One thing that the kernel holds."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """Shuts this process in for good.

        Args:
            limits: what it may take.
            readable: files and folders that it may read besides the libraries.

        Raises:
            OSError, ImportError: the system has no such lock.
        """

    def broken(self, limits: Limits) -> str:
        """Tries what the lock refuses, once it is applied, and says what was possible all the same; "" if it holds."""


class Resources:
    """Memory, processor time, threads, descriptors, and not one byte of a file; it ends when the worker ends."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        import resource  # not on Windows, where nothing is locked

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        if os.geteuid() == 0:
            _become_uncounted()  # root's threads are not counted; those of nobody in particular are
        for kind, value in (
            (resource.RLIMIT_AS, mapped + limits.memory_mib * 2**20),
            (resource.RLIMIT_CPU, limits.cpu_seconds),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, 128),
            (resource.RLIMIT_NPROC, THREADS if os.getuid() >= _FIRST_USER else 4096),
            (resource.RLIMIT_MEMLOCK, 0),
            (resource.RLIMIT_MSGQUEUE, 0),
        ):
            _, most = resource.getrlimit(kind)
            value = value if most == resource.RLIM_INFINITY else min(value, most)
            # At the soft limit of processor time comes a signal that can be caught, a second later one that cannot.
            resource.setrlimit(kind, (value, value + 1 if kind == resource.RLIMIT_CPU else value))

    def broken(self, limits: Limits) -> str:
        """See `Lock`."""
        try:
            bytearray((limits.memory_mib + 64) * 2**20)
        except MemoryError:
            return ""
        return "more memory than allowed can be had"


class OtherUser:
    """Another user than the grader's, who owns nothing and is in no group: closed folders are closed to it."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        for path in readable:
            _open_to_all(Path(path))
        call("setgroups", 0, None)
        user = made_up_user()
        call("setresgid", user, user, user)
        call("setresuid", user, user, user)
        for folder in library_folders():
            if not os.access(folder, os.R_OK | os.X_OK):
                raise PermissionError(13, f"{folder}, with installed libraries, is closed to other users")

    def broken(self, limits: Limits) -> str:
        """See `Lock`."""
        return "it is not another user" if os.geteuid() != made_up_user() or _works(os.setuid, 0) else ""


class Privileges:
    """No capability, not even as root; no new ones, and no debugger; it ends when the worker ends."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        call("prctl", _PR_SET_PDEATHSIG, 9, 0, 0, 0)
        # capset, version 3: two words each of effective, permitted, inheritable
        call("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))
        call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
        call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    def broken(self, limits: Limits) -> str:
        """See `Lock`."""
        return "the root folder can be changed" if _works(os.chroot, "/") else ""


class Files:
    """Landlock: the libraries and what a suite hands out can be read, nothing else, and nothing can be written."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        files_lock.allow_reading([*library_folders(), *_READABLE, *readable])

    def broken(self, limits: Limits) -> str:
        """See `Lock`."""
        return "the root folder can be listed" if _works(os.listdir, "/") or _works(os.listdir, "/etc") else ""


class OwnRoot:
    """A root folder of its own, in a mount namespace: what it may read is mounted there to be read, and is all."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        root_folder.enter([*library_folders(), *_READABLE, *readable])

    def broken(self, limits: Limits) -> str:
        """See `Lock`."""
        return "files of the machine are there" if _works(os.stat, "/etc/passwd") or _works(os.stat, "/proc/1") else ""


class Calls:
    """seccomp: no sockets, programs, processes, signals to others, tracing; files are opened to be read."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """See `Lock`."""
        calls_lock.restrict()

    def broken(self, limits: Limits) -> str:
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


def made_up_user() -> int:
    """A user's number for the children of this worker, of which one lives at a time."""
    return _FIRST_USER + _worker % _USERS


def remember_worker(pid: int) -> None:
    """Takes note of the worker's process number before its children have namespaces of their own."""
    global _worker
    _worker = pid


_worker = os.getpid()


def _works(function: Callable[..., Any], *arguments: object) -> bool:
    try:
        function(*arguments)
    except OSError:
        return False
    return True


def _become_uncounted() -> None:
    """Takes a made-up user as the real one, by which the kernel counts; files are still opened as root's."""
    try:
        os.setresuid(made_up_user(), -1, -1)
    except OSError:
        return  # a container may not allow it


def _open_to_all(path: Path) -> None:
    """Lets others read what a suite hands out: it was made for that."""
    for place in [path, *(path.rglob("*") if path.is_dir() else ())]:
        mode = stat.S_IMODE(place.stat().st_mode)
        place.chmod(mode | (0o005 if place.is_dir() else 0o004))
