"""A learning-management system's bulk download, laid out as one folder a submission, with `handed-in.csv`.

Every file of the download goes into one of the folders, or is said to have been left out.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from autograder.archives import UNREADABLE, quoted, read_regular
from autograder.course import CourseError, GraderError
from autograder.files import write_whole
from autograder.term.handins import HANDED_IN
from autograder.term.roster import Roster

MAX_FILE = 256 * 2**20
MAX_FILES = 100_000
_MOODLE = re.compile(r"^(?P<who>.+)_(?P<number>\d+)_assignsubmission_[a-z]+_?(?P<rest>.*)$")
_CANVAS = re.compile(r"^(?P<who>[^_/]+)(?P<late>_LATE)?_(?P<number>\d+)_(?P<submission>\d+)_(?P<rest>.+)$")
_GRADESCOPE = re.compile(r"^submission_(?P<number>\d+)$")
_METADATA = "submission_metadata.yml"


@dataclass
class Collected:
    """One submission of a download.

    Attributes:
        name: what its folder is called.
        words: what the download calls its students, the surest first; each student's by themselves.
        files: its files by their path in the submission.
    """

    name: str
    words: list[tuple[str, ...]]
    time: datetime | None = None
    late: bool = False
    files: dict[str, Callable[[], bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """What became of a download.

    Attributes:
        found: how many files it held; each is in a submission or was left out.
        left_out: files, and why.
        unmatched: submissions of nobody in the roster.
        idle: people of the roster without a submission, by name.
    """

    found: int
    submissions: Sequence[Collected]
    left_out: Sequence[str]
    unmatched: Sequence[str]
    idle: Sequence[str]


def collect(export: Path, folder: Path, roster: Roster) -> Summary:
    """Lays out a download: a zip or an unpacked folder of Moodle, Canvas, Gradescope or Classroom 50.

    Raises:
        CourseError: it cannot be read, or something lies in the way.
        GraderError: the folder cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CourseError(f"{folder} is not empty. Give a new folder, and nothing is overwritten.")
    left_out: list[str] = []
    try:
        if export.is_dir():
            return _lay_out(list(_in_folder(export, left_out)), folder, roster, left_out)
        with zipfile.ZipFile(export) as archive:
            return _lay_out(list(_in_zip(archive, left_out)), folder, roster, left_out)
    except UNREADABLE as error:
        raise CourseError(f"{export} cannot be read: {error}.") from None


_Entry = tuple[PurePosixPath, Callable[[], bytes]]


def _in_folder(root: Path, left_out: list[str]) -> Iterator[_Entry]:
    for path in sorted(root.rglob("*")):
        relative = PurePosixPath(path.relative_to(root).as_posix())
        if path.is_symlink():
            left_out.append(f"{quoted(relative)} is a link")
        elif path.is_file():
            yield relative, lambda path=path: read_regular(path, MAX_FILE + 1)  # type: ignore[misc]


def _in_zip(archive: zipfile.ZipFile, left_out: list[str]) -> Iterator[_Entry]:
    for entry in archive.infolist()[:MAX_FILES]:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if entry.is_dir():
            continue
        if path.is_absolute() or ".." in path.parts:
            left_out.append(f"{quoted(path)} points outside of the zip")
        elif entry.file_size > MAX_FILE:
            left_out.append(f"{quoted(path)} is {entry.file_size / 2**20:.0f} MiB large")
        else:
            yield path, lambda entry=entry: archive.read(entry)  # type: ignore[misc]


def _lay_out(entries: list[_Entry], folder: Path, roster: Roster, left_out: list[str]) -> Summary:
    outside = len(left_out)
    entries = _without_common_folder(entries)
    metadata = _metadata(entries)
    found: dict[str, Collected] = {}
    for path, read in entries:
        if any(part in ("__MACOSX", ".DS_Store") for part in path.parts) or path.name == _METADATA:
            left_out.append(f"{quoted(path)} is no student's")
            continue
        one, rest = _place(path, metadata, roster)
        one = found.setdefault(one.name, one)
        name = rest if rest not in one.files else f"again/{rest}"
        if name in one.files:
            left_out.append(f"{quoted(path)} is there three times")
        else:
            one.files[name] = read
    rows, unmatched, seen = [], [], set()
    for one in found.values():
        for words in one.words:
            person = roster.find(*words)
            if roster.people and person is None:
                unmatched.append(one.name)
            seen.add(person.id if person else "")
            rows.append(
                [
                    one.name,
                    person.id if person else words[-1],
                    one.time.isoformat() if one.time else "",
                    "yes" * one.late,
                ]
            )
    try:
        for one in found.values():
            for name, read in one.files.items():
                write_whole(folder / one.name / name, read())
        write_whole(folder / HANDED_IN, _as_csv([["submission", "student", "time", "late"], *rows]))
    except OSError as error:
        raise GraderError(f"{folder} could not be written: {error.strerror or error}.") from None
    idle = [person.name for person in roster.people if person.id not in seen]
    return Summary(len(entries) + outside, list(found.values()), left_out, unmatched, idle)


def _without_common_folder(entries: list[_Entry]) -> list[_Entry]:
    """A download may come as one folder in a zip."""
    tops = {path.parts[0] for path, _ in entries}
    nested = all(len(path.parts) > 1 for path, _ in entries)
    top = next(iter(tops), "")
    if len(tops) != 1 or not nested or any(form.match(top) for form in (_MOODLE, _CANVAS, _GRADESCOPE)):
        return entries
    inner = [(PurePosixPath(*path.parts[1:]), read) for path, read in entries]
    known = any(form.match(path.parts[0]) for path, _ in inner for form in (_MOODLE, _CANVAS, _GRADESCOPE))
    return inner if known else entries


def _place(path: PurePosixPath, metadata: dict[str, Any], roster: Roster) -> tuple[Collected, str]:
    """The submission that a file belongs to, and what it is called in it."""
    top, inside = path.parts[0], "/".join(path.parts[1:])
    if match := _MOODLE.match(top):
        who, number = match["who"], match["number"]
        return Collected(_safe(f"{who} {number}"), [(number, who)]), inside or match["rest"] or path.name
    if match := _GRADESCOPE.match(top):
        return _gradescope(top, metadata.get(top, {})), inside
    if match := _CANVAS.match(top):
        name = _safe(f"{match['who']} {match['number']}")
        # Canvas adds -1, -2, ... to what was handed in again.
        rest = inside or re.sub(r"-\d{1,2}(\.\w+)$", r"\1", match["rest"])
        return Collected(name, [(match["number"], match["who"])], late=bool(match["late"])), rest
    if inside:
        # Classroom 50's repositories: CLASSROOM-ASSIGNMENT-USERNAME.
        parts = top.split("-")
        words = ["-".join(parts[start:]) for start in range(1, len(parts))]
        return Collected(_safe(top), [(top, *(word for word in words if roster.find(word)), top)]), inside
    return Collected(_safe(path.stem), [(path.stem,)]), path.name


def _gradescope(top: str, entry: dict[str, Any]) -> Collected:
    words = [
        tuple(str(person.get(key) or "") for key in (":sid", ":email", ":name"))
        for person in entry.get(":submitters") or ()
        if isinstance(person, dict)
    ]
    time = entry.get(":created_at")
    known = time if isinstance(time, datetime) and time.tzinfo else None
    return Collected(_safe(top), words or [(top,)], known)


def _metadata(entries: Sequence[_Entry]) -> dict[str, Any]:
    for path, read in entries:
        if path.name == _METADATA:
            try:
                data = yaml.safe_load(read())
            except yaml.YAMLError as error:
                raise CourseError(f"{_METADATA} is damaged: {error}") from None
            if not isinstance(data, dict):
                raise CourseError(f"{_METADATA} does not list submissions.")
            return {str(name): entry for name, entry in data.items() if isinstance(entry, dict)}
    return {}


def _safe(name: str) -> str:
    """A folder's name that says whose it is; ids in it keep two apart."""
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).lstrip(".").strip() or "_"


def _as_csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return out.getvalue()
