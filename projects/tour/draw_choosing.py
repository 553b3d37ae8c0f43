"""The tour's pictures of choices and conversations: each draws numbers that the tour has computed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from projects.tour.drawing import BLUE, CORAL, GRAY, INK, LIGHT, bars, boxes, canvas


def draw_choices(choices: Mapping[str, Mapping[str, Tensor]], tokenizer: Any) -> Figure:
    """A row for each prompt, a column for each setting: the ten tokens that are most probable at first."""
    settings = list(next(iter(choices.values())))
    rows = [[f"{row} {name}" for name in settings] for row in range(len(choices))]
    figure, axes = canvas(16, 3.5 * len(choices), rows=rows)
    for row, (prompt, by_setting) in enumerate(choices.items()):
        plain = by_setting[settings[0]]
        best = plain.topk(10).indices
        texts = [tokenizer.decode([token]) for token in best.tolist()]
        for column, name in enumerate(settings):
            panel, probabilities = axes[f"{row} {name}"], by_setting[name]
            bars(panel, texts, probabilities[best].tolist(), BLUE if column else GRAY)
            panel.barh(range(10), plain[best].tolist(), color="none", edgecolor=CORAL, linewidth=1 if column else 0)
            if column:
                panel.set_yticks([])
            rest = float(1 - probabilities[best].sum())
            panel.set_xlabel(f"all others: {max(rest, 0):.1%}", size=9)
            panel.set_title(name if row else f"{name}", size=11)
        axes[f"{row} {settings[0]}"].set_ylabel(f"“{prompt} …”", size=11, weight="bold")
    figure.suptitle("The ten most probable tokens; outlined in red, as they were", x=0.01, ha="left", color=INK)
    return figure


def draw_chat(
    tokens: Sequence[str],
    special: Sequence[bool],
    next_tokens: Mapping[str, Sequence[tuple[str, float]]],
    replies: Mapping[str, str],
) -> Figure:
    """The template's tokens; what comes next with it and without; and both answers."""
    figure, axes = canvas(13.5, 6.2, rows=["tt", "wo", "ab"], height_ratios=[1.3, 1.3, 0.5])
    colors = [CORAL if own else LIGHT for own in special]
    boxes(axes["t"], tokens, colors, 104, 10, ["white" if own else INK for own in special])
    axes["t"].set_title("A question in the chat template; what stands for no text, in red")
    for panel, below, (name, best), reply in zip("wo", "ab", next_tokens.items(), replies.values(), strict=True):
        texts, shares = zip(*best, strict=True)
        bars(axes[panel], texts, shares, BLUE if panel == "w" else GRAY)
        axes[panel].set_title(f"What comes next, {name}")
        axes[below].axis("off")
        lines = textwrap.wrap(" ".join(reply.split()) or "(nothing)", 72)
        axes[below].text(0, 0.95, "\n".join(lines[:4]), va="top", size=10, style="italic", parse_math=False)
    return figure
