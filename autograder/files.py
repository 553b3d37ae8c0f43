"""Where the program stands, and how it reads its own files' digests and writes other files: whole, or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent  # the package's folder
TEMPLATES = PROGRAM / "templates"


def digest(data: bytes | str) -> str:
    """The SHA-256 of data, or of a text as UTF-8, in hexadecimal digits. Callers cut it where less will do."""
    return hashlib.sha256(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a name to write under; what stands there then takes the place of `path` in one step.

    A reader sees the old file or the new one, and after a crash there is one of the two.

    Raises:
        OSError: it could not be written; `path` is as it was, and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name[:200]}.{os.getpid()}.new")
    try:
        yield beside
        _flush(beside)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def write_whole(path: Path, data: bytes | str) -> None:
    """Writes a file, whole or not at all. A text is written as UTF-8, its line ends as they are.

    Raises:
        OSError: see `replacing`.
    """
    content = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    with replacing(path) as beside:
        beside.write_bytes(content)


def program_files(matches: Callable[[Path], bool] = Path.is_file) -> Iterator[Path]:
    """The program's own files in order, without what Python writes beside them."""
    for path in sorted(PROGRAM.rglob("*")):
        if "__pycache__" not in path.parts and matches(path):
            yield path


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
