"""An example that fails, in the student's own hands: a script that is run in their own process and their own editor."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autograder.course import Course, CourseError, Exercise, with_foundations
from autograder.files import digest, write_whole
from autograder.grades import ExerciseGrade
from autograder.reports.terminal import file_of
from autograder.submission import read_submission

if TYPE_CHECKING:
    from autograder.suites.runner import Run

FOLDER = "build/debug"
_MARK = "# Written by `autograder debug`: "


def write_example(course: Course, exercise: Exercise) -> tuple[Path | None, str]:
    """Writes the script, and says what it is; without one, why there is none.

    A script that somebody changed stays while its example is the same, and is kept beside the new one when it is not.

    Raises:
        CourseError: the exercise is not there, or is a notebook.
    """
    if not course.stub(exercise.name).is_file():
        raise CourseError(f"There is no {file_of(exercise.name)}: an example is a script, and imports that file.")
    from autograder.diagnosis.script import script

    grade, found = _check(course, exercise)
    if grade.status == "passed":
        return None, f"{exercise.name} passes the tests that you see: there is no example that fails."
    if found is None or not grade.wrong or grade.status in ("not_started", "missing", "error"):
        return None, grade.tests[0].feedback
    chosen = grade.wrong[0]
    outcome = next(outcome for outcome in found.outcomes if outcome.test.name == chosen.name)
    right = {base: course.stand_in(base).parent.relative_to(course.root).as_posix() for base in grade.carried_forward}
    made = script(found, outcome, chosen.feedback, exercise.title, right)
    if made is None:
        return None, f"{chosen.title}: {chosen.feedback}"
    path = course.root / FOLDER / f"{exercise.name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = _write(path, "\n".join(made.lines) + "\n", made.arrays)
    shown = path.relative_to(course.root)
    return path, f"{chosen.title}: {shown} is an example that fails{' (yours, as you left it)' if kept else ''}."


def run(course: Course, path: Path) -> int:
    """Runs the script here, where it can print and stop; how it ends is no matter."""
    print(f"$ python {path.relative_to(course.root)}", flush=True)
    subprocess.run([sys.executable, str(path)], cwd=course.root, check=False)
    return 0


def _check(course: Course, exercise: Exercise) -> tuple[ExerciseGrade, Run | None]:
    from autograder.grading import VISIBLE, Grader
    from autograder.isolation.near.worker import start_worker

    submission = read_submission(course.exercises_folder, course)
    worker = start_worker()
    try:
        worker.prepare(list(exercise.libraries))
        grader = Grader.start(course, [exercise], VISIBLE, worker, locked=False)
        passed: list[str] = []
        for base in with_foundations(course, [exercise])[:-1]:
            if grader.grade_exercise(submission, base, passed).status == "passed":
                passed.append(base.name)
        return grader.judged(submission, exercise, passed)
    finally:
        worker.close()


def _write(path: Path, text: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Writes the script and its arrays; returns whether one of the same example was there and is left as it is."""
    mark = f"{_MARK}{digest(text)[:16]}\n"
    try:
        old = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        old = ""
    if arrays:
        np.savez(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
    if mark in old:
        return True
    if old and not old.endswith(f"{_MARK}{digest(old.rpartition(_MARK)[0])[:16]}\n"):
        write_whole(path.with_suffix(".old.py"), old)
    write_whole(path, text + mark)
    return False
