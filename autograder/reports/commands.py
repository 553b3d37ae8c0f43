"""The commands around a term: `report`, `gradescope`, `collect`, `fill` and `similar`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.course import Course, CourseError, Exercise, GraderError
from autograder.exits import OK
from autograder.reports.gates import terminal

if TYPE_CHECKING:
    from autograder.term.assignments import Assignment

SHOWN = 10  # names that a list gives before it counts the rest


def add_commands(commands: Any) -> None:
    """Adds them to the program's commands."""
    report = commands.add_parser("report", help="reports of a folder of grades, or what changed between two")
    report.add_argument("results", nargs="*", type=Path, metavar="RESULTS", help="what `grade --out` wrote")
    report.add_argument("--roster", type=Path, metavar="CSV", help="the people of the course")
    add_assignment(report)
    add_reports(report)
    report.add_argument("--formats", action="store_true", help="list the formats")
    report.add_argument("--diff", nargs=2, type=Path, metavar=("OLD", "NEW"), help="who gained or lost what, and why")
    report.set_defaults(run=_report)

    gradescope = commands.add_parser("gradescope", help="write the autograder zip that Gradescope runs")
    gradescope.add_argument("zip", type=Path, metavar="ZIP")
    gradescope.add_argument("exercises", nargs="*", metavar="EXERCISE", help="softmax, attention, ... (all)")
    add_assignment(gradescope)
    gradescope.add_argument("--trust-submissions", action="store_true", help="where Gradescope's kernel has no locks")
    gradescope.set_defaults(run=_gradescope)

    collect = commands.add_parser("collect", help="lay out a bulk download of Moodle, Canvas, Gradescope, Classroom 50")
    collect.add_argument("export", type=Path, metavar="EXPORT", help="the zip, or the folder that it was unpacked to")
    collect.add_argument("folder", type=Path, metavar="DIR", help="new: a folder a submission, and handed-in.csv")
    collect.add_argument("--roster", type=Path, metavar="CSV", help="the people of the course")
    collect.set_defaults(run=_collect)

    fill = commands.add_parser("fill", help="fill in the gradebook file that Canvas or Moodle exported")
    fill.add_argument("gradebook", type=Path, metavar="GRADEBOOK", help="the file as it was exported")
    fill.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="or one CSV of `nbgrader export`")
    fill.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to; the export stays as it is")
    fill.add_argument("--assignment", default="", metavar="NAME", help="of course.toml")
    fill.add_argument("--column", default="", metavar="NAME", help="the column to fill (the assignment's)")
    fill.add_argument("--roster", type=Path, metavar="CSV", help="the people of the course")
    fill.set_defaults(run=_fill)
    _add_similar(commands)


def _add_similar(commands: Any) -> None:
    similar = commands.add_parser("similar", help="submissions that have much in common, side by side")
    similar.add_argument("results", type=Path, metavar="RESULTS", help="what `grade --out` wrote")
    similar.add_argument("--out", type=Path, default=Path("similar.html"), metavar="FILE", help="similar.html")
    similar.add_argument("--least", type=float, default=70, metavar="PERCENT", help="in common, to be listed (70)")
    similar.set_defaults(run=_similar)


def add_assignment(parser: argparse.ArgumentParser) -> None:
    """Adds `--assignment`."""
    parser.add_argument("--assignment", default="", metavar="NAME", help="of course.toml (the whole course)")


def add_reports(parser: argparse.ArgumentParser) -> None:
    """Adds `--report`."""
    help_text = "a report, printed or written; `report --formats` lists the formats"
    parser.add_argument("--report", action="append", default=[], metavar="FORMAT[=PATH]", help=help_text)


def wanted(course: Course, name: str, exercises: Sequence[str]) -> tuple[Assignment, tuple[Exercise, ...]]:
    """The assignment that is asked for, and those of its exercises that are; all for none."""
    from autograder.term.assignments import find

    assignment = find(course, name)
    selected = course.select(exercises) if exercises else assignment.select(course)
    if strange := [exercise.name for exercise in selected if exercise.name not in assignment.exercises]:
        raise CourseError(f"{strange[0]} is no exercise of {name}: {', '.join(assignment.exercises)}.")
    return assignment, selected


def _report(options: argparse.Namespace, course: Course) -> int:
    from autograder.reports.formats import check_specs, list_formats, read_course_results, write_reports
    from autograder.reports.term import read_term

    if options.diff and (options.results or options.report):
        raise CourseError("`report --diff OLD NEW` stands alone: ask for the other reports in a command of their own.")
    if options.diff:
        from autograder.reports.changes import changes

        old, new = (read_course_results(course, folder) for folder in options.diff)
        print("\n".join(changes(old, new)) or "Nothing changed.")
        return OK
    if options.formats:
        print(list_formats())
        return OK
    if not options.results or not options.report:
        raise CourseError("Say what to report: `report RESULTS --report class=class.html`, or `report --diff OLD NEW`.")
    check_specs(options.report)
    write_reports(options.report, course, read_term(course, options.results, options.roster, options.assignment))
    return OK


def _gradescope(options: argparse.Namespace, course: Course) -> int:
    from autograder.reports.gradescope_zip import write_zip

    _, exercises = wanted(course, options.assignment, options.exercises)
    write_zip(course, options.zip, exercises, trust=options.trust_submissions, assignment=options.assignment)
    print(f"{options.zip} is ready to be uploaded: Gradescope, Configure Autograder, Zip file upload.")
    return OK


def _similar(options: argparse.Namespace, course: Course) -> int:
    from autograder.batch.results import ResultError, read_sources
    from autograder.files import write_whole
    from autograder.reports.formats import read_course_results
    from autograder.reports.pages import page
    from autograder.reports.similar import pairs

    grades = read_course_results(course, options.results)
    try:
        sources = read_sources(options.results)
    except ResultError as error:
        raise CourseError(f"{error}.") from None
    if not sources:
        raise CourseError(f"{options.results} holds no texts. Grade once more with --force, and they are kept.")
    found = list(pairs(course, sources, grades, options.least / 100))
    title = f"{course.title}: similar work"
    text = page("similar.html", title=title, course=course, pairs=found, compared=len(sources))
    try:
        write_whole(options.out, text)
    except OSError as error:
        raise GraderError(f"{options.out} could not be written: {error.strerror}.") from None
    print(f"{len(found)} pairs of {len(sources)} submissions have {options.least:g} % in common: see {options.out}.")
    return 0


def _collect(options: argparse.Namespace, course: Course) -> int:
    from autograder.term.exports import collect
    from autograder.term.roster import Roster, read_roster

    roster = read_roster(options.roster) if options.roster else Roster()
    summary = collect(options.export, options.folder, roster)
    files = sum(len(one.files) for one in summary.submissions)
    print(
        f"{summary.found} files in the download: {files} in {len(summary.submissions)} submissions, "
        f"{len(summary.left_out)} left out."
    )
    _list("Left out", summary.left_out)
    _list("Of nobody in the roster", summary.unmatched)
    _list("Without a submission", summary.idle)
    print(f"Next: autograder grade {options.folder}/*/ --handed-in {options.folder}/handed-in.csv --out RESULTS")
    return 0


def _fill(options: argparse.Namespace, course: Course) -> int:
    from autograder.reports.fill import fill_in

    filled = fill_in(
        course, options.gradebook, options.results, options.out, options.assignment, options.column, options.roster
    )
    print(f"Wrote {filled.written} grades into the column {terminal(filled.column)} of {options.out}.")
    _list("With a grade and without a row", filled.unknown)
    _list("Without a grade, and left as they were", filled.missing)
    return 0


def _list(what: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        print(f"{what} ({len(names)}): {terminal(', '.join(' '.join(n.split()) for n in names[:SHOWN]))}{more}.")
