"""Which versions are installed, which the course is tested with, and which files are too new for this one."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from autograder import __version__

LOCK = "constraints.txt"
_GRADING = ("numpy", "scipy", "torch", "transformers", "pytest", "hypothesis")  # what a grade may depend on


class TooNew(ValueError):
    """A file was written by a later version of this program, which may mean something else by it."""


def require_format(data: Mapping[str, Any], newest: int, what: str) -> None:
    """Looks at a file's `format` before anything else in it is believed; a file without one is of the first.

    Args:
        data: what the file holds.
        newest: the highest format that this program reads.
        what: the file, for the message.

    Raises:
        TooNew: it has a higher one.
    """
    number = data.get("format", 1)
    if isinstance(number, int) and number > newest:
        raise TooNew(
            f"{what} has format {number}, and autograder {__version__} reads up to {newest}: a later version wrote it. "
            f"Update the course's program, or use the version that wrote it."
        )


def in_use() -> dict[str, str]:
    """The program's version, Python's, and that of every library that a grade may depend on."""
    found = {"autograder": __version__, "python": platform.python_version()}
    return found | {name: installed for name in _GRADING if (installed := _installed(name))}


def describe() -> str:
    """The same as a line."""
    program, *rest = (f"{name} {number}" for name, number in in_use().items())
    return f"{program} ({', '.join(rest)})"


def locked(root: Path) -> dict[str, str]:
    """What constraints.txt says for this Python and system, by name; nothing where there is no such file."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        lines = (root / LOCK).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        try:
            wish = Requirement(line)
        except InvalidRequirement:
            continue  # a comment
        if wish.marker is None or wish.marker.evaluate():
            found[_plain(wish.name)] = str(wish.specifier).removeprefix("==")
    return found


def differing(root: Path) -> dict[str, tuple[str, str]]:
    """What is installed in another version than the tested one: `{name: (tested, installed)}`.

    A build of a version, such as 2.13.0+cpu, is that version.
    """
    found = {}
    for name, tested in locked(root).items():
        installed = _installed(name)
        if installed and installed.partition("+")[0] != tested:
            found[name] = (tested, installed)
    return found


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
