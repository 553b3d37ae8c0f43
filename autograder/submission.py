"""What a student handed in, as sources: text, never run or parsed here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from autograder.course import Course


@dataclass(frozen=True)
class Submission:
    """A submission's modules.

    Attributes:
        name: whose it is: the folder's or file's name.
        sources: each module's text by its name.
        problems: why a file could not be read, by module name.
    """

    name: str
    sources: dict[str, str]
    problems: dict[str, str] = field(default_factory=dict)


def read_submission(path: Path, course: Course) -> Submission:
    """Reads a folder, a zip, a `.py` or an `.ipynb`."""
    return Submission(path.name, {file.stem: file.read_text(encoding="utf-8") for file in sorted(path.glob("*.py"))})
