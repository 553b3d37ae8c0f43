"""Many submissions: side by side, resumable, and always with a word about everyone.

Each process grades with one warm grader. A process that dies takes nothing with it but its own submission, which is
tried once more; results are written by the parent alone, one whole file each.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from autograder.batch.jobs import Graded, Job, Setting, not_graded, reused
from autograder.batch.process import GradingProcess
from autograder.batch.results import Results, keys
from autograder.course import Course, Exercise
from autograder.grades import Grade
from autograder.submission import Submission

GIVE_UP = 8  # submissions one after the other that could not be graded: then the machine is in trouble for good


def prepare(
    submission: Submission, course: Course, exercises: Sequence[Exercise], results: Results | None, protection: str
) -> Job:
    """A submission with what need not be graded again."""
    if results is None:
        return Job(submission)
    current = keys(course, exercises, submission)
    return Job(submission, results.reusable(submission.name, current, protection), current)


def grade_all(setting: Setting, jobs: Iterable[Job], processes: int) -> Iterator[Graded]:
    """Grades jobs in any order; gives each with its grade and whether it was graded now rather than reused.

    Raises:
        GraderError, CourseError: no submission can be graded.
    """
    waiting: deque[Job] = deque()
    for job in jobs:
        if set(setting.exercises) <= set(job.reusable):
            yield Graded(job, reused(setting, job), fresh=False)
        else:
            waiting.append(job)
    count = min(max(processes, 1), len(waiting))
    hands = [GradingProcess(setting, number, count) for number in range(count)]
    done: queue.SimpleQueue[tuple[Job, Grade | Exception]] = queue.SimpleQueue()
    threads = [threading.Thread(target=_work, args=(hand, waiting, done), daemon=True) for hand in hands]
    failed, left = 0, len(waiting)
    try:
        for thread in threads:
            thread.start()
        while left:
            job, answer = done.get()
            if isinstance(answer, Exception):
                raise answer
            failed = 0 if answer.graded else failed + 1
            yield Graded(job, answer, fresh=True)
            left -= 1
            for job in _taken(waiting) if failed >= GIVE_UP else ():
                why = f"{GIVE_UP} submissions before it could not be graded either"
                yield Graded(job, not_graded(setting, job, why), fresh=True)
                left -= 1
    finally:
        waiting.clear()
        for hand in hands:
            hand.close()


def _work(hand: GradingProcess, waiting: deque[Job], done: queue.SimpleQueue[tuple[Job, Grade | Exception]]) -> None:
    """Grades what is waiting until nothing is, in one process."""
    for job in _taken(waiting):
        try:
            done.put((job, hand.grade(job)))
        except Exception as error:
            done.put((job, error))
            return


def _taken(waiting: deque[Job]) -> Iterator[Job]:
    """What is waiting, one after the other; several threads may take at the same time."""
    with contextlib.suppress(IndexError):
        while True:
            yield waiting.popleft()
