"""Which versions are installed, and which the course is tested with."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autograder import __version__

LOCK = "constraints.txt"
_GRADING = ("numpy", "scipy", "torch", "transformers", "pytest", "hypothesis")  # what a grade may depend on


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
