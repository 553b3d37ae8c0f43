"""What starts and ends the processes that run student code: the contract that each way to do it fulfills."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from autograder.course import GraderError
from autograder.files import PROGRAM
from autograder.isolation.between.messages import Limits

ROOT = str(PROGRAM.parent)
ENVIRONMENT = {
    # The whole environment of a worker: what makes libraries quiet, offline and repeatable.
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUTF8": "1",
    "HOME": "/nonexistent",
}


class WorkerError(GraderError):
    """A worker or a child of it is in trouble: no submission is to blame, and a fresh worker may do better."""


class MissingLibraryError(GraderError):
    """A library that an exercise needs is not installed: no worker will do better."""


class OutOfTime(Exception):
    """No answer came before the deadline."""


class Died(Exception):
    """The child ended by itself, or sent back something that is no answer.

    Attributes:
        status: its exit code, or minus the signal that ended it; 0 when it had to be ended.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Canceled(KeyboardInterrupt):
    """The work was stopped from outside. Like Ctrl-C, it goes through pytest and hypothesis without being judged."""


class Confinement(NamedTuple):
    """How a child is shut in.

    Attributes:
        locked: whether it is at all, with the worker's protection; a student's own check is not.
        limits: what it may take, if so.
    """

    locked: bool = False
    limits: Limits = Limits()


class Child(Protocol):
    """A process with one exercise loaded."""

    def ask(self, message: bytes, seconds: float) -> bytes:
        """Sends a message and returns the answer, or raises `OutOfTime` or `Died`."""

    def waited(self) -> float:
        """The seconds that it has been ready to run without a processor; `ask` does not count them."""

    def end(self) -> int:
        """Ends the process, whatever it is doing, and returns how it ended (see `Died.status`)."""


class Worker(Protocol):
    """Gives children that have the libraries loaded.

    Attributes:
        protection: the profile that its children are shut in with, where they are.
        secrets: files and folders that they must not be able to read then.
    """

    protection: str
    secrets: Sequence[str]

    def prepare(self, libraries: Sequence[str]) -> None:
        """Begins to import libraries; returns at once."""

    def child(self) -> Child:
        """A fresh child. The one before it must have ended.

        Raises:
            WorkerError: there is none.
            Canceled: it was stopped, and not resumed.
        """

    def stop(self) -> None:
        """Ends what runs now, even when it hangs. May be called from any thread; nothing runs until `resume`."""

    def resume(self) -> None:
        """Works again. Called by the thread that the work is in."""

    def is_stopped(self) -> bool:
        """Whether it was stopped since it last began to work."""

    def close(self) -> None:
        """Ends the worker and whatever runs in it."""


def command(start: str) -> list[str]:
    """The command that begins the far side with one of `far.worker`'s functions."""
    # The project is importable while the worker starts, and not once student code runs.
    program = (
        f"import sys; sys.path.insert(0, {ROOT!r}); from autograder.isolation.far import worker; "
        f"sys.path.pop(0); worker.{start}()"
    )
    return [sys.executable, "-s", "-P", "-c", program]
