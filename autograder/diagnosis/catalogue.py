"""The known mistakes of an exercise: `tests/mistakes/NAME.toml`, data that an instructor writes."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

from autograder.course import Course, CourseError

UNWRITTEN = "TO BE WRITTEN"  # how the hint of a drafted entry begins


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer.

    Attributes:
        id: its name in grades.
        hint: what a student who made it is told.
        caught_by: tests that fail because of it.
        patch: the change to the solution, as text.
        source: the solution with the change made.
    """

    id: str
    hint: str
    caught_by: tuple[str, ...]
    patch: str
    source: str


def known_mistakes(course: Course, name: str) -> list[Mistake]:
    """The exercise's known mistakes, in the file's order; none where there is no file (as in a release).

    Raises:
        CourseError: an entry is incomplete, or its patch does not apply to the solution.
    """
    path = course.mistakes(name)
    if not path.is_file():
        return []
    solution = course.solution(name).read_text(encoding="utf-8")
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["mistake"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise CourseError(f"{path.name} cannot be read: {error}") from None
    mistakes: list[Mistake] = []
    for number, entry in enumerate(entries, 1):
        if set(entry) != {"id", "hint", "caught_by", "patch"}:
            raise CourseError(f"{path.name}: mistake {number} needs id, hint, caught_by and patch, and nothing else")
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry["id"]) or any(entry["id"] == m.id for m in mistakes):
            raise CourseError(f"{path.name}: the id {entry['id']!r} is taken, or no lower-case-words-with-hyphens")
        try:
            source = apply_patch(solution, entry["patch"])
        except CourseError as error:
            raise CourseError(f"{path.name}: {entry['id']}: {error}") from None
        mistakes.append(Mistake(entry["id"], entry["hint"], tuple(entry["caught_by"]), entry["patch"], source))
    return mistakes


def apply_patch(source: str, patch: str) -> str:
    """Makes a patch's changes: `-` lines go, `+` lines come, lines with a space stay, `@@` parts two places.

    Raises:
        CourseError: a place is not there, or is there more than once, or nothing changes.
    """
    result = source
    for place in re.split(r"^@@[^\n]*\n", patch, flags=re.MULTILINE):
        lines = [line for line in place.splitlines() if line.strip()]
        if odd := [line for line in lines if line[0] not in "-+ "]:
            raise CourseError(f"a patch's line begins with -, + or a space, and this one does not: {odd[0]!r}")
        old = "".join(f"{line[1:]}\n" for line in lines if line[0] in "- ")
        new = "".join(f"{line[1:]}\n" for line in lines if line[0] in "+ ")
        before, found, after = f"\n{result}".partition(f"\n{old}")
        if not found or not old:
            raise CourseError(f"the patch no longer applies: {old.strip()!r} is not in the solution")
        if f"\n{old}" in f"\n{after}":
            raise CourseError(f"the patch is ambiguous: {old.strip()!r} is in the solution more than once")
        result = f"{before}\n{new}{after}"[1:]
    if result == source:
        raise CourseError("the patch changes nothing")
    return result
