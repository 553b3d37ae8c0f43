"""A batch from its submissions to the grades on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from autograder.batch.alike import alike, with_followers
from autograder.batch.cluster import grade_on
from autograder.batch.jobs import Setting
from autograder.batch.local import grade_all, prepare
from autograder.batch.results import ResultError, Results, keys, versions_of
from autograder.course import Course
from autograder.grades import Grade
from autograder.submission import Submission


def grade_submissions(
    setting: Setting,
    course: Course,
    submissions: Sequence[Submission],
    results: Results | None,
    *,
    processes: int,
    address: str = "",
    force: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> tuple[list[Grade], list[str]]:
    """Grades them, writes what is new, and returns the grades in the order of the submissions.

    Args:
        setting: what every grading process needs to know.
        course: the course.
        submissions: all that are to be graded.
        results: where grades are reused from and written to; none for nowhere.
        processes: how many grade at a time.
        address: of a Dask cluster; none for this machine.
        force: whether what lies in `results` is graded again.
        advance: called for each submission that is done.

    Returns:
        The grades, and a sentence for each that could not be written.

    Raises:
        GraderError, CourseError: no submission can be graded.
    """
    exercises = [course.exercise(name) for name in setting.exercises]
    known = None if force else results
    jobs = [prepare(submission, course, exercises, known, setting.protection) for submission in submissions]
    versions = versions_of(course, exercises)
    grades: dict[str, Grade] = {}
    failures = []
    leaders, followers = alike(jobs)
    run = partial(grade_on, address) if address else grade_all
    for job, grade, fresh in with_followers(run(setting, leaders, processes), followers):
        if fresh:
            grade = replace(grade, versions=versions)
        elif results:
            grade = results.as_kept(grade)
        grades[job.submission.name] = grade
        if results and fresh:
            try:
                results.write(grade, job.keys or keys(course, exercises, job.submission), job.submission)
            except ResultError as error:
                failures.append(f"{error}.")
        advance()
    return [grades[submission.name] for submission in submissions], failures
