"""The lock-down of a child, before the first line of student source is compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def apply(limits: Mapping[str, int], readable: Sequence[str]) -> None:
    """Limits this process and shuts it in."""


def last_refused() -> str | None:
    """The last thing tried that submissions may not do, by its name in the near side's sentences."""
    return None
