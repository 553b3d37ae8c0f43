"""The autograder zip that Gradescope runs: the whole course, and the two scripts that it starts."""

from __future__ import annotations

import shlex
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from autograder.course import Course, CourseError, Exercise, GraderError
from autograder.files import PROGRAM, TEMPLATES, program_files, replacing

_TEMPLATES = TEMPLATES / "gradescope"
_PLAIN = ("course.toml", "pyproject.toml", "constraints.txt", "install.py", "README.md", "LICENSE")
_TIME = (2000, 1, 1, 0, 0, 0)  # the same course gives the same bytes


def write_zip(course: Course, path: Path, exercises: Sequence[Exercise], *, trust: bool, assignment: str = "") -> None:
    """Writes the zip, whole or not at all.

    Args:
        course: the course.
        path: where to.
        exercises: what the assignment grades.
        assignment: the name of the assignment in course.toml.
        trust: run submissions unprotected, where Gradescope's machines have no locks.

    Raises:
        CourseError: a file of the course is missing.
        GraderError: the zip cannot be written.
    """
    options = [f"--exercise {exercise.name}" for exercise in exercises] if exercises != course.exercises else []
    options += ["--trust-submissions"] if trust else []
    options += [f"--assignment {shlex.quote(assignment)}"] if assignment else []
    run = (_TEMPLATES / "run_autograder").read_text(encoding="utf-8").replace("{options}", " ".join(options))
    try:
        with replacing(path) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            _add(archive, "setup.sh", (_TEMPLATES / "setup.sh").read_bytes(), 0o755)
            _add(archive, "run_autograder", run.encode(), 0o755)
            for name, file in _files(course):
                _add(archive, name, file.read_bytes(), 0o644)
    except OSError as error:
        raise GraderError(f"{path} could not be written: {error.strerror}.") from None


def _files(course: Course) -> Iterator[tuple[str, Path]]:
    for file in program_files():
        yield file.relative_to(PROGRAM.parent).as_posix(), file
    needed = [course.root / name for name in _PLAIN]
    optional = []
    needed += sorted(course.support.glob("*.py"))
    for name in course.names:
        needed += [
            course.solution(name),
            course.stub(name),
            course.suite(name, "visible"),
            course.suite(name, "hidden"),
        ]
        optional += [course.mistakes(name), course.stand_in(name)]
    if absent := [file for file in needed if not file.is_file()]:
        raise CourseError(f"The course is not complete: there is no {absent[0].relative_to(course.root)}.")
    for file in (*needed, *(file for file in optional if file.is_file())):
        yield file.relative_to(course.root).as_posix(), file


def _add(archive: zipfile.ZipFile, name: str, data: bytes, mode: int) -> None:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (0o100000 | mode) << 16
    archive.writestr(info, data)
