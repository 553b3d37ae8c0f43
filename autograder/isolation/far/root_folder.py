"""A root folder of a process's own, in a mount namespace, for a kernel that has no Landlock but allows namespaces."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from autograder.isolation.far.kernel import MOUNT_SETATTR, call, syscall

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_BIND, _RECURSIVE, _PRIVATE = 1 << 12, 1 << 14, 1 << 18
_READ_ONLY, _NO_SUID, _NO_DEVICES = 1, 2, 4  # of mount_setattr; devices are among what can be read, so not the last
_HERE, _AT_RECURSIVE, _DETACH = -100, 0x8000, 2
_PLACES = ("/mnt", "/media", "/srv", "/boot")  # folders in which there is no library


def enter(readable: Sequence[str]) -> None:
    """Makes a folder of which these files and folders are all that there is the root, and forgets the rest.

    Raises:
        OSError: namespaces or mounts are not allowed.
    """
    _own_mounts()
    root = next((place for place in _PLACES if os.path.isdir(place) and not _needed(place, readable)), None)
    if root is None:
        raise FileNotFoundError(2, f"none of {', '.join(_PLACES)} is there to be mounted on")
    call("mount", b"none", root.encode(), b"tmpfs", 0, b"size=1m,mode=755")
    mounted: list[str] = []
    for path in sorted(path for path in readable if os.path.exists(path)):
        real = _same_links(root, path)
        if not any(real == other or real.startswith(f"{other}/") for other in mounted):
            _mount(real, root + real)
            mounted.append(real)
    _hide_what_is_between(root)
    attributes = struct.pack("QQQQ", _READ_ONLY | _NO_SUID, 0, 0, 0)
    syscall(
        *(MOUNT_SETATTR, ctypes.c_int(_HERE), root.encode(), ctypes.c_uint(_AT_RECURSIVE), attributes),
        ctypes.c_size_t(len(attributes)),
    )
    os.chdir(root)
    call("pivot_root", b".", b".")  # the old root now lies on top of the new one
    call("umount2", b".", _DETACH)
    os.chdir("/")


def _hide_what_is_between(root: str) -> None:
    """The folders that lead to what is mounted can be walked through, and not be listed."""
    device = os.stat(root).st_dev
    between = [root]
    for folder, names, _ in os.walk(root):
        names[:] = [name for name in names if os.lstat(os.path.join(folder, name)).st_dev == device]
        between += [path for name in names if not os.path.islink(path := os.path.join(folder, name))]
    for folder in between:
        os.chmod(folder, 0o111)


def _own_mounts() -> None:
    user, group = os.geteuid(), os.getegid()
    try:
        call("unshare", _NEW_MOUNTS)
    except OSError:  # no privilege: in a user namespace of its own everybody has it
        call("unshare", _NEW_MOUNTS | _NEW_USER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    call("mount", b"none", b"/", None, _RECURSIVE | _PRIVATE, None)


def _needed(place: str, readable: Sequence[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for path in map(os.path.realpath, readable))


def _same_links(root: str, path: str) -> str:
    """Makes the links that lead to a path in the new root too, and returns where they lead."""
    at = "/"
    for part in Path(path).parts[1:]:
        at = os.path.join(at, part)
        if os.path.islink(at):
            there = root + at
            os.makedirs(os.path.dirname(there), exist_ok=True)
            if not os.path.lexists(there):
                os.symlink(os.readlink(at), there)
            at = _same_links(root, os.path.normpath(os.path.join(os.path.dirname(at), os.readlink(at))))
    return at


def _mount(path: str, there: str) -> None:
    if os.path.isdir(path):
        os.makedirs(there, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(there), exist_ok=True)
        os.close(os.open(there, os.O_CREAT | os.O_WRONLY, 0o644))
    call("mount", path.encode(), there.encode(), None, _BIND | _RECURSIVE, None)
