"""The course drawn and listed in README.md, written from `course.toml`."""

from __future__ import annotations

import re

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
    lines += [
        "```",
        "",
        "Thin lines are the order of the course; a thick arrow says that an exercise uses what the other one built.",
        "",
    ]
    lines += ["| | exercise | part | builds on | minutes | difficulty |", "| --- | --- | --- | --- | --- | --- |"]
    for number, exercise in enumerate(course.exercises, 1):
        base = ", ".join(exercise.builds_on)
        stars = "●" * exercise.difficulty + "○" * (5 - exercise.difficulty)
        title = f"[{exercise.title}](exercises/{exercise.name}.py)"
        lines.append(f"| {number} | {title} | {exercise.part} | {base} | {exercise.minutes} | {stars} |")
    total = sum(exercise.minutes for exercise in course.exercises)
    return "\n".join([*lines, "", f"Together about {total / 60:.0f} hours."]) + "\n"


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
