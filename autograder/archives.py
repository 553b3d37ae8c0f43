"""The files in a folder or a zip, made alike: by their path, nothing unpacked to the disk, no link followed.

A zip that lies in a folder or in a zip is looked into as if it were a folder, one level deep: learning-management
systems wrap what students wrapped already.
"""

from __future__ import annotations

import io
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

MAX_FILES = 5000
MAX_DEPTH = 12
MAX_NESTED = 8  # zips inside of one submission that are looked into
MAX_NESTED_SIZE = 64 * 2**20  # bytes of a zip inside of a zip, which is held in memory
# What reading a damaged or hostile file may raise: a zip's names and numbers are believed by Python's own reader.
UNREADABLE = (
    *(OSError, EOFError, RuntimeError, NotImplementedError, MemoryError, ValueError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
_SKIPPED = {"__pycache__", "__MACOSX", "node_modules", "site-packages", "pictures"}
_TOP = PurePosixPath()


@dataclass(frozen=True)
class File:
    """A file that was handed in.

    Attributes:
        path: where it lies in the submission; what lies in a zip inside lies below that zip.
        size: bytes, as its folder or zip says.
        read: gives at most so many of its bytes; may raise any of `UNREADABLE`.
    """

    path: PurePosixPath
    size: int
    read: Callable[[int], bytes]


@dataclass
class Files:
    """All files of a folder or a zip, for as long as it is open.

    Attributes:
        found: the files.
        notes: what was left out and why, in sentences.
    """

    found: list[File] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _open: ExitStack = field(default_factory=ExitStack)
    _nested: int = 0

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def add_folder(self, root: Path) -> None:
        """Finds all in a folder.

        Raises:
            UNREADABLE: it cannot be listed.
        """
        self._add(_in_folder(root, _TOP, self.notes), nested=True)

    def add_zip(self, file: Path | IO[bytes], below: PurePosixPath = _TOP) -> None:
        """Finds all in a zip, as if it were the folder `below`.

        Raises:
            UNREADABLE: it is no zip, or a damaged one.
        """
        archive = self._open.enter_context(zipfile.ZipFile(file))
        self._add(_in_zip(archive, below, self.notes), nested=below == _TOP)

    def _add(self, files: Iterator[File], *, nested: bool) -> None:
        for file in files:
            if len(self.found) >= MAX_FILES:
                self.notes.append(f"It holds more than {MAX_FILES:,} files. The rest was not looked at.")
                return
            if nested and file.path.suffix.lower() == ".zip" and self._look_into(file):
                continue
            self.found.append(file)

    def _look_into(self, file: File) -> bool:
        self._nested += 1
        if self._nested > MAX_NESTED or file.size > MAX_NESTED_SIZE:
            return False
        try:
            data = file.read(MAX_NESTED_SIZE + 1)
            if len(data) > MAX_NESTED_SIZE:
                return False
            self.add_zip(io.BytesIO(data), file.path)
        except UNREADABLE as error:
            self.notes.append(f"{quoted(file.path)} is no zip, or a damaged one ({error}).")
            return False
        return True


def quoted(path: PurePosixPath | str) -> str:
    """A file's name in a sentence: a name is somebody's text, and may be long or hold line breaks."""
    text = str(path)
    text = text if len(text) <= 80 else f"{text[:40]}…{text[-39:]}"
    return text if text.isprintable() else repr(text)[1:-1]


def read_regular(path: Path, limit: int) -> bytes:
    """At most `limit` bytes of a file that is no link and no pipe.

    Raises:
        OSError: it cannot be read, or is one.
    """
    # The kind is asked of what was opened: between a look and an open, a file could become a link or a pipe.
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("it is no regular file")
        return file.read(limit)


def _in_folder(root: Path, below: PurePosixPath, notes: list[str]) -> Iterator[File]:
    with os.scandir(root / below) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed[: MAX_FILES + 1]:
        path = below / entry.name
        if _is_skipped(path):
            continue
        if entry.is_dir(follow_symlinks=False):
            if len(path.parts) < MAX_DEPTH:
                yield from _in_folder(root, path, notes)
            else:
                notes.append(f"The folder {quoted(path)} lies too deep and was not looked at.")
        elif entry.is_file(follow_symlinks=False):
            full = root / path
            yield File(path, entry.stat().st_size, lambda limit, full=full: read_regular(full, limit))  # type: ignore[misc]
        elif entry.is_symlink():
            notes.append(f"{quoted(path)} is a link, and links are not followed.")


def _in_zip(archive: zipfile.ZipFile, below: PurePosixPath, notes: list[str]) -> Iterator[File]:
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if entry.is_dir() or _is_skipped(path):
            continue
        if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
            notes.append(f"The zip's entry {entry.filename[:80]!r} points outside of the zip and was left out.")
        elif len(path.parts) > MAX_DEPTH:
            notes.append(f"{quoted(path)} lies too deep and was not looked at.")
        else:
            yield File(below / path, entry.file_size, lambda limit, entry=entry: _read_entry(archive, entry, limit))  # type: ignore[misc]


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    with archive.open(entry) as file:
        return file.read(limit)


def _is_skipped(path: PurePosixPath) -> bool:
    return any(part in _SKIPPED or (part.startswith(".") and part != "..") for part in path.parts)
