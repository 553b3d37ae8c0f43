"""What a stub was like before anybody touched it, and what it says: told without loading anything that judges."""

from __future__ import annotations

import json
import re
from typing import Any

from autograder.course import Course, CourseError, counted, holes, marked_answers, untouched


def holes_of_stub(course: Course, name: str) -> int:
    """How many holes an exercise had before anybody touched it; the stub's own count where nobody else knows."""
    if course.solution(name).is_file():
        return marked_answers(course.solution(name).read_text(encoding="utf-8"))
    stub = course.stub(name)
    own = len(holes(stub.read_text(encoding="utf-8", errors="replace"))) if stub.is_file() else 1
    return int(_recorded(course, name).get("holes", 0)) or own


def is_untouched(course: Course, name: str, source: str) -> bool:
    """Whether a text still has every hole that a stub has, at whatever level."""
    solution = course.solution(name)
    if counted(source)[0] >= holes_of_stub(course, name):
        return True
    if solution.is_file():
        return counted(source) in untouched(solution.read_text(encoding="utf-8"))
    return list(counted(source)) in _recorded(course, name).get("untouched", [])


def plain(text: str) -> str:
    """A text in one line, without the marks of comments: sentences run on over the ends of lines."""
    return " ".join(re.sub(r"^[ \t]*#+ ?", "", text, flags=re.MULTILINE).split())


def _recorded(course: Course, name: str) -> dict[str, Any]:
    """What a release knows of the exercise; nothing where there is no such file."""
    path = course.fingerprints(name)
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise CourseError(f"{path} is damaged. Take it from the release again.") from None
