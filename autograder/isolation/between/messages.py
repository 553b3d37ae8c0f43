"""The whole conversation between the two sides, and every message in it.

The near side starts a worker and tells it, on its control socket, to `Import` libraries, to `Spawn` a child (with the
descriptor of that child's own channel) and to `End` it; the worker answers each. On a child's channel goes:

    near                 far
    Start           ->             who it is, what it loads, and how it is shut in
                    <-   Ready     before any student code runs, so that this answer can be believed
    LOAD            ->
                    <-   Answer    with the module's definitions as its value; from here on every answer is suspect
    Request         ->
                    <-   Answer
    ...             until the near side hangs up

Messages travel as tuples of plain values (see `wire`). What comes back is checked in `near/answers.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

LIBRARY = "library:"  # how the path of a request begins that goes to an installed library
LOAD = "load"
UNPROTECTED = "none"  # the profile that is none: a student's own check, or submissions that are trusted
FULL, NAMESPACES, UNPRIVILEGED = "full", "namespaces", "unprivileged"
# The profiles, the strongest first: the locks that a child is shut in with, in the order in which they are applied.
PROFILES = {
    FULL: ("resources", "privileges", "files", "calls"),
    NAMESPACES: ("resources", "root", "privileges", "calls"),
    UNPRIVILEGED: ("resources", "privileges", "broker", "calls"),
}
WHERE_ALLOWED = ("times", "processes")  # locks that every profile has besides, if the system allows them
LOCKS = (*dict.fromkeys(lock for locks in PROFILES.values() for lock in locks), *WHERE_ALLOWED)
TRIAL = "try:"  # before a profile's name, or a lock's: apply it, and try whether it holds

RequestKind = Literal["call", "read", "gradients", "patch", "record", "steps"]
FailureKind = Literal["raised", "missing", "timeout", "crashed"]


class Import(NamedTuple):
    """To a worker: import these libraries. It answers with the names of those that are not there."""

    names: list[str]
    verb: Literal["import"] = "import"


class Spawn(NamedTuple):
    """To a worker: fork a child for the descriptor that comes along. It answers with `Spawned`.

    Attributes:
        protection: the profile that it will be shut in with, or a lock by itself.
    """

    protection: str
    verb: Literal["spawn"] = "spawn"


class Spawned(NamedTuple):
    """From a worker: the child's process number; or 0, and why there is none."""

    pid: int
    why: str = ""


class End(NamedTuple):
    """To a worker: end the child. It answers with how it ended (see `Failure.status`).

    Attributes:
        ends_itself: it hung up, so its own end is a moment away and says more than being killed.
    """

    ends_itself: bool
    verb: Literal["end"] = "end"


class Limits(NamedTuple):
    """What one exercise's process may take.

    Attributes:
        memory_mib: memory besides what is mapped when it starts.
        cpu_seconds: processor time.
    """

    memory_mib: int = 1024
    cpu_seconds: int = 120


class Start(NamedTuple):
    """To a child: what it is for.

    Attributes:
        name: the module to load.
        sources: the submission's modules by name.
        protection: the profile that it is shut in with (see `far/profiles.py`).
        limits: what it may take, if it is shut in.
        readable: folders that it may read besides the libraries.
        secrets: what it must not be able to read, once it is shut in.
    """

    name: str
    sources: dict[str, str]
    protection: str
    limits: Limits
    readable: list[str]
    secrets: list[str]


class Ready(NamedTuple):
    """From a child: it is shut in and begins; or it is not, and why."""

    why_not: str = ""


class Request(NamedTuple):
    """To a child: one thing to do.

    Attributes:
        kind: "call", "read" (an attribute's value), "gradients" (call, then differentiate) or "patch";
            "record" begins to take down a module's steps, and "steps" gives those of the request before (see `steps`).
        path: the start and the attributes that lead to the target.
        cotangent: for gradients, what the result's gradient is; ones when None.
    """

    kind: RequestKind
    path: tuple[Any, ...]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    cotangent: Any = None


class Failure(NamedTuple):
    """Why a request has no value. Text in it was written by student code, and so is shown to its author at most.

    Attributes:
        kind: "raised", "missing" (no such name), "timeout" or "crashed". The last two only the near side can tell.
        type_name: the exception's type.
        bases: the built-in types that the exception is, most specific first.
        message: the exception's text, or the missing name.
        frames: (file, line, function) of the student's own lines, innermost last.
        forbidden: what the code tried and may not do, if that is what went wrong.
        syntax: (file, line, column, text) of a syntax error.
        status: how a process that died has ended: its exit code, or minus the signal; 0 when it had to be ended.
    """

    kind: FailureKind
    type_name: str = ""
    bases: tuple[str, ...] = ()
    message: str = ""
    frames: tuple[tuple[str, int, str], ...] = ()
    forbidden: str | None = None
    syntax: tuple[str, int, int, str] | None = None
    status: int = 0


class Answer(NamedTuple):
    """From a child: what came of loading or of a request.

    Attributes:
        value: the request's value, if it has one.
        failure: why it has none, if so; on the wire a tuple.
        changed: the arguments (position or name) that were changed in place.
        output: what was printed, bounded.
        warnings: what was warned of, as "RuntimeWarning: overflow encountered in exp"; bounded.
    """

    value: Any = None
    failure: Failure | None = None
    changed: tuple[str, ...] = ()
    output: str = ""
    warnings: tuple[str, ...] = ()
