"""Grades into the gradebook file that Canvas or Moodle exported, from results or from nbgrader's export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autograder.course import Course, CourseError, GraderError
from autograder.files import write_whole
from autograder.grades import Grade
from autograder.reports.gradebook import Entry
from autograder.reports.term import read_term
from autograder.term.gradefile import Filled, fill
from autograder.term.results import assignment_of
from autograder.term.roster import Person, people, read_table


def fill_in(
    course: Course,
    gradebook: Path,
    results: Sequence[Path],
    out: Path,
    assignment: str = "",
    column: str = "",
    roster: Path | None = None,
) -> Filled:
    """Writes the file with one column filled in; whose row is not there, and whose grade is not, is said.

    Raises:
        CourseError: a file makes no sense.
        GraderError: it cannot be written.
    """
    if out.exists():
        raise CourseError(f"{out} is there already. Give a new file, and nothing is overwritten.")
    if len(results) == 1 and results[0].suffix == ".csv":
        entries = nbgraders(results[0], assignment)
    else:
        entries = read_term(course, results, roster, assignment)
        assignment = assignment_of(results[0], assignment) if len(results) == 1 else assignment
    everybody = people(results[0], roster)
    is_canvas = "Student" in read_table(gradebook).header
    cells: dict[Person, str] = {}
    for entry in entries:
        person = everybody.by_id(entry.id) or Person(entry.id or entry.student, entry.student)
        if entry.status in ("graded", "unmatched"):
            cells[person] = f"{entry.score:g}"
        elif entry.status == "excused" and is_canvas:
            cells[person] = "EX"
    worth = max((entry.max_score for entry in entries if entry.counts), default=0.0)
    filled = fill(gradebook, column or assignment, cells, worth)
    try:
        write_whole(out, filled.data)
    except OSError as error:
        raise GraderError(f"{out} could not be written: {error.strerror}.") from None
    return filled


def nbgraders(path: Path, assignment: str = "") -> list[Entry]:
    """The entries of nbgrader's export, `nbgrader export`.

    Raises:
        CourseError: it is none, or holds several assignments and none is named.
    """
    table = read_table(path)
    if missing := {"assignment", "student_id", "score", "max_score"} - set(table.header):
        raise CourseError(f"{path} is no export of nbgrader: it has no {', '.join(sorted(missing))}.")
    names = list(dict.fromkeys(row["assignment"] for _, row in table.rows))
    if len(names) > 1 and assignment not in names:
        raise CourseError(f"{path} holds {', '.join(names)}. Say which one with --assignment.")
    entries = []
    for line, row in table.rows:
        if row["assignment"] == (assignment or names[0]):
            try:
                score, worth = float(row["score"] or 0), float(row["max_score"] or 0)
            except ValueError:
                raise CourseError(f"{path}, line {line}: the score is no number.") from None
            name = f"{row.get('first_name', '')} {row.get('last_name', '')}".strip() or row["student_id"]
            entries.append(Entry(name, Grade(row["student_id"], ()), score, worth=worth, id=row["student_id"]))
    return entries
