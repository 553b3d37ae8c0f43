"""What a worker changes around its children, where it may: it is root's to do, and nothing depends on it.

Each child counts processes for itself, so that the numbers of processes and threads, which go on from one child to the
next, tell nothing. And reading a file leaves no time of access, which another child could read.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct

from autograder.isolation.far.kernel import MOUNT_SETATTR, call, syscall

_NEW_MOUNTS, _NEW_PROCESSES = 0x00020000, 0x20000000
_HERE, _AT_RECURSIVE = -100, 0x8000
_NO_ACCESS_TIMES, _ALL_ABOUT_TIMES, _FOLLOWS = 0x10, 0x70, 1 << 19


class Surroundings:
    """See above.

    Attributes:
        quiet: whether no times of access are kept.
    """

    def __init__(self) -> None:
        self.quiet = False
        self._ours: int | None = None
        with contextlib.suppress(OSError):
            call("unshare", _NEW_MOUNTS)
            attributes = struct.pack("QQQQ", _NO_ACCESS_TIMES, _ALL_ABOUT_TIMES, _FOLLOWS, 0)
            root = ctypes.c_char_p(b"/")
            size = ctypes.c_size_t(len(attributes))
            syscall(MOUNT_SETATTR, ctypes.c_int(_HERE), root, ctypes.c_uint(_AT_RECURSIVE), attributes, size)
            self.quiet = True
        with contextlib.suppress(OSError):
            self._ours = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def before_fork(self) -> None:
        """Lets the next fork make the first process of a namespace of its own, where that is allowed."""
        if self._ours is not None:
            try:
                call("unshare", _NEW_PROCESSES)
            except OSError:
                self._ours = None

    def after_fork(self) -> None:
        """In the worker: the fork after the next one gets another namespace."""
        if self._ours is not None:
            call("setns", self._ours, _NEW_PROCESSES)

    @property
    def numbers(self) -> bool:
        """Whether each child counts processes for itself."""
        return self._ours is not None
