"""Starts the kind of worker that this system can have."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from autograder.isolation.between.messages import FULL
from autograder.isolation.near.forking import ForkingWorker
from autograder.isolation.near.protocols import Canceled, Child, Confinement, Died, OutOfTime, Worker, WorkerError
from autograder.isolation.near.spawning import SpawningWorker

CAN_FORK = sys.platform == "linux"  # macOS can fork too, but its system libraries do not survive it
__all__ = [
    "CAN_FORK",
    "Canceled",
    "Child",
    "Confinement",
    "Died",
    "ForkingWorker",
    "OutOfTime",
    "SpawningWorker",
    "Worker",
    "WorkerError",
    "start_worker",
]


def start_worker(protection: str = FULL, secrets: Sequence[str] = ()) -> Worker:
    """Starts a worker; returns before it is ready.

    Args:
        protection: the profile that its children are shut in with, where they are (see `near/protection.py`).
        secrets: files and folders that they must not be able to read then.
    """
    return ForkingWorker(protection, secrets) if CAN_FORK else SpawningWorker(protection, secrets)
