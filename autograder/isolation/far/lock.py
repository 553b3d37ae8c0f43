"""The form that every lock has: what shuts a child in is one class each."""

from __future__ import annotations

from collections.abc import Sequence

from autograder.isolation.between.messages import Limits


class Lock:
    """One thing that the kernel holds. Most are applied in the child, and need nothing around its fork."""

    def start(self) -> None:
        """In the worker, before a child is forked.

        Raises:
            OSError, ImportError: the system does not allow it.
        """

    def stop(self) -> None:
        """In the worker, once the child is forked: undoes what the next one is not to find."""

    def apply(self, limits: Limits, readable: Sequence[str]) -> None:
        """In the child: shuts this process in for good.

        Args:
            limits: what it may take.
            readable: files and folders that it may read besides the libraries.

        Raises:
            OSError, ImportError: the system has no such lock.
        """

    def missing(self, limits: Limits) -> str:
        """In a child that is shut in: tries what the lock refuses, and says what was possible; "" if it holds."""
        raise NotImplementedError
