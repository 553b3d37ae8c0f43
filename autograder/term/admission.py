"""Which of the submissions of a batch are graded: what came too often is not, and is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autograder.course import CourseError
from autograder.files import write_whole
from autograder.submission import Submission
from autograder.term.assignments import Assignment
from autograder.term.attempts import admitted
from autograder.term.handins import HANDED_IN, owners, read_handed_in
from autograder.term.roster import people, read_text


def admit(
    assignment: Assignment,
    submissions: Sequence[Submission],
    results: Path,
    handed_in: Path | None = None,
    roster: Path | None = None,
) -> tuple[list[Submission], dict[str, str]]:
    """The submissions that are graded, and of the others why not.

    Args:
        assignment: with its limits.
        submissions: all that were given.
        results: where the grades go, and where it is remembered who had which attempts.
        handed_in: whose each is, which is kept beside the results; else what is there already.
        roster: the people; else as `people` finds them.

    Raises:
        CourseError: one of the files makes no sense.
    """
    if handed_in:
        _keep(handed_in, results / HANDED_IN)
    known, everybody = read_handed_in(results / HANDED_IN), people(results, roster)
    whose, times = {}, {}
    for name in (submission.name for submission in submissions):
        found = owners(name, known, everybody, groups=assignment.groups)
        whose[name] = "+".join(sorted(person.id for person in found)) or name
        times[name] = known[name].time if name in known else None
    return admitted(assignment, submissions, whose, times, results)


def _keep(given: Path, kept: Path) -> None:
    """Copies the list; what the one before said must be in it."""
    read_handed_in(given)
    if not given.is_file():
        raise CourseError(f"There is no {given}.")
    new = read_text(given)
    if kept.is_file():
        lines = set(new.splitlines())
        if lost := [line for line in read_text(kept).splitlines() if line.strip() and line not in lines]:
            raise CourseError(f"{given} lacks a line of {kept}: {lost[0]}. Put it in, or take it out there.")
    try:
        write_whole(kept, new)
    except OSError as error:
        raise CourseError(f"{kept} could not be written: {error.strerror}.") from None
