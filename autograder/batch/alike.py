"""Submissions that hold the same are graded once: forty untouched stubs, a group's copies, a hand-in sent twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from autograder.batch.jobs import Job
from autograder.grades import Grade


def alike(jobs: Iterable[Job]) -> tuple[list[Job], dict[str, list[Job]]]:
    """The jobs that are to be done, and those that will have the same grade, by the name of the one that is done.

    Only jobs with keys can be compared; one that needs no grading any more is always by itself.
    """
    leaders: list[Job] = []
    first: dict[tuple[tuple[str, str], ...], Job] = {}
    followers: dict[str, list[Job]] = {}
    for job in jobs:
        same = tuple(sorted(job.keys.items()))
        if not same or set(job.keys) <= set(job.known) or first.setdefault(same, job) is job:
            leaders.append(job)
        else:
            followers.setdefault(first[same].submission.name, []).append(job)
    return leaders, followers


def grade_of(job: Job, grade: Grade) -> Grade:
    """Another's grade as this job's, with what is to be said of this submission."""
    own = job.submission
    return replace(grade, submission=own.name, notes=tuple(own.notes), unreadable=own.unreadable)
