"""What a student handed in, as sources: text, never run, parsed or written anywhere here.

A folder, a zip, a `.py` and an `.ipynb` are first made alike, as files by their path (see `archives`). Then each
exercise gets the file that is meant, and whatever was found and not used is said.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from autograder.archives import UNREADABLE, File, Files, quoted, read_regular
from autograder.course import Course
from autograder.files import digest
from autograder.notebooks import NotebookError, source_of

MAX_SOURCE = 1_000_000  # bytes of a module; an exercise has some thousands
MAX_SOURCES = 10_000_000  # of all modules together
MAX_NOTEBOOK = 128 * 2**20  # a notebook may carry large outputs
MAX_NOTES = 20  # sentences about one submission
LISTED = 5  # files that one sentence names
_CODE = (".py", ".ipynb")
_PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
# What a whole repository brings along. No answer is looked for there: right stand-ins lie there by the exercises'
# names, and an older hand-in.
_OF_THE_COURSE = re.compile(r"(?:^|/)(?:tests/(?:visible|hidden|standins|answers)|autograder|projects|build)/[^/]+$")


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
        unreadable: why nothing in it could be used, in a sentence; empty where something was.
    """

    name: str
    sources: dict[str, str]
    problems: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unreadable: str = ""


def read_submission(path: Path, course: Course) -> Submission:
    """Reads a folder, a zip, a `.py` or an `.ipynb`.

    Raises:
        SubmissionError: there is no such file, or it is none of these, or a damaged one.
    """
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            with Files() as files:
                files.add_folder(path)
                return _from_files(path.resolve().name, files.found, course, files.notes)
        if not path.is_file():
            raise SubmissionError(f"there is no file or folder {path}")
        if suffix == ".zip":
            with Files() as files:
                files.add_zip(path)
                return _from_files(path.stem, files.found, course, files.notes)
        if suffix not in _CODE:
            raise SubmissionError(f"{path.name} is no folder, zip, .py or .ipynb")
        named = PurePosixPath(f"{_exercise_in(path.stem, course)}{suffix}")
        file = File(named, path.stat().st_size, lambda limit: read_regular(path, limit))
        return _from_files(path.stem, [file], course, [])
    except UNREADABLE as error:
        raise SubmissionError(f"{path.name} cannot be read: {error}") from None


def module_name(stem: str) -> str:
    """The module that a file's name means: `softmax`, and also `01-softmax`, as nbgrader's notebooks are called."""
    return re.sub(r"^\d+-", "", stem)


def exercise_meant(stem: str, course: Course) -> str:
    """The exercise that a file's name speaks of: `softmax (1)`, `Softmax`, `ada-softmax`; empty when of none."""
    lower = stem.lower()
    if lower.startswith("test_") or lower.endswith("_test"):
        return ""
    found = [name for name in course.names if re.search(rf"(?<![a-z]){name}(?![a-z])", lower)]
    return max(found, key=len, default="")


def _exercise_in(stem: str, course: Course) -> str:
    if name := exercise_meant(stem, course):
        return name
    raise SubmissionError(f"the name {stem!r} says no exercise; call the file, for instance, {course.names[0]}.py")


def _from_files(name: str, files: Sequence[File], course: Course, notes: list[str]) -> Submission:
    code = [file for file in files if file.path.suffix.lower() in _CODE and not _is_of_the_course(file.path)]
    chosen = _chosen(code, course)
    _add_meant(chosen, code, course, notes)
    sources, problems = _read_all(chosen, course, notes)
    notes += _unused(files, chosen.values(), course)
    unreadable = ""
    if not any(module in course.names for module in (*sources, *problems)):
        held = _listing([file.path for file in files])
        unreadable = f"It holds no exercise, but {held}." if held else "It holds no file."
        unreadable = " ".join([unreadable, *notes[:LISTED]])
    return Submission(name, sources, problems, tuple(notes[:MAX_NOTES]), unreadable)


def _chosen(code: Iterable[File], course: Course) -> dict[str, File]:
    """The files of the exercises' folder by the modules that their names say."""
    code = list(code)
    folder = _exercise_folder(code, course)
    chosen: dict[str, File] = {}
    for file in code:
        module = module_name(file.path.stem)
        if file.path.parent != folder or file.path.suffix not in _CODE or not module.isidentifier():
            continue
        numbered = module != file.path.stem
        # Of a script and a notebook with one name the script counts, but before both nbgrader's numbered notebook.
        if module not in chosen or numbered or (file.path.suffix == ".py" and chosen[module].path.stem == module):
            chosen[module] = file
    return chosen


def _add_meant(chosen: dict[str, File], code: Iterable[File], course: Course, notes: list[str]) -> None:
    """Gives each exercise that has no file of its name the one that can be meant, and asks where there are several."""
    meant: dict[str, list[File]] = {}
    for file in code:
        if name := exercise_meant(file.path.stem, course):
            meant.setdefault(name, []).append(file)
    for name, candidates in meant.items():
        if name in chosen:
            continue
        exact = [file for file in candidates if module_name(file.path.stem) == name]
        different = _different(exact or candidates)
        if len(different) == 1:
            chosen[name] = different[0]
            if different[0].path.name not in (f"{name}.py", f"{name}.ipynb") or different[0].path.parts[1:]:
                notes.append(f"{quoted(different[0].path)} was taken for {name}{different[0].path.suffix.lower()}.")
        else:
            listed = _listing([file.path for file in different])
            notes.append(f"Which one is {name}.py: {listed}? None of them was graded; hand in the one that counts.")


def _different(files: Sequence[File]) -> list[File]:
    """Those of the files that do not hold the same bytes as an earlier one."""
    if not 1 < len(files) <= MAX_NOTES:
        return list(files)
    kept: dict[str, File] = {}
    for number, file in enumerate(files):
        try:
            held = digest(file.read(MAX_SOURCE)) if file.size <= MAX_SOURCE else str(number)
        except UNREADABLE:
            held = str(number)
        kept.setdefault(held, file)
    return list(kept.values())


def _read_all(chosen: Mapping[str, File], course: Course, notes: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    sources: dict[str, str] = {}
    problems: dict[str, str] = {}
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
    return sources, problems


def _unused(files: Iterable[File], used: Iterable[File], course: Course) -> list[str]:
    """What is to be said of files that somebody may think were graded."""
    taken = {id(file) for file in used}
    left = [file.path for file in files if id(file) not in taken and not _is_of_the_course(file.path)]
    alike = [path for path in left if path.suffix.lower() in _CODE and exercise_meant(path.stem, course)]
    packed = [path for path in left if path.suffix.lower() in _PACKED]
    notes = [f"Found and not used: {_listing(alike)}."] if alike else []
    return [*notes, f"Not looked into: {_listing(packed)}."] if packed else notes


def _listing(paths: Sequence[PurePosixPath]) -> str:
    named = ", ".join(map(quoted, paths[:LISTED]))
    return f"{named} and {len(paths) - LISTED} more" if len(paths) > LISTED else named


def _is_of_the_course(path: PurePosixPath) -> bool:
    return _OF_THE_COURSE.search(str(path)) is not None or "build/submission.zip/" in str(path)


@dataclass(frozen=True)
class _Problem:
    sentence: str


def _source(file: File) -> str | _Problem:
    name, notebook = quoted(file.path.name), file.path.suffix.lower() == ".ipynb"
    limit = MAX_NOTEBOOK if notebook else MAX_SOURCE
    if file.size > limit:
        return _Problem(f"{name} is {file.size / 1e6:.0f} MB large. An exercise has a few thousand characters.")
    try:
        data = file.read(limit + 1)
    except UNREADABLE as error:
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


def _exercise_folder(files: Iterable[File], course: Course) -> PurePosixPath:
    """Where the exercises lie: the folder with most of them, and of several such the one highest up."""
    counts: dict[PurePosixPath, set[str]] = {}
    for file in files:
        if (name := module_name(file.path.stem)) in course.names:
            counts.setdefault(file.path.parent, set()).add(name)
    return min(
        counts, key=lambda folder: (-len(counts[folder]), len(folder.parts), str(folder)), default=PurePosixPath()
    )


@lru_cache(maxsize=4096)
def _is_library(name: str) -> bool:
    if name in sys.stdlib_module_names or name == "autograder":
        return True
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return False
    return spec is not None and spec.origin is not None and "site-packages" in spec.origin
