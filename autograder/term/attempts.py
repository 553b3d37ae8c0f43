"""How often somebody's work is graded: limits, and a log that says what was graded before.

The log is a line of JSON for each decision, on the disk before the grading begins. Whatever ends the program, an
attempt that was let in has been counted, and the same text is never counted twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from autograder.course import CourseError
from autograder.files import digest
from autograder.submission import Submission
from autograder.term.assignments import Assignment

LOG = "attempts.jsonl"


@dataclass(frozen=True)
class Attempt:
    """One decision.

    Attributes:
        who: whose attempt it was.
        submission: what it was called.
        text: the digest of what was handed in.
        time: when it came, ISO 8601; empty where nobody knows.
        refused: why it was not graded; empty when it was.
    """

    who: str
    submission: str
    text: str
    time: str = ""
    refused: str = ""

    @property
    def when(self) -> datetime | None:
        """When it came."""
        return datetime.fromisoformat(self.time) if self.time else None


@dataclass
class Log:
    """The decisions in a folder of results, in their order."""

    path: Path
    attempts: list[Attempt] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Log:
        """Reads the log; what a crash cut off had not been decided yet.

        Raises:
            CourseError: a line in the middle is damaged.
        """
        log = cls(folder / LOG)
        try:
            lines = log.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return log
        except OSError as error:
            raise CourseError(f"{log.path} cannot be read: {error.strerror}.") from None
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    attempt = Attempt(**{name: str(value) for name, value in json.loads(line).items()})
                    attempt.when  # noqa: B018  a time that is none is damage, too
                    log.attempts.append(attempt)
            except (ValueError, TypeError, AttributeError):
                if number < len(lines):
                    raise CourseError(f"{log.path}, line {number}: this is no attempt. Take the line out.") from None
        return log

    def judge(self, assignment: Assignment, who: str, submission: str, text: str, time: datetime | None) -> str:
        """Whether an attempt is graded: why not, or nothing. What is new is written down before this returns.

        Raises:
            CourseError: it cannot be written, so nothing may be graded.
        """
        own = [attempt for attempt in self.attempts if attempt.who == who]
        if any(attempt.text == text and not attempt.refused for attempt in own):
            return ""
        refused = _reason(assignment, [attempt for attempt in own if not attempt.refused], time)
        attempt = Attempt(who, submission, text, time.isoformat() if time else "", refused)
        if attempt not in own:
            self._append(attempt)
        return refused

    def _append(self, attempt: Attempt) -> None:
        line = json.dumps(asdict(attempt), ensure_ascii=True).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab+") as file:
                if file.tell() and not _ends_whole(file.fileno()):
                    _cut(file.fileno())
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CourseError(f"{self.path} cannot be written: {error.strerror}. Nothing was graded.") from None
        self.attempts.append(attempt)


def admitted(
    assignment: Assignment,
    submissions: Iterable[Submission],
    owners: Mapping[str, str],
    times: Mapping[str, datetime | None],
    folder: Path,
) -> tuple[list[Submission], dict[str, str]]:
    """The submissions that are graded, and of the others why not.

    Args:
        assignment: with its limits.
        submissions: in their order, which is kept.
        owners: whose each is; one that is not listed is its own owner's.
        times: when each came.
        folder: of the results, and of the log.

    Raises:
        CourseError: the log cannot be read or written.
    """
    everything = list(submissions)
    if assignment.attempts is None and assignment.per_day is None and not assignment.cooldown:
        return everything, {}
    log, refused = Log.read(folder), {}
    last = datetime.max.replace(tzinfo=UTC)
    for submission in sorted(everything, key=lambda one: times.get(one.name) or last):
        name = submission.name
        handed_in = {exercise: submission.sources.get(exercise, "") for exercise in assignment.exercises}
        text = digest(json.dumps([handed_in, submission.problems], sort_keys=True))[:32]
        if why := log.judge(assignment, owners.get(name, name), name, text, times.get(name)):
            refused[name] = why
    return [submission for submission in everything if submission.name not in refused], refused


def refusals(folder: Path) -> dict[str, str]:
    """The submissions that were refused, and why; one that was let in later, or another text of it, is none of them."""
    found: dict[str, str] = {}
    for attempt in Log.read(folder).attempts:
        if attempt.refused:
            found[attempt.submission] = attempt.refused
        else:
            found.pop(attempt.submission, None)
    return found


def _reason(assignment: Assignment, earlier: Sequence[Attempt], time: datetime | None) -> str:
    if assignment.attempts is not None and len(earlier) >= assignment.attempts:
        return f"all {assignment.attempts} attempts were used."
    if time is None:
        return ""
    before = sorted(when for attempt in earlier if (when := attempt.when) and when <= time)
    if before and time - before[-1] < assignment.cooldown:
        minutes = assignment.cooldown / timedelta(minutes=1)
        return f"it came less than {minutes:g} minutes after the one before."
    recent = [when for when in before if time - when < timedelta(days=1)]
    if assignment.per_day is not None and len(recent) >= assignment.per_day:
        return f"{assignment.per_day} attempts within 24 hours are graded, and these were used."
    return ""


def _ends_whole(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"


def _cut(fd: int) -> None:
    """Takes off the half line that a crash left."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    os.ftruncate(fd, data.rfind(b"\n") + 1)
