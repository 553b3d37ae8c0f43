"""The formats that grades can be reported in, by name, and where each goes: `junit=report.xml`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from autograder.batch.results import ResultError, file_name, read_results
from autograder.course import Course, CourseError, GraderError
from autograder.files import write_whole
from autograder.grades import Grade
from autograder.reports import (
    classroom,
    classroom50,
    github,
    gitlab,
    gradescope,
    junit,
    markdown,
    prairielearn,
    spreadsheet,
    student,
)
from autograder.reports.disclosure import disclosed
from autograder.reports.gradebook import Entry

Render = Callable[[Course, Sequence[Entry]], str]


class Format(NamedTuple):
    """One format: with its entry in `FORMATS` it is known to the commands, and to the test of `docs/reports.md`.

    Attributes:
        render: writes it.
        suffix: of a file's name.
        about: what it is, in a line.
        each: whether it is about one student, so that several get a file each, in a folder.
        instructors: whether it is for instructors, who see all of the hidden tests.
    """

    render: Render
    suffix: str
    about: str
    each: bool = False
    instructors: bool = False


FORMATS = {
    "junit": Format(junit.render, ".xml", "JUnit XML: a suite an exercise, a case a test"),
    "github": Format(github.render, ".txt", "annotations at the student's own lines, for GitHub Actions"),
    "markdown": Format(markdown.render, ".md", "a table, and what is wrong below it"),
    "gitlab": Format(gitlab.render, ".json", "Code Quality, beside the lines of a merge request"),
    "gradescope": Format(gradescope.render, ".json", "Gradescope's results.json", each=True),
    "prairielearn": Format(prairielearn.render, ".json", "the results.json of an external grader", each=True),
    "classroom50": Format(classroom50.render, ".json", "Classroom 50's result.json, in whole points", each=True),
    "csv": Format(spreadsheet.render, ".csv", "a row a student, a column an exercise", instructors=True),
    "student": Format(student.render, ".html", "a page for a student", each=True),
    "class": Format(classroom.render, ".html", "a page for the class", instructors=True),
}


def list_formats() -> str:
    """Every format and what it is, a line each."""
    return "\n".join(f"{name:<{max(map(len, FORMATS))}}  {form.about}" for name, form in FORMATS.items())


def check_specs(specs: Sequence[str]) -> None:
    """Looks at each `FORMAT` or `FORMAT=PATH`, before any work is done for it.

    Raises:
        CourseError: there is no such format.
    """
    for spec in specs:
        if spec.partition("=")[0] not in FORMATS:
            raise CourseError(f"There is no format {spec.partition('=')[0]!r}. The formats are: {', '.join(FORMATS)}.")


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


def write_reports(specs: Sequence[str], course: Course, entries: Sequence[Entry]) -> None:
    """Writes all reports that were asked for."""
    for spec in specs:
        write_report(spec, course, entries)


def write_report(spec: str, course: Course, entries: Sequence[Entry]) -> None:
    """Writes one report to its path, or to the standard output.

    Raises:
        GraderError: it cannot be written.
    """
    name, _, path = spec.partition("=")
    form = FORMATS[name]
    if not form.instructors:
        now = datetime.now(UTC)
        entries = [disclosed(course, entry, now) for entry in entries]
    if not path and form.each and len(entries) != 1:
        raise CourseError(f"{name} is about one student, and these are {len(entries)}: give a folder, {name}=FOLDER.")
    if not path:
        sys.stdout.write(form.render(course, entries))
    elif form.each and (len(entries) != 1 or Path(path).is_dir()):
        if Path(path).suffix == form.suffix and not Path(path).is_dir():
            raise CourseError(f"{name} is about one student, and these are {len(entries)}: {path} names one file.")
        for entry in entries:
            _write(Path(path) / f"{file_name(_page_of(entry, entries))}{form.suffix}", form.render(course, [entry]))
    else:
        _write(Path(path), form.render(course, entries))


def _page_of(entry: Entry, entries: Sequence[Entry]) -> str:
    """What an entry's file is called: by name, and where two have one name also by id."""
    twice = sum(other.student == entry.student for other in entries) > 1
    return f"{entry.student} {entry.id or entry.grade.submission}" if twice else entry.student


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise GraderError(f"The report {path} could not be written: {error.strerror}.") from None
