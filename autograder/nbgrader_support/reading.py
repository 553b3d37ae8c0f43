"""For `nbgrader autograde`: what a student handed in, whatever its state, as a notebook that nbgrader can work with.

Nothing of a submitted notebook is believed but its cells' kinds, texts and grade ids; everything else, points and
locked texts first of all, comes from the gradebook. So edited metadata change nothing, deleted test cells come back,
and a file that is no notebook is one with all test cells and no answer.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import finalize

from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from nbgrader.api import Gradebook
from nbgrader.converters.base import NbGraderException
from nbgrader.utils import is_grade
from traitlets import Unicode

from autograder.archives import read_regular
from autograder.batch.jobs import Setting
from autograder.course import CourseError, load_course
from autograder.grades import ExerciseGrade, Grade
from autograder.isolation.near.protection import ProtectionError, strongest
from autograder.nbgrader_support.names import exercise_of
from autograder.nbgrader_support.sanitize import FILTERS
from autograder.nbgrader_support.service import GradingService
from autograder.notebooks import Cell, NotebookError, cells_of, module_of
from autograder.submission import MAX_NOTEBOOK, read_submission

_NEW = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}


@dataclass(frozen=True)
class Released:
    """A cell as it was released."""

    kind: str
    source: str
    locked: bool
    metadata: Mapping[str, Any]


class SubmittedNotebookExporter(NotebookExporter):
    """Reads submitted notebooks and knows their grades. nbgrader makes one for each run of autograde."""

    course = Unicode(help="The folder with the course.toml whose hidden suites grade.").tag(config=True)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        try:
            self._course = load_course(Path(self.course))
        except CourseError as error:
            raise self._refusal(str(error)) from None
        try:
            self._protection = strongest(Setting(self._course.root, self._course.names).secrets)
        except ProtectionError as error:
            raise self._refusal(f"Nothing was graded. {error}") from None
        if not FILTERS.items() <= dict(self.config.get("HTMLExporter", {}).get("filters", {})).items():
            self.log.warning(
                "nbgrader_config.py is of an earlier version of the course: a script in a student's text cell would "
                "run where you open it. Add this line: c.HTMLExporter.filters = %r",
                FILTERS,
            )
        self._leave_out_what_is_no_file()
        self._services: dict[tuple[str, ...], GradingService] = {}
        self._latest: tuple[str, Grade] | None = None

    def from_filename(
        self, filename: str, resources: dict[str, Any] | None = None, **options: Any
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Reads a notebook and mends it before any preprocessor sees it."""
        resources = resources or {}
        path, place = Path(filename), resources["nbgrader"]
        resources["metadata"] = {"name": path.stem, "path": str(path.parent)}
        released = released_cells(place["db_url"], place["assignment"], place["notebook"])
        try:
            cells = _read(path)
        except NotebookError as error:
            cells = [Cell("markdown", f"{path.name} cannot be read: {error}.")]
        return self.from_notebook_node(mended(cells, released), resources, **options)

    def grade(self, place: Mapping[str, str]) -> ExerciseGrade | None:
        """The grade of a submitted notebook; None when it belongs to no exercise of the course."""
        name = exercise_of(place["notebook"], self._course)
        if name is None:
            return None
        directory = self.parent.coursedir  # type: ignore[union-attr]
        folder = directory.format_path(directory.submitted_directory, place["student"], place["assignment"])
        # nbgrader takes all notebooks of a student before the next student's: a grade of all of them is needed once.
        if self._latest is None or self._latest[0] != folder:
            self._latest = (folder, self._grade_folder(Path(folder), place))
        return next(exercise for exercise in self._latest[1].exercises if exercise.name == name)

    def _grade_folder(self, folder: Path, place: Mapping[str, str]) -> Grade:
        with Gradebook(place["db_url"]) as gradebook:
            notebooks = sorted(notebook.name for notebook in gradebook.find_assignment(place["assignment"]).notebooks)
        names = {notebook: name for notebook in notebooks if (name := exercise_of(notebook, self._course))}
        submission = read_submission(folder, self._course)
        for notebook, name in names.items():
            if name in submission.sources and (folder / f"{notebook}.ipynb").is_file():
                released = released_cells(place["db_url"], place["assignment"], notebook)
                source = answers_in(mended(_read(folder / f"{notebook}.ipynb"), released))
                submission = replace(submission, sources={**submission.sources, name: source})
        return self._service(tuple(names.values())).grade(replace(submission, name=place["student"]))

    def _leave_out_what_is_no_file(self) -> None:
        """Has nbgrader not copy what lies beside the notebooks and is a link, or a pipe: it would follow and wait."""
        if self.parent is None:
            return
        directory = self.parent.coursedir
        submitted = directory.format_path(directory.submitted_directory, "*", directory.assignment_id)
        for top in glob.glob(submitted):
            for folder, _, names in os.walk(top):
                irregular = [path for name in names if not _is_regular(path := Path(folder, name))]
                for path in irregular:
                    self.log.warning("%s is a link or a pipe, and is not read.", path)
                directory.ignore = [*directory.ignore, *(glob.escape(str(path)) for path in irregular)]

    def _service(self, names: tuple[str, ...]) -> GradingService:
        if names not in self._services:
            service = self._services[names] = GradingService(self._course.root, names, self._protection)
            finalize(self, service.close)
        return self._services[names]

    def _refusal(self, sentence: str) -> NbGraderException:
        self.log.error(sentence)
        return NbGraderException(sentence)


def released_cells(db_url: str, assignment: str, notebook: str) -> dict[str, Released]:
    """A released notebook's named cells, as the gradebook knows them."""
    with Gradebook(db_url) as gradebook:
        found = gradebook.find_notebook(notebook, assignment)
        points = {cell.name: cell.max_score for cell in found.grade_cells}
        tasks = {cell.name: cell.max_score for cell in found.task_cells}
        solutions = {cell.name for cell in found.solution_cells}
        cells = {}
        for cell in found.source_cells:
            metadata: dict[str, Any] = {
                "schema_version": 3,
                "grade_id": cell.name,
                "grade": cell.name in points,
                "solution": cell.name in solutions,
                "locked": cell.locked,
                "task": cell.name in tasks,
                "cell_type": cell.cell_type,
            }
            if cell.name in points or cell.name in tasks:
                metadata["points"] = points.get(cell.name, tasks.get(cell.name))
            if cell.checksum:
                metadata["checksum"] = cell.checksum
            cells[cell.name] = Released(cell.cell_type, cell.source or "", bool(cell.locked), metadata)
        return cells


def mended(cells: Sequence[Cell], released: Mapping[str, Released]) -> NotebookNode:
    """A sound notebook of the submitted cells, with every graded cell in it once.

    Of several cells with one grade id the last keeps it, as in nbgrader. Graded cells that are missing come at the end.
    """
    last = {cell.grade_id: place for place, cell in enumerate(cells) if cell.grade_id in released}
    nodes = []
    for place, cell in enumerate(cells):
        if last.get(cell.grade_id) == place:
            as_released = released[cell.grade_id]
            source = as_released.source if as_released.locked else cell.source
            nodes.append(_node(as_released.kind, source, as_released.metadata))
        else:
            kind, source = ("markdown", _fenced(cell.source)) if cell.kind == "raw" else (cell.kind, cell.source)
            nodes.append(_node(kind, source, None))
    for name, cell_released in released.items():
        if name not in last and cell_released.metadata["grade"]:
            nodes.append(_node(cell_released.kind, cell_released.source, cell_released.metadata))
    for place, node in enumerate(nodes):
        node.id = f"cell-{place}"
    return new_notebook(cells=nodes)


def answers_in(notebook: NotebookNode) -> str:
    """The module that a mended notebook's cells make, without the test cells."""
    return module_of(Cell(cell.cell_type, cell.source) for cell in notebook.cells if not is_grade(cell))


def _node(kind: str, source: str, metadata: Mapping[str, Any] | None) -> NotebookNode:
    node = _NEW[kind](source, metadata={} if metadata is None else {"nbgrader": dict(metadata)})
    if kind == "raw":
        node.metadata["raw_mimetype"] = "text/plain"  # or nbconvert would take it for HTML, and put it into its own
    return node


def _fenced(text: str) -> str:
    """A text as Markdown that shows it as it is."""
    fence = max(("`" * (len(run) + 1) for run in re.findall(r"`{3,}", text)), key=len, default="```")
    return f"{fence}\n{text}\n{fence}"


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _read(path: Path) -> list[Cell]:
    try:
        data = read_regular(path, MAX_NOTEBOOK + 1)
    except OSError as error:
        reason = "it is a link, and links are not followed" if path.is_symlink() else error.strerror or str(error)
        raise NotebookError(reason) from None
    if len(data) > MAX_NOTEBOOK:
        raise NotebookError("it is far too large")
    return cells_of(data)
