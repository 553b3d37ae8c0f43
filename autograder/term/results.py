"""Which assignment a folder of results is of."""

from __future__ import annotations

from pathlib import Path

from autograder.course import CourseError
from autograder.files import write_whole

ASSIGNMENT = ".assignment"


def assignment_of(results: Path, named: str = "") -> str:
    """The assignment that results are of; empty for the whole course.

    Args:
        results: the folder.
        named: what somebody says that they are of.

    Raises:
        CourseError: they are of another.
    """
    path = results / ASSIGNMENT
    try:
        known = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return named
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path} cannot be read: {error}") from None
    if named and named != known:
        raise CourseError(f"{results} holds the grades of {known}, not of {named}. Use another folder.")
    return known


def remember_assignment(results: Path, name: str) -> str:
    """Says of new results what they are of, and of old ones what they were said to be of.

    Raises:
        CourseError: they are of another assignment, or hold grades of the whole course.
    """
    known = assignment_of(results, name)
    if known and not (results / ASSIGNMENT).is_file():
        if any(results.glob("[!.]*.json")):
            raise CourseError(f"{results} holds grades of the whole course. Use another folder for {name}.")
        try:
            write_whole(results / ASSIGNMENT, f"{name}\n")
        except OSError as error:
            raise CourseError(f"{results} cannot be used for results: {error.strerror}.") from None
    return known
