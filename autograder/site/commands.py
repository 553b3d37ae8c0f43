"""The commands that write what students read: `release` and `site`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from autograder.batch.cores import available
from autograder.course import LEVELS, Course
from autograder.exits import OK


def add_commands(commands: Any) -> None:
    """Adds them to the program's commands."""
    release = commands.add_parser("release", help="write what students get")
    release.add_argument("folder", type=Path, metavar="DIR", help="new, empty, or a repository with all committed")
    release.add_argument("--url", default="", metavar="ADDRESS", help="from where students fetch it (as last time)")
    release.add_argument("--assignment", default="", metavar="NAME", help="of course.toml (the whole course)")
    release.add_argument("--path", choices=["core"], help="the core path alone, with what it builds on")
    release.add_argument("--level", choices=LEVELS, help="every exercise at this level (as course.toml says)")
    release.add_argument(
        "--answers", nargs="+", default=[], metavar="EXERCISE", help="with another answer to compare with"
    )
    release.add_argument("--no-pages", action="store_true", help="without the lessons' pages, which Sphinx makes")
    release.set_defaults(run=_release)

    site = commands.add_parser("site", help="write the course as pages for the browser")
    site.add_argument("folder", type=Path, metavar="DIR", help="new, empty, or an earlier site")
    site.add_argument("--url", default="", metavar="ADDRESS", help="the repository that students have, for Colab")
    site.set_defaults(run=_site)


def _release(options: argparse.Namespace, course: Course) -> int:
    from autograder.authoring.release import release
    from autograder.site.build import build

    processes = len(available())

    def pages(course: Course, address: str, folder: Path) -> None:
        build(course, folder, address=address, processes=processes, for_students=True, level=options.level)

    release(
        course,
        options.folder,
        processes,
        url=options.url,
        assignment=options.assignment,
        core=options.path == "core",
        level=options.level,
        answers=[exercise.name for exercise in course.select(options.answers)] if options.answers else [],
        pages=None if options.no_pages else pages,
        said=print,
    )
    print(f"{options.folder} is ready to be pushed. Students begin with its README.md.")
    return OK


def _site(options: argparse.Namespace, course: Course) -> int:
    from autograder.site.build import build

    build(course, options.folder, address=options.url, processes=len(available()))
    print(f"Open {options.folder / 'index.html'} in a browser.")
    return OK
