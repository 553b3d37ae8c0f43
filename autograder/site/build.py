"""`autograder site DIR`: writes the site's sources and lets Sphinx make pages of them.

Sphinx with MyST, because all of it comes from PyPI and works offline, it is what the scientific Python world keeps
up, its search needs no server, and a formula's renderer can be replaced (see `mathml`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from autograder.authoring.skeleton import stub
from autograder.course import Course, CourseError, GraderError
from autograder.files import PROGRAM, TEMPLATES
from autograder.site.drawing import as_svg
from autograder.site.figures import Picture, draw_all
from autograder.site.lessons import Lesson
from autograder.site.terminal import walk_svg

_TEMPLATES = TEMPLATES / "site"
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
# What the theme leaves unsaid to those who hear a page: a heading's level, and which side is which.
_SAID = {
    'role="heading"': 'role="heading" aria-level="2"',
    '<aside class="sidebar-drawer"': '<aside aria-label="The course" class="sidebar-drawer"',
    "<pre>": '<pre tabindex="0">',  # it scrolls, and so must be reached by key
    '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
}
_LEFT_OUT = (".doctrees", ".buildinfo", "objects.inv", "_sources")  # what Sphinx writes for itself
_DOORS = (
    ("You teach", "writing-exercises", "Change an exercise, add one, release the course, and grade a class."),
    ("You grade in CI", "scale", "Thousands of submissions, each with the same grade on every run, and reports."),
)
MARKER = ".nojekyll"  # GitHub Pages leaves folders that begin with `_` alone where this file is


def build(
    course: Course,
    folder: Path,
    *,
    address: str = "",
    processes: int = 1,
    for_students: bool = False,
    level: str | None = None,
) -> None:
    """Builds the site into a folder that is new, empty, or holds an earlier site.

    Args:
        course: the course.
        folder: where to.
        address: the repository that students have, for links to Colab.
        processes: how many pictures are drawn at a time.
        for_students: leave out the pages that are for instructors and maintainers.
        level: how much every exercise leaves open; as course.toml says for none.

    Raises:
        CourseError: the folder holds something else, or the course is not complete.
        GraderError: the site cannot be built.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise CourseError(f"{folder} is not empty, and holds no site. Give a new folder.")
    with tempfile.TemporaryDirectory(prefix="site-") as work:
        sources, built = Path(work, "sources"), Path(work, "built")
        _write_sources(course, sources, draw_all(course, processes), address, for_students, level)
        _run_sphinx(sources, built)
        for page in built.rglob("*.html"):
            page.write_text(_said(_read(page)), encoding="utf-8")
        try:
            if folder.exists():
                shutil.rmtree(folder)
            shutil.copytree(
                built,
                folder,
                ignore=shutil.ignore_patterns(*_LEFT_OUT),
            )
            (folder / MARKER).touch()
        except OSError as error:
            raise GraderError(f"The site could not be written: {error}.") from None


def _write_sources(
    course: Course, sources: Path, pictures: dict[str, Picture], address: str, for_students: bool, level: str | None
) -> None:
    lessons = sources / "lessons"
    lessons.mkdir(parents=True)
    for exercise in course.exercises:
        name = exercise.name
        text = stub(_read(course.solution(name)), level or exercise.level)
        lesson = Lesson(course, exercise, text, pictures.get(name), address)
        (lessons / f"{name}.md").write_text(lesson.page(), encoding="utf-8")
        (lessons / f"{name}.py").write_text(text, encoding="utf-8")
        if picture := pictures.get(name):
            (lessons / f"{name}.png").write_bytes(picture.png)
    docs = {page.stem: page for page in sorted((course.root / "docs").glob("*.md"))}
    if for_students:
        docs = {name: page for name, page in docs.items() if name in ("glossary", "projects", "inside")}
    elif (course.root / "SECURITY.md").is_file():
        docs["security"] = course.root / "SECURITY.md"
    for name, page in docs.items():
        (sources / f"{name}.md").write_text(_with_links(_read(page), docs, course.names), encoding="utf-8")
    (sources / "index.md").write_text(_landing(course, list(docs)), encoding="utf-8")
    static = sources / "_static"
    static.mkdir()
    shutil.copyfile(_TEMPLATES / "site.css", static / "site.css")
    (sources / "conf.py").write_text(_read(_TEMPLATES / "conf.py.txt").replace("{title}", course.title), "utf-8")


def _with_links(text: str, docs: Mapping[str, Path], names: Sequence[str]) -> str:
    """Links between files of the repository as links between pages; to a file that has none, the words alone."""

    def link(match: re.Match[str]) -> str:
        target = Path(match[1])
        if target.parent.name == "exercises" and target.stem in names:
            return f"](lessons/{target.stem}.md)"
        if target.stem.lower() in docs:
            return f"]({target.stem.lower()}.md{match[2] or ''})"
        return "](#)"

    return re.sub(r"\[([^\]]*)\]\(#\)", r"\1", _LINK.sub(link, text))


def _landing(course: Course, docs: list[str]) -> str:
    template = _read(_TEMPLATES / "index.md")
    toctrees = "\n\n".join(
        "\n".join([":::{toctree}", ":hidden:", f":caption: {part}", "", *members, ":::"])
        for part, members in _contents(course, docs)
    )
    terminal = _terminal(course)
    return (
        template.replace("{title}", course.title)
        .replace("{count}", str(len(course.names)))
        .replace("{hours}", f"{sum(exercise.minutes for exercise in course.exercises) / 60:.0f}")
        .replace("{map}", as_svg(course, lambda name: f"lessons/{name}.html"))
        .replace("{terminal}", terminal)
        .replace("{doors}", _doors(course, docs))
        .replace("{toctrees}", toctrees)
    )


def _doors(course: Course, docs: list[str]) -> str:
    """A card for each kind of reader that the site has pages for."""
    cards = [
        (
            "You want to learn",
            f"lessons/{course.names[0]}",
            "Start with the first lesson. `make check` sets up the rest.",
        )
    ]
    cards += [door for door in _DOORS if door[1] in docs]
    grid = [f"::::{{grid}} 1 1 {len(cards)} {len(cards)}", ":gutter: 3", ""]
    for title, page, text in cards:
        grid += [f":::{{grid-item-card}} {title}", f":link: {page}", ":link-type: doc", text, ":::", ""]
    return "\n".join([*grid, "::::"])


def _contents(course: Course, docs: list[str]) -> Iterator[tuple[str, list[str]]]:
    for part in dict.fromkeys(exercise.part for exercise in course.exercises):
        yield part, [f"lessons/{exercise.name}" for exercise in course.exercises if exercise.part == part]
    yield "Beside the lessons", docs


def _terminal(course: Course) -> str:
    """The walk as a recorded terminal; where the course has no walk, nothing."""
    page = course.root / "docs" / "walk.md"
    return walk_svg(_read(page)) if page.is_file() else ""


def _said(page: str) -> str:
    for unsaid, said in _SAID.items():
        page = page.replace(unsaid, said)
    return page


def _run_sphinx(sources: Path, built: Path) -> None:
    """In a process of its own: Sphinx changes a good deal of the one that it runs in."""
    if find_spec("sphinx") is None or find_spec("furo") is None:
        raise GraderError("The site is made with Sphinx. Install it with the course: pip install -e '.[site]'")
    command = [sys.executable, "-P", "-W", "ignore", "-m", "sphinx", "-q", "-b", "html", str(sources), str(built)]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parent), "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if said := (done.stderr + done.stdout).replace(f"{sources}{os.sep}", "").strip():
        raise GraderError(f"The site has mistakes in it:\n{said}")
    if done.returncode != 0:
        raise GraderError(f"The site cannot be built: Sphinx ended with {done.returncode}.")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"The course is not complete: {path} cannot be read ({error}).") from None
