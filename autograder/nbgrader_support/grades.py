"""For `nbgrader autograde`, in the place of Execute: scores and explanations as the outputs of the graded cells.

nbgrader reads a score out of a cell's outputs: none at all means full marks, anything on stderr means zero, and more
than the maximum ends the run. So every graded cell gets exactly one result, a number from 0 to its points, and nothing
on stderr.
"""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade, is_solution

from autograder.grades import ExerciseGrade
from autograder.nbgrader_support.names import GROUPS, test_cell
from autograder.notebook.table import as_html, as_text, part

_UNKNOWN = "This cell belongs to no exercise of the course, and no code was run. Grade it by hand."


class LockedGrades(NbGraderPreprocessor):
    """Writes what the locked grader found; asks the exporter that read the notebook (see `reading`)."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Fills the outputs of all test cells of one notebook; no cell is run."""
        grade = self.parent.grade(resources["nbgrader"])
        groups = {test_cell(grade.name, group): group for group in GROUPS} if grade else {}
        for cell in nb.cells:
            if cell.cell_type == "code":
                group = groups.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
                if group and is_grade(cell):
                    cell.outputs = outputs(part(grade, group), float(cell.metadata.nbgrader["points"]))
                else:
                    cell.outputs = result(_UNKNOWN, _UNKNOWN, 0.0) if is_grade(cell) and not is_solution(cell) else []
        return nb, resources


def outputs(grade: ExerciseGrade, points: float) -> list[NotebookNode]:
    """A test cell's outputs.

    Args:
        grade: the cell's tests and their results.
        points: what the cell is worth in the gradebook, which is of an earlier release when a suite has changed since.
    """
    share = grade.score / grade.max_score if grade.max_score else 0.0
    score = grade.score if grade.max_score == points else round(points * share, 6)
    return result(as_html(grade), as_text(grade), min(max(score, 0.0), points))


def result(html: str, text: str, score: float) -> list[NotebookNode]:
    """An explanation, and the number that nbgrader takes as the score."""
    return [
        new_output("display_data", data={"text/html": html, "text/plain": text}),
        new_output("execute_result", data={"text/plain": f"{score:g}"}, execution_count=1),
    ]
