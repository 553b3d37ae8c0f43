"""A class that uses the real nbgrader: its exchange, its gradebook, its commands, in a temporary folder."""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autograder.course import Course

EXERCISES = ("softmax", "attention")
ASSIGNMENT = "week1"
Notebook = dict[str, Any]

# Each command is a process of its own, as on the command line, but forked from one that has nbgrader loaded.
_RUN = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import nbgrader.apps.nbgraderapp as nbgraderapp
code = 0
for folder, arguments in json.loads(sys.argv[1]):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        sys.argv = ["nbgrader", *arguments]
        try:
            nbgraderapp.main()
            end = 0
        except SystemExit as exit:
            end = int(exit.code or 0)
        except BaseException as error:
            print(repr(error))
            end = 70
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end)
    code = code or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(code)
"""


def nbgrader(*commands: tuple[Path, list[str]], fails: bool = False) -> str:
    """Runs nbgrader's commands, each in its folder, and returns what they print."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Into a file: a pipe would stay open for as long as anything lives that a student's code has started.
    with tempfile.TemporaryFile("w+") as output:
        ran = subprocess.run(
            [sys.executable, "-c", _RUN, json.dumps([(str(folder), arguments) for folder, arguments in commands])],
            env={**os.environ, "PATH": tools, "JUPYTER_PLATFORM_DIRS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=600,
        )
        output.seek(0)
        told = output.read()
    assert bool(ran.returncode) == fails, told
    return told


def answered(released: Notebook, source: Notebook, answers: dict[str, str] | None = None) -> Notebook:
    """A released notebook, filled in with the source notebook's answers; `answers` replace some by grade id."""
    notebook = copy.deepcopy(released)
    right = {grade_id(cell): text_of(cell) for cell in source["cells"] if nbgrader_data(cell).get("solution")}
    for cell in notebook["cells"]:
        if (name := grade_id(cell)) in right:
            cell["source"] = {**right, **(answers or {})}[name]
    return notebook


def nbgrader_data(cell: Notebook) -> dict[str, Any]:
    """A cell's nbgrader metadata."""
    return cell["metadata"].get("nbgrader", {})


def grade_id(cell: Notebook) -> str:
    """A cell's name in the gradebook."""
    return nbgrader_data(cell).get("grade_id", "")


def text_of(cell: Notebook) -> str:
    """A cell's text."""
    return "".join(cell["source"])


@dataclass
class Classroom:
    """A course folder, an exchange, and students' folders.

    Attributes:
        source: the source notebooks by file name.
        released: the released ones.
    """

    root: Path
    source: dict[str, Notebook]
    released: dict[str, Notebook]

    @property
    def folder(self) -> Path:
        """Where the instructor works."""
        return self.root / "course"

    def run(self, *arguments: str, fails: bool = False) -> str:
        """One command of the instructor's."""
        return nbgrader((self.folder, list(arguments)), fails=fails)

    def home(self, student: str) -> Path:
        """A student's own folder, which knows the exchange."""
        home = self.root / "home" / student
        home.mkdir(parents=True, exist_ok=True)
        (home / "nbgrader_config.py").write_text(_exchange(self.root, student))
        return home

    def hand_in(self, student: str, notebooks: dict[str, Notebook | str]) -> None:
        """Puts files where `collect` would put them."""
        self.write(self.folder / "submitted" / student / ASSIGNMENT, notebooks)

    @staticmethod
    def write(folder: Path, notebooks: dict[str, Notebook | str]) -> None:
        """Writes notebooks; a text as it is."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, notebook in notebooks.items():
            (folder / name).write_text(notebook if isinstance(notebook, str) else json.dumps(notebook))

    def right(self, answers: dict[str, str] | None = None) -> dict[str, Notebook]:
        """Both notebooks with the right answers; `answers` replace some."""
        return {name: answered(self.released[name], self.source[name], answers) for name in self.released}

    @staticmethod
    def cells(notebook: Notebook) -> dict[str, Notebook]:
        """A notebook's named cells."""
        return {grade_id(cell): cell for cell in notebook["cells"] if grade_id(cell)}

    @staticmethod
    def commands(*commands: tuple[Path, list[str]]) -> str:
        """Commands in several folders."""
        return nbgrader(*commands)

    def autograded(self, student: str, notebook: str) -> Notebook:
        """An autograded notebook."""
        path = self.folder / "autograded" / student / ASSIGNMENT / notebook
        return json.loads(path.read_text())


def _exchange(root: Path, cache: str) -> str:
    return (
        "\nc = get_config()\n"
        "c.CourseDirectory.course_id = 'llm'\n"
        f"c.Exchange.root = {str(root / 'exchange')!r}\n"
        f"c.Exchange.cache = {str(root / 'cache' / cache)!r}\n"
        "c.ExchangeCollect.check_owner = False\n"  # here one user hands in for everyone
        "c.LateSubmissionPlugin.penalty_method = 'zero'\n"
    )


@pytest.fixture(scope="session")
def released_course(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course folder, released once; each test works in a copy."""
    from autograder.nbgrader_support.authoring import write_course

    folder = tmp_path_factory.mktemp("released") / "course"
    write_course(course, folder, course.select(EXERCISES), ASSIGNMENT)
    nbgrader((folder, ["generate_assignment", ASSIGNMENT]))
    return folder


@pytest.fixture
def classroom(released_course: Path, tmp_path: Path) -> Classroom:
    """A course folder, released, with an empty exchange."""
    folder = shutil.copytree(released_course, tmp_path / "course")
    with open(folder / "nbgrader_config.py", "a") as config:
        config.write(_exchange(tmp_path, "instructor"))
    (tmp_path / "exchange").mkdir()
    (tmp_path / "exchange").chmod(0o777)
    source, released = (
        {path.name: json.loads(path.read_text()) for path in (folder / kind / ASSIGNMENT).glob("*.ipynb")}
        for kind in ("source", "release")
    )
    return Classroom(tmp_path, source, released)
