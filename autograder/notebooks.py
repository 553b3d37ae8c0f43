"""Notebooks as sources."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MAX_COMMAS = 4_000_000  # pictures have few, and each value that is read takes many times its size in the file


class NotebookError(Exception):
    """A notebook that cannot be read; the message says why."""


@dataclass(frozen=True)
class Cell:
    """What counts of a notebook's cell.

    Attributes:
        kind: "code", "markdown" or "raw".
        source: its text.
        grade_id: what nbgrader calls it; empty where it has no such name.
    """

    kind: str
    source: str
    grade_id: str = ""


def cells_of(data: bytes) -> list[Cell]:
    """The cells of a notebook of any version, without their outputs.

    Raises:
        NotebookError: the bytes are no notebook.
    """
    if data.count(b",") > MAX_COMMAS:
        raise NotebookError("it holds millions of values. Clear its outputs, and save it again")
    try:
        notebook = json.loads(data)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]  # before version 4
        return [Cell(_kind(cell), _text(cell), _grade_id(cell)) for cell in cells]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise NotebookError("it is not a notebook, or it is damaged") from None


def module_of(cells: Iterable[Cell]) -> str:
    """The code cells one after the other, as one module; magics and shell lines become comments."""
    return "\n\n".join(_without_magics(cell.source) for cell in cells if cell.kind == "code") + "\n"


def source_of(data: bytes) -> str:
    """The module that a notebook's code cells make.

    Raises:
        NotebookError: the bytes are no notebook.
    """
    return module_of(cells_of(data))


def _kind(cell: dict[str, Any]) -> str:
    kind = cell["cell_type"]
    return kind if kind in ("code", "raw") else "markdown"


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    text = source if isinstance(source, str) else "".join(source)
    return text.encode("utf-8", "replace").decode()  # JSON can name half a character, and nothing can save it


def _grade_id(cell: dict[str, Any]) -> str:
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return name if isinstance(name, str) else ""


def _without_magics(source: str) -> str:
    if source.lstrip().startswith("%%"):
        first, _, rest = source.lstrip().partition("\n")
        # Our own magic runs its cell as Python; the others may hold any language.
        return (
            f"# {first}\n{rest}"
            if first.startswith("%%check")
            else "\n".join(f"# {line}" for line in source.splitlines())
        )
    return "\n".join(f"# {line}" if line.startswith(("%", "!")) else line for line in source.splitlines())
