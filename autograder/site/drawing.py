"""The course's map as a drawing that can be clicked: parts as columns, exercises as boxes, arrows for what is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from autograder.course import Course

LEFT = 22  # pixels, room for the arrows of the first column
BOX, GAP, COLUMN, TOP = (200, 34), 14, 236, 46  # pixels: a box's width and height, between boxes, columns, headings


def as_svg(course: Course, address: Callable[[str], str]) -> str:
    """The map.

    Args:
        course: the course.
        address: where a click on an exercise leads.
    """
    parts = list(dict.fromkeys(exercise.part for exercise in course.exercises))
    members = {part: [e.name for e in course.exercises if e.part == part] for part in parts}
    corners = {
        name: (LEFT + COLUMN * column, TOP + row * (BOX[1] + GAP))
        for column, part in enumerate(parts)
        for row, name in enumerate(members[part])
    }
    width = LEFT + COLUMN * len(parts) - (COLUMN - BOX[0]) + 4
    height = TOP + max(map(len, members.values())) * (BOX[1] + GAP)
    body = [
        *(f'<text class="part" x="{LEFT + COLUMN * i}" y="26">{escape(part)}</text>' for i, part in enumerate(parts)),
        *_arrows(course, corners),
        *_boxes(course, corners, address),
    ]
    title = f"{len(course.names)} exercises in {len(parts)} parts; an arrow says that one uses what the other built."
    if course.core:
        title += f" The core path, {len(course.core)} of them, is framed in bold."
    return (
        f'<svg class="map" role="group" aria-label="{title}" viewBox="0 0 {width} {height}" '
        f'xmlns="http://www.w3.org/2000/svg">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>\n' + "\n".join(body) + "\n</svg>"
    )


def _boxes(course: Course, corners: dict[str, tuple[int, int]], address: Callable[[str], str]) -> Iterator[str]:
    for number, exercise in enumerate(course.exercises, 1):
        x, y = corners[exercise.name]
        core = ' class="core"' if exercise.name in course.core else ""
        yield (
            f'<a href="{escape(address(exercise.name))}"><title>{escape(exercise.title)}: about {exercise.minutes} '
            f'minutes</title><rect{core} x="{x}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="6"/>'
            f'<text x="{x + 10}" y="{y + 22}">{number}. {escape(exercise.name)}</text></a>'
        )


def _arrows(course: Course, corners: dict[str, tuple[int, int]]) -> Iterator[str]:
    for exercise in course.exercises:
        x, y = corners[exercise.name]
        for base in exercise.builds_on:
            from_x, from_y = corners[base]
            if from_x == x:  # along the left edge of the column
                start, end = from_y + BOX[1] / 2, y + BOX[1] / 2
                yield f'<path class="arrow" d="M{x} {start}C{x - 16} {start} {x - 16} {end} {x} {end}"/>'
            else:
                start_x, start, end = from_x + BOX[0], from_y + BOX[1] / 2, y + BOX[1] / 2
                yield f'<path class="arrow" d="M{start_x} {start}C{start_x + 25} {start} {x - 25} {end} {x} {end}"/>'
