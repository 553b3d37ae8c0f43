"""`reset`: an exercise as it was at first, guided or open, with the old text kept beside."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from autograder.course import Course, CourseError, counted
from autograder.files import write_whole


def fresh_text(course: Course, name: str, level: str) -> str:
    """The exercise before anybody touched it.

    Raises:
        CourseError: neither the solution is here, nor what a release brings in its place.
    """
    if course.solution(name).is_file():
        from autograder.authoring.skeleton import stub  # where there are solutions, its libraries are there too

        return stub(course.solution(name).read_text(encoding="utf-8"), level)
    path = course.fresh_stub(name, level)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror}), and so {name} cannot be begun anew.") from None


def reset(course: Course, name: str, level: str) -> str:
    """Writes the fresh text, and says where the old one is.

    Raises:
        CourseError: see `fresh_text`.
    """
    path, text = course.stub(name), fresh_text(course, name, level)
    holes, _ = counted(text)
    said = f"{path.name} is {level} again: {holes} holes to fill."
    try:
        old = path.read_bytes() if path.exists() else None
        if old is not None and old != text.encode():
            kept = _kept(path)
            kept.write_bytes(old)
            said += f" Your text is kept in {kept.name}, beside it."
        write_whole(path, text)
    except OSError as error:
        raise CourseError(f"{path} cannot be written: {error.strerror}. Nothing is lost.") from None
    return said


def _kept(path: Path) -> Path:
    """A name that is free, and no script's, so that it is neither checked nor handed in."""
    names = (path.with_name(f"{path.name}.old{number if number > 1 else ''}") for number in count(1))
    return next(name for name in names if not name.exists())
