"""Shuts a child in with the locks of a profile, one after the other. See SECURITY.md for what each profile holds."""

from __future__ import annotations

import os
from collections.abc import Sequence

from autograder.isolation.between.messages import PROFILES, TRIAL, UNPROTECTED, WHERE_ALLOWED, Limits
from autograder.isolation.far import locks, refusals, surroundings
from autograder.isolation.far.lock import Lock

_LOCKS: dict[str, Lock] = {
    "resources": locks.Resources(),
    "privileges": locks.Privileges(),
    "files": locks.Files(),
    "root": locks.OwnRoot(),
    "broker": locks.Broker(),
    "calls": locks.Calls(),
    "processes": surroundings.OwnProcesses(),
    "times": surroundings.NoAccessTimes(),
}
# Locks that can be tried only where privileges are gone, or that ask for it.
_WITH_PRIVILEGES = {
    **{name: ("privileges", name) for name in ("files", "broker", "calls")},
    "root": ("root", "privileges"),
}
_refused: set[str] = set()  # what the system does not allow: it is not asked again


def start(protection: str) -> None:
    """In the worker, before it forks a child that is to be shut in: what is needed around it, and what else is allowed.

    A lock that is missing is no trouble here: the child says so before anything of a submission runs in it.
    """
    for lock in _chosen(protection):
        if lock not in _refused:
            try:
                _LOCKS[lock].start()
            except (OSError, ImportError):
                _refused.add(lock)


def stop(protection: str) -> None:
    """In the worker, once it has forked that child."""
    for lock in _chosen(protection):
        if lock not in _refused:
            _LOCKS[lock].stop()


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
    refusals.listen()
    chosen = _chosen(protection)
    for lock in chosen:
        _LOCKS[lock].apply(limits, readable)
    name = protection.removeprefix(TRIAL)
    if name in PROFILES and (open_ones := [path for path in secrets if _can_read(path)]):
        raise PermissionError(13, f"{open_ones[0]} can be read: move it out of the folders of Python and its libraries")
    if protection != name:
        for lock in reversed(chosen):
            if (name == lock or lock not in WHERE_ALLOWED) and (wrong := _LOCKS[lock].missing(limits)):
                raise PermissionError(1, f"the lock on {lock} does not hold: {wrong}")


def _chosen(protection: str) -> tuple[str, ...]:
    """The locks of a profile, in order; or a lock by itself with what it needs."""
    name = protection.removeprefix(TRIAL)
    if name == UNPROTECTED:
        return ()
    if name in PROFILES:
        return (*PROFILES[name], *WHERE_ALLOWED)
    return _WITH_PRIVILEGES.get(name, (name,))


def _can_read(path: str) -> bool:
    try:
        os.listdir(path) if os.path.isdir(path) else os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True
