"""The picture of an alignment: pictures/alignment.png."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from projects.alignment_parts import Way
from projects.little_world import ENDS

COLORS = {"DPO": "#e09f3e", "PPO": "#2a6f97", "GRPO": "#2a9d8f"}
KINDS = {".": ("statement", "#c9c9c9"), "!": ("exclamation", "#9a8fb8"), "?": ("question", "#c1443c")}


def draw(
    endings: Mapping[str, Mapping[str, float]],
    taste: Mapping[str, float],
    paths: Mapping[str, Way],
    alone: Way,
) -> Figure:
    """What the models answer, what the reward model thinks, and the ways of the three methods.

    Args:
        endings: for each model, the share of its answers that end in each of the three marks.
        taste: what the reward model gives to some sentences.
        paths: the way of each method.
        alone: the way of DPO's loss with no SFT loss beside it.
    """
    figure = Figure(figsize=(14, 7.6), layout="constrained")
    places = figure.subplot_mosaic([["ends", "taste", "frontier"], ["questions", "kl", "right"]])
    _draw_endings(places["ends"], endings)
    _draw_taste(places["taste"], taste)
    _draw_frontier(places["frontier"], paths, alone)
    styles: dict[str, dict[str, Any]] = {
        name: {"color": color, "linewidth": 2.4, "marker": "o", "markersize": 4, "label": name}
        for name, color in COLORS.items()
    }
    styles["DPO alone"] = {"color": COLORS["DPO"], "linestyle": ":", "linewidth": 1.8, "label": "DPO's loss alone"}
    for name, path in {**paths, "DPO alone": alone}.items():
        style = styles[name]
        places["questions"].plot(path.updates, path.questions, **style)
        places["kl"].plot(path.updates, path.kl, **style)
        places["right"].plot(path.updates, path.right, **style)
    places["questions"].set(title="They learn to ask", ylabel="answers that are questions", ylim=(0, 1.03))
    places["kl"].set(title="How far they go for it", ylabel="KL from the reference (nats an answer)", ylim=(0, None))
    places["right"].set(title="What they forget on the way", ylabel="answers that are right sentences", ylim=(0, 1.03))
    for name in ("questions", "kl", "right"):
        places[name].set(xlabel="updates", xlim=(0, None))
    places["questions"].legend(frameon=False, loc="lower right")
    for name in ("questions", "right"):
        places[name].yaxis.set_major_formatter("{x:.0%}")
    for axes in places.values():
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_endings(axes: Axes, endings: Mapping[str, Mapping[str, float]]) -> None:
    rows = list(endings)[::-1]
    left = np.zeros(len(rows))
    for end in ENDS:
        name, color = KINDS[end]
        shares = np.array([endings[row].get(end, 0.0) for row in rows])
        axes.barh(rows, shares, left=left, color=color, label=f"{name} {end}", height=0.72)
        for row, (share, start) in enumerate(zip(shares, left, strict=True)):
            if share > 0.08:
                ink = "white" if end == "?" else "black"
                axes.text(start + share / 2, row, f"{share:.0%}", ha="center", va="center", color=ink)
        left += shares
    axes.barh(rows, 1 - left, left=left, color="#f1f1f1", label="no end", height=0.72)
    axes.set(title="How they end their answers", xlim=(0, 1), xticks=[])
    axes.legend(
        frameon=False,
        ncols=4,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        handlelength=1,
        columnspacing=0.9,
        fontsize="small",
    )
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(left=False)


def _draw_taste(axes: Axes, taste: Mapping[str, float]) -> None:
    sentences = list(taste)[::-1]
    colors = [KINDS[sentence[-1]][1] for sentence in sentences]
    axes.barh(sentences, [taste[sentence] for sentence in sentences], color=colors, height=0.72)
    for row, sentence in enumerate(sentences):  # on the side that its bar leaves free
        side = -1 if taste[sentence] > 0 else 1
        axes.annotate(sentence, (0, row), (6 * side, 0), textcoords="offset points", ha="left" if side > 0 else "right")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(title="What the reward model likes", xlabel="reward", yticks=[])
    axes.spines["left"].set_visible(False)


def _draw_frontier(axes: Axes, paths: Mapping[str, Way], alone: Way) -> None:
    axes.plot(alone.kl, alone.rewards, ":", color=COLORS["DPO"], linewidth=1.8)
    for name, path in paths.items():
        axes.plot(path.kl, path.rewards, "-o", color=COLORS[name], linewidth=2, markersize=4)
        axes.plot(path.kl[-1], path.rewards[-1], "o", color=COLORS[name], markersize=10)
    start = next(iter(paths.values()))
    axes.plot(0, start.rewards[0], "o", color="black", markersize=8)
    axes.annotate("reference", (0, start.rewards[0]), (10, -4), textcoords="offset points")
    axes.set(title="Reward, and what it costs", xlabel="KL from the reference (nats an answer)", ylabel="reward")
