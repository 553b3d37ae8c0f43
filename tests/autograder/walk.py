"""A student's first walk, from a clone to the third exercise passed: done for real, and written into docs/walk.md.

`python tests/autograder/walk.py` walks and writes. A test walks too, and compares what it meets with what the page
says.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tmux import Terminal, terminal

from autograder.course import load_course
from autograder.diagnosis.catalogue import known_mistakes

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "walk.md"
_BLOCK = re.compile(r"(<!-- walk:[^\n]*-->\n).*?(<!-- /walk -->)", re.DOTALL)
_MILESTONES = re.compile(
    r"^\$ .*|^[A-Z].*(?= \(\d+ of \d+\)$)|^✓ .* passes(?=:)|^Not started|^  ✗|^  Hint|^  .*is not valid Python|^Next",
    re.MULTILINE,
)
STEPS = 3  # exercises


def walk(folder: Path) -> str:
    """Walks in an empty folder, and returns what there was to be seen, as Markdown."""
    _publish(folder / "published")
    return "\n\n".join(_walk(folder)) + "\n"


def milestones(text: str) -> list[str]:
    """What a walk comes by: commands, exercises and outcomes, without the words and numbers of the day."""
    return [match[0].strip() for match in _MILESTONES.finditer(text)]


def written() -> str:
    """The walk that stands in docs/walk.md."""
    found = _BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert found, "docs/walk.md has no place for the walk"
    return found[0]


def _walk(folder: Path) -> Iterator[str]:
    home, course = folder / "llm", load_course(ROOT)
    environment = {"COURSE": str(folder / "published"), "COLUMNS": "80", "LC_ALL": "C.UTF-8"}
    yield _shell("git clone --quiet $COURSE llm && cd llm", folder, environment)
    (home / ".venv").symlink_to(sys.prefix)  # the one that is here: PyTorch is large
    for said in ("pyproject.toml", "constraints.txt"):
        os.utime(home / said, (0, 0))
    yield "The first command sets everything up, and says where to begin:"
    yield _shell("make check", home, environment)
    yield "From here on one command is enough. It checks whenever a file is saved:"
    right = {name: course.solution(name).read_text(encoding="utf-8") for name in course.names[:STEPS]}
    first, second, third = course.names[:STEPS]
    mistake = next(mistake for mistake in known_mistakes(course, first) if mistake.id == "not-normalized")

    def save(name: str, text: str) -> None:
        (home / "exercises" / f"{name}.py").write_text(text, encoding="utf-8")

    with terminal("make watch", home, rows=30) as window:
        window.wait("Not started")
        yield _screen(window, "$ make watch")
        yield "Saved too early, in the middle of a line:"
        save(first, right[first].replace("-> np.ndarray:", "-> np.ndarray", 1))
        window.wait("is not valid Python")
        yield _screen(window)
        yield "All filled in, with a mistake, which it knows by name:"
        save(first, mistake.source)
        window.wait("Hint:")
        yield _screen(window)
        yield "Put right, and saved. The next exercise comes by itself:"
        save(first, right[first])
        window.wait(f"{course.exercise(first).title} passes", "Not started")
        yield _screen(window)
        yield "The second, and the third:"
        save(second, right[second])
        window.wait(f"{course.exercise(second).title} passes", "Not started")
        yield _screen(window)
        save(third, right[third])
        window.wait(f"{course.exercise(third).title} passes", "Not started")
        yield _screen(window)
        window.press("q")
        window.wait("[ended: 0]")
    yield "And how far that is:"
    yield _shell("make course", home, environment)


def _publish(folder: Path) -> None:
    """A repository with the files as they are here, committed or not."""
    listed = _git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")
    _git(folder, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "--message=The course")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def _without_make() -> dict[str, str]:
    """The environment, but for what a `make` around us tells those inside it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}


def _shell(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, shell=True, cwd=folder, env={**_without_make(), **environment}, check=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return _block([f"$ {command}", *done.stdout.splitlines()])


def _screen(window: Terminal, *before: str) -> str:
    lines = window.screen().replace("\u00a0", " ").splitlines()
    return _block([*before, *lines])


def _block(lines: list[str]) -> str:
    text = "\n".join(line.rstrip() for line in lines).strip("\n")
    return f"```console\n{text}\n```"


def main() -> None:
    """Walks, and writes the walk into docs/walk.md."""
    with tempfile.TemporaryDirectory() as folder:
        text = walk(Path(folder))
    old = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_BLOCK.sub(lambda match: f"{match[1]}\n{text}\n{match[2]}", old), encoding="utf-8")


if __name__ == "__main__":
    main()
