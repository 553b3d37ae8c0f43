"""Answers that no known mistake explains, in groups that behave alike: kept beside the results they are of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from autograder.course import CourseError, GraderError
from autograder.files import write_whole

GROUPS = ".groups.json"


@dataclass(frozen=True)
class Group:
    """Submissions that give the same wrong answers to the same calls.

    Attributes:
        id: its name in commands.
        functions: which functions or classes answer wrongly, in the order of their first wrong call.
        title, example: of the first test that fails, and what is said of it.
    """

    id: str
    exercise: str
    submissions: tuple[str, ...]
    functions: tuple[str, ...]
    title: str
    example: str


def write_groups(results: Path, groups: Sequence[Group]) -> None:
    """Keeps them.

    Raises:
        GraderError: they cannot be written.
    """
    try:
        write_whole(results / GROUPS, json.dumps([asdict(group) for group in groups], indent=1) + "\n")
    except OSError as error:
        raise GraderError(f"{results} could not be written: {error.strerror}.") from None


def read_groups(results: Path) -> list[Group]:
    """The groups that were found last; none where nobody looked.

    Raises:
        CourseError: the file is damaged.
    """
    try:
        entries = json.loads((results / GROUPS).read_bytes())
        return [
            Group(**{**entry, "submissions": tuple(entry["submissions"]), "functions": tuple(entry["functions"])})
            for entry in entries
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise CourseError(
            f"{results / GROUPS} is damaged: {error}. Run `autograder mistakes {results}` again."
        ) from None
