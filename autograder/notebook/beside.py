"""What a student has on other exercises, beside the notebook that is open: later exercises build on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from autograder.course import Course, CourseError, find_course, holes
from autograder.isolation.between.importer import MemoryImporter
from autograder.submission import SubmissionError, read_submission

DRIVE = Path("/content/drive/MyDrive/Colab Notebooks")  # where Colab keeps a student's copies, when it is mounted


def answer(name: str, course: Course, folder: Path) -> str | None:
    """The student's own work on another exercise: the first that has no holes left, of notebooks and then scripts."""
    for path in _candidates(name, course, folder):
        try:
            source = read_submission(path, course).sources[name]
        except (SubmissionError, KeyError):
            continue
        if not holes(source):
            return source
    return None


def _candidates(name: str, course: Course, folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob(f"*-{name}.ipynb"))  # as nbgrader's are called
    yield folder / f"{name}.ipynb"
    yield folder / f"{name}.py"
    yield course.stub(name)
    for copy in (f"Copy of {name}.ipynb", f"{name}.ipynb"):
        yield DRIVE / copy


class BesideTheNotebook(MetaPathFinder):
    """Lets `import softmax` find the student's answer, or else a right stand-in for it, and says which it took."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds exercises alone, and leaves finished scripts beside the notebook to Python."""
        if path is not None or "." in fullname:
            return None
        try:
            course = find_course()
        except CourseError:
            return None
        if fullname not in course.names:
            return None
        source = answer(fullname, course, Path.cwd())
        if source is None and course.stand_in(fullname).is_file():
            source = course.stand_in(fullname).read_text(encoding="utf-8")
            print(
                f"There is no finished {fullname} of yours beside this notebook or in exercises/: "
                f"`import {fullname}` takes a right stand-in."
            )
        return None if source is None else MemoryImporter({fullname: source}).find_spec(fullname)
