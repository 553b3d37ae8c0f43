"""Notebooks as sources."""

from __future__ import annotations

import json
from typing import Any


class NotebookError(Exception):
    """A notebook that cannot be read; the message says why."""


def source_of(data: bytes) -> str:
    """The code cells of a notebook, one after the other, as one module; magics and shell lines become comments.

    Raises:
        NotebookError: the bytes are no notebook.
    """
    try:
        notebook = json.loads(data)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]  # before version 4
        sources = [_text(cell) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise NotebookError("it is not a notebook, or it is damaged") from None
    return "\n\n".join(_without_magics(source) for source in sources) + "\n"


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    return source if isinstance(source, str) else "".join(source)


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
