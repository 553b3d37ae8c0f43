"""The commands: parses, prints, nothing else."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.batch.cores import available
from autograder.course import LEVELS, Course, CourseError, Exercise, GraderError, find_course
from autograder.isolation.between.messages import PROFILES, UNPROTECTED
from autograder.loop.commands import add_commands, add_plain
from autograder.loop.projects import add_projects
from autograder.reports.commands import add_commands as add_term_commands
from autograder.reports.console import open_console
from autograder.versions import describe

if TYPE_CHECKING:
    from autograder.term.assignments import Assignment

OK, BELOW, USAGE, FAILED = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 fine, 1 not passed, 2 bad usage, 3 the grader itself failed."""
    options = _parser().parse_args(arguments)
    try:
        course = find_course()
        return int(options.run(options, course))
    except (CourseError, UsageError) as error:
        return _say(error, USAGE)
    except GraderError as error:
        return _say(error, FAILED)
    except KeyboardInterrupt:
        return _say("Stopped.", 130)
    except BrokenPipeError:
        # `| head` closed our output; Python would complain about it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


class UsageError(Exception):
    """What was asked for makes no sense; the message says why."""


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
    _add_reports(check)
    check.set_defaults(run=_check)

    grade = commands.add_parser("grade", help="grade submissions with the hidden suites")
    grade.add_argument("submissions", nargs="+", type=Path, metavar="SUBMISSION", help="a folder, zip, .py or .ipynb")
    grade.add_argument("--out", type=Path, metavar="DIR", help="write DIR/SUBMISSION.json each")
    grade.add_argument("--json", action="store_true", help="print the grades as JSON")
    grade.add_argument("--fail-under", type=float, metavar="PERCENT", help="exit 1 when one has less")
    grade.add_argument("--exercise", action="append", default=[], metavar="NAME", help="grade this one (all)")
    _add_assignment(grade)
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
    _add_reports(grade)
    grade.set_defaults(run=_grade)

    report = commands.add_parser("report", help="reports of a folder of grades, or what changed between two")
    report.add_argument("results", nargs="*", type=Path, metavar="RESULTS", help="what `grade --out` wrote")
    report.add_argument("--roster", type=Path, metavar="CSV", help="the people of the course")
    _add_assignment(report)
    _add_reports(report)
    report.add_argument("--diff", nargs=2, type=Path, metavar=("OLD", "NEW"), help="who gained or lost what, and why")
    report.set_defaults(run=_report)

    gradescope = commands.add_parser("gradescope", help="write the autograder zip that Gradescope runs")
    gradescope.add_argument("zip", type=Path, metavar="ZIP")
    gradescope.add_argument("exercises", nargs="*", metavar="EXERCISE", help="softmax, attention, ... (all)")
    _add_assignment(gradescope)
    gradescope.add_argument("--trust-submissions", action="store_true", help="where Gradescope's kernel has no locks")
    gradescope.set_defaults(run=_gradescope)

    verify = commands.add_parser("verify", help="prove the course: stubs, solutions, mistakes, right answers")
    verify.add_argument("exercises", nargs="*", metavar="EXERCISE")
    verify.add_argument("--sample", type=int, default=1, metavar="N", help="only every N-th known mistake")
    verify.add_argument("--mistake", default="", metavar="ID", help="only this known mistake, and nothing else")
    verify.set_defaults(run=_verify)

    mutants = commands.add_parser("mutants", help="measure the suites by generated mutants of the solutions")
    mutants.add_argument("exercises", nargs="*", metavar="EXERCISE")
    mutants.add_argument("--sample", type=int, default=1, metavar="N", help="only every N-th mutant")
    mutants.set_defaults(run=_mutants)

    mistakes = commands.add_parser("mistakes", help="group the wrong answers that no known mistake explains")
    mistakes.add_argument("what", nargs="+", metavar="RESULTS | draft GROUP", help="find groups, or draft an entry")
    mistakes.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="for draft (results)")
    mistakes.set_defaults(run=_mistakes)

    release = commands.add_parser("release", help="write what students get")
    release.add_argument("folder", type=Path, metavar="DIR", help="new, empty, or a repository with all committed")
    release.add_argument("--url", default="", metavar="ADDRESS", help="from where students fetch it (as last time)")
    _add_assignment(release)
    release.add_argument("--level", choices=LEVELS, help="every exercise at this level (as course.toml says)")
    release.add_argument(
        "--answers", nargs="+", default=[], metavar="EXERCISE", help="with another answer to compare with"
    )
    release.set_defaults(run=_release)

    notebooks = commands.add_parser("notebooks", help="write a course folder for nbgrader")
    notebooks.add_argument("folder", type=Path, metavar="COURSE_DIR", help="where nbgrader is to work")
    notebooks.add_argument("exercises", nargs="*", metavar="EXERCISE", help="softmax, attention, ... (all)")
    notebooks.add_argument("--assignment", default="", metavar="NAME", help="of course.toml, or what nbgrader calls it")
    notebooks.set_defaults(run=_notebooks)

    site = commands.add_parser("site", help="write the course as pages for the browser")
    site.add_argument("folder", type=Path, metavar="DIR", help="new, empty, or an earlier site")
    site.add_argument("--url", default="", metavar="ADDRESS", help="the repository that students have, for Colab")
    site.set_defaults(run=_site)

    add_commands(commands)
    add_term_commands(commands)
    add_projects(commands)

    doctor = commands.add_parser("doctor", help="what this machine has, and which protection holds")
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    doctor.set_defaults(run=_doctor)

    exercises = commands.add_parser("exercises", help="write exercises/ from solutions/")
    exercises.set_defaults(run=_exercises)
    return parser


def _add_assignment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--assignment", default="", metavar="NAME", help="of course.toml (the whole course)")


def _add_reports(parser: argparse.ArgumentParser) -> None:
    help_text = "junit, github, markdown, gitlab, gradescope, prairielearn, classroom50, csv, student or class"
    parser.add_argument("--report", action="append", default=[], metavar="FORMAT[=PATH]", help=help_text)


def _check(options: argparse.Namespace, course: Course) -> int:
    from autograder.reports.formats import check_wishes, write_reports

    check_wishes(options.report)
    exercises = course.select(options.exercises)
    from autograder.grades import as_json
    from autograder.loop.grader import check
    from autograder.reports.gradebook import plain
    from autograder.reports.terminal import print_check

    grade = check(course, exercises, force=options.force)
    if options.json:
        print(json.dumps(as_json(grade), indent=2))
    else:
        print_check(open_console(options.plain), course, grade)
    write_reports(options.report, course, plain([grade]))
    unfinished = {"passed"} if options.strict else {"passed", "not_started"}
    return OK if all(exercise.status in unfinished for exercise in grade.exercises) else BELOW


def _grade(options: argparse.Namespace, course: Course) -> int:
    if absent := [path for path in options.submissions if not path.exists()]:
        raise UsageError(f"There is no {absent[0]}.")
    from autograder.batch.alike import alike, grade_of
    from autograder.batch.cluster import grade_on
    from autograder.batch.jobs import Setting
    from autograder.batch.local import grade_all, prepare
    from autograder.batch.reading import read_all
    from autograder.batch.results import ResultError, Results, keys
    from autograder.grades import as_json
    from autograder.isolation.near.protection import strongest
    from autograder.reports.formats import check_wishes, write_reports
    from autograder.reports.gradebook import plain
    from autograder.reports.terminal import print_grades, print_others, print_reading, print_refused, progress
    from autograder.term.admission import admit
    from autograder.term.results import remember_assignment

    check_wishes(options.report)
    assignment, exercises = _wanted(course, options.assignment, options.exercise)
    locked = not options.trust_submissions
    if not locked:
        print("WARNING: submissions run unprotected, with all that you may do yourself.", file=sys.stderr)
    results = Results(options.out) if options.out else None
    run = partial(grade_on, options.dask) if options.dask else grade_all
    # A few say as much as all: they lie side by side.
    private = tuple(str(path.resolve()) for path in (*options.submissions[:20], *filter(None, [options.out])))
    setting = Setting(course.root, tuple(exercise.name for exercise in exercises), UNPROTECTED, private)
    protection = strongest(setting.secrets, options.require) if locked else UNPROTECTED
    setting = replace(setting, protection=protection)
    grades, failures = {}, []
    if options.out:
        remember_assignment(options.out, assignment.name)
    read = list(read_all(options.submissions, course, options.out))
    submissions = read
    refused: dict[str, str] = {}
    if options.out:
        submissions, refused = admit(assignment, read, options.out, options.handed_in, options.roster)
    elif options.handed_in or options.roster:
        raise UsageError("--handed-in and --roster go with results: say where to with --out DIR.")
    jobs = [prepare(s, course, exercises, None if options.force else results, protection) for s in submissions]
    leaders, followers = alike(jobs)
    with progress(len(jobs)) as advance:
        for leader, found, fresh in run(setting, leaders, options.processes or len(available())):
            for job in (leader, *followers.get(leader.submission.name, ())):
                grades[job.submission.name] = grade = found if job is leader else grade_of(job, found)
                try:
                    if results and fresh:
                        results.write(grade, job.keys or keys(course, exercises, job.submission), job.submission)
                except ResultError as error:
                    failures.append(f"{error}.")
                advance()
    ordered = [grades[job.submission.name] for job in jobs]
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
    write_reports(options.report, course, plain(ordered))
    failures += [f"{grade.submission}: {grade.notes[-1]}" for grade in ordered if not grade.graded]
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        return FAILED
    low = options.fail_under is not None and any(grade.percent < options.fail_under for grade in ordered)
    unread = options.strict_read and any(grade.unreadable for grade in ordered)
    return BELOW if low or unread else OK


def _verify(options: argparse.Namespace, course: Course) -> int:
    from autograder.authoring.verify import verify

    complaints = []
    selected, sample = course.select(options.exercises), max(options.sample, 1)
    for report in verify(course, selected, processes=len(available()), sample=sample, mistake=options.mistake):
        if report.name != "files":
            print(report.line(), *(f"  {line}" for line in report.undiagnosed), sep="\n", flush=True)
        complaints += report.complaints
    for complaint in complaints:
        print(f"! {complaint}")
    print(f"{len(complaints)} complaints." if complaints else "The course is in order.")
    return BELOW if complaints else OK


def _mutants(options: argparse.Namespace, course: Course) -> int:
    from autograder.authoring.mutants import run_mutants, store

    reports = []
    for report in run_mutants(course, course.select(options.exercises), len(available()), max(options.sample, 1)):
        reports.append(report)
        print(
            f"{report.name}: killed {report.killed} of {report.total}, and {report.equivalent} are equivalent",
            flush=True,
        )
        for change in report.survivors:
            print(f"! survives: {change}")
        for change in report.stale:
            print(f"! listed as equivalent, and is not: {change}")
    if options.sample == 1:
        store(course, reports)
    return BELOW if any(report.survivors or report.stale for report in reports) else OK


def _mistakes(options: argparse.Namespace, course: Course) -> int:
    from autograder.authoring.unexplained import draft, find_groups
    from autograder.reports.gates import terminal

    if len(options.what) == 2 and options.what[0] == "draft":
        path, name, same = draft(course, options.results, options.what[1])
        print(f"Added {name} to {path}. Write its hint, then grade again: it will be named for all of the group.")
        if not same:
            print("Made a patch of the solution, it does not give quite the same answers: look at the entry.")
        return OK if same else BELOW
    if len(options.what) != 1:
        raise UsageError("Say `mistakes RESULTS`, or `mistakes draft GROUP --results RESULTS`.")
    groups = find_groups(course, Path(options.what[0]))
    print(f"{len(groups)} group{'' if len(groups) == 1 else 's'} of wrong answers that no known mistake explains.")
    for group in groups:
        print(f"\n{group.id}: {len(group.submissions)}, wrong in {', '.join(group.functions)}; such as")
        print(f"  {terminal(group.submissions[0])}: {terminal(group.title)}")
        print("\n".join(f"    {line}" for line in terminal(group.example).splitlines()))
    return OK


def _report(options: argparse.Namespace, course: Course) -> int:
    from autograder.reports.formats import check_wishes, read_course_results, write_reports
    from autograder.reports.term import read_term

    if options.diff and (options.results or options.report):
        raise UsageError("`report --diff OLD NEW` stands alone: ask for the other reports in a command of their own.")
    if options.diff:
        from autograder.reports.changes import changes

        old, new = (read_course_results(course, folder) for folder in options.diff)
        print("\n".join(changes(old, new)) or "Nothing changed.")
        return OK
    if not options.results or not options.report:
        raise UsageError("Say what to report: `report RESULTS --report class=class.html`, or `report --diff OLD NEW`.")
    check_wishes(options.report)
    write_reports(options.report, course, read_term(course, options.results, options.roster, options.assignment))
    return OK


def _gradescope(options: argparse.Namespace, course: Course) -> int:
    from autograder.reports.gradescope_zip import write_zip

    _, exercises = _wanted(course, options.assignment, options.exercises)
    write_zip(course, options.zip, exercises, trust=options.trust_submissions, assignment=options.assignment)
    print(f"{options.zip} is ready to be uploaded: Gradescope, Configure Autograder, Zip file upload.")
    return OK


def _release(options: argparse.Namespace, course: Course) -> int:
    from autograder.authoring.release import release

    release(
        course,
        options.folder,
        len(available()),
        url=options.url,
        assignment=options.assignment,
        level=options.level,
        answers=[exercise.name for exercise in course.select(options.answers)] if options.answers else [],
        said=print,
    )
    print(f"{options.folder} is ready to be pushed. Students begin with its README.md.")
    return OK


def _site(options: argparse.Namespace, course: Course) -> int:
    from autograder.site.build import build

    build(course, options.folder, address=options.url, processes=len(available()))
    print(f"Open {options.folder / 'index.html'} in a browser.")
    return OK


def _notebooks(options: argparse.Namespace, course: Course) -> int:
    try:
        from autograder.nbgrader_support.authoring import write_course
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}. Install nbgrader with the course: pip install -e '.[nbgrader]'") from None
    # One that course.toml does not name is nbgrader's alone.
    named = options.assignment if options.assignment in {entry.get("name") for entry in course.assignments} else ""
    _, exercises = _wanted(course, named, options.exercises)
    assignment = options.assignment or "course"
    written = write_course(course, options.folder, exercises, assignment)
    print(f"Wrote {len(written)} files. Next: cd {options.folder} && nbgrader generate_assignment {assignment}")
    return OK


def _doctor(options: argparse.Namespace, course: Course) -> int:
    from autograder.batch.doctor import examine, in_words

    found = examine(course)
    print(json.dumps(found, indent=2) if options.json else in_words(found))
    return OK if found["protection"] == "full" else BELOW if found["protection"] else FAILED


def _wanted(course: Course, name: str, exercises: Sequence[str]) -> tuple[Assignment, tuple[Exercise, ...]]:
    """The assignment that is asked for, and those of its exercises that are; all for none."""
    from autograder.term.assignments import find

    assignment = find(course, name)
    selected = course.select(exercises) if exercises else assignment.select(course)
    if strange := [exercise.name for exercise in selected if exercise.name not in assignment.exercises]:
        raise UsageError(f"{strange[0]} is no exercise of {name}: {', '.join(assignment.exercises)}.")
    return assignment, selected


def _exercises(options: argparse.Namespace, course: Course) -> int:
    from autograder.authoring.coursemap import write_map
    from autograder.authoring.skeleton import write_stubs

    changed = write_stubs(course)
    if write_map(course):
        changed.append("the map in README.md")
    print(f"Wrote {', '.join(changed)}." if changed else "exercises/ is up to date.")
    return OK


def _say(error: object, code: int) -> int:
    print(error, file=sys.stderr)
    return code
