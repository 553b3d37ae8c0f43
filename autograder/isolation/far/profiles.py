"""The profiles: which locks a child is shut in with, the strongest first. See SECURITY.md for what each holds."""

from __future__ import annotations

import os
from collections.abc import Sequence

from autograder.isolation.between.messages import FULL, NAMESPACES, TRIAL, UNPRIVILEGED, Limits
from autograder.isolation.far import calls_lock, locks, refusals

LOCKS: dict[str, locks.Lock] = {
    "resources": locks.Resources(),
    "user": locks.OtherUser(),
    "root": locks.OwnRoot(),
    "privileges": locks.Privileges(),
    "files": locks.Files(),
    "calls": locks.Calls(),
}
PROFILES = {
    FULL: ("resources", "privileges", "files", "calls"),
    NAMESPACES: ("resources", "root", "privileges", "calls"),
    UNPRIVILEGED: ("resources", "user", "privileges", "calls"),
}


def shut_in(protection: str, limits: Limits, readable: Sequence[str], secrets: Sequence[str]) -> None:
    """Applies a profile to this process.

    Args:
        protection: the profile, or a lock by itself; after `TRIAL` each lock is also tried once it is applied.
        limits: what it may take.
        readable: files and folders that it may read besides the libraries.
        secrets: what it must not be able to read afterwards.

    Raises:
        OSError, ImportError: the system lacks one of the locks, or it does not hold; nothing of a submission may run.
    """
    name = protection.removeprefix(TRIAL)
    chosen = PROFILES.get(name) or (("privileges", name) if name in ("files", "calls") else (name,))
    refusals.listen()
    for lock in chosen:
        LOCKS[lock].apply(limits, readable)
    if name in PROFILES and (open_ones := [path for path in secrets if _can_read(path)]):
        raise PermissionError(13, f"{open_ones[0]} can be read: `chmod -R go-rwx {open_ones[0]}` closes it to others")
    if protection != name:
        for lock in reversed(chosen):
            if wrong := LOCKS[lock].broken(limits):
                raise PermissionError(1, f"the lock on {lock} does not hold: {wrong}")


def prepare() -> None:
    """Does what every child would do again: builds what the locks need."""
    calls_lock.program()


def _can_read(path: str) -> bool:
    try:
        os.listdir(path) if os.path.isdir(path) else os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True
