"""The check of a student's own files: graded where they stand, and remembered. Nothing is loaded that is not needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from autograder.course import Course, CourseError, Exercise, with_foundations
from autograder.grades import ExerciseGrade, Grade
from autograder.loop.state import remember
from autograder.loop.verdicts import keep, stored, untouched
from autograder.submission import Submission, read_submission

PATIENCE = 0.3  # of a call's time: somebody waits, and what hangs here is only told


def impatient(course: Course) -> Course:
    """The course for a student's own machine: an endless loop is told after seconds, and not tried again and again."""
    budgets = ((e, replace(e.budget, call=PATIENCE * e.budget.call, restarts=1)) for e in course.exercises)
    return replace(course, exercises=tuple(replace(exercise, budget=budget) for exercise, budget in budgets))


def check(
    course: Course,
    exercises: Sequence[Exercise],
    *,
    force: bool = False,
    said: Callable[[ExerciseGrade], None] = lambda grade: None,
) -> Grade:
    """Checks a student's own files, and remembers what came of it.

    Args:
        course: the course.
        exercises: which.
        force: judge also what has not changed since it was last judged.
        said: told of each exercise that is judged, as soon as it is.

    Raises:
        CourseError: there is no folder `exercises`.
    """
    folder = course.exercises_folder
    if not folder.is_dir():
        raise CourseError(f"There is no folder {folder}.")
    submission = read_submission(folder, course)
    needed = with_foundations(course, exercises)
    known = untouched(course, needed, submission)
    if not force:
        known |= stored(course, [exercise for exercise in needed if exercise.name not in known], submission)
    open_ones = [exercise for exercise in exercises if exercise.name not in known]
    judged = _judge(impatient(course), open_ones, submission, known, said) if open_ones else {}
    found = known | judged
    grade = Grade(submission.name, tuple(found[e.name] for e in exercises), "none", tuple(submission.notes))
    remember(course, grade.exercises, submission)
    if judged:
        keep(course, judged.values(), submission)
    return grade


def _judge(
    course: Course,
    exercises: Sequence[Exercise],
    submission: Submission,
    known: Mapping[str, ExerciseGrade],
    said: Callable[[ExerciseGrade], None],
) -> dict[str, ExerciseGrade]:
    """Judges exercises; the worker imports its libraries while this process imports its own."""
    from autograder.isolation.near.worker import start_worker

    worker = start_worker()
    try:
        worker.prepare(list(dict.fromkeys(library for exercise in exercises for library in exercise.libraries)))
        from autograder.grading import VISIBLE, Grader

        own = [course.exercise(exercise.name) for exercise in exercises]
        grader = Grader.start(course, own, VISIBLE, worker, locked=False)
        return {grade.name: grade for grade in grader.grade(submission, known, said).exercises}
    finally:
        worker.close()
