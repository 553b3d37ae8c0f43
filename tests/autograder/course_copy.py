"""A copy of the course with some of its exercises, for tests that change it or want it small."""

import re
import shutil
from pathlib import Path

from autograder.authoring.coursemap import write_map
from autograder.course import Course, load_course

ROOT = Path(__file__).resolve().parents[2]
_FILES = ("Makefile", "README.md", "pyproject.toml", "constraints.txt", "install.py", "LICENSE", ".gitignore")


def complete_exercises(course: Course) -> list[str]:
    """The exercises that have a solution, both suites and known mistakes."""
    needed = [
        (course.solution(n), course.suite(n, "visible"), course.suite(n, "hidden"), course.mistakes(n))
        for n in course.names
    ]
    return [name for name, paths in zip(course.names, needed, strict=True) if all(path.is_file() for path in paths)]


def copy_course(folder: Path, names: list[str]) -> Course:
    """Copies the exercises `names`, with all that they build on among them, and what is about none of them."""
    for name in _FILES:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder)
    for whole in ("docs", "projects"):
        shutil.copytree(ROOT / whole, folder / whole, ignore=shutil.ignore_patterns("__pycache__"))
    for name in names:
        for path in (
            f"solutions/{name}.py",
            f"exercises/{name}.py",
            f"tests/visible/test_{name}.py",
            f"tests/hidden/test_{name}.py",
            f"tests/mistakes/{name}.toml",
            f"tests/standins/{name}.py",
        ):
            if (ROOT / path).is_file():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, folder / path)
    head, *entries = (ROOT / "course.toml").read_text(encoding="utf-8").split("[[exercise]]\n")
    kept = [entry for entry in entries if re.search(r'^name = "(\w+)"$', entry, re.MULTILINE)[1] in names]
    (folder / "course.toml").write_text("[[exercise]]\n".join([head, *kept]), encoding="utf-8")
    course = load_course(folder)
    write_map(course)
    return course
