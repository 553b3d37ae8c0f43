"""Which versions are installed, and which the course is tested with."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

LOCK = "constraints.txt"


def locked(root: Path) -> dict[str, str]:
    """What constraints.txt says for this Python and system, by name; nothing where there is no such file."""
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
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if installed.partition("+")[0] != tested:
            found[name] = (tested, installed)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
