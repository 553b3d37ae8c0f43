"""The course as students get it: a repository that holds no answer, and says no more than its visible tests say.

What goes in is listed here and nothing else does. The same course gives the same bytes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from autograder.authoring import browser
from autograder.authoring.answers import given
from autograder.authoring.browser import Address
from autograder.authoring.coursemap import with_map
from autograder.authoring.skeleton import stub
from autograder.batch.cores import grading_pool
from autograder.course import (
    LEVELS,
    Course,
    CourseError,
    GraderError,
    foundations,
    load_course,
    marked_answers,
    untouched,
    with_foundations,
)
from autograder.diagnosis.catalogue import known_mistakes
from autograder.diagnosis.diagnose import Replays
from autograder.diagnosis.fingerprints import dump, record
from autograder.diagnosis.grounds import grounds
from autograder.files import PROGRAM, TEMPLATES
from autograder.grading import VISIBLE, Grader
from autograder.isolation.near.worker import start_worker
from autograder.suites.runner import Effort
from autograder.term.assignments import assignments, assistants, find, whole

Pages = Callable[[Course, str, Path], None]
PAGES = "pages"
PROJECTS = "projects"  # what students build from their exercises
_TEMPLATES = TEMPLATES / "release"
INSTRUCTORS = "# -- For instructors and maintainers; a release ends here. --\n"
SECRETS = ("solutions", "tests/hidden", "tests/mistakes", "tests/answers")
_AS_THEY_ARE = ("course.toml", "pyproject.toml", "constraints.txt", "install.py", "LICENSE", ".gitignore")
_DEVCONTAINER = ".devcontainer/devcontainer.json"
_LINK = re.compile(r"\]\((docs/[^)#]+)")
_PICTURE = re.compile(r"!\[[^\]]*\]\(([\w./-]+\.(?:png|svg))\)")


def release(
    course: Course,
    folder: Path,
    processes: int,
    *,
    url: str = "",
    assignment: str = "",
    core: bool = False,
    level: str | None = None,
    pages: Pages | None = None,
    answers: Sequence[str] = (),
    said: Callable[[str], None] = lambda line: None,
) -> None:
    """Writes the release into a folder that is new or empty, or into a repository that has everything committed.

    Args:
        course: the course.
        folder: where to.
        processes: how many exercises at a time.
        url: from where students will fetch it; what the last release into this folder was told, where nobody says.
        assignment: up to which assignment, with what it builds on; the whole course for none.
        core: of that, the core path alone, with what it builds on.
        level: how much every exercise leaves open; as course.toml says for none.
        pages: writes the lessons as pages into a folder, given the course and the address; without it there are none.
        answers: exercises for which a right answer comes along, in another style, to compare with.
        said: told how far it is, a line an exercise.

    Raises:
        CourseError: the folder holds something that would be lost, or the course is not complete.
        GraderError: it cannot be written.
    """
    old = _replaceable(folder)
    address = Address.parse(url) if url else Address.kept(folder)
    course, table = released_part(course, assignment, core=core)
    files = {
        **texts(course, address, level),
        **given(course, answers),
        PurePosixPath("course.toml"): table,
        **_fingerprints(course, processes, said),
    }
    if pages:
        workflow = _read(_TEMPLATES / "pages.yml").replace("{repository}", address.on_github)
        files[PurePosixPath(".github/workflows/pages.yml")] = workflow
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
            for path, text in sorted(files.items()):
                target = Path(beside, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8", newline="\n")
                for picture in _PICTURE.findall(text) if path.suffix == ".md" else ():
                    (target.parent / picture).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(course.root / path.parent / picture, target.parent / picture)
            if pages:
                pages(course, address.repository, Path(beside, PAGES))
                said(f"{PAGES}/ has the lessons for the browser.")
            for replaced in old:
                (folder / replaced).unlink(missing_ok=True)
            shutil.copytree(beside, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        folder.chmod(0o755)
    except OSError as error:
        raise GraderError(f"The release could not be written: {error}.") from None


def texts(
    course: Course,
    address: Address = Address(),  # noqa: B008
    level: str | None = None,
) -> dict[PurePosixPath, str]:
    """All files of a release but the fingerprints, by path; with a level, every exercise is at that one."""
    texts: dict[PurePosixPath, str] = {}
    for folder in (PROGRAM, course.root / PROJECTS, course.support):
        for path in _files(folder):
            texts[PurePosixPath(path.relative_to(PROGRAM.parent if folder == PROGRAM else course.root))] = _read(path)
    for plain in (*_AS_THEY_ARE, _DEVCONTAINER):
        texts[PurePosixPath(plain)] = _read(course.root / plain)
    stubs = {e.name: stub(_read(course.solution(e.name)), level or e.level) for e in course.exercises}
    texts |= browser.texts(course, stubs, address)
    for name in course.names:
        texts[PurePosixPath("exercises", f"{name}.py")] = stubs[name]
        for kind in LEVELS:
            fresh = course.fresh_stub(name, kind).relative_to(course.root)
            texts[PurePosixPath(fresh)] = stub(_read(course.solution(name)), kind)
        for path in (course.suite(name, "visible"), course.stand_in(name)):
            if path.is_file() or "visible" in path.parts:
                texts[PurePosixPath(path.relative_to(course.root))] = _read(path)
    makefile, instructors, _ = _read(course.root / "Makefile").partition(INSTRUCTORS)
    if not instructors:
        raise CourseError("The Makefile does not say where the instructors' part begins.")
    texts[PurePosixPath("Makefile")] = makefile
    readme = browser.with_links(_readme(course, address), course, address)
    texts[PurePosixPath("README.md")] = readme
    if (chosen := assistants(course)) != "off":
        texts[PurePosixPath("AGENTS.md")] = _read(_TEMPLATES / f"AGENTS.{chosen}.md").format(title=course.title)
    for page in _LINK.findall(readme):
        texts[PurePosixPath(page)] = _read(course.root / page)
    texts[PurePosixPath(".github/workflows/check.yml")] = _read(_TEMPLATES / "check.yml")
    return texts


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _readme(course: Course, address: Address) -> str:
    _, *sections = with_map(_read(course.root / "README.md"), course).split("\n## ")
    by_title = {section.partition("\n")[0]: section.strip() for section in sections}
    try:
        return _read(_TEMPLATES / "README.md").format(
            title=course.title,
            first_minutes=by_title["A student's first ten minutes"],
            exercises=by_title["The exercises"],
            projects=by_title["What you build from it"],
            deadlines=_deadlines(course),
            published=f", and {address.pages} has the same" if address.pages else "",
        )
    except KeyError as missing:
        raise CourseError(f"README.md has no section {missing}, which students get.") from None


def _deadlines(course: Course) -> str:
    """What is due when, as a section of the README; nothing where nothing is."""
    due = [assignment for assignment in (*assignments(course), whole(course)) if assignment.deadline]
    if not due:
        return ""
    lines = ["## When it is due", "", "| assignment | exercises | due |", "| --- | --- | --- |"]
    for assignment in due:
        titles = ", ".join(exercise.title for exercise in assignment.select(course))
        assert assignment.deadline is not None
        lines.append(f"| {assignment.title} | {titles} | {assignment.deadline:%A %d %B %Y, %H:%M %Z} |")
    return "\n".join([*lines, "", "`make course` says how much time is left.", "", ""])


def released_part(course: Course, assignment: str, *, core: bool = False) -> tuple[Course, str]:
    """The course up to an assignment, as students see it, and its course.toml.

    The exercises are those of this assignment and of the ones before it, or of these the core path, with all that they
    build on.

    Raises:
        CourseError: there is no such assignment, no core path, or an assignment asks for what would be missing.
    """
    text = _read(course.root / "course.toml")
    if not assignment and not core:
        return course, text
    if core and not course.core:
        raise CourseError("course.toml: no exercise says `core = true`, or all do, so there is no core path.")
    known = assignments(course)
    place = len(known)
    if assignment:
        find(course, assignment)
        place = next(number for number, other in enumerate(known, 1) if other.name == assignment)
    asked = {name for other in known[:place] for name in other.exercises} if assignment else set(course.names)
    asked &= set(course.core if core else course.names)
    exercises = tuple(with_foundations(course, [e for e in course.exercises if e.name in asked]))
    later = {other.name for other in known[place:]}
    kept = {exercise.name for exercise in exercises}
    for other in known[:place]:
        if missing := [name for name in other.exercises if name not in kept]:
            raise CourseError(
                f"course.toml: the assignment {other.name} asks for {', '.join(missing)}, which the core path lacks. "
                "Release the whole course, or give the assignment the core path's exercises."
            )
    # Whole tables of the file are left out, and the rest stays as its author wrote it.
    parts = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    table = "".join(part for part in parts if not _is_later(part, kept, later))
    entries = tuple(entry for entry in course.assignments if entry["name"] not in later)
    return replace(course, exercises=exercises, assignments=entries), table


def _is_later(part: str, exercises: set[str], later: set[str]) -> bool:
    try:
        table = tomllib.loads(part)
    except tomllib.TOMLDecodeError as error:
        raise CourseError(
            f"course.toml: a line within a text begins with [, and hides where a table ends: {error}."
        ) from None
    names = [entry["name"] for entry in table.get("exercise", ())]
    return any(name not in exercises for name in names) or any(e["name"] in later for e in table.get("assignment", ()))


def _fingerprints(course: Course, processes: int, said: Callable[[str], None]) -> dict[PurePosixPath, str]:
    """Each exercise's known mistakes in numbers."""
    found = {}
    with grading_pool(processes) as pool:
        texts = pool.map(partial(fingerprints, course.root), course.names)
        for number, (name, text) in enumerate(zip(course.names, texts, strict=True), 1):
            found[PurePosixPath(course.fingerprints(name).relative_to(course.root))] = text
            said(f"{name}: its known mistakes are in numbers ({number} of {len(course.names)}).")
    return found


def fingerprints(root: Path, name: str) -> str:
    """What the solution and the known mistakes of an exercise give for the visible suite's calls, as JSON."""
    course = load_course(root)
    exercise = course.exercise(name)
    right = {base: _read(course.stand_in(base)) for base in foundations(course, exercise)}
    versions = [_read(course.solution(name)), *(mistake.source for mistake in known_mistakes(course, name))]
    worker = start_worker()
    try:
        grader = Grader.start(course, [exercise], VISIBLE, worker, locked=False)
        runs = [grader.run(exercise, {**right, name: source}, Effort(search=False)).outcomes for source in versions]
    finally:
        worker.close()
    return dump(
        {
            **record(Replays(course, name), runs),
            "holes": marked_answers(versions[0]),
            "untouched": untouched(versions[0]),
            "grounds": grounds(course, name),
        }
    )


def _replaceable(folder: Path) -> list[str]:
    """The files in the folder that the release replaces.

    Raises:
        CourseError: something would be lost, or the folder's history holds answers.
    """
    if not folder.exists() and not folder.is_symlink():
        return []
    if not folder.is_dir():
        raise CourseError(f"{folder} is no folder.")
    if not any(folder.iterdir()):
        return []
    if not (folder / ".git").exists():
        raise CourseError(f"{folder} is not empty. Give a new folder, or a repository with everything committed.")
    if _git(folder, "status", "--porcelain"):
        raise CourseError(f"{folder} holds changes that are not committed. Commit them first.")
    if secret := _git(folder, "log", "--all", "--format=", "--name-only", "--", *SECRETS):
        raise CourseError(
            f"{folder} has {secret[0]} in its history, and students would get it. Use another repository."
        )
    return _git(folder, "ls-files")


def _git(folder: Path, *arguments: str) -> list[str]:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments, "-z"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise GraderError(f"Git cannot say what {folder} holds: {getattr(error, 'stderr', '') or error}") from None
    return [line for line in done.stdout.split("\0") if line.strip()]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise CourseError(f"The course is not complete: {path} cannot be read ({reason}).") from None
