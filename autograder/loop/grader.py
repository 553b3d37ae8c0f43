"""The check of a student's own files: graded where they stand, and remembered."""

from __future__ import annotations

from collections.abc import Sequence

from autograder.course import Course, CourseError, Exercise
from autograder.grades import Grade
from autograder.grading import VISIBLE, Grader
from autograder.isolation.near.worker import Worker
from autograder.loop.state import remember
from autograder.submission import read_submission


def check(course: Course, exercises: Sequence[Exercise], worker: Worker) -> Grade:
    """Checks a student's own files, and remembers what came of it.

    Raises:
        CourseError: there is no folder `exercises`.
    """
    folder = course.exercises_folder
    if not folder.is_dir():
        raise CourseError(f"There is no folder {folder}.")
    submission = read_submission(folder, course)
    grade = Grader.start(course, exercises, VISIBLE, worker, locked=False).grade(submission)
    remember(course, grade.exercises, submission)
    return grade
