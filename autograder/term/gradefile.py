"""A gradebook file of Canvas or Moodle with one column filled in, and no other byte of it touched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autograder.course import CourseError
from autograder.term.roster import Person, Roster, read_roster, read_table, read_text


@dataclass(frozen=True)
class Filled:
    """A gradebook file, filled in.

    Attributes:
        data: its bytes, in the encoding that it had.
        unknown: people with a grade and without a row.
        missing: rows without a grade, whose cells stayed as they were.
    """

    data: bytes
    column: str
    written: int
    unknown: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def fill(path: Path, wanted: str, people: Mapping[Person, str], worth: float) -> Filled:
    """Writes grades into one column.

    Args:
        path: what Canvas or Moodle exported.
        wanted: the column's name, or the beginning of it before Canvas's number; empty for Moodle's own.
        people: what is to stand in the cells.
        worth: what full marks are.

    Raises:
        CourseError: the file makes no sense, or its column has other full marks.
    """
    table, rows = read_table(path), read_roster(path)
    column = _column(path, table.header, wanted)
    _check_worth(path, column, table, worth)
    text = read_text(path)
    spans = [row for row in _spans(text, table.delimiter) if any(text[a:b].strip() for a, b in row)]
    places = _rows_of(rows, table.rows)
    comma = table.delimiter == ";" and any(re.fullmatch(r"\d+,\d+", c) for _, row in table.rows for c in row.values())
    index, edits, unknown = table.header.index(column), [], []
    graded = set()
    for person, value in people.items():
        row = rows.find(person.id, person.email, *person.also, person.name)
        if row is None:
            unknown.append(person.name)
            continue
        graded.add(row.id)
        cells = spans[1 + places[row.id]]
        if index >= len(cells):
            raise CourseError(f"{path}: the row of {row.name} ends before the column {column}.")
        quoted = text[cells[index][0] : cells[index][0] + 1] == '"'
        shown = value.replace(".", ",") if comma else value
        edits.append((cells[index], f'"{shown}"' if quoted or comma else shown))
    for (start, end), cell in sorted(edits, reverse=True):
        text = text[:start] + cell + text[end:]
    missing = [person.name for person in rows.people if person.id not in graded]
    return Filled(_encoded(path, text), column, len(edits), unknown, missing)


def _column(path: Path, header: list[str], wanted: str) -> str:
    if wanted in header:
        return wanted
    # Canvas writes the assignment's number behind its name; Moodle's worksheet is of one assignment.
    found = [name for name in header if wanted and re.fullmatch(rf"{re.escape(wanted)} \(\d+\)", name)]
    found = found or ([name for name in header if name == "Grade"] if "Identifier" in header else [])
    if len(found) != 1:
        shown = ", ".join(name for name in header if name)
        raise CourseError(f"{path} has no column for {wanted or 'grades'}. Say --column; there are: {shown}.")
    return found[0]


def _check_worth(path: Path, column: str, table: object, worth: float) -> None:
    """Whether the system's full marks are ours, where it says what they are."""
    rows: list[tuple[int, dict[str, str]]] = table.rows  # type: ignore[attr-defined]
    said = [row.get("Maximum Grade", "") for _, row in rows]
    said += [row[column] for _, row in rows if "Points Possible" in row.get("Student", "")]
    for cell in filter(None, (cell.strip().replace(",", ".") for cell in said)):
        try:
            theirs = float(cell)
        except ValueError:
            continue  # "(read only)"
        if abs(theirs - worth) > 1e-6:
            raise CourseError(
                f"{path}: full marks are {theirs:g} there and {worth:g} here. "
                f"Set points = {theirs:g} in the assignment."
            )


def _rows_of(roster: Roster, rows: list[tuple[int, dict[str, str]]]) -> dict[str, int]:
    """The number of each person's row."""
    found: dict[str, int] = {}
    for number, (_, row) in enumerate(rows):
        words = [" ".join(cell.split()) for cell in row.values() if cell.strip()]
        own = {person.id for word in words if (person := roster.find(word)) is not None}
        for person in (roster.by_id(number) for number in own):
            if person and any(word == person.id for word in words):
                found.setdefault(person.id, number)
    return found


def _spans(text: str, delimiter: str) -> list[list[tuple[int, int]]]:
    """Where each row's cells stand in the text, with their quotes."""
    rows: list[list[tuple[int, int]]] = []
    row: list[tuple[int, int]] = []
    start, quoted = 0, False
    for place, char in enumerate(text):
        if char == '"':
            quoted = not quoted  # a doubled quote turns it off and on again
        elif not quoted and char in (delimiter, "\n"):
            end = place - 1 if char == "\n" and place > start and text[place - 1] == "\r" else place
            row.append((start, end))
            start = place + 1
            if char == "\n":
                rows.append(row)
                row = []
    if start < len(text) or row:
        row.append((start, len(text)))
        rows.append(row)
    return rows


def _encoded(path: Path, text: str) -> bytes:
    head = path.read_bytes()[:3]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return head[:2] + text.encode("utf-16-le" if head[:2] == b"\xff\xfe" else "utf-16-be")
    return (b"\xef\xbb\xbf" if head == b"\xef\xbb\xbf" else b"") + text.encode()
