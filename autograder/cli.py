"""The program: its commands, those of the wings among them, and how each of them ends."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autograder.authoring.commands import add_commands as add_authoring
from autograder.batch.cores import available
from autograder.course import Course, CourseError, GraderError, find_course
from autograder.exits import BELOW, FAILED, OK, USAGE
from autograder.isolation.between.messages import PROFILES, UNPROTECTED
from autograder.loop.commands import add_commands as add_loop
from autograder.loop.commands import add_plain
from autograder.loop.projects import add_projects
from autograder.reports.commands import add_assignment, add_reports, wanted
from autograder.reports.commands import add_commands as add_term
from autograder.reports.console import open_console
from autograder.site.commands import add_commands as add_site
from autograder.versions import describe


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 fine, 1 not passed, 2 bad usage, 3 the grader itself failed."""
    options = _parser().parse_args(arguments)
    try:
        course = find_course()
        return int(options.run(options, course))
    except CourseError as error:
        return _say(error, USAGE)
    except GraderError as error:
        return _say(error, FAILED)
    except KeyboardInterrupt:
        return _say("Stopped.", 130)
    except BrokenPipeError:
        # `| head` closed our output; Python would complain about it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autograder", description="Checks, grades and explains the course's exercises."
    )
    parser.add_argument("--version", action="version", version=describe())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="check your own exercises")
    check.add_argument("exercises", nargs="*", metavar="EXERCISE", help="softmax, attention, ... (all)")
    check.add_argument("--strict", action="store_true", help="exit 0 only when all that was asked passes")
    check.add_argument("--force", action="store_true", help="judge also what has not changed since the last check")
    check.add_argument("--json", action="store_true", help="print the grade as JSON")
    add_plain(check)
    add_reports(check)
    check.set_defaults(run=_check)

    grade = commands.add_parser("grade", help="grade submissions with the hidden suites")
    grade.add_argument("submissions", nargs="+", type=Path, metavar="SUBMISSION", help="a folder, zip, .py or .ipynb")
    grade.add_argument("--out", type=Path, metavar="DIR", help="write DIR/SUBMISSION.json each")
    grade.add_argument("--json", action="store_true", help="print the grades as JSON")
    grade.add_argument("--fail-under", type=float, metavar="PERCENT", help="exit 1 when one has less")
    grade.add_argument("--exercise", action="append", default=[], metavar="NAME", help="grade this one (all)")
    add_assignment(grade)
    grade.add_argument("--handed-in", type=Path, metavar="CSV", help="whose each submission is, and when it came")
    grade.add_argument("--roster", type=Path, metavar="CSV", help="the people of the course")
    grade.add_argument("--force", action="store_true", help="grade again what --out holds already")
    grade.add_argument("--prune", action="store_true", help="move grades of other submissions out of --out")
    grade.add_argument("--strict-read", action="store_true", help="exit 1 when a submission could not be read")
    grade.add_argument("--processes", type=int, metavar="N", help="how many at a time (one a core)")
    grade.add_argument("--dask", metavar="ADDRESS", help="on a Dask cluster; `local` starts one here")
    grade.add_argument("--trust-submissions", action="store_true", help="run them unprotected")
    grade.add_argument("--require", default="", choices=PROFILES, help="refuse unless this protection holds")
    add_plain(grade)
    add_reports(grade)
    grade.set_defaults(run=_grade)

    notebooks = commands.add_parser("notebooks", help="write a course folder for nbgrader")
    notebooks.add_argument("folder", type=Path, metavar="COURSE_DIR", help="where nbgrader is to work")
    notebooks.add_argument("exercises", nargs="*", metavar="EXERCISE", help="softmax, attention, ... (all)")
    notebooks.add_argument("--assignment", default="", metavar="NAME", help="of course.toml, or what nbgrader calls it")
    notebooks.set_defaults(run=_notebooks)

    add_loop(commands)
    add_term(commands)
    add_authoring(commands)
    add_site(commands)
    add_projects(commands)

    doctor = commands.add_parser("doctor", help="what this machine has, and which protection holds")
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    doctor.set_defaults(run=_doctor)

    return parser


def _check(options: argparse.Namespace, course: Course) -> int:
    from autograder.reports.formats import check_specs, write_reports

    check_specs(options.report)
    exercises = course.select(options.exercises)
    from autograder.grades import as_json
    from autograder.loop.grader import check
    from autograder.reports.gradebook import without_policy
    from autograder.reports.terminal import print_check
    from autograder.reports.waiting import waiting

    with waiting(quiet=options.plain or options.json) as said:
        grade = check(course, exercises, force=options.force, said=said)
    if options.json:
        print(json.dumps(as_json(grade), indent=2))
    else:
        print_check(open_console(options.plain), course, grade)
    write_reports(options.report, course, without_policy([grade]))
    unfinished = {"passed"} if options.strict else {"passed", "not_started"}
    return OK if all(exercise.status in unfinished for exercise in grade.exercises) else BELOW


def _grade(options: argparse.Namespace, course: Course) -> int:
    if absent := [path for path in options.submissions if not path.exists()]:
        raise CourseError(f"There is no {absent[0]}.")
    from autograder.batch.jobs import Setting
    from autograder.batch.reading import read_all
    from autograder.batch.results import Results
    from autograder.batch.stored import grade_submissions
    from autograder.grades import as_json
    from autograder.isolation.near.protection import strongest
    from autograder.reports.formats import check_specs, write_reports
    from autograder.reports.gradebook import without_policy
    from autograder.reports.terminal import print_grades, print_others, print_reading, print_refused, progress
    from autograder.term.admission import admit
    from autograder.term.results import remember_assignment

    check_specs(options.report)
    assignment, exercises = wanted(course, options.assignment, options.exercise)
    locked = not options.trust_submissions
    if not locked:
        print("WARNING: submissions run unprotected, with all that you may do yourself.", file=sys.stderr)
    results = Results(options.out) if options.out else None
    # A few say as much as all: they lie side by side.
    private = tuple(str(path.resolve()) for path in (*options.submissions[:20], *filter(None, [options.out])))
    setting = Setting(course.root, tuple(exercise.name for exercise in exercises), UNPROTECTED, private)
    protection = strongest(setting.secrets, options.require) if locked else UNPROTECTED
    setting = replace(setting, protection=protection)
    if options.out:
        remember_assignment(options.out, assignment.name)
    read = list(read_all(options.submissions, course, options.out))
    submissions = read
    refused: dict[str, str] = {}
    if options.out:
        submissions, refused = admit(assignment, read, options.out, options.handed_in, options.roster)
    elif options.handed_in or options.roster:
        raise CourseError("--handed-in and --roster go with results: say where to with --out DIR.")
    with progress(len(submissions)) as advance:
        ordered, failures = grade_submissions(
            setting,
            course,
            submissions,
            results,
            processes=options.processes or len(available()),
            address=options.dask or "",
            force=options.force,
            advance=advance,
        )
    if options.json:
        print(json.dumps([as_json(grade) for grade in ordered], indent=2))
    else:
        console = open_console(options.plain)
        print_grades(console, ordered)
        print_reading(console, ordered)
        print_refused(console, refused)
        if results and (others := results.others([submission.name for submission in read])):
            if options.prune:
                print(f"Moved the grades of {len(others)} other submissions to {results.prune(others)}.")
            else:
                print_others(console, others)
    write_reports(options.report, course, without_policy(ordered))
    failures += [f"{grade.submission}: {grade.notes[-1]}" for grade in ordered if not grade.graded]
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        return FAILED
    low = options.fail_under is not None and any(grade.percent < options.fail_under for grade in ordered)
    unread = options.strict_read and any(grade.unreadable for grade in ordered)
    return BELOW if low or unread else OK


def _notebooks(options: argparse.Namespace, course: Course) -> int:
    try:
        from autograder.nbgrader_support.authoring import write_course
    except ModuleNotFoundError as error:
        raise CourseError(f"{error}. Install nbgrader with the course: pip install -e '.[nbgrader]'") from None
    # One that course.toml does not name is nbgrader's alone.
    named = options.assignment if options.assignment in {entry.get("name") for entry in course.assignments} else ""
    _, exercises = wanted(course, named, options.exercises)
    assignment = options.assignment or "course"
    written = write_course(course, options.folder, exercises, assignment)
    print(f"Wrote {len(written)} files. Next: cd {options.folder} && nbgrader generate_assignment {assignment}")
    return OK


def _doctor(options: argparse.Namespace, course: Course) -> int:
    from autograder.batch.doctor import examine, in_words

    found = examine(course)
    print(json.dumps(found, indent=2) if options.json else in_words(found))
    return OK if found["protection"] == "full" else BELOW if found["protection"] else FAILED


def _say(error: object, code: int) -> int:
    print(error, file=sys.stderr)
    return code
