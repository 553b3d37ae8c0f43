"""Student code's exceptions as plain values: what the near side may know of them."""

from __future__ import annotations

import ast
import errno
import traceback
from collections.abc import Collection
from typing import Any

from autograder.isolation.between.executor import Missing
from autograder.isolation.between.messages import Failure

MAX_MESSAGE = 2000
MAX_FRAMES = 20


def describe(error: BaseException, files: Collection[str], forbidden: str) -> Failure:
    """An exception as plain values.

    Args:
        error: what was raised.
        files: the submission's file names; only frames in them are shown.
        forbidden: the last thing that the code tried and must not do.
    """
    frames = [
        (frame.filename, frame.lineno or 0, frame.name)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename in files
    ]
    failure = Failure(
        "missing" if isinstance(error, Missing) else "raised",
        type_name=_text(lambda: type(error).__name__, 100),
        bases=tuple(base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"),
        message=_text(lambda: str(error), MAX_MESSAGE),
        frames=tuple(frames[:3] + frames[3:][-MAX_FRAMES:]),
        forbidden=forbidden if _was_refused(error) else None,
    )
    if isinstance(error, SyntaxError) and error.filename in files:
        message = _text(lambda: str(error.msg), MAX_MESSAGE)
        place = (str(error.filename), error.lineno or 0, error.offset or 0, (error.text or "")[:200])
        return failure._replace(message=message, syntax=place)
    return failure


def definitions(source: str) -> dict[str, tuple[int, int]]:
    """Each top-level function's and class's first and last line."""
    return {
        node.name: (node.lineno, node.end_lineno or node.lineno)
        for node in ast.parse(source).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }


def _text(get: Any, limit: int) -> str:
    """A text that student code may have a say in, and so may raise, lie about its type or be endless."""
    try:
        return str.__str__(get())[:limit]
    except BaseException:  # a `__str__` that raises anything at all
        return ""


def _was_refused(error: BaseException | None) -> bool:
    """Whether the exception, or the one that it came from, is the system's refusal."""
    for _ in range(10):
        if error is None:
            return False
        if isinstance(error, OSError) and error.errno in (errno.EPERM, errno.EACCES):
            return True
        error = error.__cause__ or error.__context__
    return False
