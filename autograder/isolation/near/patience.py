"""How long a child was ready to run while the machine ran others: a busy machine costs no submission its time."""

from __future__ import annotations

import os

MOST = 4.0  # times what a call may take: where a submission's own threads make it wait, it cannot wait forever


class Waiting:
    """The seconds that a process has waited for a processor, where the system tells (Linux's schedstat)."""

    def __init__(self, pid: int) -> None:
        self._seconds = 0.0
        try:
            self._file = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def seconds(self) -> float:
        """All of them up to now; of a process that has ended, as many as were last read."""
        if self._file >= 0:
            try:  # nanoseconds on a processor, nanoseconds ready without one, and how often it got one
                self._seconds = int(os.pread(self._file, 80, 0).split()[1]) / 1e9
            except (OSError, ValueError, IndexError):
                self.close()
        return self._seconds

    def close(self) -> None:
        """Reads no more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
