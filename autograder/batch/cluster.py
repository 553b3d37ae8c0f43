"""The same batch on a Dask cluster: submissions go out as data, grades come back, and only this process writes.

A worker needs this program, its libraries and the course's folder at the same path (a shared folder, or an image). Each
grades one submission at a time, in a grading process that it keeps. What a lost worker was doing is done again on
another.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from autograder.batch.jobs import Graded, Job, Setting, not_graded, reused
from autograder.batch.process import GradingProcess
from autograder.course import CourseError, GraderError
from autograder.grades import Grade

CONNECT = 15  # seconds
AHEAD = 4  # submissions a core that wait on the cluster: enough to keep it busy, few enough to hold in memory
_graders: dict[Setting, GradingProcess] = {}
_lock = threading.Lock()  # a grader does one thing at a time, and a worker may have several threads


class ClusterError(GraderError):
    """The cluster cannot be reached, or was lost."""


def grade_on(address: str, setting: Setting, jobs: Iterable[Job], processes: int) -> Iterator[Graded]:
    """As `local.grade_all`, on the cluster at `address`; for "local" a cluster of `processes` is started here.

    Raises:
        ClusterError: the cluster does not answer, or is lost for good.
    """
    waiting: deque[Job] = deque()
    for job in jobs:
        if set(setting.exercises) <= set(job.reusable):
            yield Graded(job, reused(setting, job), fresh=False)
        else:
            waiting.append(job)
    if not waiting:
        return
    try:
        from distributed import CancelledError, KilledWorker, as_completed
        from distributed.comm.core import CommClosedError
    except ImportError:
        raise CourseError('Dask is not installed: `pip install "distributed>=2025.1"`.') from None
    with _client(address, min(processes, len(waiting))) as client:
        running, sent = as_completed(), {}

        def send(count: int) -> None:
            for _ in range(min(count, len(waiting))):
                job = waiting.popleft()
                future = client.submit(_grade, setting, job, pure=False)
                sent[future] = job
                running.add(future)

        send(AHEAD * max(1, sum(client.ncores().values())))
        try:
            for future in running:
                job = sent.pop(future)
                try:
                    grade = future.result()
                except KilledWorker:
                    grade = not_graded(setting, job, "it was lost together with several workers of the cluster")
                send(1)
                yield Graded(job, grade, fresh=True)
        except (CancelledError, CommClosedError, OSError, TimeoutError) as error:
            raise ClusterError(f"The cluster at {address} was lost: {error}. What is graded is kept.") from None


@contextmanager
def _client(address: str, processes: int) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if address == "local":
        with (
            LocalCluster(
                n_workers=processes, threads_per_worker=1, memory_limit=None, dashboard_address=None, silence_logs=50
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(address, timeout=CONNECT)
    except (OSError, ValueError, TimeoutError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else "no answer"
        raise ClusterError(f"The Dask cluster at {address} does not answer: {reason}") from None
    with client:
        yield client


def _grade(setting: Setting, job: Job) -> Grade:
    """On a worker: grades one submission, in a process of its own, as on one machine."""
    with _lock:
        if setting not in _graders:
            _graders[setting] = GradingProcess(setting)
        return _graders[setting].grade(job)
