"""What came back from a child, checked: every part of it may be anything that a hostile program can send.

Decoding (`between/wire.py`) has already made plain values of the bytes, within an allowance. Here each message is held
against what this side knows by itself. Whatever does not fit raises some exception, and the answer is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autograder.isolation.between.messages import Answer, Failure
from autograder.isolation.between.wire import Allowance, Handle, decode

MAX_TEXT = 4096  # characters of one text
MAX_TYPE_NAME = 100
MAX_DEFINITIONS = 2000


def checked_answer(data: bytes, sources: Mapping[str, str], allowance: Allowance) -> Answer:
    """The answer that bytes hold; or any exception at all."""
    answer = Answer(*decode(data, _checked_handle, allowance))
    output, warned = checked_text(answer.output), tuple(map(checked_text, answer.warnings))
    changed = tuple(map(checked_text, answer.changed))
    if answer.failure is not None:
        return Answer(failure=checked_failure(Failure(*answer.failure), sources), output=output)
    return Answer(answer.value, None, changed, output, warned)


def _checked_handle(handle: Handle) -> Handle:
    return Handle(handle.id, checked_text(handle.type_name))


def checked_failure(failure: Failure, sources: Mapping[str, str]) -> Failure:
    """A failure that student code can have: it raised something, or lacks a name."""
    forbidden = failure.forbidden
    return Failure(
        "missing" if failure.kind == "missing" else "raised",
        type_name=checked_text(failure.type_name)[:MAX_TYPE_NAME],
        bases=tuple(map(checked_text, failure.bases)),
        message=checked_text(failure.message),
        frames=_checked_frames(failure.frames, sources),
        forbidden=None if forbidden is None else checked_text(forbidden),
        syntax=_checked_syntax(failure.syntax),
    )


def checked_text(value: object) -> str:
    """A text without anything that a terminal would obey, or that cannot be written as UTF-8."""
    if type(value) is not str:
        raise TypeError("not a text")
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value[:MAX_TEXT])


def checked_definitions(value: Any, source: str) -> dict[str, tuple[int, int]]:
    """The definitions that can be: within the file, and one after the other."""
    found = sorted(
        (int(first), int(last), name if type(name) is str else "") for name, (first, last) in dict(value).items()
    )
    length = source.count("\n") + 1
    definitions: dict[str, tuple[int, int]] = {}
    below = 0
    for first, last, name in found:
        if below < first <= last <= length and name.isidentifier() and len(definitions) < MAX_DEFINITIONS:
            definitions[checked_text(name)] = first, last
            below = last
    return definitions


def _checked_frames(value: Any, sources: Mapping[str, str]) -> tuple[tuple[str, int, str], ...]:
    """The frames that can be: in lines that there are, of files that were handed in. Others could tell anything."""
    lengths = {f"{name}.py": source.count("\n") + 1 for name, source in sources.items()}
    frames = ((checked_text(file), int(line), checked_text(name)) for file, line, name in value)
    return tuple((file, line, name) for file, line, name in frames if 0 <= line <= lengths.get(file, -1))


def _checked_syntax(value: Any) -> tuple[str, int, int, str] | None:
    if value is None:
        return None
    file, line, column, text = value
    shown = checked_text(text)
    return checked_text(file), int(line), min(max(int(column), 1), len(shown) + 1), shown
