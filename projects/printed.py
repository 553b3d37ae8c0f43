"""Tables and texts as the capstone prints them."""

from __future__ import annotations

from rich.table import Table


def columns(*names: str) -> Table:
    """A table without lines, whose columns are as wide as what they hold."""
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=True)
    return table


def visible(text: str) -> str:
    """A token's text with its spaces and line ends drawn."""
    return text.replace(" ", "␣").replace("\n", "↵")


def visible_line(text: str) -> str:
    """A text on one line."""
    return text.replace("\n", "↵")
