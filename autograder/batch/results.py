"""Grades on disk: one JSON file a submission, whole or not at all, and the keys that say when a grade may be reused.

A folder of results holds `NAME.json`, the fixed form, `NAME.log`, what the submission printed, where it printed
anything, `graded.jsonl`, a line with the time for each grade that was written, `.keys/NAME.json`, for each exercise a
digest of everything that its grade depends on, and `.sources/NAME.json`, the text that was graded.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from autograder.course import Course, Exercise, GraderError
from autograder.files import digest, program_files, write_whole
from autograder.grades import ExerciseGrade, Grade, as_json, from_json
from autograder.submission import Submission
from autograder.versions import TooNew, in_use

KEYS, SOURCES, PRUNED = ".keys", ".sources", ".pruned"
LOG = "graded.jsonl"  # the time stands here, so that a grade is the same byte for byte on each run
MAX_NAME = 200  # bytes of a file's name, of the 255 that file systems take
_LIBRARIES = ("numpy", "scipy", "torch", "transformers", "pytest", "hypothesis")


class ResultError(GraderError):
    """A result cannot be written or read."""


class Results:
    """A folder of grades."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / KEYS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultError(f"{folder} cannot be used for results: {error.strerror}") from None

    def reusable(self, name: str, keys: Mapping[str, str], protection: str) -> dict[str, ExerciseGrade]:
        """The stored grades of those exercises for which nothing has changed since.

        Raises:
            ResultError: a later version of this program wrote the grade, which this one would write over.
        """
        try:
            text = (self.folder / f"{file_name(name)}.json").read_bytes()
            grade = from_json(json.loads(text))
            stored = json.loads((self.folder / KEYS / f"{file_name(name)}.json").read_bytes())
            if stored["result"] != digest(text):
                return {}
            if grade.protection != protection:
                return {}
            return {
                e.name: e
                for e in grade.exercises
                if stored["exercises"].get(e.name) == keys.get(e.name, "") and e.graded
            }
        except TooNew as error:
            raise ResultError(f"{self.folder / file_name(name)}.json: {error} (--force grades anew.)") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}

    def as_kept(self, grade: Grade) -> Grade:
        """A grade that was reused, with the versions that it was made with."""
        try:
            kept = from_json(json.loads((self.folder / f"{file_name(grade.submission)}.json").read_bytes()))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return grade
        return replace(grade, versions=kept.versions)

    def write(self, grade: Grade, keys: Mapping[str, str], submission: Submission | None = None) -> None:
        """Writes a grade, then its keys, so that a crash in between costs a regrade and nothing else."""
        name = file_name(grade.submission)
        text = json.dumps(as_json(grade), indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        log = "".join(f"== {e.name}\n{e.output}\n" for e in grade.exercises if e.output)
        try:
            write_whole(self.folder / f"{name}.json", text)
            if log:
                write_whole(self.folder / f"{name}.log", log.encode("utf-8", "backslashreplace"))
            if submission is not None:
                sources = json.dumps({"submission": submission.name, "sources": submission.sources}, ensure_ascii=True)
                write_whole(self.folder / SOURCES / f"{name}.json", sources)
            true = {e.name: keys[e.name] for e in grade.exercises if e.graded and e.name in keys}
            content = {"result": digest(text), "exercises": true}
            write_whole(self.folder / KEYS / f"{name}.json", json.dumps(content).encode())
            self._note(grade.submission, digest(text))
        except OSError as error:
            raise ResultError(f"the grade of {grade.submission} could not be written: {error.strerror}") from None

    def _note(self, submission: str, grade: str) -> None:
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = json.dumps({"submission": submission, "graded_at": time, "grade": grade}).encode() + b"\n"
        with (self.folder / LOG).open("ab+") as file:
            if file.tell() and not _ends_whole(file):
                line = b"\n" + line
            file.write(line)

    def others(self, names: Collection[str]) -> list[str]:
        """The submissions whose grades lie here and that are none of these, by name."""
        known = {file_name(name) for name in names}
        return sorted(path.stem for path in self.folder.glob("[!.]*.json") if path.stem not in known)

    def prune(self, others: Iterable[str]) -> Path:
        """Moves these grades, with what lies beside them, to a folder of their own, where no report looks."""
        away = self.folder / PRUNED
        try:
            for stem in others:
                for path in (
                    self.folder / f"{stem}.json",
                    self.folder / f"{stem}.log",
                    self.folder / KEYS / f"{stem}.json",
                    self.folder / SOURCES / f"{stem}.json",
                ):
                    if path.is_file():
                        target = away / path.relative_to(self.folder)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        path.replace(target)
        except OSError as error:
            raise ResultError(f"the other grades could not be moved to {away}: {error.strerror}") from None
        return away


def read_results(folder: Path) -> list[Grade]:
    """All grades in a folder, by name.

    Raises:
        ResultError: there is no such folder, or a file in it is no grade.
    """
    if not folder.is_dir():
        raise ResultError(f"there is no folder {folder}")
    grades, times = [], _times(folder)
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            text = path.read_bytes()
            grades.append(replace(from_json(json.loads(text)), graded_at=times.get(digest(text), "")))
        except TooNew as error:
            raise ResultError(f"{path}: {error}") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ResultError(f"{path} is no grade: {error}") from None
    return grades


def _ends_whole(file: BinaryIO) -> bool:
    file.seek(-1, 2)
    return file.read(1) == b"\n"  # or a crash cut its last line off


def _times(folder: Path) -> dict[str, str]:
    """When each grade was written last, by the digest of its file; a line that a crash cut off says nothing."""
    times = {}
    try:
        lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    for line in lines:
        with suppress(ValueError, LookupError, TypeError):
            entry = json.loads(line)
            times[str(entry["grade"])] = str(entry["graded_at"])
    return times


def read_sources(folder: Path) -> dict[str, dict[str, str]]:
    """The texts that were graded, by submission and module; those of grades that are there no more are left out."""
    found = {}
    for path in sorted((folder / SOURCES).glob("*.json")):
        if (folder / path.name).is_file():
            try:
                data = json.loads(path.read_bytes())
                found[str(data["submission"])] = {str(name): str(text) for name, text in data["sources"].items()}
            except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                raise ResultError(f"{path} is damaged: {error}") from None
    return found


def keys(course: Course, exercises: Iterable[Exercise], submission: Submission) -> dict[str, str]:
    """For each exercise a digest of all that its grade depends on."""
    handed_in = digest(json.dumps([submission.sources, submission.problems], sort_keys=True).encode())
    return {
        exercise.name: digest(f"{handed_in} {exercise_digest(course, exercise)}".encode()) for exercise in exercises
    }


def versions_of(course: Course, exercises: Iterable[Exercise]) -> dict[str, str]:
    """What a grade is made with: the program, its libraries, the course and the suites, these two as digests."""
    files = [path for exercise in exercises for path in course.depends_on(exercise.name)]
    own = {
        "course": _contents([course.root / "course.toml"])[:12],
        "suites": digest(_contents(dict.fromkeys(files)))[:12],
    }
    return in_use() | own


def file_name(name: str) -> str:
    """A submission's name as a file's name, one for one.

    Where characters are replaced a digest is added, and also where a name ends as if one had been.
    """
    safe = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in name).lstrip(".") or "_"
    encoded = safe.encode("utf-8", "replace")
    if safe == name and len(encoded) <= MAX_NAME and not re.search(r"-[0-9a-f]{12}$", name):
        return safe
    return f"{encoded[: MAX_NAME - 20].decode('utf-8', 'ignore')}-{digest(name.encode('utf-8', 'replace'))[:12]}"


def _contents(files: Iterable[Path]) -> str:
    return " ".join(_content(file, *_state(file)) for file in files)


def _state(file: Path) -> tuple[int, int]:
    """What changes when a file does: a long-lived process must not take an old suite for the one that is there."""
    try:
        stat = file.stat()
    except OSError:
        return 0, -1
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=4096)
def _content(file: Path, changed: int, size: int) -> str:
    return digest(file.read_bytes()) if size >= 0 and file.is_file() else ""


def exercise_digest(course: Course, exercise: Exercise) -> str:
    """Of all that decides an exercise's grade besides the submission: its files, its entry, program and libraries."""
    own = digest(f"{exercise!r} {_program_digest()} {_contents(course.depends_on(exercise.name))}")
    below = [exercise_digest(course, course.exercise(name)) for name in exercise.builds_on]
    return digest(" ".join([own, *below]).encode())


@lru_cache(maxsize=1)
def _program_digest() -> str:
    """Of this program and of the libraries that grades depend on."""
    program = [digest(path.read_bytes()) for path in program_files(lambda path: path.suffix == ".py")]
    return digest(" ".join([*program, sys.version, *(f"{name} {version(name)}" for name in _LIBRARIES)]).encode())
