"""Submissions that hold the same are graded once: forty untouched stubs, a group's copies, a hand-in sent twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from autograder.batch.jobs import Graded, Job


def alike(jobs: Iterable[Job]) -> tuple[list[Job], dict[str, list[Job]]]:
    """The jobs that are to be done, and those that will have the same grade, by the name of the one that is done.

    Only jobs with keys can be compared; one that needs no grading any more is always by itself.
    """
    leaders: list[Job] = []
    first: dict[tuple[tuple[str, str], ...], Job] = {}
    followers: dict[str, list[Job]] = {}
    for job in jobs:
        same = tuple(sorted(job.keys.items()))
        if not same or set(job.keys) <= set(job.reusable) or first.setdefault(same, job) is job:
            leaders.append(job)
        else:
            followers.setdefault(first[same].submission.name, []).append(job)
    return leaders, followers


def with_followers(done: Iterable[Graded], followers: Mapping[str, Sequence[Job]]) -> Iterator[Graded]:
    """What is done, and after each the jobs that have the same grade, with what is to be said of their own."""
    for graded in done:
        yield graded
        for job in followers.get(graded.job.submission.name, ()):
            own = job.submission
            grade = replace(graded.grade, submission=own.name, notes=tuple(own.notes), unreadable=own.unreadable)
            yield Graded(job, grade, graded.fresh)
