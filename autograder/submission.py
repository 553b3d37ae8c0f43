"""What a student handed in, as sources: text, never run, parsed or written anywhere here.

A folder, a zip, a `.py` and an `.ipynb` are first made alike, as files by their path; nothing is unpacked to the disk.
Links are not followed, so that nothing outside of the submission can be handed in.
"""

from __future__ import annotations

import importlib.util
import lzma
import os
import re
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from autograder.course import Course
from autograder.notebooks import NotebookError, source_of

MAX_SOURCE = 1_000_000  # bytes of a module; an exercise has some thousands
MAX_SOURCES = 10_000_000  # of all modules together
MAX_NOTEBOOK = 128 * 2**20  # a notebook may carry large outputs
MAX_FILES = 5000
MAX_DEPTH = 4
_TOP = PurePosixPath()
# What reading a damaged or hostile file may raise: a zip's names and numbers are believed by Python's own reader.
_UNREADABLE = (
    *(OSError, EOFError, RuntimeError, NotImplementedError, MemoryError, ValueError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
_SKIPPED = {"__pycache__", "__MACOSX", "node_modules", "site-packages", "pictures"}


class SubmissionError(Exception):
    """Nothing of the submission can be read; the message says why."""


@dataclass(frozen=True)
class Submission:
    """A submission's modules.

    Attributes:
        name: whose it is: the folder's or file's name.
        sources: each module's text by its name.
        problems: why a file could not be read, by module name.
        notes: what is to be said about it as a whole.
    """

    name: str
    sources: dict[str, str]
    problems: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _File:
    path: PurePosixPath
    size: int
    read: Callable[[int], bytes]  # at most so many bytes


def read_submission(path: Path, course: Course) -> Submission:
    """Reads a folder, a zip, a `.py` or an `.ipynb`.

    Raises:
        SubmissionError: there is no such file, or it is none of these, or a damaged one.
    """
    notes: list[str] = []
    try:
        if path.is_dir():
            files = list(_in_folder(path))
        elif not path.is_file():
            raise SubmissionError(f"there is no file or folder {path}")
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return _from_files(path.stem, list(_in_zip(archive, notes)), course, notes)
        elif path.suffix in (".py", ".ipynb"):
            name = _exercise_in(path.stem, course)
            renamed = PurePosixPath(f"{name}{path.suffix}")
            files = [_File(renamed, path.stat().st_size, lambda limit: read_regular(path, limit))]
        else:
            raise SubmissionError(f"{path.name} is no folder, zip, .py or .ipynb")
        return _from_files(path.stem if path.is_file() else path.resolve().name, files, course, notes)
    except _UNREADABLE as error:
        raise SubmissionError(f"{path.name} cannot be read: {error}") from None


def module_name(stem: str) -> str:
    """The module that a file's name means: `softmax`, and also `01-softmax`, as nbgrader's notebooks are called."""
    return re.sub(r"^\d+-", "", stem)


def _from_files(name: str, files: list[_File], course: Course, notes: list[str]) -> Submission:
    sources: dict[str, str] = {}
    problems: dict[str, str] = {}
    folder = _exercise_folder(files, course)
    chosen: dict[str, _File] = {}
    for file in files:
        module = module_name(file.path.stem)
        numbered = module != file.path.stem
        # Of a script and a notebook with one name the script counts, but before both nbgrader's numbered notebook.
        counts = module not in chosen or numbered or (file.path.suffix == ".py" and chosen[module].path.stem == module)
        if file.path.parent == folder and module.isidentifier() and counts:
            chosen[module] = file
    left = MAX_SOURCES
    for module, file in sorted(chosen.items(), key=lambda item: (item[0] not in course.names, item[0])):
        if left <= 0:
            notes.append("The submission holds more than ten million characters of code. The rest was not read.")
            break
        if module not in course.names and _is_library(module):
            notes.append(
                f"{file.path.name} has the name of a Python library, so `import {module}` gives the library. "
                "Give your file another name."
            )
        elif module in course.names or file.path.suffix == ".py":
            text = _source(file)
            if isinstance(text, _Problem):
                problems[module] = text.sentence
            else:
                sources[module] = text
                left -= len(text)
    return Submission(name, sources, problems, tuple(notes))


@dataclass(frozen=True)
class _Problem:
    sentence: str


def _source(file: _File) -> str | _Problem:
    name, notebook = file.path.name, file.path.suffix == ".ipynb"
    limit = MAX_NOTEBOOK if notebook else MAX_SOURCE
    if file.size > limit:
        return _Problem(f"{name} is {file.size / 1e6:.0f} MB large. An exercise has a few thousand characters.")
    try:
        data = file.read(limit + 1)
    except _UNREADABLE as error:
        return _Problem(f"{name} cannot be read: {error}.")
    if len(data) > limit:
        return _Problem(f"{name} is larger than it says, and was not read.")
    try:
        text = source_of(data) if notebook else data.decode("utf-8-sig")
    except NotebookError as error:
        return _Problem(f"{name} cannot be read: {error}.")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return _Problem(f"{name} is not UTF-8 text (line {line}). Save it with the encoding UTF-8.")
    if len(text) > MAX_SOURCE:
        return _Problem(f"{name} holds more than a million characters of code.")
    if "\0" in text:
        return _Problem(f"{name} holds zero bytes, so it is no text. Save it again from your editor.")
    if not text.strip():
        return _Problem(f"{name} is empty.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _in_folder(root: Path, below: PurePosixPath = _TOP) -> Iterator[_File]:
    with os.scandir(root / below) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed[:MAX_FILES]:
        path = below / entry.name
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        if entry.is_dir(follow_symlinks=False):
            if len(path.parts) < MAX_DEPTH:
                yield from _in_folder(root, path)
        elif entry.is_file(follow_symlinks=False) and path.suffix in (".py", ".ipynb"):
            full = root / path
            yield _File(path, entry.stat().st_size, lambda limit, full=full: read_regular(full, limit))  # type: ignore[misc]


def read_regular(path: Path, limit: int) -> bytes:
    """At most so many bytes of a regular file. Raises an OSError for a link, a pipe or a device."""
    # The kind is asked of what was opened: between a look and an open, a file could become a link or a pipe.
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("it is no regular file")
        return file.read(limit)


def _in_zip(archive: zipfile.ZipFile, notes: list[str]) -> Iterator[_File]:
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise SubmissionError(f"the zip holds {len(entries):,} files")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if entry.is_dir() or path.suffix not in (".py", ".ipynb") or _SKIPPED & set(path.parts):
            continue
        if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
            notes.append(f"The zip's entry {entry.filename[:80]!r} points outside of the zip and was left out.")
        elif len(path.parts) <= MAX_DEPTH and not any(part.startswith(".") for part in path.parts):
            yield _File(path, entry.file_size, lambda limit, entry=entry: _read_entry(archive, entry, limit))  # type: ignore[misc]


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    with archive.open(entry) as file:
        return file.read(limit)


def _exercise_folder(files: list[_File], course: Course) -> PurePosixPath:
    """Where the exercises lie: the folder with most of them, and of several such the one highest up."""
    counts: dict[PurePosixPath, set[str]] = {}
    for file in files:
        if (name := module_name(file.path.stem)) in course.names:
            counts.setdefault(file.path.parent, set()).add(name)
    return min(
        counts, key=lambda folder: (-len(counts[folder]), len(folder.parts), str(folder)), default=PurePosixPath()
    )


def _exercise_in(stem: str, course: Course) -> str:
    """The exercise that a single file is about: `softmax`, `softmax (1)`, `ada-softmax`."""
    found = [name for name in course.names if re.search(rf"(?<![a-z]){name}(?![a-z])", stem.lower())]
    longest = max(found, key=len, default=None)
    if longest is None:
        raise SubmissionError(f"the name {stem!r} says no exercise; call the file, for instance, {course.names[0]}.py")
    return longest


@lru_cache(maxsize=4096)
def _is_library(name: str) -> bool:
    if name in sys.stdlib_module_names or name == "autograder":
        return True
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return False
    return spec is not None and spec.origin is not None and "site-packages" in spec.origin
