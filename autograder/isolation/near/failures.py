"""What a suite sees of a call that fails: student code raised something, or will never answer."""

from __future__ import annotations

import builtins
from functools import lru_cache

from autograder.isolation.between.messages import Failure


class StudentError(Exception):
    """Student code raised an exception. The instance is also of the built-in type that it was, say `ValueError`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.type_name}: {failure.message}")
        self.failure = failure


class Stopped(BaseException):
    """The call will never answer: its process hangs, died, or was never loaded.

    Not an `Exception`: neither a suite nor hypothesis may catch it and try again.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


class Unfit(BaseException):
    """The grader, or the machine, is at fault, and nothing can be said about the submission; `cause` says what it is.

    Not an `Exception`, as `Stopped`.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def as_raised(failure: Failure) -> StudentError:
    """The exception that a suite sees for a failure."""
    return next((kind(failure) for name in failure.bases if (kind := _student_kind(name))), StudentError(failure))


@lru_cache(maxsize=256)
def _student_kind(name: str) -> type[StudentError] | None:
    """The student's version of a built-in exception; one class each, or hypothesis would take old errors for new."""
    builtin = getattr(builtins, name, None)
    if not (isinstance(builtin, type) and issubclass(builtin, Exception)) or builtin is Exception:
        return None
    if issubclass(builtin, (StopIteration, StopAsyncIteration)):
        return None  # in a suite's loop it would be the loop's end, and no error
    try:
        kind: type[StudentError] = type(name, (StudentError, builtin), {"__init__": StudentError.__init__})
        kind(Failure("raised"))
    except TypeError:  # its constructor wants what we do not have
        return None
    return kind
