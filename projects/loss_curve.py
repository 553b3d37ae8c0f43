"""The picture of a training that grows with it: pictures/train.png."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from projects.downloads import replacing
from projects.training import Course

BLUE, RED, GRAY = "#2a6f97", "#c1443c", "#8a8a8a"


def simple_losses(ids: Sequence[int]) -> dict[str, float]:
    """What can be had without a model, in nats per token: by counting tokens, and by counting pairs of them."""
    tokens, pairs = _entropy(Counter(ids)), _entropy(Counter(pairwise(ids)))
    return {"how often each comes": tokens, "which follows which": pairs - tokens}


def draw(course: Course, steps: int, vocab_size: int, simple: dict[str, float], per_character: float) -> Figure:
    """The loss of every batch, and of the held-out plays, beside what simpler kinds of knowledge reach.

    Args:
        course: how it went so far.
        steps: how many steps it will have.
        vocab_size: how many tokens there are.
        simple: as `simple_losses` gives it.
        per_character: tokens per character of the plays, so that all vocabularies have one scale.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    losses = np.asarray(course.losses) * per_character
    done = np.arange(1, len(losses) + 1)
    axes.plot(done, losses, color=BLUE, linewidth=0.6, alpha=0.3)
    if len(losses):
        axes.plot(done, _smooth(losses), color=BLUE, linewidth=2, label="the batches, smoothed")
    if course.held_out:
        where, held_out = zip(*course.held_out, strict=True)
        axes.plot(where, np.asarray(held_out) * per_character, "o-", color=RED, markersize=4, label="plays held out")
        axes.annotate(
            f"{held_out[-1] * per_character:.2f}",
            (where[-1], held_out[-1] * per_character),
            (0, 9),
            textcoords="offset points",
            color=RED,
            ha="center",
            weight="bold",
        )
    known = {"which tokens there are": math.log(vocab_size), **simple}
    for name, loss in known.items():
        axes.axhline(loss * per_character, color=GRAY, linestyle="--", linewidth=1)
        axes.annotate(
            name,
            (1, loss * per_character),
            (-4, 4),
            ("axes fraction", "data"),
            "offset points",
            color="0.35",
            ha="right",
        )
    top = math.log(vocab_size) * per_character
    axes.set(xlabel="step", ylabel="loss (nats a character)", xlim=(0, steps), ylim=(0.8, top * 1.06))
    axes.set_title(f"Learning Shakespeare: step {len(losses):,} of {steps:,}")
    axes.spines[["top", "right"]].set_visible(False)
    if len(losses):
        axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.9))
    return figure


def save(figure: Figure, path: Path) -> None:
    """Puts the picture in its place in one step, so that whoever looks at it sees a whole one."""
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as part:
        figure.savefig(part, dpi=120)


def _smooth(losses: np.ndarray, memory: float = 0.95) -> np.ndarray:
    """An exponential mean that begins where the losses begin."""
    smoothed, mean, weight = np.empty_like(losses), 0.0, 0.0
    for place, loss in enumerate(losses):
        mean, weight = memory * mean + (1 - memory) * loss, memory * weight + 1 - memory
        smoothed[place] = mean / weight
    return smoothed


def _entropy(counts: Counter[int] | Counter[tuple[int, int]]) -> float:
    total = counts.total()
    return -sum(count / total * math.log(count / total) for count in counts.values())
