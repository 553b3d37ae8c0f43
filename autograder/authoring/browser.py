"""What of a release is for the browser: a notebook an exercise, which sets itself up, and the links to open it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import nbformat
from nbformat.v4 import new_code_cell

from autograder.authoring.lessons import lesson
from autograder.course import Course, CourseError, holes
from autograder.versions import require_format

NOTEBOOKS = "notebooks"
MEMORY = "release.toml"  # what a later release of the same folder has to know
FORMAT = 1
_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
_ADDRESS = re.compile(r"(?:https?|ssh|git|file)://[\w.:/@~+%-]+|[\w.-]+@[\w.-]+:[\w./~-]+")
_GITHUB = re.compile(r"https://github\.com/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?")
_TREE = re.compile(r"(?P<repository>https://.+?)/tree/(?P<branch>[\w./-]+?)/?")
_SETUP = """\
# Set-up: run this cell first. In Colab, in Kaggle or in a Jupyter of your own, it finds the course{or_fetches}
# and installs what is missing; a PyTorch that is there stays. Then `%check`, below your answers, says how they stand.
if "get_ipython" in dir():
    import pathlib
    import sys

    here = pathlib.Path.cwd()
    places = [here, *here.parents, here / "{folder}"]
    root = next((place for place in places if (place / "course.toml").is_file()), places[-1])
{fetch}    assert (root / "course.toml").is_file(), "{sorry}"
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    from autograder.notebook.setup import set_up

    set_up(root)
    %load_ext autograder.notebook"""
_FETCH = """\
    if not root.is_dir():
        !git clone --depth 1 {branch}"{address}" "{{root}}"
"""
_CHECK = "# Run the cells above, then this one: it checks your answers as they stand now.\n%check {name}"


@dataclass(frozen=True)
class Address:
    """Where a release can be had.

    Attributes:
        repository: what `git clone` takes; empty when nobody has said.
        branch: which branch; empty for the one that the repository begins with.
    """

    repository: str = ""
    branch: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads an address; `https://…/tree/BRANCH` names a branch.

        Raises:
            CourseError: it is none that Git could fetch from.
        """
        tree = _TREE.fullmatch(text)
        repository, branch = (tree["repository"], tree["branch"]) if tree else (text, "")
        if text and not _ADDRESS.fullmatch(repository):
            raise CourseError(f"{text!r} is no address that Git can fetch from. Try https://github.com/you/course.")
        return cls(repository.rstrip("/"), branch)

    @classmethod
    def kept(cls, folder: Path) -> Address:
        """The address that the last release into a folder was told."""
        try:
            kept = tomllib.loads((folder / MEMORY).read_text(encoding="utf-8"))
            require_format(kept, FORMAT, MEMORY)
            url = kept["url"]
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError) as error:
            raise CourseError(f"{folder / MEMORY} cannot be read: {error}. Delete it, or give --url.") from None
        return cls.parse(str(url))

    def __str__(self) -> str:
        return f"{self.repository}/tree/{self.branch}" if self.branch else self.repository

    @property
    def on_github(self) -> str:
        """The repository as OWNER/NAME; empty where it is not on GitHub."""
        github = _GITHUB.fullmatch(self.repository)
        return f"{github['owner']}/{github['name']}" if github else ""

    @property
    def pages(self) -> str:
        """Where GitHub Pages has the lessons once that is turned on; empty where the repository is not on GitHub."""
        owner, _, name = self.on_github.partition("/")
        return f"https://{owner.lower()}.github.io/{name}/" if owner else ""

    @property
    def folder(self) -> str:
        """What a clone's folder is called."""
        name = re.split(r"[/:]", self.repository)[-1].removesuffix(".git")
        return re.sub(r"[^\w.-]", "-", name) or "course"

    def link(self, name: str) -> str:
        """Markdown that opens an exercise's notebook: in Colab, where that can fetch it, or the file itself."""
        path = f"{NOTEBOOKS}/{name}.ipynb"
        if self.on_github:
            where = f"{self.on_github}/blob/{self.branch or 'main'}"
            return f"[![Open in Colab]({_BADGE})](https://colab.research.google.com/github/{where}/{path})"
        return f"[notebook]({path})"


def texts(course: Course, stubs: dict[str, str], address: Address) -> dict[PurePosixPath, str]:
    """The files that are for the browser, by path; `stubs` are the exercises as students get them."""
    found = {
        PurePosixPath(NOTEBOOKS, f"{name}.ipynb"): f"{nbformat.writes(notebook(name, text, address)).rstrip()}\n"
        for name, text in stubs.items()
    }
    if address.repository:
        found[PurePosixPath(MEMORY)] = f'# Written by `autograder release`.\nformat = {FORMAT}\nurl = "{address}"\n'
    return found


def notebook(name: str, text: str, address: Address) -> nbformat.NotebookNode:
    """An exercise's notebook."""
    branch = f'--branch "{address.branch}" ' if address.branch else ""
    setup = _SETUP.format(
        or_fetches=" or fetches it" if address.repository else "",
        folder=address.folder,
        fetch=_FETCH.format(branch=branch, address=address.repository) if address.repository else "",
        sorry="The course could not be fetched. What Git says about it stands above."
        if address.repository
        else "Open this notebook in its folder: the course has to be there.",
    )
    check = new_code_cell(_CHECK.format(name=name))
    return lesson(name, text, lambda source: bool(holes(source)), new_code_cell(setup), [check])


def with_links(readme: str, course: Course, address: Address) -> str:
    """The README with a column more in the table of exercises, by which each opens in the browser."""
    lines: list[str] = []
    for line in readme.split("\n"):
        row = re.match(r"\| *\d+ \| \**\[[^\]]*\]\(exercises/(\w+)\.py\)", line)
        if row and row[1] in course.names:
            line = f"{line} {address.link(row[1])} |"
        elif line.startswith("| | exercise |"):
            line = f"{line} in the browser |"
        elif lines and lines[-1].endswith("| in the browser |") and set(line) <= set("| -"):
            line = f"{line} --- |"
        lines.append(line)
    return "\n".join(lines)
