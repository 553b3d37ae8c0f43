"""Notebooks as sources."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MAX_COMMAS = 4_000_000  # pictures have few, and each value that is read takes many times its size in the file
PYTHON_MAGICS = ("check", "time", "capture", "prun")  # cell magics that run their cell as Python in the notebook

_CONTINUED = r"(?:[^\n\\]|\\.|\\\n)*"  # to the line's end, and over it where a backslash stands before it
_ASSIGNED = re.compile(r"(?P<target>[ \t]*[A-Za-z_][\w.,\[\] \t]*=)[ \t]*[%!]")
# A line that is Jupyter's and not Python's, from its beginning to past its end.
_SPECIAL = re.compile(
    rf"(?:[ \t]*[%!?/;,]{_CONTINUED}"
    rf"|{_ASSIGNED.pattern}{_CONTINUED}"
    r"|[ \t]*[\w.*\[\]]+\?\??[ \t]*(?:#[^\n]*)?(?=\n|\Z))\n?"
)
_AUTOCALL = re.compile(r"^[ \t]*[/;,]", re.MULTILINE)
_TOKEN = re.compile(
    r"""#[^\n]*|\"{3}(?:\\.|[^\\])*?(?:\"{3}|\Z)|'{3}(?:\\.|[^\\])*?(?:'{3}|\Z)"""
    r"""|"(?:\\.|[^\\"\n])*"?|'(?:\\.|[^\\'\n])*'?|\\.|[()\[\]{}]|\n""",
    re.DOTALL,
)


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
    """A cell as Python, line for line: what Jupyter would run of it, with magics and shell lines taken out.

    Where a line begins a statement, Jupyter reads `%...`, `!...`, `name = !...` and `name?` as its own; none of them is
    Python. Within a string or brackets they are what they are. So the cell is scanned and never parsed: it is a
    stranger's.
    """
    first, _, rest = _dedented(source).partition("\n")
    if first.startswith("%%"):
        if first[2:].split() and first[2:].split()[0] in PYTHON_MAGICS:
            return f"# {first}\n{_without_magics(rest)}"
        return "\n".join(f"# {line}" for line in source.split("\n"))
    text = _dedented(source)
    if not any(mark in text for mark in "%!?") and not _AUTOCALL.search(text):
        return text
    lines: list[str] = []
    position = 0
    while position < len(text):
        special = _SPECIAL.match(text, position)
        end = special.end() if special else _end_of_statement(text, position)
        statement = text[position:end]
        lines.append(_as_python(statement) if special else statement)
        position = end
    return "".join(lines)


def _dedented(source: str) -> str:
    """As Jupyter does: what the first line is indented by, all lines lose, as far as they have it."""
    indent = re.match(r"[ \t]*", source)
    width = indent.end() if indent else 0
    return re.sub(rf"^[ \t]{{1,{width}}}", "", source, flags=re.MULTILINE) if width and source.strip() else source


def _as_python(line: str) -> str:
    """A magic or shell line in the place of which Python finds something that it can run, in as many lines."""
    indent = line[: len(line) - len(line.lstrip())]
    bare, end = line.strip(), "\n" * line.count("\n")
    if timed := re.match(r"%time\s+(?=[^-\s])", bare):  # it runs the rest as Python
        return f"{indent}{bare[timed.end() :]}{end}"
    assigned = _ASSIGNED.match(line)
    kept = f"{assigned['target'].strip().replace(',', ' =')} None" if assigned else "pass"
    return f"{indent}{kept}  # {bare.splitlines()[0]}{end}"


def _end_of_statement(text: str, start: int) -> int:
    """Where the logical line that begins at `start` ends: past the line's end that no bracket or string contains."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        kind = token.group()
        if kind in ("(", "[", "{"):
            depth += 1
        elif kind in (")", "]", "}"):
            depth = max(depth - 1, 0)
        elif kind == "\n" and not depth:
            return token.end()
    return len(text)
