"""`submit`: one zip with the sources and a manifest, whatever state they are in."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from autograder.course import Course, CourseError, GraderError
from autograder.files import digest, replacing
from autograder.grades import ExerciseGrade
from autograder.reports.terminal import MORE_TESTS, count, state
from autograder.submission import MAX_NOTEBOOK, SubmissionError, read_submission
from autograder.term.assignments import Assignment, due, find

MANIFEST = "manifest.json"
_THEN = (1980, 1, 1, 0, 0, 0)  # the same sources give the same bytes, whenever they are handed in


def hand_in(course: Course, console: Console, out: Path, *, ask: bool, assignment: str = "") -> bool:
    """Checks, says what is unfinished, asks once, and writes the zip; returns whether it did.

    The zip holds all files, for later exercises are graded with one's own earlier ones; what is asked of it is the
    assignment's.

    Unfinished work can be handed in, and so can work that cannot be checked.

    Raises:
        CourseError: there is nothing to hand in, or no place to write to.
    """
    files = dict(_sources(course.exercises_folder))
    if not files:
        raise CourseError(f"There is nothing to hand in: {course.root / 'exercises'} holds no exercise.")
    asked = find(course, assignment)
    console.print("Checking what you have, with the tests that you see ...")
    _show(console, _check(course, asked, console))
    if said := due(asked, datetime.now(UTC)):
        console.print(f"{asked.title} {said}.", markup=False)
    if ask and not _agreed():
        console.print("Nothing was written.")
        return False
    _write(out, files, course, assignment)
    console.print(f"Wrote {os.path.relpath(out)}: {count(len(files), 'file')} and a manifest. Hand in this zip.")
    return True


def _sources(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files to hand in, by name: scripts as they are, notebooks without what their cells gave."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix not in (".py", ".ipynb") or path.name.startswith(".") or path.is_symlink():
            continue
        try:
            if path.stat().st_size <= MAX_NOTEBOOK:
                data = path.read_bytes()
                yield path.name, _without_outputs(data) if path.suffix == ".ipynb" else data
        except OSError as error:
            raise CourseError(f"{path} cannot be read: {error.strerror}. Nothing was written.") from None


def _without_outputs(notebook: bytes) -> bytes:
    try:
        content = json.loads(notebook)
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
    except (ValueError, LookupError, TypeError, RecursionError):
        return notebook  # as it is: a damaged file is still somebody's work
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _check(course: Course, asked: Assignment, console: Console) -> tuple[ExerciseGrade, ...]:
    from autograder.loop.grader import check

    try:
        return check(course, asked.select(course)).exercises
    except (GraderError, SubmissionError) as error:
        console.print(f"[yellow]Your work could not be checked ({error}). You can hand it in all the same.[/]")
        return ()


def _show(console: Console, grades: tuple[ExerciseGrade, ...]) -> None:
    if not grades:
        return
    passed = [grade for grade in grades if grade.status == "passed"]
    open_ones = [grade for grade in grades if grade.status != "passed"]
    points, most = sum(grade.score for grade in grades), sum(grade.max_score for grade in grades)
    console.print(f"{len(passed)} of {count(len(grades), 'exercise')} pass: {points:g} of {most:g} points.")
    if open_ones:
        console.print("Unfinished:")
    for grade in open_ones:
        console.print(f"  {grade.name}: {state(grade)}")
    if open_ones:
        console.print("You can hand in unfinished work: what is right counts.")
    console.print(MORE_TESTS)


def _agreed() -> bool:
    """Asks once. Where nobody can answer, nobody objects."""
    if not sys.stdin.isatty():
        return True
    try:
        return not input("Hand in? [Y/n] ").strip().lower().startswith("n")
    except EOFError:
        return True


def _write(out: Path, files: Mapping[str, bytes], course: Course, assignment: str) -> None:
    manifest = {
        "course": course.title,
        **({"assignment": assignment} if assignment else {}),
        "files": {f"exercises/{name}": {"bytes": len(data), "sha256": digest(data)} for name, data in files.items()},
    }
    entries = {f"exercises/{name}": data for name, data in files.items()}
    entries[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    try:
        with replacing(out) as beside, zipfile.ZipFile(beside, "w") as archive:
            for name, data in entries.items():
                entry = zipfile.ZipInfo(name, _THEN)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, data)
    except OSError as error:
        raise CourseError(f"{out} could not be written: {error.strerror}. Try --out with another place.") from None
    _read_back(out, course)


def _read_back(out: Path, course: Course) -> None:
    """Makes sure that `grade` will find in the zip what lies in the folder."""
    try:
        folder, zipped = read_submission(course.exercises_folder, course), read_submission(out, course)
    except SubmissionError as error:
        raise GraderError(f"The zip cannot be read: {error}. Hand in the folder itself instead.") from None
    if (folder.sources, folder.problems) != (zipped.sources, zipped.problems):
        raise GraderError(f"{out} does not hold what the folder holds. Was a file saved meanwhile? Try again.")
