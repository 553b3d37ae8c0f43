"""The commands around the course itself: `verify`, `mutants`, `mistakes` and `exercises`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from autograder.batch.cores import available
from autograder.course import Course, CourseError
from autograder.exits import BELOW, OK


def add_commands(commands: Any) -> None:
    """Adds them to the program's commands."""
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

    exercises = commands.add_parser("exercises", help="write exercises/ from solutions/")
    exercises.set_defaults(run=_exercises)


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
        raise CourseError("Say `mistakes RESULTS`, or `mistakes draft GROUP --results RESULTS`.")
    groups = find_groups(course, Path(options.what[0]))
    print(f"{len(groups)} group{'' if len(groups) == 1 else 's'} of wrong answers that no known mistake explains.")
    for group in groups:
        print(f"\n{group.id}: {len(group.submissions)}, wrong in {', '.join(group.functions)}; such as")
        print(f"  {terminal(group.submissions[0])}: {terminal(group.title)}")
        print("\n".join(f"    {line}" for line in terminal(group.example).splitlines()))
    return OK


def _exercises(options: argparse.Namespace, course: Course) -> int:
    from autograder.authoring.coursemap import write_map
    from autograder.authoring.skeleton import write_stubs

    changed = write_stubs(course)
    if write_map(course):
        changed.append("the map in README.md")
    print(f"Wrote {', '.join(changed)}." if changed else "exercises/ is up to date.")
    return OK
