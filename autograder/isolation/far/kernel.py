"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import signal
from functools import cache

# Their numbers are the same on every processor since Linux 5.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF, MOUNT_SETATTR = 444, 445, 446, 442
_PR_SET_PDEATHSIG = 1


@cache
def libc() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """Calls a function of the C library.

    Raises:
        OSError: it failed.
    """
    result = int(getattr(libc(), name)(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name} is refused: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: object) -> int:
    """Makes a system call by its number; each argument is given as long as the processor's registers.

    Raises:
        OSError: it failed.
    """
    return call("syscall", ctypes.c_long(number), *arguments)


def end_with_parent(parent: int) -> None:
    """This process is killed when its parent ends; at once, if that has happened already.

    Args:
        parent: its number; 0 is another namespace's.
    """
    call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() not in (parent, 0):
        os._exit(1)
