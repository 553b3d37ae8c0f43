"""The tour's pictures of what is true and what is made up: each draws numbers that the tour has computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from torch import Tensor

from projects.tour.drawing import BLUE, CORAL, GRAY, INK, LIGHT, STYLE, boxes, canvas


def draw_surprisals(
    judged: Iterable[tuple[str, str, str, float, float]], beginning: str, guesses: Sequence[tuple[str, float]]
) -> Figure:
    """Facts: how much the true and the false completion surprise. Below, a text of the model's own, and its guesses."""
    facts = list(judged)
    plt.style.use(STYLE)
    figure = plt.figure(figsize=(13.5, 9), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[2, 1])
    above, below = halves
    panel, page = above.subplots(), below.subplots()
    for row, (_, true, false, of_true, of_false) in enumerate(facts):
        color = CORAL if of_false <= of_true else LIGHT
        panel.plot([of_true, of_false], [row, row], color=color, linewidth=3, zorder=1)
        panel.plot(of_true, row, "o", color=BLUE, markersize=9, label="" if row else "the true completion")
        panel.plot(of_false, row, "X", color=CORAL, markersize=9, label="" if row else "a false one")
        left, right = sorted([(of_true, true), (of_false, false)])
        panel.annotate(left[1].strip(), (left[0], row), (-9, 0), textcoords="offset points", ha="right", va="center")
        panel.annotate(right[1].strip(), (right[0], row), (9, 0), textcoords="offset points", va="center")
    panel.set_yticks(range(len(facts)), [f"{prompt} …" for prompt, *_ in facts])
    most = max(max(fact[3:]) for fact in facts)
    panel.set(ylim=(len(facts) - 0.4, -0.6), xlim=(-0.17 * most, 1.13 * most), xlabel="surprisal (nats)")
    panel.set_xticks([tick for tick in panel.get_xticks() if 0 <= tick <= 1.1 * most])
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", color="0.93")
    panel.set_axisbelow(True)
    panel.set_title("How much a true and a false completion surprise the model")
    panel.legend(loc="lower right")

    cmap: Colormap = plt.get_cmap("OrRd")
    scale = Normalize(0, 9)
    nats = [guess[1] for guess in guesses]
    tokens = [beginning, *(token for token, _ in guesses)]
    colors = ["0.92", *(cmap(scale(each)) for each in nats)]
    inks = [INK, *("white" if each > 6 else INK for each in nats)]
    boxes(page, tokens, colors, 128, 9.5, inks, lines=5)
    page.set_title("A text of its own: the redder, the more it was a guess")
    below.colorbar(plt.cm.ScalarMappable(scale, cmap), ax=page, label="surprisal (nats)", pad=0.01, shrink=0.8)
    return figure


def draw_calibration(confidence: Tensor, right: Tensor, true: Tensor, false: Tensor, bins: int = 5) -> Figure:
    """How often the model is right at each confidence; and how much true and false endings surprise it.

    Args:
        confidence: `[N]`, from 0 to 1.
        right: `[N]`, bool.
        true: surprisals of true endings, in nats.
        false: those of false ones.
        bins: how many bins of equal width the confidences are put into.
    """
    figure, axes = canvas(12.5, 4.6, rows=["cs"])
    where = (confidence * bins).ceil().clamp(1, bins).long() - 1
    axes["c"].plot([0, 1], [0, 1], color=GRAY, linestyle="--", linewidth=1, label="as sure as it is right")
    for number in range(bins):
        if (chosen := where == number).any():
            share, size = float(right[chosen].float().mean()), int(chosen.sum())
            axes["c"].bar((number + 0.5) / bins, share, 0.9 / bins, color=LIGHT)
            axes["c"].plot(float(confidence[chosen].mean()), share, "o", color=BLUE, markersize=9)
            axes["c"].annotate(f"{size}", ((number + 0.5) / bins, 0.02), ha="center", color=INK)
    axes["c"].set(xlim=(0, 1), ylim=(0, 1.05), xlabel="confidence", ylabel="part that is right")
    axes["c"].set_title("Calibration, and how many statements each bar holds")
    axes["c"].legend(loc="upper left")
    most = float(torch.cat([true, false]).max())
    edges = np.linspace(0, most, 16)
    for values, color, name in ((false, CORAL, "false endings"), (true, BLUE, "true endings")):
        axes["s"].hist(values.numpy(), edges.tolist(), density=True, alpha=0.6, color=color, label=name)
    axes["s"].set(xlabel="surprisal (nats)", ylabel="density")
    axes["s"].set_title("What surprises it")
    axes["s"].legend()
    return figure
