"""What the tour's pictures have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

BLUE, LIGHT, CORAL, GRAY, INK = "#2a6f97", "#a9c6d8", "#e07a5f", "#9aa5ad", "#33414b"
GROUP_COLOURS = ("#2a6f97", "#e07a5f", "#4c956c", "#8d5a97", "#c99a2e")
STYLE: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": GRAY,
    "text.color": INK,
    "axes.labelcolor": INK,
    "legend.frameon": False,
}


def visible(text: str) -> str:
    """A token's text with its spaces and line ends drawn, and no formula made of a dollar sign."""
    return text.replace(" ", "␣").replace("\n", "↵").replace("$", r"\$")


def canvas(*size: float, rows: Sequence[Sequence[str]], **options: Any) -> tuple[Figure, dict[str, Axes]]:
    """An empty figure in the tour's style, and its panels by the letters of `rows`."""
    plt.style.use(STYLE)
    figure = plt.figure(figsize=size, layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic([list(row) for row in rows], **options)
    return figure, axes


def boxes(
    axes: Axes,
    tokens: Sequence[str],
    colors: Sequence[Any],
    columns: int,
    size: float = 10,
    inks: Sequence[str] | None = None,
    lines: int = 1,
) -> None:
    """Tokens as boxes in lines of so many letters; a line end in a token ends the line."""
    line, place = 0, 0.0
    for number, (token, color) in enumerate(zip(tokens, colors, strict=True)):
        text = visible(token)
        wide = len(text.replace(r"\$", "$")) + 0.5
        if place + wide > columns and place:
            line, place = line + 1, 0.0
        axes.add_patch(Rectangle((place, line - 0.4), wide - 0.15, 0.8, color=color, linewidth=0))
        ink = inks[number] if inks else INK
        axes.text(
            place + wide / 2 - 0.08,
            line + 0.02,
            text,
            size=size,
            color=ink,
            ha="center",
            va="center",
            family="monospace",
        )
        place += wide
        if "\n" in token:
            line, place = line + 1, 0.0
    axes.set_xlim(-0.3, columns)
    axes.set_ylim(max(line, lines - 1) + 0.7, -0.7)
    axes.axis("off")


def bars(axes: Axes, names: Sequence[str], shares: Sequence[float], color: Any) -> None:
    """Horizontal bars with their shares, the first on top."""
    bars = axes.barh(range(len(names)), shares, color=color)
    labels = [f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share else "cut" for share in shares]
    axes.bar_label(bars, labels, padding=3, size=8)
    axes.set_yticks(range(len(names)), [visible(name) for name in names], family="monospace", size=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.18)
    axes.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
    axes.tick_params(axis="y", length=0)
