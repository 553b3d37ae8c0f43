"""A lesson as a page: the text with its formulas, the stub with its holes, the picture, and what the tests ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import jupytext

from autograder.course import Course, Exercise, holes
from autograder.declared import declared_tests
from autograder.site.figures import Picture

_FENCE = "`" * 4  # more than any lesson uses itself
_PICTURE = 'if __name__ == "__main__":'


@dataclass(frozen=True)
class Lesson:
    """All that a lesson's page is made of.

    Attributes:
        stub: the exercise as students get it.
        picture: what the solution draws at the end, where it can be drawn.
        address: the repository that students have, for links to Colab; empty where nobody said.
    """

    course: Course
    exercise: Exercise
    stub: str
    picture: Picture | None
    address: str = ""

    def page(self) -> str:
        """The page as MyST Markdown."""
        title, *cells = _cells(self.stub)
        heading, _, text = title.partition("\n")
        blocks = [heading, self._facts(), text, *cells, *self._figure(), *self._tests(), *self._onward()]
        return "\n\n".join(block.strip("\n") for block in blocks if block.strip()) + "\n"

    def _facts(self) -> str:
        """One line: where in the course this is, how long it takes, and how to begin."""
        exercise, number = self.exercise, self.course.names.index(self.exercise.name) + 1
        facts = [f"Exercise {number} of {len(self.course.names)}", exercise.part, f"about {exercise.minutes} minutes"]
        if exercise.builds_on:
            facts.append("builds on " + ", ".join(_link(self.course, name) for name in exercise.builds_on))
        begin = [f"{{download}}`Download the stub <{exercise.name}.py>`"]
        if notebook := colab(self.address, exercise.name):
            begin.append(f"[Open in Colab]({notebook})")
        return f":::{{div}} facts\n{' · '.join(facts)}  \n{' · '.join(begin)}\n:::"

    def _figure(self) -> Iterator[str]:
        if self.picture is None:
            return
        yield "## The picture that your code draws"
        name = self.exercise.name
        alt = self.picture.caption.replace("\n", " ")
        yield f":::{{figure}} {name}.png\n:alt: {alt}\n:class: only-light-picture\n\n{alt}\n:::"

    def _tests(self) -> Iterator[str]:
        name = self.exercise.name
        *tests, _ = declared_tests(self.course.suite(name, "visible"))
        hidden = len(declared_tests(self.course.suite(name, "hidden"))) - 1
        yield "## What the tests ask"
        yield f"`make check EX={name}` runs these on your machine:"
        yield "\n".join(f"- **{test.title}.** {test.meaning}" for test in tests)
        if hidden:
            yield f"What you hand in is judged by {hidden} more, which ask for the rest of what the lesson promises."

    def _onward(self) -> Iterator[str]:
        yield "## Where it leads"
        after = [other for other in self.course.exercises if self.exercise.name in other.builds_on]
        names = self.course.names
        following = names[names.index(self.exercise.name) + 1 :]
        lines = [f"You have built {self.exercise.built}."]
        if after:
            lines.append("It is used in " + ", ".join(_link(self.course, other.name) for other in after) + ".")
        if following:
            lines.append(f"Next in the course: {_link(self.course, following[0])}.")
        yield " ".join(lines)


def colab(address: str, name: str) -> str:
    """Where Colab opens an exercise's notebook; empty for a repository that is not on GitHub."""
    parts = urlsplit(address)
    if parts.hostname != "github.com":
        return ""
    repository = parts.path.strip("/").removesuffix(".git")
    return f"https://colab.research.google.com/github/{quote(repository)}/blob/HEAD/notebooks/{name}.ipynb"


def _link(course: Course, name: str) -> str:
    return f"[{course.exercise(name).title}]({name}.md)"


def _cells(stub: str) -> list[str]:
    """The script's cells as Markdown; the code that draws the picture is folded away."""
    notebook = jupytext.reads(stub, fmt="py:percent")
    return [cell.source if cell.cell_type == "markdown" else _code(cell.source) for cell in notebook.cells]


def _code(source: str) -> str:
    source = source.strip("\n")
    open_holes = ",".join(map(str, holes(source)))
    block = "\n".join(
        [
            f"{_FENCE}{{code-block}} python",
            *([f":emphasize-lines: {open_holes}"] if open_holes else []),
            "",
            source,
            _FENCE,
        ]
    )
    if not source.startswith(_PICTURE):
        return block
    return f"::::{{dropdown}} The code of the picture\n{block}\n::::"
