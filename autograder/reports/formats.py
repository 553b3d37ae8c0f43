"""The formats that grades can be reported in, by name, and where each goes: `junit=report.xml`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from autograder.batch.results import ResultError, file_name, read_results
from autograder.course import Course, CourseError, GraderError
from autograder.files import write_whole
from autograder.grades import Grade
from autograder.reports.gradebook import Entry

Render = Callable[[Course, Sequence[Entry]], str]


class Format(NamedTuple):
    """One format.

    Attributes:
        module: the module of this package whose `render` writes it.
        suffix: of a file's name.
        each: whether it is about one student, so that several get a file each, in a folder.
    """

    module: str
    suffix: str
    each: bool = False


FORMATS = {
    "junit": Format("junit", ".xml"),
    "github": Format("github", ".txt"),
    "markdown": Format("markdown", ".md"),
    "gitlab": Format("gitlab", ".json"),
    "gradescope": Format("gradescope", ".json", each=True),
    "csv": Format("spreadsheet", ".csv"),
    "student": Format("student", ".html", each=True),
    "class": Format("classroom", ".html"),
}


def check_wishes(wishes: Sequence[str]) -> None:
    """Looks at each `FORMAT` or `FORMAT=PATH`, before any work is done for it.

    Raises:
        CourseError: there is no such format.
    """
    for wish in wishes:
        if wish.partition("=")[0] not in FORMATS:
            raise CourseError(f"There is no format {wish.partition('=')[0]!r}. The formats are: {', '.join(FORMATS)}.")


def read_course_results(course: Course, folder: Path) -> list[Grade]:
    """The grades in a folder.

    Raises:
        CourseError: they are not there, are damaged, or are of another course.
    """
    try:
        grades = read_results(folder)
    except ResultError as error:
        raise CourseError(f"The results cannot be reported: {error}.") from None
    if not grades:
        raise CourseError(f"There are no grades in {folder}.")
    for grade in grades:
        if strange := [exercise.name for exercise in grade.exercises if exercise.name not in course.names]:
            raise CourseError(f"The grade of {grade.submission} is of another course: this one has no {strange[0]}.")
    return grades


def write_reports(wishes: Sequence[str], course: Course, entries: Sequence[Entry]) -> None:
    """Writes all reports that were asked for."""
    for wish in wishes:
        write_report(wish, course, entries)


def write_report(wish: str, course: Course, entries: Sequence[Entry]) -> None:
    """Writes one report to its path, or to the standard output.

    Raises:
        GraderError: it cannot be written.
    """
    name, _, path = wish.partition("=")
    form = FORMATS[name]
    render: Render = import_module(f"autograder.reports.{form.module}").render
    if not path and form.each and len(entries) != 1:
        raise CourseError(f"{name} is about one student, and these are {len(entries)}: give a folder, {name}=FOLDER.")
    if not path:
        sys.stdout.write(render(course, entries))
    elif form.each and (len(entries) != 1 or Path(path).is_dir()):
        for entry in entries:
            _write(Path(path) / f"{file_name(entry.student)}{form.suffix}", render(course, [entry]))
    else:
        _write(Path(path), render(course, entries))


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise GraderError(f"The report {path} could not be written: {error.strerror}.") from None
