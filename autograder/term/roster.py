"""The people of a course: a roster as a learning-management system exports it, or as an instructor writes it."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autograder.course import CourseError

ROSTER = "roster.csv"
# What the columns are called by us, Canvas, Moodle, Gradescope, Classroom 50 and nbgrader, in lower case.
_COLUMNS = {
    "id": ("id", "student_id", "sid", "id number", "student id", "username", "identifier", "sis user id"),
    "name": ("name", "student", "full name"),
    "first": ("first name", "first_name", "firstname"),
    "last": ("last name", "last_name", "surname", "lastname"),
    "email": ("email", "e-mail", "email address", "e-mail address"),
    "group": ("group", "groups", "group name", "team"),
}
_ALSO = ("sis user id", "sis login id", "username", "login_id", "github_id", "identifier", "id number", "sid")


@dataclass(frozen=True)
class Person:
    """Somebody in the course.

    Attributes:
        id: unique in the roster.
        also: other numbers and names that systems know them by.
    """

    id: str
    name: str
    email: str = ""
    group: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Roster:
    """All people of a course, in the file's order."""

    people: tuple[Person, ...] = ()
    _by_key: dict[str, list[Person]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for person in self.people:
            for key in {folded(word) for word in (person.id, person.email, *_names(person.name), *person.also) if word}:
                self._by_key.setdefault(key, []).append(person)

    def find(self, *words: str) -> Person | None:
        """The person that one of the words names: an id, an e-mail address or a name that nobody else has."""
        for word in words:
            found = self._by_key.get(folded(word), [])
            if len(found) == 1:
                return found[0]
        return None

    def by_id(self, number: str) -> Person | None:
        """The person with this id."""
        return next((person for person in self._by_key.get(folded(number), ()) if person.id == number), None)

    def members(self, group: str) -> list[Person]:
        """All of a group, which may be named with or without spaces around."""
        return [person for person in self.people if group and folded(person.group) == folded(group)]


def folded(text: str) -> str:
    """A name as it is compared: however its accents were typed, in whatever case, with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _names(name: str) -> Iterable[str]:
    """A name in the ways that systems write it: `Lovelace, Ada`, `Ada Lovelace`, `lovelaceada`."""
    yield name
    before, comma, after = name.partition(",")
    first, last = after.strip(), before.strip()
    if not comma:
        first, _, last = " ".join(name.split()).rpartition(" ")
    yield f"{first} {last}" if comma else f"{last}, {first}"
    plain = unicodedata.normalize("NFKD", last + first).casefold()
    yield "".join(char for char in plain if char.isalnum())


def read_roster(path: Path) -> Roster:
    """Reads a roster: ours (id, name, email, group), or an export of Canvas, Moodle, Gradescope or Classroom 50.

    Raises:
        CourseError: it cannot be read, names no people, or has two of one id.
    """
    table = read_table(path)
    columns = _recognised(table.header)
    if not {"id", "email"} & columns.keys() or not ({"name"} & columns.keys() or {"first", "last"} <= columns.keys()):
        shown = ", ".join(table.header[:8])
        raise CourseError(f"{path} needs the columns id (or email) and name; it has {shown}.")
    people: dict[str, tuple[Person, int]] = {}
    for line, row in table.rows:
        person = _person(row, columns)
        if person is None:
            continue
        if person.id in people:
            earlier = people[person.id]
            raise CourseError(
                f"{path}, line {line}: the id {person.id} is {earlier[0].name}'s in line {earlier[1]} and "
                f"{person.name}'s here. Two people need two ids."
            )
        people[person.id] = (person, line)
    if not people:
        raise CourseError(f"{path} lists nobody.")
    return Roster(tuple(person for person, _ in people.values()))


def people(results: Path, roster: Path | None = None) -> Roster:
    """The roster that is named, else `roster.csv` in a folder of results or beside it; nobody where there is none."""
    beside = next((place / ROSTER for place in (results, results.parent) if (place / ROSTER).is_file()), None)
    path = roster or beside
    return read_roster(path) if path else Roster()


def _recognised(header: Sequence[str]) -> dict[str, str]:
    """Our names of the columns, and what the file calls them."""
    lower = {column.strip().casefold(): column for column in header}
    found = {}
    for ours, theirs in _COLUMNS.items():
        if column := next((lower[name] for name in theirs if name in lower), None):
            found[ours] = column
    return found


def _person(row: Mapping[str, str], columns: Mapping[str, str]) -> Person | None:
    def cell(name: str) -> str:
        return " ".join(row.get(columns.get(name, ""), "").split())

    name = cell("name") or f"{cell('first')} {cell('last')}".strip()
    number = cell("id") or cell("email")
    if not number:  # Canvas's row of "Points Possible", or an empty line
        return None
    lower = {column.strip().casefold(): " ".join(value.split()) for column, value in row.items()}
    also = {lower[column] for column in _ALSO if lower.get(column)} - {number}
    # Moodle's grading worksheet writes "Participant 4711", its folders only the number.
    also |= {word.split()[-1] for word in (number, *also) if " " in word and word.split()[-1].isdigit()}
    return Person(number, name or number, cell("email"), cell("group"), tuple(sorted(also)))


@dataclass(frozen=True)
class Table:
    """A file of rows.

    Attributes:
        header: the names of its columns.
        rows: each with the number of the line that it ends in.
        delimiter: what parts its cells.
    """

    header: list[str]
    rows: list[tuple[int, dict[str, str]]]
    delimiter: str


def read_table(path: Path) -> Table:
    """Reads a CSV with a header, separated by commas, semicolons or tabs, in UTF-8 or in UTF-16 with its mark.

    Raises:
        CourseError: it is not there, is in another encoding, or is no table; with the line.
    """
    text = read_text(path)
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                if twice := next((name for name in header if name and header.count(name) > 1), None):
                    raise CourseError(f"{path}: there are two columns called {twice}.")
                continue
            if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
                raise CourseError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells in {len(header)} columns. A text that holds "
                    f"{delimiter!r} needs quotes around it."
                )
            rows.append((reader.line_num, dict(zip(header, [*cells, *[""] * len(header)], strict=False))))
    except csv.Error as error:
        raise CourseError(f"{path}, line {reader.line_num}: this is no CSV ({error}).") from None
    if not header:
        raise CourseError(f"{path} is empty.")
    return Table(header, rows, delimiter)


def read_text(path: Path) -> str:
    """A text file as systems export it.

    Raises:
        CourseError: it is not there, or in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CourseError(
            f"{path} is not UTF-8 (line {line}), so names in it would be damaged. Export it once more, as CSV UTF-8."
        ) from None
