"""For `nbgrader generate_assignment`: students get the same holes as in `exercises/`."""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_solution

from autograder.authoring.skeleton import stub


class DigHoles(NbGraderPreprocessor):
    """Replaces every marked answer by `...  # FINISH ME`; nbgrader's own ClearSolutions can only cut whole regions."""

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, Any], cell_index: int
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Digs the holes of one cell."""
        if cell.cell_type == "code" and is_solution(cell):
            cell.source = stub(cell.source)
        return cell, resources
