"""What a worker changes around its children, where the system allows it: it is root's to do, and no profile needs it.

Each child counts processes for itself, so that the numbers of processes and threads, which go on from one child to the
next, tell nothing. And reading a file leaves no time of access, which another child could read.
"""

from __future__ import annotations

import ctypes
import os
import struct

from autograder.isolation.between.messages import Limits
from autograder.isolation.far.kernel import MOUNT_SETATTR, call, syscall
from autograder.isolation.far.lock import Lock

_NEW_MOUNTS, _NEW_PROCESSES = 0x00020000, 0x20000000
_HERE, _AT_RECURSIVE = -100, 0x8000
_NO_ACCESS_TIMES, _ALL_ABOUT_TIMES, _FOLLOWS = 0x10, 0x70, 1 << 19


class OwnProcesses(Lock):
    """A namespace of processes for each child, in which it is the first and sees no other."""

    def __init__(self) -> None:
        self._ours: int | None = None

    def start(self) -> None:
        """Lets the next fork make the first process of a namespace of its own."""
        if self._ours is None:
            self._ours = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        call("unshare", _NEW_PROCESSES)

    def stop(self) -> None:
        """The fork after the next one gets another namespace."""
        if self._ours is not None:
            call("setns", self._ours, _NEW_PROCESSES)

    def missing(self, limits: Limits) -> str:
        """See `Lock`."""
        return "" if os.getpid() == 1 else "processes are counted for the whole machine"


class NoAccessTimes(Lock):
    """Files as the worker and its children see them keep no time of access."""

    def __init__(self) -> None:
        self._done = False

    def start(self) -> None:
        """Takes a view of the mounted file systems of its own, and no other process's is changed."""
        if self._done:
            return
        call("unshare", _NEW_MOUNTS)
        attributes = struct.pack("QQQQ", _NO_ACCESS_TIMES, _ALL_ABOUT_TIMES, _FOLLOWS, 0)
        root = ctypes.c_char_p(b"/")
        size = ctypes.c_size_t(len(attributes))
        syscall(MOUNT_SETATTR, ctypes.c_int(_HERE), root, ctypes.c_uint(_AT_RECURSIVE), attributes, size)
        self._done = True

    def missing(self, limits: Limits) -> str:
        """See `Lock`."""
        return "" if os.statvfs("/").f_flag & os.ST_NOATIME else "reading a file leaves its time"
