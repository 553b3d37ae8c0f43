"""A lesson's script as a notebook: its cells, a set-up before the first code, a check after the last answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_notebook

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def lesson(
    name: str, text: str, is_answer: Callable[[str], bool], setup: NotebookNode, checks: Sequence[NotebookNode]
) -> NotebookNode:
    """A script in the percent format as a notebook. Cells' ids follow from their order, so that writing again is equal.

    Args:
        name: the exercise.
        text: its script.
        is_answer: whether a code cell is one that a student fills.
        setup: comes before the first code cell.
        checks: come after the last answer, and so before the picture.
    """
    cells = jupytext.reads(text, fmt="py:percent").cells
    for cell in cells:
        cell.metadata = {}
    code = [i for i, cell in enumerate(cells) if cell.cell_type == "code"]
    first = code[0] if code else len(cells)
    after = max((i for i in code if is_answer(cells[i].source)), default=len(cells) - 1) + 1
    cells = [*cells[:first], setup, *cells[first:after], *checks, *cells[after:]]
    for number, cell in enumerate(cells):
        cell.id = f"{name}-{number:02}"
    notebook: NotebookNode = new_notebook(
        cells=cells, metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    return notebook
