"""The picture of `make classify`: how each way learned, and what it takes for what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from projects.classifying import Course
from projects.downloads import replacing
from projects.passages import KINDS

COLORS = ("#8a8a8a", "#8fb9d6", "#2a6f97", "#123a56", "#e08e2b")


def draw(courses: Mapping[str, Course], matrices: Mapping[str, Tensor]) -> Figure:
    """Learning curves above, confusion matrices below.

    Args:
        courses: the runs by name; a name that begins with "peft" is drawn with dashes, for it lies on another.
        matrices: confusion matrices `[K, K]` on the held-out plays, by name.
    """
    figure = Figure(figsize=(4 * len(matrices), 8), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    losses, watched = above.subplots(1, 2)
    for (name, course), color in zip(courses.items(), COLORS * len(courses), strict=False):
        style = {"color": color, "linestyle": (0, (3, 2)) if name.startswith("peft") else "-", "label": name}
        losses.plot(range(1, len(course.losses) + 1), _smooth(course.losses), **style)
        if course.watched:
            watched.plot(*zip(*course.watched, strict=True), marker="o", markersize=4, **style)
    losses.set(xlabel="step", ylabel="weighted loss (nats)", title="The batches, smoothed")
    watched.set(xlabel="step", ylabel="accuracy", title="Three plays to watch by", ylim=(0.2, 1))
    watched.axhline(1 / len(KINDS), color="0.7", linestyle=":", linewidth=1)
    for axes in (losses, watched):
        axes.spines[["top", "right"]].set_visible(False)
    losses.legend(frameon=False)
    row = below.subplots(1, len(matrices), squeeze=False)[0]
    for axes, (name, matrix) in zip(row, matrices.items(), strict=True):
        _confusion(axes, name, matrix.numpy())
    row[0].set_ylabel("a passage of a ...")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Puts the picture in its place in one step."""
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as part:
        figure.savefig(part, dpi=120)


def _confusion(axes: Axes, name: str, matrix: np.ndarray) -> None:
    axes.imshow(matrix / matrix.sum(axis=1, keepdims=True).clip(min=1), cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(matrix):
        shade = "white" if count > 0.55 * matrix[i].sum() else "0.2"
        axes.annotate(str(count), (j, i), ha="center", va="center", color=shade, size=13)
    axes.set(title=name, xlabel="... is taken for a", xticks=range(len(KINDS)), yticks=range(len(KINDS)))
    axes.set_xticklabels(KINDS)
    axes.set_yticklabels(KINDS, rotation=90, va="center")


def _smooth(losses: list[float], memory: float = 0.8) -> list[float]:
    smoothed, mean, weight = [], 0.0, 0.0
    for loss in losses:
        mean, weight = memory * mean + (1 - memory) * loss, memory * weight + 1 - memory
        smoothed.append(mean / weight)
    return smoothed
