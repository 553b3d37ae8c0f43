"""Files opened by somebody else: for a kernel that has neither Landlock nor namespaces, and for whoever is not root.

A child asks as ever, by `open` or `openat`; the kernel (seccomp's notifications, Linux 5.9) holds the call and tells
another process, the broker. That one reads the path, resolves it, and hands over a descriptor to read from, if the file
is among those that may be read. The child never opens anything itself, so changing the path meanwhile gains nothing.
See https://docs.kernel.org/userspace-api/seccomp_filter.html.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from autograder.isolation.far.kernel import call, end_with_parent, syscall

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_OPEN = {"x86_64": 2}  # newer processors have `openat` alone
_OPENAT = {"x86_64": 257, "aarch64": 56}
_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3
_NOTIFY, _ALLOW, _KILL = 0x7FC00000, 0x7FFF0000, 0x80000000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # of a filter's program: load a word, compare, answer
# The requests of a listener, and the sizes of what is told and answered.
_RECEIVE, _SEND, _ADD_DESCRIPTOR = 0xC0502100, 0xC0182101, 0x40182103
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_HERE = -100
_LONGEST = 4096  # bytes of a path


def hand_over(readable: Sequence[str]) -> None:
    """From now on another process opens files for this one, of these files and folders alone.

    It ends when this one ends. When it ends before, nothing can be opened any more.

    Raises:
        OSError: the kernel does not notify.
    """
    allowed = [os.path.realpath(path) for path in readable]
    ours, theirs = socket.socketpair()
    memory = os.open("/proc/self/mem", os.O_RDONLY)  # one's own may be opened by oneself alone
    parent = os.getpid()
    with ours, theirs:
        if os.fork() == 0:
            try:
                end_with_parent(parent)
                _keep_only(theirs.fileno(), memory)
                _, descriptors, _, _ = socket.recv_fds(theirs, 1, 1)
                theirs.close()
                serve(descriptors[0], memory, allowed)
            finally:
                os._exit(1)
        os.close(memory)
        listener = _listen()
        socket.send_fds(ours, [b"!"], [listener])
        os.close(listener)


def serve(listener: int, memory: int, allowed: Sequence[str]) -> None:
    """Answers until nobody is left to ask.

    Args:
        listener: where the kernel tells of calls.
        memory: of the process that makes them.
        allowed: what may be read, without links in it.
    """
    opening = _OPEN.get(platform.machine())
    while True:
        notification = bytearray(_NOTIFICATION.size)
        try:
            _ask(listener, _RECEIVE, notification)
        except OSError as failure:
            if failure.errno in (errno.EINTR, errno.ENOENT):  # the call that was to be told of has ended
                continue
            return
        number, _, _, what, _, _, *arguments = _NOTIFICATION.unpack(notification)
        folder, address, flags = (_HERE, *arguments[:2]) if what == opening else arguments[:3]
        try:
            path = _text(memory, address)
            opened, error = open_for(path, ctypes.c_int(folder & 0xFFFFFFFF).value, flags, allowed), 0
        except OSError as failure:
            opened, error = -1, failure.errno or errno.EACCES
        with suppress(OSError):  # who asked was ended meanwhile
            _answer(listener, number, opened, error, flags & os.O_CLOEXEC)


def open_for(path: bytes, folder: int, flags: int, allowed: Sequence[str]) -> int:
    """A descriptor to read a file or folder from, if it is within what is allowed.

    Raises:
        OSError: it is not, or it is not there.
    """
    name = os.fsdecode(path)
    if not name:
        raise FileNotFoundError(errno.ENOENT, "no name")
    if not os.path.isabs(name):
        if folder != _HERE:
            raise PermissionError(errno.EACCES, "relative to a folder")
        name = os.path.join("/", name)  # a worker is at home in the root folder, and none of its children moves
    if flags & os.O_NOFOLLOW:
        real = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
    else:
        real = os.path.realpath(name)
    if not any(real == place or real.startswith(f"{place.rstrip('/')}/") for place in allowed):
        raise PermissionError(errno.EACCES, "not among what may be read")
    always = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK
    return os.open(real, always | flags & os.O_DIRECTORY)


def _answer(listener: int, number: int, opened: int, error: int, flags: int) -> None:
    """Hands over a descriptor, or tells why there is none."""
    value = 0
    if opened >= 0:
        try:
            value = _ask(listener, _ADD_DESCRIPTOR, bytearray(struct.pack("=QIIII", number, 0, opened, 0, flags)))
        except OSError as failure:  # it has as many as it may
            error = failure.errno or errno.EACCES
        finally:
            os.close(opened)
    _ask(listener, _SEND, bytearray(struct.pack("=QqiI", number, value, -error, 0)))


def _ask(listener: int, request: int, text: bytearray) -> int:
    """A request to the kernel about a call that it holds; `text` is what is said, or where the kernel says it."""
    space = (ctypes.c_char * len(text)).from_buffer(text)
    return call("ioctl", ctypes.c_int(listener), ctypes.c_ulong(request), space)


def _text(memory: int, address: int) -> bytes:
    """A text that ends with a zero, out of another process, page by page: the next one may not be there."""
    found = b""
    while len(found) < _LONGEST:
        step = 4096 - (address + len(found)) % 4096
        try:
            found += os.pread(memory, step, address + len(found))
        except (OSError, OverflowError):
            raise OSError(errno.EFAULT, "no such address") from None
        if b"\0" in found:
            return found[: found.index(b"\0")]
    raise OSError(errno.ENAMETOOLONG, "too long")


def _listen() -> int:
    """Installs the filter that tells of every call that opens a file, and returns where it is told."""
    machine = platform.machine()
    if machine not in _SECCOMP:
        raise OSError(errno.ENOSYS, f"files are handed over on x86-64 and ARM64 alone, and this is {machine}")
    steps = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),  # calls of another processor's numbering
        (_LOAD, 0, 0, 0),
    ]
    for number in filter(None, (_OPEN.get(machine), _OPENAT[machine])):
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _NOTIFY)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    text = b"".join(struct.pack("=HBBI", *step) for step in steps)
    code = ctypes.create_string_buffer(text, len(text))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    return syscall(_SECCOMP[machine], ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_NEW_LISTENER), program)


def _keep_only(*descriptors: int) -> None:
    """Closes all others: the channel of the child is its own."""
    for first, last in zip((0, *(d + 1 for d in sorted(descriptors))), (*sorted(descriptors), 1024), strict=True):
        os.closerange(first, last)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the near side
