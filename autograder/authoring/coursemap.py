"""The course drawn and listed in README.md, written from `course.toml`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from autograder.course import Course
from autograder.files import write_whole

_BLOCK = re.compile(r"(<!-- exercises:[^\n]*-->\n).*?(<!-- /exercises -->)", re.DOTALL)


def course_map(course: Course) -> str:
    """The exercises as a drawing of what builds on what, and as a table."""
    lines = ["```mermaid", "graph LR"]
    parts = list(dict.fromkeys(exercise.part for exercise in course.exercises))
    for number, part in enumerate(parts):
        names = [exercise.name for exercise in course.exercises if exercise.part == part]
        lines += [f'  subgraph part{number}["{part}"]', "    direction TB", f"    {' --- '.join(names)}", "  end"]
    lines += [f"  {base} ==> {exercise.name}" for exercise in course.exercises for base in exercise.builds_on]
    about = "Thin lines are the order of the course; a thick arrow says that an exercise uses what the other one built."
    if course.core:
        lines += ["  classDef core stroke-width:4px", f"  class {','.join(course.core)} core"]
        about += f" The core path is framed in bold here, and bold in the table: {_length(course, course.core)}."
    lines += ["```", "", about, ""]
    lines += ["| | exercise | part | builds on | minutes | difficulty |", "| --- | --- | --- | --- | --- | --- |"]
    for number, exercise in enumerate(course.exercises, 1):
        base = ", ".join(exercise.builds_on)
        stars = "●" * exercise.difficulty + "○" * (5 - exercise.difficulty)
        bold = "**" if exercise.name in course.core else ""
        title = f"{bold}[{exercise.title}](exercises/{exercise.name}.py){bold}"
        lines.append(f"| {number} | {title} | {exercise.part} | {base} | {exercise.minutes} | {stars} |")
    return "\n".join([*lines, "", f"Together {_length(course, course.names)}."]) + "\n"


def _length(course: Course, names: Sequence[str]) -> str:
    """How many exercises these are, and how long they take."""
    minutes = sum(course.exercise(name).minutes for name in names)
    hours = f"{minutes / 60:.0f} hour{'' if 30 < minutes < 90 else 's'}"
    return f"{len(names)} exercise{'' if len(names) == 1 else 's'}, about {hours}"


def with_map(readme: str, course: Course) -> str:
    """The README's text with the map as it should be."""
    return _BLOCK.sub(lambda match: f"{match[1]}{course_map(course)}{match[2]}", readme)


def write_map(course: Course) -> bool:
    """Writes the map into README.md; returns whether that changed it."""
    path = course.root / "README.md"
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    new = with_map(old, course)
    if new != old:
        write_whole(path, new)
    return new != old
